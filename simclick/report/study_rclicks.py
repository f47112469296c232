"""Study: what more and less likely clicks cost, by RClicks' measures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simclick.report.figures import Picture
from simclick.report.grid import Column, Grid, Row, Style, Value
from simclick.report.robustness_scene import shortened
from simclick.report.runs import Section
from simclick.report.study import Study
from simclick.report.style import PAPER, Look, drawing
from simclick.statistics.bootstrap import mean_intervals
from simclick.statistics.measures import episode_table
from simclick.statistics.rclicks import decile_of, rclicks_table
from simclick.statistics.summary import group_codes

__all__ = ["rclicks_study"]

BASE = "noc-v1"
SHOWN = "noc@0.85"
"""The measure that is drawn and told."""
_ALL = 10


def rclicks_study(sections: Sequence[Section], looks: Mapping[str, Look]) -> Study | None:
    """Return the study of agents that have runs under rclicks-g1 … rclicks-g10 and noc-v1, else None.

    Trajectories are taken where one seed has one protocol of each; of several such seeds, the smallest.
    """
    chosen = _complete(sections)
    if chosen is None:
        return None
    episodes, steps, budget = chosen
    table = rclicks_table(episodes, steps, budget, BASE)
    if table.empty:
        return None
    curve = _curve(episodes, steps, budget, sorted(table["agent"].unique()))
    with drawing():
        picture = _picture(curve, looks, budget)
    return Study(
        kind="rclicks",
        title="What unlikely clicks cost (RClicks)",
        words=tuple(_words(table)),
        tables={"rclicks": table, "rclicks_trajectories": curve},
        grids=[_grid(table)],
        pictures=[picture],
    )


def _complete(sections: Sequence[Section]) -> tuple[pd.DataFrame, pd.DataFrame, int] | None:
    """Return episodes, steps and budget of one seed's base and trajectories, fair agents only."""
    by_seed: dict[int, dict[int, list[Section]]] = defaultdict(lambda: defaultdict(list))
    for section in sections:
        name = str(section.protocol["id"])
        place = 0 if name == BASE else decile_of(name)
        if place is not None and not section.episodes.empty:
            by_seed[section.seed][place].append(section)
    for seed in sorted(by_seed):
        found = by_seed[seed]
        budgets = {section.budget for same in found.values() for section in same}
        levels = {len(section.levels) for same in found.values() for section in same}
        one_each = [len(found[place]) for place in range(_ALL + 1)] == [1] * (_ALL + 1)
        if one_each and len(budgets) == 1 and levels == {1}:
            parts = [_fair(found[place][0]) for place in range(_ALL + 1)]
            episodes, steps = (pd.concat([part[k] for part in parts], ignore_index=True) for k in (0, 1))
            return episodes, steps, budgets.pop()
    return None


def _fair(section: Section) -> tuple[pd.DataFrame, pd.DataFrame]:
    labels = [label for label, e in section.entrants.items() if not (e.bound or e.random_weights)]
    episodes, steps = (t[t["agent"].isin(labels)] for t in (section.episodes, section.steps))
    return episodes, steps


def _curve(episodes: pd.DataFrame, steps: pd.DataFrame, budget: int, agents: Sequence[str]) -> pd.DataFrame:
    """Return mean clicks per agent and trajectory (0: the base), on the cases that have all of them."""
    table = episode_table(episodes, steps, budget, (float(SHOWN.partition("@")[2]),), (1,))
    table["trajectory"] = [decile_of(str(name)) or 0 for name in table["protocol"]]
    rows = []
    for agent in agents:
        mine = table[table["agent"] == agent]
        wide = mine.pivot_table(index=["dataset", "case_id", "group"], columns="trajectory", values=SHOWN)
        wide = wide.reindex(columns=range(_ALL + 1)).dropna()
        values = wide.to_numpy(dtype=np.float64)
        codes = group_codes(wide.index.to_frame(index=False))
        found = mean_intervals(values, codes, bounds=[(0.0, float(budget))] * (_ALL + 1))
        for place, interval in enumerate(found):
            rows.append({"agent": agent, "trajectory": place, "measure": SHOWN, **vars(interval)})
    return pd.DataFrame(rows)


def _value(table: pd.DataFrame, agent: str, measure: str, statistic: str) -> Value:
    rows = table[
        (table["agent"] == agent)
        & (table["subset"] == "all")
        & (table["measure"] == measure)
        & (table["statistic"] == statistic)
    ]
    if rows.empty:
        return Value()
    value, low, high = (float(rows[name].iloc[0]) for name in ("value", "low", "high"))
    return Value(value, low, high)


