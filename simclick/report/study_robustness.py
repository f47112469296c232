"""Study: what noise on prompts costs, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simclick.report.figures import Picture
from simclick.report.grid import Column, Grid, Row, Value
from simclick.report.runs import Section
from simclick.report.study import Study
from simclick.report.style import INK, MUTED, PAPER, Look, drawing
from simclick.report.tables import slug
from simclick.statistics.measures import episode_table
from simclick.statistics.robustness import PASSED, robustness_table
from simclick.statistics.variance import variance_table

__all__ = ["robustness_study"]

PANELS = 9
"""At most this many agents in figures of one panel each."""


def robustness_study(section: Section, looks: Mapping[str, Look]) -> Study | None:
    """Return the study of a section whose protocol has noise at several levels, else None."""
    if len(section.levels) < 2 or section.protocol["noise"] == "none":
        return None
    table = robustness_table(section.episodes, section.steps, section.budget)
    last = f"dice@{section.budget}"
    name = slug(section.stem, "robustness")
    unit = str(section.protocol["noise_options"].get("unit", "")) or "level"
    agents = _order(table, last)
    variance = variance_table(section.episodes, section.steps, section.budget, "final_dice")
    with drawing():
        pictures = [
            _doses(table, agents, last, unit, looks),
            _heat(section, agents, unit),
            _spread(section, agents, last, unit, looks),
        ]
        if (landed := _landed(section, table, agents, last, unit)) is not None:
            pictures.append(landed)
    grids = [
        _level_grid(table, agents, last, section, name),
        _summary_grid(table, agents, last, section, name),
        _detail_grid(table, agents, last, section, name),
    ]
    if len(variance):
        grids.append(_variance_grid(variance, section, name))
    return Study(
        kind=name,
        title=f"What {section.protocol['noise']} noise costs ({section.name})",
        words=tuple(_words(table, agents, last, section, unit)),
        tables={name: table, f"{name}_variance": variance},
        grids=grids,
        pictures=pictures,
    )


def _order(table: pd.DataFrame, outcome: str) -> list[str]:
    """Return the agents, the most robust first: by the average drop over doses."""
    mine = _rows(table, outcome, "dose_area").sort_values(["value", "agent"])
    rest = sorted(set(table["agent"]) - set(mine["agent"]))
    return [*mine["agent"], *rest]


def _rows(table: pd.DataFrame, outcome: str, statistic: str) -> pd.DataFrame:
    found: pd.DataFrame = table[
        (table["subset"] == "all") & (table["outcome"] == outcome) & (table["statistic"] == statistic)
    ]
    return found


def _value(
    table: pd.DataFrame, agent: str, outcome: str, statistic: str, level: float | None = None
) -> Value:
    rows = _rows(table, outcome, statistic)
    rows = rows[rows["agent"] == agent]
    rows = rows[rows["level"].isna()] if level is None else rows[rows["level"] == level]
    if rows.empty:
        return Value()
    value, low, high = rows[["value", "low", "high"]].iloc[0]
    return Value(float(value), float(low), float(high))


def _level_grid(
    table: pd.DataFrame, agents: Sequence[str], outcome: str, section: Section, name: str
) -> Grid:
    columns, rows = [], []
    for level in section.levels:
        columns.append(Column(f"mean@{level:g}", f"{level:g}", "dice", "mean Dice at level …"))
    for agent in agents:
        cells = {f"mean@{level:g}": _value(table, agent, outcome, "mean", level) for level in section.levels}
        rows.append(Row(agent, cells))
    return _grid(
        name, "levels", f"Dice under noise, after {section.budget} clicks", columns, rows, table, section
    )


def _summary_grid(
    table: pd.DataFrame, agents: Sequence[str], outcome: str, section: Section, name: str
) -> Grid:
    top = section.levels[-1]
    columns = (
        Column("drop", "drop", "difference", f"at level {top:g}"),
        Column("retention", "kept", "share", f"at level {top:g}"),
        Column("large_loss", "lose > 0.1", "share", f"at level {top:g}"),
        Column("noc_change", "clicks to 0.85", "click_difference", f"at level {top:g}"),
        Column("dose_area", "average drop", "difference", "over all levels"),
        Column("passes", f"drop passes {PASSED:g} at", "distance", "over all levels"),
    )
    rows = []
    for agent in agents:
        passes = _value(table, agent, outcome, f"passes@{PASSED:g}")
        if math.isinf(passes.value):
            passes = Value(text=f"not up to {top:g}")
        rows.append(
            Row(
                agent,
                {
                    "drop": _negative(_value(table, agent, outcome, "drop", top)),
                    "retention": _value(table, agent, outcome, "retention", top),
                    "large_loss": _value(table, agent, outcome, "large_loss", top),
                    "noc_change": _value(table, agent, "episode", "noc_change@0.85", top),
                    "dose_area": _negative(_value(table, agent, outcome, "dose_area")),
                    "passes": passes,
                },
            )
        )
    title = f"How fragile: Dice after {section.budget} clicks against the same cases without noise"
    note = "Kept: Dice over its own without noise, cases with at least 0.1 there; drops are shown as changes."
    return _grid(name, "fragility", title, columns, rows, table, section, note)


def _negative(value: Value) -> Value:
    strong = value.has_interval and (value.low > 0 or value.high < 0)
    return Value(-value.value, -value.high, -value.low, strong=strong)


def _detail_grid(
    table: pd.DataFrame, agents: Sequence[str], outcome: str, section: Section, name: str
) -> Grid:
    top = section.levels[-1]
    columns = (
        Column("sd", "spread over repeats (SD)", "dice"),
        Column("worst_repeat", "worst repeat", "dice"),
        Column("worst_tenth", "worst tenth of episodes", "dice"),
        Column("failed", "failed", "share"),
    )
    rows = [
        Row(
            agent,
            {
                **{c: _value(table, agent, outcome, c, top) for c in ("sd", "worst_repeat", "worst_tenth")},
                "failed": _value(table, agent, "episode", "failed", top),
            },
        )
        for agent in agents
    ]
    return _grid(name, "worst", f"How bad it can get at level {top:g}", columns, rows, table, section)


def _variance_grid(variance: pd.DataFrame, section: Section, name: str) -> Grid:
    rows = []
    shown = variance[variance["level"] == section.levels[-1]]
    for statistic, agent, value, low, high in shown[
        ["statistic", "agent", "value", "low", "high"]
    ].itertuples(index=False):
        if statistic == "sd":
            continue
        label = f"prompt reliability of {agent}" if agent else str(statistic)
        rows.append(Row(label, {"value": Value(float(value), float(low), float(high))}))
    notes = (
        f"Of Dice after {section.budget} clicks at level {section.levels[-1]:g}. Shares: components of variance "
        "over agents, cases and the draws that all agents share. Reliability: intraclass correlation, 1 where "
        "another draw of the same noise changes nothing.",
    )
    title = "Where the variance comes from"
    return Grid(f"{name}_variance", title, "source", (Column("value", "share", "share"),), tuple(rows), notes)


def _grid(
    name: str,
    part: str,
    title: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    table: pd.DataFrame,
    section: Section,
    note: str = "",
) -> Grid:
    cases, groups = (int(table[column].max()) for column in ("n_cases", "n_groups"))
    notes = [note] if note else []
    notes.append(
        f"{cases} cases in {groups} groups, {section.protocol['repeats']} repeats a level, seed {section.seed}. "
        "Brackets: 95 % interval over groups, where there are at least eight."
    )
    return Grid(f"{name}_{part}", title, "agent", tuple(columns), tuple(rows), tuple(notes))


def _words(
    table: pd.DataFrame, agents: Sequence[str], outcome: str, section: Section, unit: str
) -> list[str]:
    """Say who is fragile, to what, and how sure that is."""
    top, noise = section.levels[-1], section.protocol["noise"]
    said = []
    for agent, adjective in ((agents[-1], "most"), (agents[0], "least")):
        drop = _value(table, agent, outcome, "drop", top)
        interval = (
            f" [{drop.low:.2f}, {drop.high:.2f}]"
            if drop.has_interval
            else " (too few groups for an interval)"
        )
        said.append(
            f"{agent} loses {adjective}: {drop.value:.2f}{interval} Dice after {section.budget} clicks at "
            f"{noise} {top:g} {unit}."
        )
        if len(agents) == 1:
            break
    robust = [a for a in agents if math.isinf(_value(table, a, outcome, f"passes@{PASSED:g}").value)]
    if robust:
        said.append(
            f"Within the levels tried, {' and '.join(robust)} never lose{'s' * (len(robust) == 1)} {PASSED:g}."
        )
    bases = {a: _value(table, a, outcome, "mean", section.levels[0]).value for a in agents}
    under = {a: _value(table, a, outcome, "mean", top).value for a in agents}
    first, last = max(bases, key=lambda a: bases[a]), max(under, key=lambda a: under[a])
    if len(agents) > 1:
        said.append(
            f"Without noise {first} is best; at {top:g} {unit} {last} is."
            if first != last
            else f"{first} is best without noise and at {top:g} {unit}."
        )
    return said


def _doses(
    table: pd.DataFrame, agents: Sequence[str], outcome: str, unit: str, looks: Mapping[str, Look]
) -> Picture:
    figure = Figure((8.2, 3.8))
    panels = figure.subplots(1, 2, sharex=True)
    figure.subplots_adjust(left=0.075, right=0.83, bottom=0.14, top=0.9, wspace=0.24)
    for axes, statistic, title in zip(
        panels, ("mean", "drop"), ("Dice under noise", "drop from no noise"), strict=True
    ):
        rows = _rows(table, outcome, statistic)
        for agent in agents:
            mine = rows[rows["agent"] == agent].sort_values("level")
            look = looks[agent]
            x = mine["level"].to_numpy(dtype=float)
            low, high = mine["low"].to_numpy(dtype=float), mine["high"].to_numpy(dtype=float)
            axes.fill_between(x, low, high, color=look.colour, alpha=0.12, linewidth=0)
            axes.plot(
                x,
                mine["value"].to_numpy(dtype=float),
                color=look.colour,
                linestyle=look.dash,
                marker=look.marker or None,
                markersize=4.2,
                linewidth=1.6,
                markeredgecolor=PAPER,
                label=agent,
            )
        axes.set_title(title)
        axes.set_xlabel(f"noise level ({unit})")
    panels[0].set_ylim(0, 1)
    panels[0].set_ylabel(f"Dice, {outcome.partition('@')[2]} clicks")
    panels[1].axhline(PASSED, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False, fontsize=8)
    ends = []
    for agent in agents:
        mine = _rows(table, outcome, "mean")
        mine = mine[mine["agent"] == agent].sort_values("level")
        ends.append(f"{agent} from {mine['value'].iloc[0]:.2f} to {mine['value'].iloc[-1]:.2f}")
    return Picture(
        "dose-response",
        "Dose and response",
        "Mean Dice from no noise to the strongest: " + "; ".join(ends) + ".",
        f"Bands: 95 % interval over groups. Dotted: a drop of {PASSED:g}.",
        figure,
    )


def _heat(section: Section, agents: Sequence[str], unit: str) -> Picture:
    """Level × interactions, one panel per agent."""
    shown = list(agents)[:PANELS]
    budget = section.budget
    table = episode_table(section.episodes, section.steps, budget, (), tuple(range(1, budget + 1)))
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure((2.7 * columns + 0.6, (0.33 * len(section.levels) + 0.95) * rows))
    panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    figure.subplots_adjust(left=0.1, right=0.99, bottom=0.55 / figure.get_figheight(), top=1 - 0.3 / figure.get_figheight(),
                           hspace=0.55, wspace=0.12)  # fmt: skip
    costs = sorted({1, *(c for c in (2, 3, 5, 10, 20) if c <= budget), budget})
    for number, (axes, agent) in enumerate(zip(panels, shown, strict=False)):
        mine = table[table["agent"] == agent].groupby("level")[[f"dice@{c}" for c in costs]].mean()
        values = mine.to_numpy()
        axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            axes.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7,
                      color="#111111" if value > 0.55 else "#ffffff")  # fmt: skip
        axes.grid(False)
        axes.set_xticks(range(len(costs)), [str(c) for c in costs])
        levels = [f"{level:g}" for level in mine.index] if number % columns == 0 else []
        axes.set_yticks(range(len(levels)), levels)
        axes.set_title(agent, fontsize=9, fontweight="normal")
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel("clicks", fontsize=9)
    figure.supylabel(f"level ({unit})", fontsize=9)
    return Picture(
        "heat",
        "Noise level against number of clicks",
        f"Mean Dice by level and clicks of {', '.join(shown)}; the numbers are in the cells.",
        "Do further clicks repair what noise did? Read a row from left to right.",
        figure,
    )


def _spread(
    section: Section, agents: Sequence[str], outcome: str, unit: str, looks: Mapping[str, Look]
) -> Picture:
    """Within-case spread over repeats."""
    shown = list(agents)[:PANELS]
    table = episode_table(section.episodes, section.steps, section.budget, (), (section.budget,))
    levels = [level for level in section.levels if level > 0]
    figure = Figure((8.2, 3.4))
    axes: Axes = figure.subplots()
    figure.subplots_adjust(left=0.075, right=0.83, bottom=0.15, top=0.95)
    wide = 0.8 / len(shown)
    ends = []
    for k, agent in enumerate(shown):
        mine = table[table["agent"] == agent]
        spread = mine.groupby(["level", "dataset", "case_id"])[outcome].std(ddof=1).dropna()
        for place, level in enumerate(levels):
            if level not in spread.index.get_level_values(0):
                continue
            values = spread.loc[level].to_numpy()
            at = place + (k - (len(shown) - 1) / 2) * wide
            if len(values) > 1 and np.ptp(values) > 0:
                body = axes.violinplot([values], [at], widths=wide * 0.95, showextrema=False)["bodies"][0]
                body.set_facecolor(looks[agent].colour)
                body.set_alpha(0.35)
            axes.plot([at], [np.median(values)], marker=looks[agent].marker or "o", color=looks[agent].colour,
                      markersize=4.5, linestyle="", label=agent if place == 0 else None)  # fmt: skip
        if len(spread):
            ends.append(f"{agent} {spread.loc[levels[-1]].median():.3f}")
    axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    axes.set(xlabel=f"noise level ({unit})", ylabel="SD of Dice over repeats")
    axes.set_ylim(bottom=0)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return Picture(
        "within-case",
        "How much one case varies from draw to draw",
        f"Median within-case standard deviation at level {levels[-1]:g}: " + "; ".join(ends) + ".",
        "Violins: cases. Marks: their median.",
        figure,
    )


def _landed(
    section: Section, table: pd.DataFrame, agents: Sequence[str], outcome: str, unit: str
) -> Picture | None:
    """Where the first prompts landed against where they were meant, on the worst case."""
    agent = agents[-1]
    per = episode_table(section.episodes, section.steps, section.budget, (), (section.budget,))
    per = per[per["agent"] == agent]
    wide = per.pivot_table(index=["dataset", "case_id"], columns="level", values=outcome)
    if 0.0 not in wide or wide.shape[1] < 2:
        return None
    dataset, case_id = (wide[0.0] - wide[wide.columns[-1]]).idxmax()
    frames = [
        run.table("prompts") for label, run in section.runs if label == agent and run.dataset == dataset
    ]
    prompts = pd.concat(frames)
    prompts = prompts[(prompts["case_id"] == case_id) & (prompts["step"] == 1) & (prompts["level"] > 0)]
    prompts = prompts[prompts["meant"].map(len) >= 2]
    if prompts.empty:
        return None
    scores = per[per["case_id"] == case_id].set_index(["level", "repeat"])[outcome]
    figure = Figure((5.6, 4.4))
    axes = figure.subplots()
    figure.subplots_adjust(left=0.12, right=0.98, bottom=0.12, top=0.95)
    points = []
    for level, repeat, meant, landed in prompts[["level", "repeat", "meant", "landed"]].itertuples(
        index=False
    ):
        a, b = (
            np.asarray(meant, float).reshape(-1, 2).mean(axis=0),
            np.asarray(landed, float).reshape(-1, 2).mean(axis=0),
        )
        points.append((*(b - a), scores.get((level, repeat), np.nan)))
    x, y, c = np.array(points).T
    drawn = axes.scatter(x, y, c=c, cmap="cividis", vmin=0, vmax=1, s=26, edgecolors=INK, linewidths=0.3)
    axes.plot([0], [0], marker="+", color=INK, markersize=12)
    axes.set_aspect("equal", adjustable="datalim")
    axes.invert_yaxis()
    axes.set(xlabel="landed right of meant (px)", ylabel="landed below meant (px)")
    figure.colorbar(drawn, ax=axes, label=f"{agent}: Dice after {section.budget} clicks", shrink=0.85)
    return Picture(
        "landed",
        f"Meant and landed: {case_id}",
        f"First prompts of {agent} on {case_id}, {len(points)} draws: Dice from {np.nanmin(c):.2f} to {np.nanmax(c):.2f}.",
        "The case on which the most fragile agent loses most. Cross: where the prompt was meant (of a box: its "
        "middle); one mark per draw and level.",
        figure,
    )
