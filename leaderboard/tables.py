"""The tables of a board, as grids; numbers come from `Board`, nothing is computed here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simclick.leaderboard.boards import COSTS, THRESHOLDS, Board, Method
from simclick.leaderboard.entries import TIERS
from simclick.leaderboard.frames import failure_marks
from simclick.leaderboard.ranking import ALPHA
from simclick.report.grid import Column, Grid, Row, Value, best_of

__all__ = [
    "BRACKETS",
    "DECLARED",
    "FAILED",
    "PairRow",
    "apart_grid",
    "board_grid",
    "board_title",
    "meta_cells",
    "number_cells",
    "number_columns",
    "pair_rows",
    "pairs_grid",
    "paper_grid",
    "turned",
]

DECLARED = "declared"
"""Mark of a column that nobody but the authors can check."""
BRACKETS = "Brackets: 95 % interval, studentised bootstrap over groups."
FAILED = "Share of all episodes in which the method ended in an error; its Dice is 0 from that step on."
_RANKS = (
    "Rank: from 1 + the number of methods that are significantly better to M less the number that are "
    "significantly worse, of M methods; paired tests over groups, Holm's correction over all pairs of the "
    "board. Ties: two methods share a letter exactly when no significant difference was found between them; "
    "that does not show that they are equal."
)
_LOWER = ("noc", "nof", "seconds")


@dataclass(frozen=True)
class PairRow:
    """The test between two ranked methods, by slug; see `simclick.statistics.compare`."""

    a: str
    b: str
    difference: Value
    p: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether one is significantly better."""
        return self.p_holm < ALPHA and self.difference.value != 0


def board_grid(board: Board, robust: Mapping[str, Mapping[str, Value]] | None = None) -> Grid:
    """Return a board's main table, of ranked methods.

    Args:
        board: The board.
        robust: Per role of noise, the average change of Dice by slug; a column each.
    """
    shown = [board.methods[place.name] for place in board.places]
    cells = {
        m.slug: {
            "rank": Value(place.low + place.high / 1000, text=place.text),
            "ties": Value(text=place.letters),
            **number_cells(board, m.slug),
        }
        for m, place in zip(shown, board.places, strict=True)
    }
    columns = [Column("rank", "rank", "text"), Column("ties", "ties", "text")]
    columns += [] if board.modality else [Column("tier", "tier", "text")]
    columns += number_columns(board)
    for role, values in (robust or {}).items():
        head = {"click_noise": "clicks", "box_noise": "boxes"}.get(role, role.replace("_", " "))
        columns.append(Column(role, head, "difference", "change under noise"))
        for m in shown:
            cells[m.slug][role] = values.get(m.slug, Value())
    if board.oracle_gap:
        columns.append(Column("oracle_gap", "oracle gap", "dice"))
    for m in shown:
        cells[m.slug]["oracle_gap"] = board.oracle_gap.get(m.slug, Value())
        cells[m.slug] |= {} if board.modality else meta_cells(board, m)
    columns += [] if board.modality else _meta_columns()
    strong = _best(columns, [cells[m.slug] for m in shown])
    rows = tuple(Row(m.label, row, board.marks(m.slug)) for m, row in zip(shown, strong, strict=True))
    return Grid(board.key, board_title(board), "method", tuple(columns), rows, _notes(board, robust))


def apart_grid(board: Board) -> Grid | None:
    """Return the same of the methods that are not ranked, or None where there is none."""
    shown = [m for m in board.methods.values() if not m.ranked]
    if not shown:
        return None
    columns = [Column("tier", "tier", "text"), *number_columns(board)]
    columns += [] if board.modality else _meta_columns()
    rows = tuple(
        Row(m.label, {**number_cells(board, m.slug), **meta_cells(board, m)}, board.marks(m.slug))
        for m in shown
    )
    note = "These used the truth. They show what could be gained, and compete with none."
    title = f"Not ranked: {board_title(board)}"
    return Grid(f"{board.key}-apart", title, "method", tuple(columns), rows, (note,))


