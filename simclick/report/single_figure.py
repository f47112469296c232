"""The figure of a board of one round: no curve, so every case is a mark on the axis of Dice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from simclick.report.boards import Board
from simclick.report.picture import Picture
from simclick.report.style import INK, PAPER, Look

__all__ = ["single_figure"]

AGENTS = 24
"""At most this many agents are drawn."""
_ROW = 0.42
_TURNS = 0.6180339887498949  # golden ratio: neighbouring marks never fall on one height


def single_figure(board: Board, looks: Mapping[str, Look]) -> Picture:
    """Return Dice after the one round: a row per agent, a mark per episode, with median and middle half."""
    plain = [s for s in board.standings if not s.entrant.bound]
    shown = plain[:AGENTS]
    left, right, bottom, top = 1.75, 0.15, 0.5, 0.12
    width, height = 6.0, bottom + top + _ROW * max(1, len(shown))
    figure = Figure((width, height))
    place = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
    axes = figure.add_axes(place)
    said = []
    for row, standing in enumerate(shown):
        dice, colour = np.sort(board.paths[standing.label][:, -1]), looks[standing.label].colour
        p25, p50, p75 = np.quantile(dice, (0.25, 0.5, 0.75))
        aside = (np.arange(len(dice)) * _TURNS % 1.0 - 0.5) * 0.5
        axes.barh(row, p75 - p25, left=p25, height=0.62, color=colour, alpha=0.2, linewidth=0, zorder=1)
        axes.scatter(dice, row + aside, s=11, c=colour, marker=looks[standing.label].marker or "o", alpha=0.6,
                     linewidths=0, zorder=2, rasterized=len(dice) > 2000, clip_on=False)  # fmt: skip
        axes.plot((p50, p50), (row - 0.36, row + 0.36), color=PAPER, linewidth=4, zorder=3)
        axes.plot((p50, p50), (row - 0.36, row + 0.36), color=INK, linewidth=2, zorder=4)
        name = standing.label if len(standing.label) <= 22 else standing.label[:21] + "…"
        name += f" ({standing.caution})" if standing.caution else ""
        axes.text(-0.035, row, name, color=colour, ha="right", va="center", fontsize=8.5)
        said.append(f"{standing.label}: median {p50:.2f}, middle half {p25:.2f} to {p75:.2f}")
    what = board.rounds.outcome_words
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.5, -0.5), yticks=(), xlabel=what)
    left_out = f" The first {AGENTS} agents are shown." if len(plain) > AGENTS else ""
    return Picture(
        "spread",
        f"{what}, case by case",
        f"{what} on {board.phrase}. " + "; ".join(said) + ".",
        "One mark per episode; its height within the row means nothing. Line: median. Band: middle half."
        + left_out,
        figure,
    )
