"""The figures of the field's questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from simclick.report.figures import Picture
from simclick.report.grid import MINUS
from simclick.report.robustness_scene import shortened
from simclick.report.style import INK, MUTED, PAPER, Look

__all__ = ["noise_cost_figure", "race_figure"]


def race_figure(curves: pd.DataFrame, looks: Mapping[str, Look]) -> Picture:
    """Draw the promptable agent's lead over each rival against clicks, a row of panels per data set.

    Args:
        curves: Rows of `difference_curves`, the promptable agent in ``agent_a``, with a column ``dataset``.
        looks: How agents are drawn.
    """
    grouped = curves.groupby(["dataset", "protocol", "agent_a", "agent_b"], sort=False)
    parts = [(f"{d}, {p}", str(a), str(b), rows) for (d, p, a, b), rows in grouped]
    across = min(2, len(parts))
    down = -(-len(parts) // across)
    figure = Figure((min(8.6, 3.6 * across + 0.8), 3.3 * down))
    panels = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    for spare in panels[len(parts) :]:
        spare.set_visible(False)
    wide, tall = figure.get_figwidth(), figure.get_figheight()
    figure.subplots_adjust(left=0.75 / wide, right=1 - 0.15 / wide, bottom=0.56 / tall, top=1 - 0.4 / tall)
    figure.subplots_adjust(wspace=0.12, hspace=0.4)
    said = []
    for axes, (place, ours, rival, rows) in zip(panels, parts, strict=False):
        mine = rows[rows["cost"] >= 1].sort_values("cost")
        x, y, low, high = (mine[c].to_numpy(dtype=float) for c in ("cost", "value", "low", "high"))
        axes.axhline(0, color=INK, linewidth=0.9)
        for where, owner in ((y >= 0, ours), (y <= 0, rival)):
            axes.fill_between(x, 0, np.where(where, y, 0), color=looks[owner].colour, alpha=0.12, linewidth=0)
        axes.fill_between(x, low, high, color=MUTED, alpha=0.22, linewidth=0)
        axes.plot(x, y, color=INK, linewidth=1.7)
        axes.set_title(
            f"{shortened(ours, 20)} {MINUS} {shortened(rival, 20)}", fontsize=9, fontweight="normal"
        )
        axes.set_xlabel(f"clicks ({place})")
        said.append(
            f"{place}: {ours} less {rival}: {y[0]:+.2f} after one click, {y[-1]:+.2f} after {x[-1]:g}"
        )
    for axes in panels[::across]:
        axes.set_ylabel("difference in Dice")
    return Picture(
        "race",
        "Ahead, then overtaken?",
        "; ".join(said).replace("-", MINUS) + ".",
        "Above 0 the promptable agent is ahead. Grey band: 95 % interval of the paired difference.",
        figure,
    )


def noise_cost_figure(drops: pd.DataFrame, looks: Mapping[str, Look]) -> Picture:
    """Draw what noise costs after one prompt against its level, clicks beside boxes.

    Args:
        drops: Rows of `robustness_table` of the statistic ``drop``, with a column ``prompt``.
        looks: How agents are drawn.
    """
    prompts = [p for p in ("click", "box") if (drops["prompt"] == p).any()]
    figure = Figure((8.2 if len(prompts) == 2 else 5.2, 3.4))
    panels = figure.subplots(1, len(prompts), squeeze=False, sharey=True, sharex=True).ravel()
    wide = figure.get_figwidth()
    right = 1 - 1.95 / wide
    figure.subplots_adjust(left=0.75 / wide, right=right, bottom=0.16, top=0.9, wspace=0.1)
    said: dict[str, object] = {}
    for axes, prompt in zip(panels, prompts, strict=True):
        axes.axhline(0, color=INK, linewidth=0.9)
        mine = drops[drops["prompt"] == prompt]
        agents = sorted(mine["agent"].unique())
        # Side by side, or bars of one level would hide each other.
        apart = 0.02 * float(mine["level"].max())
        for k, agent in enumerate(agents):
            rows = mine[(mine["agent"] == agent) & (mine["level"] > 0)].sort_values("level")
            x, y, low, high = (rows[c].to_numpy(dtype=float) for c in ("level", "value", "low", "high"))
            look = looks[agent]
            errors = np.nan_to_num(np.stack([y - low, high - y]))
            drawn = axes.errorbar(x + apart * (k - (len(agents) - 1) / 2), -y, yerr=errors[::-1], label=agent)
            drawn[0].set(color=look.colour, linestyle=look.dash, marker=look.marker or "", linewidth=1.6)
            drawn[0].set(markeredgecolor=PAPER, markersize=5.5)
            for part in (*drawn[1], *drawn[2]):
                part.set(color=look.colour, linewidth=0.9)
            said[f"{agent}, {prompt}"] = f"{-y[-1]:+.2f} at {x[-1]:g}"
        axes.set_title(f"with a {prompt}")
        axes.set_xlabel("noise level")
    panels[0].set_ylabel("change in Dice")
    labels: dict[str, Any] = {}
    for axes in panels:
        handles, names = axes.get_legend_handles_labels()
        labels |= dict(zip(names, handles, strict=True))
    names = sorted(labels)
    place = (right + 0.1 / wide, 0.52)
    legend = figure.legend(
        [labels[n] for n in names], [shortened(n, 20) for n in names], loc="center left", fontsize=8
    )
    legend.set_bbox_to_anchor(place)
    legend.set_frame_on(False)
    return Picture(
        "noise",
        "What noise costs, after one prompt",
        ("Change in Dice: " + "; ".join(f"{k} {v}" for k, v in said.items()) + ".").replace("-", MINUS),
        "Against the same cases and draws without noise. Bars: 95 % interval. Lower is more fragile.",
        figure,
    )