def _grid(table: pd.DataFrame) -> Grid:
    signs: tuple[tuple[str, str], ...] = (("delta_sb", "ΔSB"), ("delta_gr", "ΔGR"), ("nsr", "NSR"))
    columns, keys = [], []
    measures = (("noc@0.85", "clicks to 0.85"), ("noc@0.90", "clicks to 0.90"), ("area", "mean Dice"))
    for measure, over in measures:
        for statistic, head in signs if measure != "area" else signs[:2]:
            key = f"{statistic}_{measure}"
            style: Style = "difference" if measure == "area" else "share"
            columns.append(Column(key, head, style, over))
            keys.append((key, measure, statistic))
    rows = [
        Row(agent, {key: _value(table, agent, measure, statistic) for key, measure, statistic in keys})
        for agent in sorted(table["agent"].unique())
    ]
    cases, groups = (int(table[column].max()) for column in ("n_cases", "n_groups"))
    notes = (
        "ΔSB: the mean of ten trajectories against the base rule. ΔGR: the least likely clicks (G1) "
        "against the most likely ones (G10). NSR: standard deviation over the ten, by their mean. Of clicks "
        "relative, of mean Dice plain; per case, then the mean.",
        f"{cases} cases in {groups} groups. Brackets: 95 % interval over groups, where there are eight.",
        "Clicks come from a parametric map, not from RClicks' learned one: not comparable with its numbers.",
    )
    return Grid("rclicks_measures", "RClicks' measures", "agent", tuple(columns), tuple(rows), notes)


def _words(table: pd.DataFrame) -> list[str]:
    agents = sorted(table["agent"].unique(), key=lambda a: -_value(table, a, SHOWN, "delta_gr").value)
    said = []
    for agent in dict.fromkeys((agents[0], agents[-1])):
        value = _value(table, agent, SHOWN, "delta_gr")
        ends = f" [{100 * value.low:.0f}, {100 * value.high:.0f}]" if value.has_interval else ""
        more = "more" if value.value >= 0 else "fewer"
        size = abs(100 * value.value)
        ends = ends if value.value >= 0 or not ends else f" [{-100 * value.high:.0f}, {-100 * value.low:.0f}]"
        sure = (
            "how sure that is cannot be said"
            if not ends
            else "that is clear"
            if value.low > 0 or value.high < 0
            else "that may be chance"
        )
        said.append(
            f"With the least likely clicks {agent} takes {size:.0f} %{ends} {more} to Dice 0.85 than with "
            f"the most likely ones; {sure}."
        )
    return said


def _picture(curve: pd.DataFrame, looks: Mapping[str, Look], budget: int) -> Picture:
    figure = Figure((7.2, 3.9))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.09, right=0.79, bottom=0.13, top=0.96)
    ends = []
    for agent, rows in curve.groupby("agent", sort=True):
        look = looks[str(agent)]
        base, mine = rows[rows["trajectory"] == 0], rows[rows["trajectory"] > 0]
        x, y, low, high = (mine[c].to_numpy(dtype=np.float64) for c in ("trajectory", "value", "low", "high"))
        axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)
        axes.plot(
            x, y, color=look.colour, linestyle=look.dash, marker=look.marker or None, linewidth=1.6,
            markersize=5, markeredgecolor=PAPER, label=shortened(str(agent)),
        )  # fmt: skip
        axes.plot(
            [0], base["value"], color=look.colour, marker=look.marker or "o", markersize=6, linestyle="",
            markerfacecolor=PAPER,
        )  # fmt: skip
        ends.append(f"{agent} from {y[0]:.1f} to {y[-1]:.1f}, by the base rule {base['value'].iloc[0]:.1f}")
    axes.set_xticks(range(_ALL + 1), ["base", *(f"G{g}" for g in range(1, _ALL + 1))])
    axes.set(ylim=(0, budget), ylabel=f"clicks to Dice {SHOWN.partition('@')[2]}")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("trajectory: least likely clicks (G1) to most likely ones (G10)")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8, handlelength=3.2)
    return Picture(
        "trajectories",
        "Clicks by how likely people are to click there",
        f"Mean clicks to Dice 0.85 from G1 to G10: {'; '.join(ends)}.",
        f"Bands: 95 % interval over groups. Hollow: the base rule, {BASE}. A target never reached counts as "
        f"{budget} clicks.",
        figure,
    )
