"""The figures of the study of noise."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simclick.report.figures import Picture
from simclick.report.landed_figure import landed_picture
from simclick.report.robustness_scene import Scene, shortened
from simclick.report.style import INK, MUTED, PAPER, Look, drawing
from simclick.statistics.measures import episode_table
from simclick.statistics.robustness import PASSED

__all__ = ["robustness_pictures"]

PANELS = 12
"""At most this many agents in figures of one panel each."""
_COLUMNS = 3


def robustness_pictures(scene: Scene) -> list[Picture]:
    """Return the figures, in the order of the page."""
    with drawing():
        found = [_doses(scene), _heat(scene), _spread(scene), landed_picture(scene)]
    return [picture for picture in found if picture is not None]


def _doses(scene: Scene) -> Picture:
    """Draw mean Dice, and its drop where there is a level 0, against the level."""
    paired = not scene.rows(scene.last, "drop").empty
    figure = Figure((8.2 if paired else 5.6, 3.9))
    panels = figure.subplots(1, 1 + paired, sharex=True, squeeze=False).ravel()
    right = 1 - 1.45 / figure.get_figwidth()
    figure.subplots_adjust(left=0.6 / figure.get_figwidth(), right=right, bottom=0.13, top=0.91, wspace=0.24)
    for axes, statistic, title in zip(panels, ("mean", "drop"), ("Dice under noise", "Drop"), strict=False):
        for agent in scene.agents:
            _dose_line(axes, scene, statistic, agent)
        axes.set_title(title)
        axes.set_xlabel(scene.axis)
    panels[0].set_ylim(0, 1)
    panels[0].set_ylabel(f"Dice after {scene.spent(scene.last)}")
    note = "Bands: 95 % interval over groups, where there are at least eight."
    if paired:
        panels[1].axhline(PASSED, color=MUTED, linewidth=0.9, linestyle=(0, (2, 2)))
        note += f" Drop: against the same cases at level 0. Dotted: a drop of {PASSED:g}."
    handles, labels = panels[0].get_legend_handles_labels()
    labels = [shortened(label) for label in labels]
    place = (right + 0.1 / figure.get_figwidth(), 0.52)
    figure.legend(
        handles, labels, loc="center left", bbox_to_anchor=place, frameon=False, fontsize=8, handlelength=3.2
    )
    ends = []
    for agent in scene.agents:
        mine = _line(scene, "mean", agent)
        ends.append(f"{agent} from {mine['value'].iloc[0]:.2f} to {mine['value'].iloc[-1]:.2f}")
    alt = "Mean Dice from the smallest to the largest level: " + "; ".join(ends) + "."
    return Picture("dose-response", "Dose and response", alt, note, figure)


def _line(scene: Scene, statistic: str, agent: str) -> pd.DataFrame:
    rows = scene.rows(scene.last, statistic)
    return rows[rows["agent"] == agent].sort_values("level")


def _dose_line(axes: Axes, scene: Scene, statistic: str, agent: str) -> None:
    mine, look = _line(scene, statistic, agent), scene.looks[agent]
    x, y, low, high = (mine[c].to_numpy(dtype=np.float64) for c in ("level", "value", "low", "high"))
    if statistic == "drop" and not np.isnan(low).all():
        # The drop at level 0 is 0 by definition: it has no spread, so no interval, and no error either.
        low, high = (np.where(x == 0, 0.0, end) for end in (low, high))
    axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)
    for end in (low, high):
        axes.plot(x, end, color=look.colour, linestyle=look.dash, linewidth=0.5, alpha=0.8)
    axes.plot(
        x, y, color=look.colour, linestyle=look.dash, linewidth=1.7, marker=look.marker or None,
        markersize=5, markeredgecolor=PAPER, markeredgewidth=0.7, label=agent,
    )  # fmt: skip


def _panels(
    scene: Scene, width: float, height: float, left: float, bottom: float
) -> tuple[Figure, list[Axes], list[str]]:
    """Return a figure with a panel per agent, `left` and `bottom` inches kept for axis labels."""
    shown = list(scene.agents)[:PANELS]
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure((width * columns + left + 0.1, (height + 0.3) * rows + bottom))
    axes: NDArray[np.object_] = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    wide, high = figure.get_size_inches()
    figure.subplots_adjust(left=left / wide, right=1 - 0.1 / wide, bottom=bottom / high,
                           top=1 - 0.3 / high, hspace=0.3 / height, wspace=0.1)  # fmt: skip
    panels: list[Axes] = list(axes.ravel())
    for place, (panel, agent) in enumerate(zip(panels, shown, strict=False)):
        panel.set_title(shortened(agent, 30), fontsize=9, fontweight="normal")
        if place + columns >= len(shown):  # a panel with nothing below
            panel.tick_params(labelbottom=True)
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    return figure, panels, shown


def _omitted(scene: Scene) -> str:
    left = len(scene.agents) - PANELS
    return f" Not shown: the {left} most fragile agents; the tables have them." if left > 0 else ""


def _heat(scene: Scene) -> Picture | None:
    """Draw level against clicks, one panel per agent, the numbers in the cells."""
    section, budget = scene.section, scene.section.budget
    first = int(scene.first.partition("@")[2])
    costs = sorted({first, *(c for c in (1, 2, 3, 4, 5, 7, 10, 15, 20) if first < c <= budget), budget})
    if len(costs) < 2:
        return None
    table = episode_table(section.episodes, section.steps, budget, (), costs)
    names = [f"dice@{cost}" for cost in costs]
    cases = table.groupby(["agent", "level", "dataset", "case_id"])[names].mean()
    means = cases.groupby(level=["agent", "level"]).mean().loc[list(scene.agents)]
    last = means[names[-1]].unstack("level").iloc[:, -1]
    low, high = math.floor(10 * means.to_numpy().min()) / 10, math.ceil(10 * means.to_numpy().max()) / 10
    levels = sorted(float(level) for level in means.index.unique("level"))
    figure, panels, shown = _panels(scene, 2.6, 0.27 * len(levels), 0.85, 0.5)
    for axes, agent in zip(panels, shown, strict=False):
        values = means.loc[agent].reindex(levels).to_numpy(dtype=np.float64)
        axes.imshow(values, cmap="cividis", vmin=low, vmax=max(high, low + 0.1), aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            bright = (value - low) / max(high - low, 0.1) > 0.5
            axes.text(column, row, "" if np.isnan(value) else f"{value:.2f}", ha="center", va="center",
                      fontsize=7.5, color="#000000" if bright else "#ffffff")  # fmt: skip
        axes.grid(False)
        axes.set_xticks(range(len(costs)), [str(cost) for cost in costs])
        axes.set_yticks(range(len(levels)), [f"{level:g}" for level in levels])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    figure.supxlabel("clicks", fontsize=9, y=0.05 / figure.get_figheight())
    figure.supylabel(scene.axis, fontsize=9, x=0.12 / figure.get_figwidth())
    said = "; ".join(f"{agent} {last[agent]:.2f}" for agent in shown)
    which = section.protocol["noise_options"].get("which", "all")
    said_of = (
        "Only the first prompt is moved: do later clicks make up for it?"
        if which == "first"
        else "Do further clicks make up for the noise, though each has its own?"
    )
    return Picture(
        "heat",
        "Noise against clicks",
        f"Mean Dice by level and clicks. After {scene.spent(scene.last)} at the largest level: {said}.",
        f"Mean Dice; brighter is better. Read a row from left to right. {said_of}{_omitted(scene)}",
        figure,
    )


def _spread(scene: Scene) -> Picture | None:
    """Draw how the within-case standard deviation over repeats is distributed, per level."""
    section, outcome = scene.section, scene.last
    table = episode_table(section.episodes, section.steps, section.budget, (), (section.budget,))
    grouped = table.groupby(["agent", "level", "dataset", "case_id"])[outcome]
    spread = grouped.std(ddof=1).dropna().rename("sd").reset_index()
    spread = spread[spread["agent"].isin(scene.agents) & (spread["level"] > 0)]
    levels = sorted(float(level) for level in spread["level"].unique())
    if not levels:
        return None
    figure, panels, shown = _panels(scene, 2.6, 1.5, 0.75, 0.5)
    ends = []
    for axes, agent in zip(panels, shown, strict=False):
        mine = spread[spread["agent"] == agent]
        middles = []
        for place, level in enumerate(levels):
            values = mine.loc[mine["level"] == level, "sd"].to_numpy(dtype=np.float64)
            middles.append(float(np.median(values)) if len(values) else math.nan)
            _violin(axes, place, values, scene.looks[agent])
        axes.plot(range(len(levels)), middles, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
        ends.append(f"{agent} {middles[-1]:.3f}")
    panels[0].set_ylim(bottom=0)
    figure.supxlabel(scene.axis, fontsize=9, y=0.05 / figure.get_figheight())
    figure.supylabel("SD of Dice over repeats", fontsize=9, x=0.12 / figure.get_figwidth())
    return Picture(
        "within-case",
        "How much one case varies from draw to draw",
        f"Median within-case standard deviation of Dice at the largest level: {'; '.join(ends)}.",
        f"Dice after {scene.spent(scene.last)}. Violins: cases. Bars: the middle half. Marks: the median."
        + _omitted(scene),
        figure,
    )


def _violin(axes: Axes, place: float, values: NDArray[np.float64], look: Look) -> None:
    if not len(values):
        return
    if len(values) > 1 and np.ptp(values) > 0:
        drawn = axes.violinplot([values], [place], widths=0.85, showextrema=False)
        for body in list(drawn["bodies"]):  # type: ignore[call-overload]
            body.set(facecolor=look.colour, alpha=0.3, edgecolor=look.colour, linewidth=0.8)
    quarter, middle, three = np.quantile(values, (0.25, 0.5, 0.75))
    axes.plot([place, place], [quarter, three], color=INK, linewidth=2.2, solid_capstyle="butt")
    axes.plot([place], [middle], marker=look.marker or "o", color=look.colour, markersize=6,
              markeredgecolor=PAPER, linestyle="")  # fmt: skip