def paper_grid(grid: Grid) -> Grid:
    """Return a table without the columns that no paper wants: for LaTeX."""
    columns = tuple(c for c in grid.columns if c.key not in ("date", "links"))
    return Grid(grid.name, grid.title, grid.stub, columns, grid.rows, grid.notes, grid.constants)


def pairs_grid(board: Board) -> Grid | None:
    """Return all pairs of ranked methods: difference of the outcome, interval, p, p by Holm."""
    columns = (
        Column("better", "better", "text"),
        Column("difference", "difference", "difference"),
        Column("p", "p", "p"),
        Column("p_holm", "p, Holm", "p"),
    )
    rows = []
    for r in pair_rows(board):
        a, b = board.methods[r.a].label, board.methods[r.b].label
        d = r.difference
        cells = {
            "better": Value(text=(a if d.value > 0 else b) if r.significant else "not shown"),
            "difference": Value(d.value, d.low, d.high, strong=r.significant),
            "p": Value(r.p),
            "p_holm": Value(r.p_holm),
        }
        said = [
            f"{who}: {mark}"
            for slug, who in ((r.a, a), (r.b, b))
            for mark in (*board.methods[slug].trained, *failure_marks(*board.failed(slug)))
        ]
        rows.append(Row(f"{a} − {b}", cells, tuple(said)))  # noqa: RUF001
    if not rows:
        return None
    note = (
        f"Difference in {board.outcome_words}, on the same cases. p: signs of whole groups flipped; Holm: "
        f"corrected over all pairs. Bold: significant at {ALPHA:g} after the correction. {BRACKETS}"
    )
    title = f"All pairs: {board_title(board)}"
    return Grid(f"{board.key}-pairs", title, "pair", columns, tuple(rows), (note,))


def pair_rows(board: Board, statistic: str = "", at: float | None = None) -> list[PairRow]:
    """Return the tests of all pairs, better places first.

    Args:
        board: The board.
        statistic: The statistic; the outcome unless given.
        at: Its threshold or cost.
    """
    rows = board.pairs[board.pairs["statistic"] == (statistic or board.statistic)]
    if at is not None:
        rows = rows[rows["at"].round(6) == round(at, 6)]
    rank = {place.name: i for i, place in enumerate(board.places)}
    found = []
    for r in rows.to_dict("records"):
        a, b = str(r["agent_a"]), str(r["agent_b"])
        d = Value(float(r["difference"]), float(r["low"]), float(r["high"]))
        if rank[a] > rank[b]:
            a, b, d = b, a, turned(d)
        found.append(PairRow(a, b, d, float(r["p"]), float(r["p_holm"])))
    return sorted(found, key=lambda r: (rank[r.a], rank[r.b]))


def turned(value: Value) -> Value:
    """Return a difference with its sign changed: a drop as a change."""
    return Value(0.0 - value.value, 0.0 - value.high, 0.0 - value.low)


def board_title(board: Board) -> str:
    """Return a board's name: suite, protocol, and modality where it is one."""
    where = f", {board.modality} only" if board.modality else ""
    return f"{board.suite.name}, {board.protocol.id}{where}"


def number_columns(board: Board) -> list[Column]:
    """Return the columns of the numbers that are checked."""
    columns = [Column("outcome", board.outcome_words, "dice")]
    if board.noisy:
        top = f"Dice after {board.budget_words}, at"
        columns += [Column(f"mean@{v:g}", board.level_text(v), "dice", top) for v in board.protocol.levels]
        columns += [
            Column("dose_area", "average change", "difference"),
            Column("retention", "kept", "share", f"at {board.level_text(board.protocol.levels[-1])}"),
            Column("worst_tenth", "worst tenth", "dice", f"at {board.level_text(board.protocol.levels[-1])}"),
        ]
        return columns if not board.modality else columns[:1]
    if board.statistic == "area":
        shown = [cost for cost in board.costs if cost < COSTS[-1]]
        columns += [Column(f"dice@{cost}", str(cost), "dice", "Dice after … clicks") for cost in shown]
    for tau in THRESHOLDS:
        over = f"Dice ≥ {tau:.2f}"
        if board.statistic == "area":
            columns.append(Column(f"noc@{tau:.2f}", "clicks", "clicks", over))
        columns.append(Column(f"nof@{tau:.2f}", "not reached", "share", over))
    return columns


