"""The tables of a board, as grids.

Nothing is computed here: numbers come from `simclick.statistics` by way of `Board`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from simclick.report.boards import THRESHOLDS, Board
from simclick.report.grid import Column, Grid, Row, Style, Value, best_of

__all__ = [
    "average_grid",
    "board_grids",
    "board_name",
    "breakdown_grid",
    "clicks_grid",
    "dice_grid",
    "oracle_grids",
    "pairs_grid",
    "slug",
    "surface_grid",
    "threshold",
    "time_grid",
]

INTERVAL = "Brackets: 95 % interval, studentised bootstrap over groups."
MEDIANS = (
    "Brackets: 95 % interval over groups. Of the medians (HD95, NSD): that of the share of cases at or below "
    "the median, read back as quantiles (Woodruff 1952); an end may be infinite, or at the end of the range, "
    "where few groups do not bound it. Of the share undefined: studentised bootstrap."
)


def slug(*names: str) -> str:
    """Return names joined as a file name: letters, digits and ``._+-`` stay, others become ``-``."""
    return "_".join(re.sub(r"[^A-Za-z0-9._+-]+", "-", name).strip(".-") or "x" for name in names if name)


def threshold(tau: float) -> str:
    """Return a threshold with two decimals."""
    return f"{tau:.2f}"


def board_grids(board: Board) -> dict[str, list[Grid]]:
    """Return the tables of a board by kind: ``main``, ``pairs``, ``breakdown``, ``more``."""
    rounds = board.rounds
    pairs: list[tuple[str, float | None]] = []
    shown: list[tuple[str, float | None]] = [rounds.outcome]
    if not rounds.single:
        shown += [("dice", float(rounds.middle)), ("noc", 0.90)]
    if len({*board.pairs["agent_a"], *board.pairs["agent_b"]}) > 1:
        costs = dict.fromkeys((rounds.middle, rounds.first, board.costs[-1]))
        several = [*(("dice", float(cost)) for cost in costs), ("noc", 0.90), ("area", None)]
        pairs = [rounds.outcome] if rounds.single else several
    subsets = ("target", "modality") if board.dataset else ("dataset", "modality", "target")
    return {
        "main": [dice_grid(board), *oracle_grids(board), clicks_grid(board)],
        "pairs": [pairs_grid(board, statistic, at) for statistic, at in pairs],
        "breakdown": [
            breakdown_grid(board, by, statistic, at)
            for by in subsets
            if len(board.subsets(by)) > 1
            for statistic, at in shown
        ],
        "more": [
            average_grid(board),
            *([surface_grid(board)] if board.surface_costs else []),
            time_grid(board),
        ],
    }


def clicks_grid(board: Board) -> Grid:
    """Return clicks to a Dice (capped mean) beside the share of cases that never reach it.

    Of a single round, the share alone.
    """
    rounds = board.rounds
    if rounds.single:
        over = "cases that do not reach"
        columns = [Column(f"nof@{threshold(t)}", f"Dice ≥ {threshold(t)}", "share", over) for t in THRESHOLDS]
        title = f"Cases that do not reach a Dice after the {rounds.prompt} on {board.phrase}"
        missed = _measures("nof", THRESHOLDS)
        return _grid(board, "missed", title, [*columns, *_COUNTS], _rows(board, missed), missed)
    columns = []
    for tau in THRESHOLDS:
        name = threshold(tau)
        columns.append(Column(f"noc@{name}", "clicks", "clicks", f"Dice ≥ {name}"))
        columns.append(Column(f"nof@{name}", "not reached", "share", f"Dice ≥ {name}"))
    measures = [*_measures("noc", THRESHOLDS), *_measures("nof", THRESHOLDS)]
    budget = board.section.budget
    note = f"Clicks: mean over cases; a target that {budget} clicks do not reach counts as {budget}."
    if rounds.first > 1:
        note += f" The {rounds.prompt} counts {rounds.first}."
    title = f"Clicks to reach a Dice (NoC) on {board.phrase}"
    return _grid(board, "clicks", title, [*columns, *_COUNTS], _rows(board, measures), measures, [note])


def dice_grid(board: Board) -> Grid:
    """Return mean Dice after some clicks, and the mean over all clicks; of a single round, Dice after it."""
    rounds = board.rounds
    columns = [Column(f"dice@{cost}", rounds.head(cost), "dice", rounds.over) for cost in board.costs]
    measures = _measures("dice", board.costs)
    if not rounds.single:
        columns.append(Column("area", f"mean of {rounds.mean}", "dice", rounds.over))
        measures.append(("area", None))
    what = rounds.outcome_words if rounds.single else "Dice after a number of clicks"
    title = f"{what} on {board.phrase}"
    return _grid(board, "dice", title, [*columns, *_COUNTS], _rows(board, measures), measures)


def oracle_grids(board: Board) -> list[Grid]:
    """Return the chosen mask's Dice beside the best candidate's; nothing where no agent gave a better one.

    Under a protocol that chooses with the truth both are the same, and there is no table.
    """
    rule = str(board.section.protocol["select"])
    values = board.numbers.value
    gaps = [
        values(s.label, "oracle_dice", cost).value - values(s.label, "dice", cost).value
        for s in board.standings
        for cost in board.costs
    ]
    if rule == "oracle" or not any(gap > 1e-9 for gap in gaps):
        return []
    columns = []
    for cost in board.costs:
        over = f"Dice after {board.rounds.spent(cost)}"
        columns.append(Column(f"dice@{cost}", f"by {rule}", "dice", over))
        columns.append(Column(f"oracle_dice@{cost}", "oracle", "dice", over))
    measures = [*_measures("dice", board.costs), *_measures("oracle_dice", board.costs)]
    note = (
        f"By {rule}: the mask that the protocol's rule chose among an agent's candidates. Oracle: the best "
        "of the same step's candidates by the truth, a bound for choosing; prompts followed the chosen one."
    )
    title = f"The chosen mask beside the best candidate on {board.phrase}"
    return [_grid(board, "oracle", title, columns, _rows(board, measures), measures, [note])]


def average_grid(board: Board) -> Grid:
    """Return averages over cases beside averages over targets."""
    rounds = board.rounds
    wanted: list[tuple[str, float | None, Style, str]] = [
        (
            "dice",
            cost,
            "dice",
            f"Dice after {rounds.spent(cost) if rounds.first > 1 or rounds.single else cost}",
        )
        for cost in ([rounds.budget] if rounds.single else [rounds.first, rounds.middle])
    ]
    if not rounds.single:
        wanted.insert(0, ("noc", 0.90, "clicks", "clicks to Dice ≥ 0.90"))
        wanted.append(("area", None, "dice", f"mean Dice of {rounds.mean}"))
    columns, rows = [], []
    wanted = list({(name, at): (name, at, style, head) for name, at, style, head in wanted}.values())
    for statistic, at, style, head in wanted:
        for average in ("micro", "macro"):
            columns.append(Column(f"{_key(statistic, at)}_{average}", average, style, head))
    for standing in board.standings:
        values = {
            f"{_key(statistic, at)}_{average}": board.numbers.value(
                standing.label, statistic, at, average=average
            )
            for statistic, at, _, _ in wanted
            for average in ("micro", "macro")
        }
        rows.append(Row(standing.label, values, standing.marks, standing.part))
    title = f"Averages over cases (micro) and over targets (macro) on {board.phrase}"
    measures = [(statistic, at) for statistic, at, _, _ in wanted]
    why = board.numbers.notes(measures, averages=("micro", "macro"))
    note = f"Macro: the mean of the means of {len(board.subsets('target'))} targets."
    return _grid(board, "averages", title, columns, rows, [], [note, *why])


def pairs_grid(board: Board, statistic: str, at: float | None) -> Grid:
    """Return the paired differences, row minus column, between agents that may be compared."""
    table = board.pairs[board.pairs["statistic"] == statistic]
    if at is not None:
        table = table[table["at"].round(6) == round(float(at), 6)]
    style: Style = "click_difference" if statistic == "noc" else "difference"
    cells: dict[tuple[str, str], Value] = {}
    for a, b, d, low, high in _columns(table, "agent_a", "agent_b", "difference", "low", "high"):
        clear = low > 0 or high < 0
        cells[a, b] = Value(d, low, high, strong=clear)
        cells[b, a] = Value(-d, -high, -low, strong=clear)
    agents = [s for s in board.standings if any(s.label in key for key in cells)]
    columns = [Column(s.label, s.label, style, marks=s.marks) for s in agents]
    rows = [
        Row(
            s.label,
            {o.label: cells[s.label, o.label] for o in agents if (s.label, o.label) in cells},
            s.marks,
        )
        for s in agents
    ]
    what = _what(board, statistic, at)
    better = "less than 0" if statistic == "noc" else "more than 0"
    note = (
        f"Row minus column, paired by case: {better} where the row is better. Bold: the interval excludes 0."
    )
    why = [str(n) for n in dict.fromkeys(table["note"]) if n]
    name = slug("difference", _key(statistic, at))
    return _grid(
        board, name, f"{what}, paired differences on {board.phrase}", columns, rows, [], [note, *why]
    )


def breakdown_grid(board: Board, by: str, statistic: str, at: float | None) -> Grid:
    """Return one number per subset (target, modality, data set) and agent."""
    style: Style = "clicks" if statistic == "noc" else "dice"
    standings = board.standings
    columns = [Column(s.label, s.label, style, marks=s.marks) for s in standings]
    columns += [Column("n_cases", "cases", "count"), Column("n_groups", "groups", "count")]
    rows = []
    for value in board.subsets(by):
        cells = {s.label: board.numbers.value(s.label, statistic, at, subset=(by, value)) for s in standings}
        ranked = [s for s in standings if s.ranked]
        best = best_of([cells[s.label].value for s in ranked], statistic != "noc")
        for i in best:
            cells[ranked[i].label] = _strong(cells[ranked[i].label])
        some = [board.numbers.counts(s.label, statistic, at, subset=(by, value)) for s in standings]
        cells["n_cases"], cells["n_groups"] = (Value(float(max(n))) for n in zip(*some, strict=True))
        rows.append(Row(value, cells))
    what = _what(board, statistic, at)
    words = {"target": "target", "modality": "modality", "dataset": "data set"}[by]
    name = slug(f"by-{by}", _key(statistic, at))
    notes = board.numbers.notes([(statistic, at)], by)
    title = f"{what} by {words} on {board.phrase}"
    return _grid(board, name, title, columns, rows, [], notes, stub=words)


def surface_grid(board: Board) -> Grid:
    """Return medians of surface distances, and how often there is none."""
    tolerance = f"{board.section.protocol['nsd_tolerance']:g}"
    unit = {"mixed": "mm or px"}.get(board.unit, board.unit)
    columns, measures = [], []
    for cost in board.surface_costs:
        over = f"after {board.rounds.spent(cost)}"
        columns += [
            Column(f"hd95@{cost}", f"HD95 ({unit})", "distance", over),
            Column(f"hd95_undefined@{cost}", "undefined", "share", over),
            Column(f"nsd@{cost}", f"NSD at {tolerance} {unit}", "dice", over),
        ]
        measures += [("hd95", cost), ("hd95_undefined", cost), ("nsd", cost)]
    note = (
        f"HD95 (in {unit}) and NSD: medians over cases. HD95 is undefined where mask or truth is empty; "
        "such a case counts as infinite in the median."
    )
    title = f"Surface distances on {board.phrase}"
    rows = _rows(board, measures)
    units = {
        "hd95_unit": unit,
        "nsd_tolerance": board.section.protocol["nsd_tolerance"],
        "nsd_tolerance_unit": unit,
        "hd95_nsd_average": "median over cases",
    }
    return _grid(board, "surface", title, columns, rows, measures, [note], interval=MEDIANS, more=units)


def time_grid(board: Board) -> Grid:
    """Return seconds per interaction and per encoding, and failed episodes."""
    columns = [
        Column("seconds_per_step", "per interaction (s)", "seconds"),
        Column("seconds_encode", "to encode an image (s)", "seconds"),
        Column("n_episodes", "episodes", "count"),
        Column("n_failed", "of these failed", "count"),
    ]
    rows = []
    for s in board.standings:
        cells = {key: board.numbers.value(s.label, key) for key in ("seconds_per_step", "seconds_encode")}
        cells["n_episodes"], cells["n_failed"] = Value(float(s.n_episodes)), Value(float(s.n_failed))
        rows.append(Row(s.label, cells, s.marks, s.part))
    note = (
        "Seconds of the agent alone, on the machine of the run (see Provenance); compare like machines only."
    )
    return _grid(board, "time", f"Time on {board.phrase}", columns, rows, [], [note])


_COUNTS = [
    Column("n_cases", "cases", "count"),
    Column("n_groups", "groups", "count"),
    Column("n_failed", "failed", "count"),
]
_LOWER_IS_BETTER = ("noc", "nof", "hd95", "hd95_undefined")


def _measures(statistic: str, ats: Sequence[float]) -> list[tuple[str, float | None]]:
    return [(statistic, at) for at in ats]


def _key(statistic: str, at: float | None) -> str:
    if at is None:
        return statistic
    return f"{statistic}@{threshold(at)}" if statistic in ("noc", "nof") else f"{statistic}@{at:g}"


def _what(board: Board, statistic: str, at: float | None) -> str:
    if statistic == "dice":
        return f"Dice after {board.rounds.spent(round(at or 0))}"
    if statistic == "noc" and at is not None:
        return f"Clicks to Dice ≥ {threshold(at)}"
    rounds = board.rounds
    return f"Mean Dice of {'clicks' if rounds.first == 1 else 'costs'} {rounds.mean}"


def _columns(table: pd.DataFrame, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[name] for name in names), strict=True)


def _strong(value: Value) -> Value:
    return Value(value.value, value.low, value.high, value.text, strong=True)


def _rows(board: Board, measures: Sequence[tuple[str, float | None]]) -> list[Row]:
    """Return a row per agent; the best number among ranked agents stands out."""
    table: dict[str, dict[str, Value]] = {s.label: {} for s in board.standings}
    for statistic, at in measures:
        key = _key(statistic, at)
        for s in board.standings:
            table[s.label][key] = board.numbers.value(s.label, statistic, at)
        ranked = [table[s.label] for s in board.ranked]
        best = best_of([cells[key].value for cells in ranked], statistic not in _LOWER_IS_BETTER)
        for i in best:
            ranked[i][key] = _strong(ranked[i][key])
    for s in board.standings:
        counts = {"n_cases": s.n_cases, "n_groups": s.n_groups, "n_failed": s.n_failed}
        table[s.label].update({name: Value(float(n)) for name, n in counts.items()})
    return [Row(s.label, table[s.label], s.marks, s.part) for s in board.standings]


def _grid(
    board: Board,
    kind: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    measures: Sequence[tuple[str, float | None]],
    notes: Sequence[str] = (),
    stub: str = "agent",
    interval: str = INTERVAL,
    more: Mapping[str, object] | None = None,
) -> Grid:
    cases, groups = board.size
    section = board.section
    about = (
        f"{cases} case{'' if cases == 1 else 's'} in {groups} group{'' if groups == 1 else 's'}, "
        f"protocol {section.name}, seed {section.seed}."
    )
    intervals = any(value.has_interval for row in rows for value in row.values.values())
    said = [*notes, *([interval] if intervals else []), *board.numbers.notes(measures)]
    marks = [] if section.protocol["select"] != "oracle" else ["Masks were chosen with the truth (oracle)."]
    return Grid(
        name=slug(board_name(board), kind),
        title=title,
        stub=stub,
        columns=tuple(columns),
        rows=tuple(rows),
        notes=(about, *marks, *(_sentence(note) for note in said)),
        constants={
            "dataset": board.dataset or "(all)",
            "protocol": section.protocol["id"],
            "protocol_digest": section.protocol["digest"],
            "noise": section.protocol["noise"],
            "level": board.level,
            "seed": section.seed,
            **(more or {}),
        },
    )


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def board_name(board: Board) -> str:
    """Return a board's part of file names."""
    noise = str(board.section.protocol["noise"])
    level = "" if noise == "none" else f"{noise}-{board.level:g}"
    return slug(board.section.stem, board.dataset or "all", level)
