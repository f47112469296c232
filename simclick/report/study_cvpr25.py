"""Study: the CVPR 2025 challenge's own measures, beside ours."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from simclick.report.grid import Column, Grid, Row, Value, best_of
from simclick.report.runs import Section
from simclick.report.study import Study
from simclick.report.style import Look
from simclick.report.tables import slug
from simclick.statistics.bootstrap import mean_intervals
from simclick.statistics.cvpr25 import CLICKS, STATISTICS, cvpr25_table
from simclick.statistics.measures import case_table, episode_table
from simclick.statistics.summary import group_codes

__all__ = ["cvpr25_study"]

ANNOTATOR = "cvpr25"
_HEADS = {
    "dsc_auc": ("AUC, of 4", "Dice"),
    "dsc_auc/4": ("AUC / 4", "Dice"),
    "dsc_final": ("final", "Dice"),
    "nsd_auc": ("AUC, of 4", "NSD"),
    "nsd_auc/4": ("AUC / 4", "NSD"),
    "nsd_final": ("final", "NSD"),
}


def cvpr25_study(section: Section, looks: Mapping[str, Look]) -> Study | None:
    """Return the challenge's measures of a section under its annotator, at the lowest noise level.

    None for other annotators, and where the budget does not hold a box and five clicks.
    """
    costs = section.protocol["costs"]
    click, start = int(costs["click"]), min(int(costs["click"]), int(costs["box"]))
    if section.protocol["annotator"] != ANNOTATOR or section.budget < CLICKS * click + start:
        return None
    level = section.levels[0]
    episodes, steps = (
        t[t["level"] == level].reset_index(drop=True) for t in (section.episodes, section.steps)
    )
    if episodes.empty:
        return None
    table = cvpr25_table(episodes, steps, section.budget, click=click)
    shown = table[table["subset"] == "all"]
    name = slug(section.stem, "challenge")
    return Study(
        kind=name,
        title=f"The CVPR 2025 challenge's measures ({section.name})",
        words=tuple(_words(section, shown)),
        tables={name: table},
        grids=[_grid(section, shown, _areas(episodes, steps, section.budget), name)],
        pictures=[],
    )


def _fair(section: Section, agent: str) -> bool:
    entrant = section.entrants[agent]
    return not (entrant.bound or entrant.random_weights)


def _areas(episodes: pd.DataFrame, steps: pd.DataFrame, budget: int) -> dict[str, Value]:
    """Return the mean of D(1) … D(budget) per agent."""
    cases = case_table(episode_table(episodes, steps, budget, (), ()))
    found = {}
    for agent, mine in cases.groupby("agent", sort=True):
        one = mean_intervals(mine[["area"]].to_numpy(), group_codes(mine), bounds=[(0.0, 1.0)])[0]
        found[str(agent)] = Value(one.value, one.low, one.high)
    return found


def _value(shown: pd.DataFrame, agent: str, statistic: str) -> Value:
    row = shown[(shown["agent"] == agent) & (shown["statistic"] == statistic)].iloc[0]
    return Value(float(row["value"]), float(row["low"]), float(row["high"]))


def _order(section: Section, shown: pd.DataFrame) -> list[str]:
    agents = sorted(shown["agent"].unique())
    return sorted(agents, key=lambda a: (not _fair(section, a), -_value(shown, a, "dsc_auc").value, a))


def _grid(section: Section, shown: pd.DataFrame, areas: Mapping[str, Value], name: str) -> Grid:
    columns = [Column(key, head, "dice", over) for key, (head, over) in _HEADS.items()]
    columns.append(Column("area", f"mean of costs 1…{section.budget}", "dice", "our area"))
    agents = _order(section, shown)
    cells = {a: {s: _value(shown, a, s) for s in STATISTICS} | {"area": areas[a]} for a in agents}
    ranked = [agent for agent in agents if _fair(section, agent)]
    for column in columns:
        for i in best_of([cells[a][column.key].value for a in ranked], True):
            best = cells[ranked[i]][column.key]
            cells[ranked[i]][column.key] = Value(best.value, best.low, best.high, strong=len(ranked) > 1)
    rows = []
    for agent in agents:
        entrant = section.entrants[agent]
        marks = ["uses the truth"] * entrant.bound + ["random weights"] * entrant.random_weights
        rows.append(Row(agent, cells[agent], tuple(marks), "" if agent in ranked else "Not compared"))
    cases, groups = (int(shown[column].max()) for column in ("n_cases", "n_groups"))
    why = sorted({str(note) for note in shown["note"] if note})
    notes = [
        f"{cases} cases in {groups} groups, protocol {section.name}, seed {section.seed}.",
        f"AUC: area under the curve over clicks 1 to {CLICKS} by trapezoids, without the box; the largest is "
        "4. Final: after the last click. NSD counts as 0 where Dice ≤ 0.2. Our area counts the box too.",
        "The formulas are the challenge's; its volumes, classes and NSD are not: its numbers do not compare.",
        "Brackets: 95 % interval, studentised bootstrap over groups.",
        *(f"{note[:1].upper()}{note[1:]}." for note in why),
    ]
    title = "CVPR 2025's measures beside the normalised ones"
    return Grid(name, title, "agent", tuple(columns), tuple(rows), tuple(notes))


def _words(section: Section, shown: pd.DataFrame) -> list[str]:
    ranked = [agent for agent in _order(section, shown) if _fair(section, agent)]
    if not ranked:
        return ["No agent that may be compared ran under this protocol."]
    best = _value(shown, ranked[0], "dsc_auc")
    ends = f" [{best.low:.2f}, {best.high:.2f}]" if best.has_interval else ""
    first = "has the largest" if len(ranked) > 1 else "has a"
    return [
        f"{ranked[0]} {first} Dice AUC: {best.value:.2f}{ends} of 4, which is {best.value / 4:.2f} a click.",
    ]
