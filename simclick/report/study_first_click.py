"""Study: how much hangs on where the first prompt falls (after RClicks' User@1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from simclick.report.figures import Picture
from simclick.report.grid import Column, Grid, Row, Value
from simclick.report.robustness_scene import dose_of, shortened, unit_of
from simclick.report.runs import Section
from simclick.report.study import Study
from simclick.report.style import PAPER, Look, drawing
from simclick.report.tables import slug
from simclick.statistics.rclicks import first_click_cases, first_click_table

__all__ = ["first_click_study"]

PANELS = 6
"""At most this many agents are drawn: those whose first prompt decides most."""
_STATISTICS = ("mean", "sd", "lowest", "highest")


def first_click_study(section: Section, looks: Mapping[str, Look]) -> Study | None:
    """Return how Dice after the first prompt varies over the repeats of a case.

    None without repeats. Without bounds and agents with random weights. The first prompt's cost is the
    largest that a first round has: 1 for a click, 2 for a box.
    """
    fair = [label for label, e in section.entrants.items() if not (e.bound or e.random_weights)]
    episodes, steps = (
        t[t["agent"].isin(fair)].reset_index(drop=True) for t in (section.episodes, section.steps)
    )
    first = steps.loc[steps["step"] == 1, "cost"]
    if int(section.protocol["repeats"]) < 2 or first.empty:
        return None
    at = int(first.max())
    cases = first_click_cases(episodes, steps, at=at)
    levels = sorted(float(x) for x in cases.loc[cases["sd"].notna(), "level"].unique())
    if not levels:
        return None
    table = first_click_table(episodes, steps, at=at)
    agents = _order(table, levels[-1])
    name = slug(section.stem, "first-prompt")
    mine = cases[cases["level"] == levels[-1]]
    with drawing():
        pictures = [_picture(section, mine, agents, looks, levels[-1])]
    return Study(
        kind=name,
        title=f"How much the first prompt decides ({section.name})",
        words=tuple(_words(section, table, agents, levels[-1])),
        tables={name: table, f"{name}_cases": cases},
        grids=[_grid(section, table, agents, levels, name)],
        pictures=pictures,
    )


def _value(table: pd.DataFrame, agent: str, level: float, statistic: str) -> Value:
    chosen = (table["agent"] == agent) & (table["level"] == level) & (table["statistic"] == statistic)
    rows = table[chosen & (table["subset"] == "all")]
    if rows.empty:
        return Value()
    value, low, high = (float(rows[name].iloc[0]) for name in ("value", "low", "high"))
    return Value(value, low, high)


def _order(table: pd.DataFrame, level: float) -> list[str]:
    """Return the agents, the one that varies most first."""
    spread = {a: _value(table, a, level, "sd").value for a in table["agent"].unique()}
    known = {a: v for a, v in spread.items() if not math.isnan(v)}
    return sorted(known, key=lambda a: (-known[a], a))


def _dose(section: Section, level: float) -> str:
    noise = str(section.protocol["noise"])
    return "" if noise == "none" else f" at {noise} {dose_of(unit_of(section), level)}"


def _grid(
    section: Section, table: pd.DataFrame, agents: Sequence[str], levels: Sequence[float], name: str
) -> Grid:
    top = levels[-1]
    over = f"Dice after the first prompt{_dose(section, top)}"
    heads = {"mean": "mean", "lowest": "worst repeat", "highest": "best repeat"}
    columns = [Column(key, head, "dice", over) for key, head in heads.items()]
    spread = "spread over repeats (SD)" + (" at level" if len(levels) > 1 else "")
    columns += [Column(f"sd@{x:g}", f"{x:g}" if len(levels) > 1 else "SD", "dice", spread) for x in levels]
    rows = []
    for agent in agents:
        cells = {key: _value(table, agent, top, key) for key in heads}
        cells |= {f"sd@{x:g}": _value(table, agent, x, "sd") for x in levels}
        rows.append(Row(agent, cells))
    shown = table[(table["subset"] == "all") & (table["level"] == top)]
    cases, groups = (int(shown[column].max()) for column in ("n_cases", "n_groups"))
    why = sorted({str(note) for note in shown["note"] if note})
    notes = [
        f"{cases} cases in {groups} groups, {section.protocol['repeats']} repeats, protocol {section.name}, "
        f"seed {section.seed}. Of each case over its repeats, then the mean over cases.",
        "Best and worst of more repeats lie further apart: compare them at one number of repeats only.",
        "Brackets: 95 % interval, studentised bootstrap over groups.",
        *(f"{note[:1].upper()}{note[1:]}." for note in why),
    ]
    title = "The first prompt: what another draw changes"
    return Grid(name, title, "agent", tuple(columns), tuple(rows), tuple(notes))


def _words(section: Section, table: pd.DataFrame, agents: Sequence[str], level: float) -> list[str]:
    said = []
    for agent in dict.fromkeys((agents[0], agents[-1])):
        low, high, sd = (_value(table, agent, level, name) for name in ("lowest", "highest", "sd"))
        ends = f" [{sd.low:.2f}, {sd.high:.2f}]" if sd.has_interval else ""
        most = "" if len(agents) == 1 else " (most)" if agent == agents[0] else " (least)"
        said.append(
            f"Another draw of the first prompt{_dose(section, level)} moves {agent}'s Dice{most} by "
            f"{sd.value:.2f}{ends} (SD over repeats); the worst and the best of "
            f"{section.protocol['repeats']} repeats are {low.value:.2f} and {high.value:.2f} on average."
        )
    return said


def _picture(
    section: Section, cases: pd.DataFrame, agents: Sequence[str], looks: Mapping[str, Look], level: float
) -> Picture:
    """Return every case's range over repeats, cases sorted by their mean."""
    drawn = agents[:PANELS]
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure((2.5 * columns + 1.0, 2.2 * rows + 0.6))
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    wide, high = figure.get_size_inches()
    figure.subplots_adjust(left=0.62 / wide, right=0.98, bottom=0.5 / high, top=1 - 0.28 / high)
    figure.subplots_adjust(hspace=0.3, wspace=0.12)
    said = []
    for axes, agent in zip(panels, drawn, strict=False):
        mine = cases[cases["agent"] == agent].sort_values("mean", ignore_index=True)
        mean, low, top = (mine[c].to_numpy(dtype=np.float64) for c in ("mean", "lowest", "highest"))
        x = (np.arange(len(mean)) + 0.5) / len(mean)
        look = looks[agent]
        axes.vlines(x, low, top, color=look.colour, alpha=0.45, linewidth=max(0.4, min(3.0, 110 / len(x))))
        axes.plot(
            x, mean, color=look.colour, marker=look.marker or "o", linestyle="", markersize=3.2,
            markeredgecolor=PAPER, markeredgewidth=0.3,
        )  # fmt: skip
        axes.set_title(shortened(agent, 24), fontsize=8.5, fontweight="normal")
        axes.set(ylim=(-0.02, 1.02), xlim=(0, 1))
        axes.set_xticks([])
        wider = float(np.mean(top - low > 0.5))
        said.append(f"{agent}: more than 0.5 apart in {100 * wider:.0f} % of cases")
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    figure.supxlabel("cases, from hardest to easiest", fontsize=9)
    figure.supylabel("Dice after the first prompt", fontsize=9)
    return Picture(
        "first-prompt",
        f"The first prompt case by case{_dose(section, level)}",
        f"Worst and best of {section.protocol['repeats']} repeats. {'; '.join(said)}.",
        "A line per case: from its worst to its best repeat; the point is the mean. Long: luck decides.",
        figure,
    )