def number_cells(board: Board, slug: str, subset: tuple[str, str] = ("all", "")) -> dict[str, Value]:
    """Return a method's cells for `number_columns`."""
    cells = {"outcome": board.outcome(slug, subset=subset)}
    if board.noisy and (board.modality or subset[0] != "all"):
        return cells
    if board.noisy:
        top = board.protocol.levels[-1]
        cells |= {f"mean@{v:g}": board.robust(slug, "mean", v) for v in board.protocol.levels}
        cells["dose_area"] = turned(board.robust(slug, "dose_area"))
        cells |= {key: board.robust(slug, key, top) for key in ("retention", "worst_tenth")}
        return cells
    for cost in board.costs:
        cells[f"dice@{cost}"] = board.numbers.value(slug, "dice", cost, subset=subset)
    for tau in THRESHOLDS:
        for name in ("noc", "nof"):
            cells[f"{name}@{tau:.2f}"] = board.numbers.value(slug, name, tau, subset=subset)
    return cells


def meta_cells(board: Board, method: Method) -> dict[str, Value]:
    """Return what is said of a method: declared columns, tier, date."""
    card, tier = method.entry.card, method.entry.tier
    parameters = math.nan if card.parameters is None else card.parameters / 1e6
    return {
        "seconds": board.numbers.value(method.slug, "seconds_per_step"),
        "parameters": Value(parameters),
        "overlap": Value(text=card.overlap.get(board.suite.name, "unknown")),
        "tier": Value(float(TIERS.index(tier)), text=tier),
        "date": Value(text=card.date),
        "links": Value(text=" ".join(url for url in (card.paper, card.code) if url)),
    }


def _meta_columns() -> list[Column]:
    return [
        Column("seconds", "s per prompt", "seconds", DECLARED),
        Column("parameters", "parameters, 10⁶", "clicks", DECLARED),
        Column("overlap", "training overlap", "text", DECLARED),
        Column("date", "date", "text"),
        Column("links", "links", "text"),
    ]


def _best(columns: Sequence[Column], rows: Sequence[dict[str, Value]]) -> list[dict[str, Value]]:
    """Return the cells with the best number of each column made strong."""
    found = [dict(row) for row in rows]
    for column in columns:
        key = column.key
        if column.style == "text" or key in ("parameters", "oracle_gap"):
            continue
        values = [row[key].value if key in row else math.nan for row in rows]
        for i in best_of(values, highest=not key.startswith(_LOWER)):
            cell = rows[i][key]
            found[i][key] = Value(cell.value, cell.low, cell.high, cell.text, strong=True)
    return found


def _notes(board: Board, robust: Mapping[str, Mapping[str, Value]] | None) -> tuple[str, ...]:
    cases, groups = board.size
    counted = f"{cases} case{'s' * (cases != 1)} in {groups} group{'s' * (groups != 1)}."
    few = [f"{n}." for n in sorted({str(n) for n in board.pairs["note"] if "significant" in str(n)})]
    if board.modality:
        return (counted, *few)
    said = [counted, f"Ordered by {board.outcome_words}.", BRACKETS, "Bold: the best of its column."]
    if not board.noisy and board.statistic == "area":
        budget = board.protocol.budget
        said.append(f"A Dice that {budget} clicks do not reach counts as {budget} clicks.")
    if robust:
        said.append("Change under noise: mean change of Dice over the levels of noise.")
    if board.oracle_gap:
        said.append("Oracle gap: what the best mask of each step would add; a dash where there is one mask.")
    return (" ".join(said), _RANKS, *few)
