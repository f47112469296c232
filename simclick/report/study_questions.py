"""Study: the questions that the field asks of promptable networks, answered from the runs at hand.

Huang et al. (Segment Anything Model for Medical Images?, 2024) report that SAM is ahead of interactive
methods at few points and outpaced at many, and that it is sensitive to the place of points and to box
jitter; many papers choose among SAM's three masks with the truth. What these runs say of each is stated as it
is, also where the papers found otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simclick.report.figures import Picture
from simclick.report.grid import MINUS, Column, Grid, Row, Value
from simclick.report.question_figures import noise_cost_figure, race_figure
from simclick.report.robustness_scene import strong
from simclick.report.runs import Section, may_rank
from simclick.report.study import Study
from simclick.report.style import Look, drawing
from simclick.statistics.bootstrap import mean_intervals
from simclick.statistics.clicks import timeline
from simclick.statistics.crossing import crossing_table, difference_curves
from simclick.statistics.robustness import robustness_table
from simclick.statistics.summary import group_codes
from simclick.texts import listed

__all__ = ["questions_study"]

_RIVALS = ("iterative", "classical")
_COSTS = (1, 2, 3, 5, 10, 20)
_GAP_COSTS = (1, 3, 5, 10, 20)


def questions_study(sections: Sequence[Section], looks: Mapping[str, Look]) -> Study | None:
    """Return the answers; None where no run is of a promptable agent.

    * *Ahead, then overtaken?* On each data set, under each noise-free protocol with a budget of at least five
      clicks: the best promptable agent against the best of each other family (by mean Dice over all clicks),
      paired by case.
    * *What does noise cost?* Dice after the first prompt, less that of the same case at level 0, per level.
    * *How large is the oracle gap?* The best candidate's Dice less the chosen one's, at the same step, under
      each protocol without noise: what choosing with the truth would have added there.

    All intervals: 95 %, studentised bootstrap over groups; the crossing's is of percentiles.
    """
    words: list[str] = []
    tables: dict[str, pd.DataFrame] = {}
    grids: list[Grid] = []
    pictures: list[Picture] = []
    for found in (_race(sections, looks), _noise(sections, looks), _gap(sections)):
        if found is None:
            continue
        words += found.words
        tables |= found.tables
        grids += found.grids
        pictures += found.pictures
    if not words:
        return None
    return Study(
        kind="questions",
        title="Promptable or iterative? What the field asks",
        words=tuple(words),
        tables=tables,
        grids=grids,
        pictures=pictures,
    )


@dataclass(frozen=True, eq=False)
class _Answer:
    words: list[str]
    tables: dict[str, pd.DataFrame]
    grids: list[Grid]
    pictures: list[Picture]


def _quiet(section: Section) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return episodes and steps at the lowest level of agents that may be compared."""
    level, fair = section.levels[0], may_rank(section)
    episodes, steps = (
        table[(table["level"] == level) & table["agent"].isin(fair)].reset_index(drop=True)
        for table in (section.episodes, section.steps)
    )
    return episodes, steps


def _best(section: Section, episodes: pd.DataFrame, steps: pd.DataFrame, family: str) -> str | None:
    """Return the agent of a family with the highest mean Dice over all clicks."""
    agents = [a for a in episodes["agent"].unique() if section.entrants[a].info.get("family") == family]
    if not agents:
        return None
    laid = timeline(steps, episodes, section.budget)
    mean = pd.Series(laid.curve("dice")[:, 1:].mean(axis=1)).groupby(laid.episodes["agent"].to_numpy()).mean()
    best: str = max(sorted(agents), key=lambda agent: float(mean[agent]))
    return best


