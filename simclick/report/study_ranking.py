"""Studies across conditions and clicks: does the order of agents hold, and who overtakes whom when?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from simclick.report.figures import Picture
from simclick.report.grid import MINUS, Column, Grid, Row, Value
from simclick.report.runs import Section, may_rank
from simclick.report.study import Study
from simclick.report.style import INK, MUTED, PAPER, Look, drawing
from simclick.report.tables import slug
from simclick.statistics.crossing import crossing_table, difference_curves
from simclick.statistics.effort import TimeModel, effort_table, step_seconds
from simclick.statistics.ranking import CONDITION, Sensitivity, ranking_sensitivity

__all__ = ["crossing_study", "ranking_study"]

CURVES = 6
"""At most this many panels of differences."""
CONDITIONS = 14
"""At most this many conditions in the bump chart."""


def ranking_study(sections: Sequence[Section], looks: Mapping[str, Look]) -> Study | None:
    """Return how the ranking changes over protocols and levels; None with one condition or one agent."""
    if not sections:
        return None
    all_episodes: list[pd.DataFrame] = []
    all_steps: list[pd.DataFrame] = []
    budgets: dict[str, int] = {}
    for section in sections:
        for table, kept in ((section.episodes, all_episodes), (section.steps, all_steps)):
            # Two protocols of one id (changed options) are two conditions.
            kept.append(table[table["agent"].isin(may_rank(section))].assign(protocol=section.stem))
        budgets[section.stem] = section.budget
    common = set.intersection(*(set(one["agent"]) for one in all_episodes))
    episodes = pd.concat(all_episodes, ignore_index=True)
    steps = pd.concat(all_steps, ignore_index=True)
    episodes = episodes[episodes["agent"].isin(common)].reset_index(drop=True)
    steps = steps[steps["agent"].isin(common)].reset_index(drop=True)
    if len(common) < 2 or episodes.empty:
        return None
    found = ranking_sensitivity(episodes, steps, budgets)
    if found is None or len(found.swaps) < 2:
        return None
    with drawing():
        pictures = [_bump(found, looks)]
    return Study(
        kind="ranking",
        title="Does the order hold under other annotators and noise?",
        words=tuple(_ranking_words(found)),
        tables={"ranking_ranks": found.ranks, "ranking_swaps": found.swaps, "ranking_pairs": found.pairs},
        grids=[_rank_grid(found), _tau_grid(found)],
        pictures=pictures,
    )


def _condition(row: Mapping[Any, Any] | pd.Series[Any], suffix: str = "") -> str:
    protocol, noise, level = (row[f"{name}{suffix}"] for name in CONDITION)
    return str(protocol) if noise == "none" else f"{protocol} at {float(level):g}"


def _ranking_words(found: Sensitivity) -> list[str]:
    pairs = found.pairs.sort_values("tau")
    low = pairs.iloc[0]
    same = float(low["tau"]) >= 1.0
    said = [
        f"The two most different rankings are those of {_condition(low, '_a')} and {_condition(low, '_b')}: "
        f"Kendall's τ = {low['tau']:.2f}"
        + (f" [{low['low']:.2f}, {low['high']:.2f}]." if not math.isnan(low["low"]) else ".")
    ]
    if same:
        said = [f"All {len(found.swaps)} conditions give the same ranking."]
    leaders = found.swaps.groupby("first").size().sort_values(ascending=False)
    if len(leaders) == 1:
        said.append(f"{leaders.index[0]} leads under all {len(found.swaps)} conditions.")
    else:
        said.append(
            "The leader changes: "
            + ", ".join(f"{name} under {n}" for name, n in leaders.items())
            + f" of {len(found.swaps)} conditions."
        )
    worst = found.swaps.sort_values("swap").iloc[-1]
    said.append(
        f"The top two are least certain under {_condition(worst)}: resampling puts {worst['second']} "
        f"before {worst['first']} in {100 * worst['swap']:.0f} % of resamples."
    )
    return said


def _rank_grid(found: Sensitivity) -> Grid:
    agents = sorted(found.ranks["agent"].unique())
    columns = [Column(agent, agent, "clicks", "rank of") for agent in agents]
    columns.append(Column("swap", "top two swap", "share"))
    rows = []
    for row in found.swaps.to_dict("records"):
        mine = found.ranks
        for name in CONDITION:
            mine = mine[mine[name] == row[name]]
        cells = {
            agent: Value(text=f"{rank:g}") for agent, rank in mine[["agent", "rank"]].itertuples(index=False)
        }
        rows.append(Row(_condition(row), {**cells, "swap": Value(float(row["swap"]))}))
    n, g = int(found.swaps["n_cases"].iloc[0]), int(found.swaps["n_groups"].iloc[0])
    notes = (
        f"By mean Dice over all clicks, on the {n} cases ({g} groups) that all agents have everywhere.",
        "Top two swap: share of resamples of whole groups in which the second is before the first.",
    )
    return Grid("ranking_ranks", "Ranks by condition", "condition", tuple(columns), tuple(rows), notes)


def _tau_grid(found: Sensitivity) -> Grid:
    rows = []
    for row in found.pairs.sort_values("tau").head(12).to_dict("records"):
        tau = Value(float(row["tau"]), float(row["low"]), float(row["high"]))
        cells = {"tau": tau, "swapped": Value(float(row["swapped"]))}
        rows.append(Row(f"{_condition(row, '_a')} — {_condition(row, '_b')}", cells))
    columns = (Column("tau", "Kendall's τ-b", "dice"), Column("swapped", "top two reversed", "share"))
    notes = (
        "The twelve most different pairs. τ takes few values with few agents, and its interval with it.",
    )
    return Grid("ranking_tau", "How alike two rankings are", "conditions", columns, tuple(rows), notes)


def _bump(found: Sensitivity, looks: Mapping[str, Look]) -> Picture:
    conditions = found.swaps.head(CONDITIONS).to_dict("records")
    agents = sorted(found.ranks["agent"].unique())
    figure = Figure((max(6.0, 2.4 + 0.62 * len(conditions)), 1.6 + 0.32 * len(agents) + 1.0))
    axes = figure.subplots()
    high = figure.get_figheight()
    wide = figure.get_figwidth()
    figure.subplots_adjust(left=1.1 / wide, right=1 - 1.35 / wide, bottom=1.75 / high, top=1 - 0.15 / high)
    for agent in agents:
        ranks = []
        for row in conditions:
            mine = found.ranks[found.ranks["agent"] == agent]
            for name in CONDITION:
                mine = mine[mine[name] == row[name]]
            ranks.append(float(mine["rank"].iloc[0]))
        look = looks[agent]
        axes.plot(range(len(ranks)), ranks, color=look.colour, linestyle=look.dash, marker=look.marker or "o",
                  markersize=7, linewidth=2, markeredgecolor=PAPER)  # fmt: skip
        axes.text(
            len(ranks) - 0.85, ranks[-1], agent, color=look.colour, va="center", fontsize=8, clip_on=False
        )
    axes.set_ylim(len(agents) + 0.5, 0.5)
    axes.set_yticks(range(1, len(agents) + 1))
    axes.set_ylabel("rank")
    names = [_condition(row) for row in conditions]
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=7.5)
    return Picture(
        "ranks",
        "Ranks over conditions",
        "Ranks by condition; the table beside holds them.",
        "1 is best. Lines that cross: the order of two agents hangs on how one asks.",
        figure,
    )


def crossing_study(
    section: Section, looks: Mapping[str, Look], time: TimeModel | None = None
) -> Study | None:
    """Return who overtakes whom after how many clicks at a section's lowest level; None with one agent."""
    if section.budget < 3 or section.rounds.single:
        return None
    fair = may_rank(section)
    level = section.levels[0]
    episodes, steps = (
        t[(t["level"] == level) & t["agent"].isin(fair)].reset_index(drop=True)
        for t in (section.episodes, section.steps)
    )
    if episodes["agent"].nunique() < 2:
        return None
    table = crossing_table(episodes, steps, section.budget)
    curves = difference_curves(episodes, steps, section.budget)
    time = time or TimeModel()
    effort = _effort(section, episodes, steps, time)
    name = slug(section.stem, "crossing")
    happened = table[np.isfinite(table["value"])].sort_values(["value", "leader", "other"])
    pictures = []
    if len(happened):
        with drawing():
            pictures.append(_curves(happened.head(CURVES), curves, looks, section.rounds.first))
    grids = [_crossing_grid(table, name, section), _effort_grid(effort, name, time)]
    return Study(
        kind=name,
        title=f"Who overtakes whom, and when ({section.name})",
        words=tuple(_crossing_words(happened, table, section)),
        tables={name: table, f"{name}_differences": curves, f"{name}_effort": effort},
        grids=grids,
        pictures=pictures,
    )


