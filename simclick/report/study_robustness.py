"""Study: what noise on prompts costs, whom, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from simclick.report.grid import Column, Grid, Row, Value
from simclick.report.robustness_figures import robustness_pictures
from simclick.report.robustness_scene import Scene, strong, unit_of
from simclick.report.robustness_words import robustness_words
from simclick.report.runs import Section
from simclick.report.study import Study
from simclick.report.style import Look
from simclick.report.tables import slug
from simclick.statistics.fragility import fragility_pairs
from simclick.statistics.robustness import LARGE, LEAST_BASE, PASSED, robustness_table
from simclick.statistics.variance import variance_table

__all__ = ["robustness_study"]


def robustness_study(section: Section, looks: Mapping[str, Look]) -> Study | None:
    """Return the study of a section whose protocol has noise at several levels, else None.

    Bounds and agents with random weights stand in the tables, marked; they are neither drawn nor compared.
    """
    if len(section.levels) < 2 or section.protocol["noise"] == "none" or section.episodes.empty:
        return None
    table = robustness_table(section.episodes, section.steps, section.budget)
    agents = _order(section, table)
    if not agents:
        return None
    episodes, steps = (t[t["agent"].isin(agents)] for t in (section.episodes, section.steps))
    pairs = fragility_pairs(episodes, steps, section.budget)
    scene = Scene(section, table, pairs, tuple(agents), unit_of(section), looks)
    variance = variance_table(episodes, steps, section.budget, "final_dice")
    name = slug(section.stem, "robustness")
    grids = [_level_grid(scene, name), _worst_grid(scene, name)]
    if not scene.rows(scene.last, "drop").empty:
        grids.insert(1, _fragility_grid(scene, name))
    if len(pairs):
        grids.insert(2, _pair_grid(scene, name))
    if len(variance):
        grids.append(_variance_grid(scene, variance, name))
    return Study(
        kind=name,
        title=f"What {section.protocol['noise']} noise costs ({section.name})",
        words=tuple(robustness_words(scene)),
        tables={name: table, f"{name}_pairs": pairs, f"{name}_variance": variance},
        grids=grids,
        pictures=robustness_pictures(scene),
    )


def _order(section: Section, table: pd.DataFrame) -> list[str]:
    """Return the agents to compare, the most robust first: by the average drop over doses, else by Dice."""
    fair = [label for label, e in section.entrants.items() if not (e.bound or e.random_weights)]
    mine = table[(table["subset"] == "all") & (table["outcome"] == f"dice@{section.budget}")]
    mine = mine[mine["agent"].isin(fair)]
    drops = mine[mine["statistic"] == "dose_area"].set_index("agent")["value"].dropna()
    under = mine[mine["statistic"] == "mean"].sort_values("level").groupby("agent")["value"].last()
    return sorted(under.index, key=lambda a: (a not in drops.index, drops.get(a, 0.0), -under[a], a))


def _rows(scene: Scene) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield ``(agent, marks, part)`` of a table: those that are compared first."""
    section = scene.section
    others = sorted(set(scene.table["agent"]) - set(scene.agents))
    for agent in (*scene.agents, *others):
        entrant = section.entrants[agent]
        marks = []
        if entrant.bound:
            marks.append("uses the truth")
        if entrant.random_weights:
            marks.append("random weights")
        done = sum(section.covered[agent, name] for name in section.datasets)
        planned = sum(len(section.planned[name]) for name in section.datasets)
        if done < planned:
            marks.append(f"{done} of {planned} cases")
        yield agent, tuple(marks), "" if agent in scene.agents else "Not compared"


def _grid(scene: Scene, name: str, title: str, columns: Sequence[Column],
          cells: Mapping[str, Mapping[str, Value]], *notes: str) -> Grid:  # fmt: skip
    """Return a table of agents with what it rests on."""
    section = scene.section
    rows = tuple(Row(agent, cells[agent], marks, part) for agent, marks, part in _rows(scene))
    shown = scene.rows(scene.last, "mean")
    cases, groups = (int(shown[column].max()) for column in ("n_cases", "n_groups"))
    lacking = shown[shown["note"].astype(str).str.contains("needs")]
    why = [
        f"{note}" + ("" if len(some) == len(shown) else f" ({', '.join(sorted(some['agent'].unique()))})")
        for note, some in lacking.groupby("note", sort=True)
    ]
    repeats = section.protocol["repeats"]
    basis = f"{cases} cases in {groups} groups, {repeats} repeats a level, seed {section.seed}."
    brackets = "Brackets: 95 % interval, studentised bootstrap over groups."
    sure = (f"No intervals: {'; '.join(why)}.",) if why else ()
    said = (brackets,) if len(lacking) < len(shown) else ()
    return Grid(name, title, "agent", tuple(columns), rows, (*notes, basis, *said, *sure))


def _level_grid(scene: Scene, name: str) -> Grid:
    levels = scene.section.levels
    over = f"mean Dice at {scene.axis}"
    columns = [Column(f"mean@{level:g}", f"{level:g}", "dice", over) for level in levels]
    cells = {
        agent: {f"mean@{level:g}": scene.value(agent, scene.last, "mean", level) for level in levels}
        for agent, _, _ in _rows(scene)
    }
    title = f"Dice under noise, after {scene.spent(scene.last)}"
    return _grid(scene, f"{name}_levels", title, columns, cells)