def _race(sections: Sequence[Section], looks: Mapping[str, Look]) -> _Answer | None:
    answer = _Answer([], {}, [], [])
    rows: list[Row] = []
    curves: list[pd.DataFrame] = []
    crossings: list[pd.DataFrame] = []
    for section in sections:
        if section.protocol["noise"] != "none" or section.budget < 5 or _first_cost(section) != 1:
            continue
        quiet = _quiet(section)
        boards = [(d, f) for d in sorted(quiet[0]["dataset"].unique()) for f in _RIVALS]
        # Each data set answers for itself: one may say the contrary of another.
        for dataset, family in boards:
            episodes, steps = (t[t["dataset"] == dataset].reset_index(drop=True) for t in quiet)
            ours = _best(section, episodes, steps, "promptable")
            rival = _best(section, episodes, steps, family)
            if ours is None or rival is None:
                continue
            e, s = (t[t["agent"].isin([ours, rival])].reset_index(drop=True) for t in (episodes, steps))
            curve = difference_curves(e, s, section.budget)
            if curve.empty:
                continue
            # One sign for all: the promptable agent less its rival.
            if curve["agent_a"].iloc[0] != ours:
                curve[["value", "low", "high"]] = -curve[["value", "high", "low"]].to_numpy()
            curve = curve.assign(agent_a=ours, agent_b=rival, dataset=dataset)
            crossing = crossing_table(e, s, section.budget)
            curves.append(curve)
            crossings.append(crossing.assign(dataset=dataset))
            rows.append(_race_row(curve, ours, rival, section))
            words = _race_words(curve, crossing, ours, rival, section, family)
            answer.words.append(f"{dataset}: {words}" if len(boards) > len(_RIVALS) else words)
    if not rows:
        return None
    costs = [c for c in _COSTS if any(f"at{c}" in row.values for row in rows)]
    columns = tuple(
        Column(f"at{c}", str(c), "difference", "difference in Dice after … clicks") for c in costs
    )
    notes = (
        "The best promptable agent less the best agent of another family (by mean Dice over all clicks), "
        "paired by case. Bold: the 95 % interval excludes 0. The best of several was chosen on the same "
        "cases, so a family with more agents has a small advantage. A data set of one group has no interval.",
    )
    answer.grids.append(
        Grid(
            "questions_race",
            "Ahead, then overtaken?",
            f"promptable {MINUS} other",
            columns,
            tuple(rows),
            notes,
        )
    )
    answer.tables["questions_race"] = pd.concat(curves, ignore_index=True)
    answer.tables["questions_crossing"] = pd.concat(crossings, ignore_index=True)
    with drawing():
        answer.pictures.append(race_figure(answer.tables["questions_race"], looks))
    return answer


def _first_cost(section: Section) -> int:
    first = section.steps[section.steps["step"] == 1]["cost"]
    return int(first.min()) if len(first) else 0


def _race_row(curve: pd.DataFrame, ours: str, rival: str, section: Section) -> Row:
    at = curve.set_index("cost")
    cells = {f"at{c}": strong(_value(at.loc[c])) for c in _COSTS if c <= section.budget}
    return Row(f"{ours} {MINUS} {rival}", cells, (), f"{curve['dataset'].iloc[0]} · {section.name}")


def _race_words(
    curve: pd.DataFrame, crossing: pd.DataFrame, ours: str, rival: str, section: Section, family: str
) -> str:
    at = curve.set_index("cost")
    one, last = (strong(_value(at.loc[c])) for c in (1, section.budget))
    said = (
        f"Against the best {family} agent, {rival}, the best promptable one, {ours}, is "
        f"{_standing(one)} after one click and {_standing(last)} after {section.budget}"
    )
    row = crossing.iloc[0] if len(crossing) else None
    if row is None:
        return f"{said}."
    if math.isfinite(float(row["value"])):
        ends = ""
        if not math.isnan(float(row["low"])):
            high = "never" if math.isinf(float(row["high"])) else f"{row['high']:g}"
            ends = f" [{row['low']:g}, {high}]"
        said += f"; {row['other']} overtakes at click {row['value']:g}{ends}"
    else:
        said += f"; {row['other']} never overtakes"
    return f"{said}. {_verdict(one, last)}"


