"""The figure of where first prompts landed against where they were meant, on the worst case."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simclick.report.figures import Picture
from simclick.report.robustness_scene import Scene
from simclick.report.style import INK, MUTED, PAPER
from simclick.statistics.measures import episode_table

__all__ = ["landed_picture"]

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


def landed_picture(scene: Scene) -> Picture | None:
    """Return the figure, or None without a level 0, or where no first prompt was moved.

    The worst case is the one on which the most fragile agent loses most at the largest level.
    """
    worst = _worst(scene)
    if worst is None:
        return None
    agent, dataset, case_id, drop, scores = worst
    tables = [
        run.table("prompts", ["case_id", "level", "repeat", "step", "kind", "landed", "meant"])
        for label, run in scene.section.runs
        if label == agent and run.dataset == dataset
    ]
    prompts = pd.concat(tables, ignore_index=True)
    prompts = prompts[(prompts["case_id"] == case_id) & (prompts["step"] == 1) & (prompts["level"] > 0)]
    moved = _moved(prompts, scores)
    if moved.empty or not moved[["dx", "dy"]].to_numpy().any():
        return None
    return _scatter(scene, moved, agent, case_id, drop)


def _worst(scene: Scene) -> tuple[str, str, str, float, Mapping[tuple[float, int], float]] | None:
    """Return the most fragile agent's case of the largest drop, the drop, and Dice by level and repeat."""
    section, outcome = scene.section, scene.last
    table = episode_table(section.episodes, section.steps, section.budget, (), (section.budget,))
    table = table[table["agent"] == scene.agents[-1]]
    means = table.pivot_table(index=["dataset", "case_id"], columns="level", values=outcome)
    if 0.0 not in means.columns or means.shape[1] < 2:
        return None
    drops = (means[0.0] - means[means.columns[-1]]).dropna()
    if drops.empty:
        return None
    place = int(drops.to_numpy().argmax())
    dataset, case_id = (str(drops.index.get_level_values(name)[place]) for name in ("dataset", "case_id"))
    mine = table[(table["dataset"] == dataset) & (table["case_id"] == case_id)]
    places = zip(mine["level"].astype(float), mine["repeat"].astype(int), strict=True)
    scores = dict(zip(places, mine[outcome].astype(float), strict=True))
    return scene.agents[-1], dataset, case_id, float(drops.iloc[place]), scores


def _moved(prompts: pd.DataFrame, scores: Mapping[tuple[float, int], float]) -> pd.DataFrame:
    """Return a row per prompt and shown point: ``part level dx dy dice``.

    A click is one point, a box its two corners, any other prompt the mean of its points.
    """
    rows = []
    names = ["level", "repeat", "kind", "meant", "landed"]
    for level, repeat, kind, meant, landed in zip(*(prompts[name] for name in names), strict=True):
        if meant is None or landed is None or len(meant) < 2 or len(landed) < 2:
            continue
        a, b = (np.asarray(at, dtype=np.float64).reshape(-1, 2) for at in (meant, landed))
        if kind == "box":
            parts = [("top left corner", b[0] - a[0]), ("bottom right corner", b[1] - a[1])]
        else:
            what = "click" if kind == "click" else f"middle of the {kind}"
            parts = [(what, b.mean(axis=0) - a.mean(axis=0))]
        dice = scores.get((float(level), int(repeat)), math.nan)
        rows += [(part, float(level), float(d[0]), float(d[1]), dice) for part, d in parts]
    return pd.DataFrame(rows, columns=["part", "level", "dx", "dy", "dice"])


def _scatter(scene: Scene, moved: pd.DataFrame, agent: str, case_id: str, drop: float) -> Picture:
    parts = list(dict.fromkeys(moved["part"]))
    levels = sorted(moved["level"].unique())
    figure = Figure((0.75 + 3.6 * len(parts) + 1.75, 4.2))
    wide = figure.get_figwidth()
    panels = figure.subplots(1, len(parts), sharex=True, sharey=True, squeeze=False).ravel()
    figure.subplots_adjust(left=0.75 / wide, right=1 - 1.85 / wide, bottom=0.125, top=0.92, wspace=0.08)
    reach = 1.08 * float(np.abs(moved[["dx", "dy"]].to_numpy()).max())
    points = None
    for axes, part in zip(panels, parts, strict=True):
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for k, level in enumerate(levels):
            mine = moved[(moved["part"] == part) & (moved["level"] == level)]
            points = axes.scatter(
                mine["dx"], mine["dy"], c=mine["dice"], cmap="cividis", vmin=0, vmax=1, s=34,
                marker=_MARKERS[k % len(_MARKERS)], edgecolors=INK, linewidths=0.6, zorder=3,
            )  # fmt: skip
        axes.plot([0], [0], marker="+", color=INK, markersize=13, markeredgewidth=1.4, zorder=2)
        # Rows of an image grow downwards.
        axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
        axes.set_title(part, fontsize=9, fontweight="normal")
        axes.set_xlabel("landed right of meant (px)")
    panels[0].set_ylabel("landed below meant (px)")
    marks = [
        Line2D([], [], marker=_MARKERS[k % len(_MARKERS)], color=INK, markerfacecolor=PAPER, linestyle="",
               markersize=5.5, label=f"{level:g}")
        for k, level in enumerate(levels)
    ]  # fmt: skip
    legend = figure.legend(handles=marks, loc="upper left", bbox_to_anchor=(1 - 1.8 / wide, 0.5),
                           frameon=False, fontsize=8, title=scene.axis, title_fontsize=8)  # fmt: skip
    legend.set_alignment("left")
    if points is not None:
        bar = figure.add_axes((1 - 1.6 / wide, 0.55, 0.14 / wide, 0.37))
        figure.colorbar(points, cax=bar, label=f"Dice after {scene.spent(scene.last)}")
    low, high = (f"{end:.2f}" for end in (moved["dice"].min(), moved["dice"].max()))
    return Picture(
        "landed",
        f"Meant and landed, on the worst case: {case_id}",
        f"{len(moved)} displacements of first prompts of {agent} on {case_id}; Dice from {low} to {high}.",
        f"The case on which {agent}, the most fragile agent, loses most at the largest level: {drop:.2f} "
        "Dice. Cross: where the first prompt was meant; marks: where it landed, one per level and repeat.",
        figure,
    )