def _effort(section: Section, episodes: pd.DataFrame, steps: pd.DataFrame, time: TimeModel) -> pd.DataFrame:
    sizes, frames = {}, []
    for label, run in section.runs:
        for case_id, height, width in run.cases()[["case_id", "height", "width"]].itertuples(index=False):
            sizes[run.dataset, case_id] = (int(height), int(width))
        prompts = run.table("prompts")
        frames.append(prompts[prompts["level"] == section.levels[0]].assign(agent=label))
    prompts = pd.concat(frames)
    prompts = prompts[prompts["agent"].isin(set(episodes["agent"]))]
    return effort_table(step_seconds(steps, prompts, sizes, time), episodes)


def _effort_grid(effort: pd.DataFrame, name: str, time: TimeModel) -> Grid:
    answer = "the answer's measured time" if time.latency is None else f"{time.latency:g} s for the answer"
    thresholds = sorted(effort["at"].unique())
    columns, rows = [], []
    for tau in thresholds:
        columns.append(Column(f"seconds@{tau:.2f}", "seconds", "seconds", f"Dice ≥ {tau:.2f}"))
        columns.append(Column(f"reached@{tau:.2f}", "reached", "share", f"Dice ≥ {tau:.2f}"))
    for agent, mine in effort.groupby("agent", sort=True):
        cells = {}
        for at, value, low, high, reached in mine[["at", "value", "low", "high", "reached"]].itertuples(
            index=False
        ):
            cells[f"seconds@{at:.2f}"] = Value(float(value), float(low), float(high))
            cells[f"reached@{at:.2f}"] = Value(float(reached))
        rows.append(Row(str(agent), cells))
    notes = (
        f"Simulated, nobody was timed: {time.thinking:g} s of thinking, Fitts' law at "
        f"{time.bits_per_second:g} bits/s, {time.pressing:g} s to press, and {answer}. Median over cases; ∞ "
        "where less than half get there. Another model: simclick report --time-model.",
    )
    return Grid(f"{name}_effort", "Simulated seconds to a Dice", "agent", tuple(columns), tuple(rows), notes)