def _verdict(one: Value, last: Value) -> str:
    """Hold it against what the papers found: ahead at few points, outpaced at many."""
    if one.strong and one.value > 0 and last.strong and last.value < 0:
        return "That is what COSMOS found for SAM: ahead at few points, outpaced at many."
    if one.strong and one.value > 0 and not last.strong:
        return "Ahead at few points, as COSMOS found for SAM; if it is outpaced at many is not decided here."
    if last.strong and last.value < 0 and not one.strong:
        return "Outpaced at many points, as COSMOS found for SAM; but a lead at one is not seen here."
    if one.strong and one.value < 0 and last.strong and last.value < 0:
        return "COSMOS found SAM ahead at few points: here it is behind from the first."
    if last.strong and last.value > 0:
        return "COSMOS found SAM outpaced at many points: here it is not."
    return "These cases do not decide it."


def _value(row: Any) -> Value:
    """Return the number of a row of a table, with its interval."""
    return Value(float(row["value"]), float(row["low"]), float(row["high"]))


def _standing(value: Value) -> str:
    if value.value == 0:
        return "level"
    sign = 1.0 if value.value > 0 else -1.0
    low, high = sorted((sign * value.low, sign * value.high))
    side = "ahead" if sign > 0 else "behind"
    chance = ", which may be chance," if value.has_interval and not value.strong else ""
    return f"{side} by {_with_ends(Value(abs(value.value), low, high), 3)}{chance}"


def _with_ends(value: Value, digits: int = 2) -> str:
    """Return a number and its interval, signs typeset."""
    ends = f" [{value.low:.{digits}f}, {value.high:.{digits}f}]" if value.has_interval else ""
    return f"{value.value:.{digits}f}{ends}".replace("-", MINUS)


def _noise(sections: Sequence[Section], looks: Mapping[str, Look]) -> _Answer | None:
    tables, rows, words = [], [], []
    for section in sections:
        if section.protocol["noise"] == "none" or len(section.levels) < 2:
            continue
        cost = _first_cost(section)
        fair = [a for a in may_rank(section) if section.entrants[a].info.get("family") not in ("floor",)]
        episodes, steps = (t[t["agent"].isin(fair)] for t in (section.episodes, section.steps))
        if episodes.empty or cost not in (1, 2):
            continue
        # The budget is cut to the first prompt: what later clicks repair is another study's.
        first = steps[steps["step"] == 1]
        table = robustness_table(episodes.assign(steps=episodes["steps"].clip(upper=1)), first, cost)
        mine = table[
            (table["subset"] == "all") & (table["outcome"] == f"dice@{cost}") & (table["statistic"] == "drop")
        ]
        prompt = "click" if cost == 1 else "box"
        tables.append(mine.assign(prompt=prompt, protocol=section.protocol["id"]))
        for agent in sorted(mine["agent"].unique()):
            rows.append((prompt, agent, section, mine[mine["agent"] == agent]))
    if not tables:
        return None
    everything = pd.concat(tables, ignore_index=True)
    for prompt in ("click", "box"):
        words += list(_noise_words(prompt, [r for r in rows if r[0] == prompt]))
    levels = sorted({float(level) for level in everything["level"].dropna() if level > 0})
    grid_rows = tuple(
        Row(
            agent,
            {
                f"{level:g}": strong(_turned(mine, level))
                for level in levels
                if (mine["level"] == level).any()
            },
            (),
            f"{prompt} ({section.name})",
        )
        for prompt, agent, section, mine in rows
    )
    columns = tuple(
        Column(f"{level:g}", f"{level:g}", "difference", "change in Dice at level …") for level in levels
    )
    notes = ("After the first prompt alone, against the same cases and draws without noise.",)
    grid = Grid("questions_noise", "What noise costs, after one prompt", "agent", columns, grid_rows, notes)
    with drawing():
        picture = noise_cost_figure(everything, looks)
    return _Answer(words, {"questions_noise": everything}, [grid], [picture])