def _fragility_grid(scene: Scene, name: str) -> Grid:
    top = scene.section.levels[-1]
    over, whole, several = f"at {scene.dose(top)}", "over all levels", scene.first != scene.last
    columns = (
        Column("change", "change in Dice", "difference", over),
        Column("retention", "kept", "share", over),
        Column("not_retained", "no base", "share", over),
        Column("large_loss", f"lose > {LARGE:g}", "share", over),
        # With one prompt there are no clicks to save.
        *([Column("noc_change", "change in clicks to 0.85", "click_difference", over)] if several else []),
        Column("dose_area", "average change", "difference", whole),
        Column("passes", f"loses {PASSED:g} at", "distance", whole),
    )
    cells = {}
    for agent, _, _ in _rows(scene):
        passes = scene.value(agent, scene.last, f"passes@{PASSED:g}")
        if math.isinf(passes.value):
            passes = Value(text=f"not up to {top:g}")
        cells[agent] = {
            "change": _turned(scene.value(agent, scene.last, "drop", top)),
            **{
                key: scene.value(agent, scene.last, key, top)
                for key in ("retention", "not_retained", "large_loss")
            },
            "noc_change": strong(scene.value(agent, "episode", "noc_change@0.85", top)),
            "dose_area": _turned(scene.value(agent, scene.last, "dose_area")),
            "passes": passes,
        }
    title = f"How fragile: Dice after {scene.spent(scene.last)} against the same cases at level 0"
    notes = (
        f"Kept: Dice over the case's own at level 0. No base: cases with less than {LEAST_BASE:g} there, "
        "which have no such ratio. Average change: area under the change over the levels, divided by the "
        "largest level. "
        "Bold: the interval excludes 0.",
    )
    return _grid(scene, f"{name}_fragility", title, columns, cells, *notes)


def _turned(value: Value) -> Value:
    """Return a drop as a change."""
    return strong(Value(-value.value, -value.high, -value.low))


def _worst_grid(scene: Scene, name: str) -> Grid:
    top = scene.section.levels[-1]
    columns = (
        Column("sd", "spread over repeats (SD)", "dice"),
        Column("worst_repeat", "worst repeat", "dice"),
        Column("worst_tenth", "worst tenth of episodes", "dice"),
        Column("failed", "failed", "share"),
    )
    cells = {
        agent: {
            **{k: scene.value(agent, scene.last, k, top) for k in ("sd", "worst_repeat", "worst_tenth")},
            "failed": scene.value(agent, "episode", "failed", top),
        }
        for agent, _, _ in _rows(scene)
    }
    title = f"How bad it can get: Dice after {scene.spent(scene.last)} at {scene.dose(top)}"
    return _grid(scene, f"{name}_worst", title, columns, cells)


def _pair_grid(scene: Scene, name: str) -> Grid:
    """Return every agent against the most robust one."""
    top, best = scene.section.levels[-1], scene.agents[0]
    over, whole = f"at {scene.dose(top)}", "over all levels"
    columns = (
        Column("mean", "Dice", "difference", over),
        Column("drop", "loss", "difference", over),
        Column("p_drop", "p of loss", "p", over),
        Column("dose_area", "average loss", "difference", whole),
        Column("p_dose_area", "p", "p", whole),
    )
    rows, notes = [], set()
    for agent in scene.agents[1:]:
        cells = {}
        for statistic, level in (("mean", top), ("drop", top), ("dose_area", None)):
            cells[statistic], p, note = scene.pair(statistic, agent, best, level)
            if statistic != "mean":
                cells[f"p_{statistic}"] = Value(p)
            notes |= {note} - {""}
        rows.append(Row(agent, cells))
    said = (
        f"Each agent less {best}, the most robust one, paired by case and draw. p: signs of whole groups "
        "flipped, Holm's correction over all pairs of agents. Bold: the interval excludes 0. All pairs are "
        "in the CSV file.",
        *(f"{note[:1].upper()}{note[1:]}." for note in sorted(notes)),
    )
    title = f"Who loses more than {best}"
    return Grid(f"{name}_pairs", title, "agent", columns, tuple(rows), said)


def _variance_grid(scene: Scene, variance: pd.DataFrame, name: str) -> Grid:
    """Return where the variance at the largest level comes from."""
    top, rows = scene.section.levels[-1], []
    shown = variance[(variance["level"] == top) & (variance["statistic"] != "sd")]
    names = ("statistic", "agent", "value", "low", "high")
    for statistic, agent, value, low, high in zip(*(shown[n] for n in names), strict=True):
        label = f"prompt reliability of {agent}" if agent else str(statistic)
        rows.append(Row(label, {"value": Value(float(value), float(low), float(high))}))
    notes = (
        f"Of Dice after {scene.spent(scene.last)} at {scene.dose(top)}. Shares: components of variance "
        "over agents, cases and the draws that all agents share. Reliability: intraclass correlation, 1 "
        "where another draw of the same noise changes nothing.",
        "Brackets: 95 % interval over groups (percentiles and jackknife); with few groups a rough guide.",
        *(f"{note[:1].upper()}{note[1:]}." for note in sorted(set(shown["note"]) - {""})),
    )
    columns = (Column("value", "share", "share"),)
    return Grid(f"{name}_variance", "Where the variance comes from", "source", columns, tuple(rows), notes)