def _crossing_grid(table: pd.DataFrame, name: str, section: Section) -> Grid:
    rows = []
    for leader, other, value, low, high, never in table.sort_values(["leader", "other"])[
        ["leader", "other", "value", "low", "high", "never"]
    ].itertuples(index=False):
        crossing = Value(text="never") if math.isinf(value) and math.isinf(low) else Value(value, low, high)
        rows.append(Row(f"{other} overtakes {leader}", {"value": crossing, "never": Value(float(never))}))
    columns = (Column("value", "from click", "clicks"), Column("never", "never, of resamples", "share"))
    notes = (
        "The first named is behind where the two first differ, and ahead from the click shown to the "
        f"budget of {section.budget}. Brackets: percentiles of resampled groups; ∞: never.",
    )
    return Grid(name, "Overtaking", "pair", columns, tuple(rows), notes)


def _crossing_words(happened: pd.DataFrame, table: pd.DataFrame, section: Section) -> list[str]:
    changed = f"{len(happened)} change{'s' * (len(happened) == 1)}" if len(happened) else "none changes"
    said = [f"Of {len(table)} pair{'s' * (len(table) != 1)} {changed} places within {section.budget} clicks."]
    for row in happened.head(4).to_dict("records"):
        interval = chance = ""
        if not math.isnan(row["low"]):
            high = "never" if math.isinf(row["high"]) else f"{row['high']:g}"
            interval = f" [{row['low']:g}, {high}]"
            chance = ", which may be chance" if math.isinf(row["high"]) else ""
        said.append(
            f"{row['leader']} is ahead at first, "
            f"{row['other']} from click {row['value']:g}{interval} on{chance}."
        )
    return [*said, *_unsure(table)]


def _unsure(table: pd.DataFrame) -> list[str]:
    """Say where no interval tells how sure an overtaking, or its absence, is."""
    without = table[table["low"].isna()]
    if without.empty:
        return []
    whom = "" if len(without) == len(table) else f" for {len(without)} of the pairs"
    why = "; ".join(dict.fromkeys(str(note) for note in without["note"] if note))
    return [f"How sure that is cannot be said{whom}: there is no interval{f' ({why})' if why else ''}."]


def _curves(happened: pd.DataFrame, curves: pd.DataFrame, looks: Mapping[str, Look], first: int) -> Picture:
    n = len(happened)
    columns = min(3, n)
    rows = -(-n // columns)
    figure = Figure((2.75 * columns + 0.7, 2.3 * rows + 0.5))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    wide, high = figure.get_figwidth(), figure.get_figheight()
    figure.subplots_adjust(left=0.75 / wide, right=0.98, bottom=0.55 / high, top=1 - 0.3 / high)
    figure.subplots_adjust(hspace=0.35, wspace=0.3)
    said = []
    for axes, row in zip(panels, happened.to_dict("records"), strict=False):
        a, b = sorted((row["leader"], row["other"]))
        sign = 1.0 if row["leader"] == a else -1.0
        mine = curves[(curves["agent_a"] == a) & (curves["agent_b"] == b) & (curves["cost"] >= first)]
        x = mine["cost"].to_numpy(dtype=float)
        value, one, two = (sign * mine[c].to_numpy(dtype=float) for c in ("value", "low", "high"))
        axes.axhline(0, color=INK, linewidth=0.9)
        axes.fill_between(x, one, two, color=looks[row["other"]].colour, alpha=0.15, linewidth=0)
        axes.plot(x, value, color=looks[row["other"]].colour, linewidth=1.7)
        axes.axvline(row["value"], color=MUTED, linewidth=1, linestyle=(0, (2, 2)))
        axes.set_title(f"{row['leader']} {MINUS} {row['other']}", fontsize=8.5, fontweight="normal")
        said.append(f"{row['other']} overtakes {row['leader']} at click {row['value']:g}")
    for axes in panels[n:]:
        axes.set_axis_off()
    figure.supxlabel("clicks", fontsize=9)
    figure.supylabel("difference in Dice", fontsize=9)
    return Picture(
        "overtaking",
        "Differences click by click",
        "; ".join(said) + ".",
        "Above 0 the first named is ahead. Bands: 95 % interval. Dotted: from here on the other is ahead.",
        figure,
    )