def _turned(mine: pd.DataFrame, level: float) -> Value:
    row = mine[mine["level"] == level].iloc[0]
    return Value(-float(row["value"]), -float(row["high"]), -float(row["low"]))


def _noise_words(prompt: str, rows: Sequence[tuple[str, str, Section, pd.DataFrame]]) -> Iterator[str]:
    """Say for each family's most fragile agent what each level costs."""
    for family in ("promptable", "iterative", "classical"):
        mine = [r for r in rows if r[2].entrants[r[1]].info.get("family") == family]
        if not mine:
            continue
        worst = max(mine, key=lambda r: float(r[3].sort_values("level")["value"].iloc[-1]))
        _, agent, section, table = worst
        shown = table[table["level"] > 0].sort_values("level")
        parts = [_with_ends(_value(row)) for row in shown.to_dict("records")]
        levels = listed([f"{level:g}" for level in shown["level"]])
        unit = str(section.protocol["noise_options"].get("unit", "px"))
        most = "" if len(mine) == 1 else f" (the most fragile {family} agent)"
        yield f"With a {prompt}, noise of {levels} {unit} costs {agent}{most} {listed(parts)} Dice."


def _gap(sections: Sequence[Section]) -> _Answer | None:
    records: list[dict[str, object]] = []
    rows, words = [], []
    for section in sections:
        if section.protocol["noise"] != "none" or section.protocol["select"] == "oracle":
            continue
        episodes, steps = _quiet(section)
        many = [
            a for a in episodes["agent"].unique() if section.entrants[a].info.get("family") == "promptable"
        ]
        for agent in sorted(many):
            e, s = (t[t["agent"] == agent].reset_index(drop=True) for t in (episodes, steps))
            laid = timeline(s, e, section.budget)
            gap = laid.curve("oracle_dice") - laid.curve("dice")
            case = ["dataset", "case_id", "group"]
            means = pd.DataFrame(gap).groupby([laid.episodes[c] for c in case], dropna=False).mean()
            codes = group_codes(means.index.to_frame(index=False))
            found = mean_intervals(means.to_numpy(), codes, bounds=[(0.0, 1.0)] * gap.shape[1])
            first = _first_cost(section)
            records += [
                {"agent": agent, "protocol": section.protocol["id"], "cost": cost, **vars(interval)}
                for cost, interval in enumerate(found)
                if cost >= first
            ]
            costs = sorted({first, *(c for c in _GAP_COSTS if first <= c <= section.budget)})
            cells = {f"at{c}": Value(found[c].value, found[c].low, found[c].high) for c in costs}
            rows.append(Row(agent, cells, (), section.name))
            words.append(_gap_words(agent, section, first, cells))
    if not rows:
        return None
    costs = sorted({int(key[2:]) for row in rows for key in row.values})
    columns = tuple(
        Column(f"at{c}", str(c), "dice", "best candidate less the chosen one, after …") for c in costs
    )
    notes = (
        "At each step, among the candidates of that step; a run that had chosen so would have gone on "
        "differently.",
    )
    grid = Grid("questions_gap", "How large is the oracle gap?", "agent", columns, tuple(rows), notes)
    return _Answer(words, {"questions_gap": pd.DataFrame(records)}, [grid], [])


def _gap_words(agent: str, section: Section, first: int, cells: Mapping[str, Value]) -> str:
    value = cells[f"at{first}"]
    prompt = "one click" if first == 1 else f"the first prompt (cost {first})"
    if value.value == 0 or np.isnan(value.value):
        return f"Under {section.name} {agent} gives one mask after {prompt}: there is no oracle gap."
    return (
        f"Choosing among {agent}'s masks with the truth would add {_with_ends(value, 3)} Dice after "
        f"{prompt} ({section.name}): a number so chosen is a bound, not a result."
    )
