"""The figures of a board. Every function returns a matplotlib figure; nothing global is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simclick.report.boards import CURVE_THRESHOLDS, REACH, Board
from simclick.report.picture import Picture
from simclick.report.single_figure import single_figure
from simclick.report.style import INK, MUTED, PAPER, RULE, Look, drawing

__all__ = ["Picture", "board_pictures"]

WIDTH, HEIGHT = 6.0, 4.1
SCATTERS = 6
"""At most this many scatter panels: the leader against the next ones."""
PANELS = 12
"""At most this many panels of the spread figure."""


def board_pictures(board: Board, looks: Mapping[str, Look]) -> list[Picture]:
    """Return the figures of a board, in the order of the page."""
    with drawing():
        made = (single_figure,) if board.rounds.single else (_dice, _thresholds, _reach, _spread)
        pictures = [make(board, looks) for make in made]
        if len(board.ranked) > 1:
            pictures.append(_scatter(board, looks))
    return pictures


def _dice(board: Board, looks: Mapping[str, Look]) -> Picture:
    figure, axes = _figure()
    table = board.curves[board.curves["statistic"] == "dice"]
    lines = [(s.label, _line(table, s.label)) for s in board.standings]
    first, budget = board.rounds.first, board.section.budget
    _draw_lines(axes, lines, looks, first=first)
    axes.set(xlabel=_cost_axis(board), ylabel="Dice, mean over cases", xlim=(first, budget), ylim=(0, 1))
    axes.set_xticks(_click_ticks(budget, first))
    _end_labels(axes, lines, looks, board)
    return Picture(
        "dice",
        "Dice against clicks",
        _alt_curves("Mean Dice", board, lines, (first, board.rounds.middle, budget)),
        "Lines: mean over cases. Bands: 95 % interval over groups, where there are at least eight.",
        figure,
    )


def _thresholds(board: Board, looks: Mapping[str, Look]) -> Picture:
    figure, axes = _figure()
    lines = []
    for s in board.standings:
        values = [board.numbers.value(s.label, "noc", tau) for tau in CURVE_THRESHOLDS]
        table = pd.DataFrame(
            {
                "cost": CURVE_THRESHOLDS,
                "value": [v.value for v in values],
                "low": [v.low for v in values],
                "high": [v.high for v in values],
            }
        )
        lines.append((s.label, table))
    budget = board.section.budget
    _draw_lines(axes, lines, looks)
    first = board.rounds.first
    counted = f" The {board.rounds.prompt} counts {first}." if first > 1 else ""
    axes.set(xlabel="Dice to reach", ylabel="clicks, mean over cases", ylim=(0, budget))
    axes.set_yticks([0, *_click_ticks(budget)[1:]])
    axes.set_xlim(CURVE_THRESHOLDS[0], CURVE_THRESHOLDS[-1])
    _end_labels(axes, lines, looks, board)
    return Picture(
        "noc",
        "Clicks against the Dice to reach (NoC)",
        _alt_curves("Clicks needed", board, lines, (0.8, 0.9), "at Dice"),
        f"Lower is better. A case that does not get there within {budget} clicks counts as {budget}."
        + counted,
        figure,
    )


def _reach(board: Board, looks: Mapping[str, Look]) -> Picture:
    figure = Figure((WIDTH, HEIGHT + 1.6))
    panels = figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.16})
    figure.subplots_adjust(left=0.105, right=0.72, bottom=0.09, top=0.95)
    alts = []
    first, budget = board.rounds.first, board.section.budget
    for axes, tau in zip(panels, REACH, strict=True):
        table = board.curves[(board.curves["statistic"] == "reach") & np.isclose(board.curves["at"], tau)]
        lines = [(s.label, _line(table, s.label)) for s in board.standings]
        _draw_lines(axes, lines, looks, first=first)
        axes.set(ylabel="share of cases", xlim=(first, budget), ylim=(0, 1))
        axes.set_title(f"Dice ≥ {tau:.2f}")
        axes.set_xticks(_click_ticks(budget, first))
        _end_labels(axes, lines, looks, board)
        alts.append(
            _alt_curves(f"Share of cases at Dice {tau:.2f}", board, lines, (board.rounds.middle, budget))
        )
    panels[-1].set_xlabel(_cost_axis(board))
    return Picture(
        "reach",
        "Cases that reach a Dice",
        " ".join(alts),
        "Share of cases that got there within so many clicks, P(NoC ≤ c). What is missing to 1 at the right "
        "end is the share not reached.",
        figure,
    )


def _spread(board: Board, looks: Mapping[str, Look]) -> Picture:
    plain = [s for s in board.standings if not s.entrant.bound]
    shown = plain[:PANELS]
    figure, panels = _panels(len(shown), 1.3, 1.3 if len(shown) > 2 else 2.6)
    first = board.rounds.first
    x = np.arange(first, board.section.budget + 1)
    alts = []
    for axes, standing in zip(panels, shown, strict=True):
        colour, paths = looks[standing.label].colour, board.paths[standing.label][:, first:]
        p5, p25, p50, p75, p95 = np.quantile(paths, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
        axes.fill_between(x, p5, p95, color=colour, alpha=0.15, linewidth=0)
        axes.fill_between(x, p25, p75, color=colour, alpha=0.3, linewidth=0)
        axes.plot(x, p50, color=colour, linewidth=1.8)
        caution = f" ({standing.caution})" if standing.caution else ""
        axes.set_title(_shown(standing.label, 20 - len(caution)) + caution, fontsize=9, fontweight="normal")
        axes.set(xlim=(first, x[-1]), ylim=(0, 1), yticks=(0, 0.5, 1))
        axes.set_xticks(_click_ticks(int(x[-1]), first, few=True))
        alts.append(f"{standing.label}: median {p50[-1]:.2f}, middle half {p25[-1]:.2f} to {p75[-1]:.2f}")
    _outer_labels(figure, _cost_axis(board), "Dice of a case")
    left_out = f" The first {PANELS} agents are shown." if len(plain) > PANELS else ""
    return Picture(
        "spread",
        "How cases spread",
        f"Dice of cases after {x[-1]} clicks. " + "; ".join(alts) + ".",
        "Line: median over cases. Dark band: middle half of the cases. Light band: 5th to 95th percentile."
        + left_out,
        figure,
    )


def _scatter(board: Board, looks: Mapping[str, Look]) -> Picture:
    cost = board.rounds.middle
    wide = board.cases.pivot_table(index=["dataset", "case_id"], columns="agent", values=f"dice@{cost}")
    leader, *others = [s.label for s in board.ranked]
    others = others[:SCATTERS]
    side = 1.55 if len(others) > 2 else 2.4 if len(others) == 2 else 3.4
    figure, panels = _panels(len(others), side, side)
    alts = []
    for axes, other in zip(panels, others, strict=True):
        x, y = wide[other].to_numpy(), wide[leader].to_numpy()
        both = ~(np.isnan(x) | np.isnan(y))
        x, y = x[both], y[both]
        above, below = int((y > x).sum()), int((y < x).sum())
        axes.plot((0, 1), (0, 1), color=MUTED, linewidth=0.9, zorder=1)
        axes.scatter(x, y, s=13, c=looks[other].colour, marker=looks[other].marker, alpha=0.65, linewidths=0,
                     zorder=2, rasterized=len(x) > 2000)  # fmt: skip
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.set_title(f"against {_shown(other, 18)}", fontsize=9, fontweight="normal")
        _corner(axes, 0.04, 0.96, f"{above} better", "top", "left")
        _corner(axes, 0.96, 0.04, f"{below} worse", "bottom", "right")
        alts.append(f"better than {other} on {above}, worse on {below} of {len(x)} cases")
    _outer_labels(figure, "Dice of the other agent", f"Dice of {_shown(leader, 24)}")
    clicks = board.rounds.spent(cost)
    return Picture(
        "scatter",
        f"Case by case: {leader} against the others after {clicks}",
        f"Dice after {clicks} of {leader}, case by case: " + "; ".join(alts) + ".",
        f"One mark per case; above the line {leader} is better. Counts leave ties out.",
        figure,
    )


def _panels(n: int, wide: float, high: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of n panels of that size in inches, up to three in a row, and its panels."""
    columns = min(3, max(n, 1))
    rows = max(1, -(-n // columns))
    left, right, bottom, top, across, down = 0.6, 0.15, 0.5, 0.3, 0.2, 0.42
    width = max(left + columns * wide + (columns - 1) * across + right, 3.6)
    height = bottom + rows * high + (rows - 1) * down + top
    figure = Figure((width, height))
    panels = []
    for i in range(n):
        row, column = divmod(i, columns)
        x = left + column * (wide + across)
        y = height - top - high - row * (high + down)
        axes = figure.add_axes((x / width, y / height, wide / width, high / height))
        axes.tick_params(labelleft=column == 0, labelbottom=i + columns >= n)
        panels.append(axes)
    return figure, panels


def _outer_labels(figure: Figure, x: str, y: str) -> None:
    figure.supxlabel(x, fontsize=9, y=0.01, va="bottom")
    figure.supylabel(y, fontsize=9, x=0.01, ha="left")


def _figure() -> tuple[Figure, Axes]:
    figure = Figure((WIDTH, HEIGHT))
    axes = figure.add_axes((0.105, 0.125, 0.615, 0.835))
    return figure, axes


def _line(table: pd.DataFrame, label: str) -> pd.DataFrame:
    mine = table.loc[table["agent"] == label, ["cost", "value", "low", "high"]]
    line: pd.DataFrame = mine.sort_values("cost")
    return line


def _draw_lines(
    axes: Axes, lines: Sequence[tuple[str, pd.DataFrame]], looks: Mapping[str, Look], first: float = -np.inf
) -> None:
    for label, table in lines:
        look = looks[label]
        shown = table[table["cost"] >= first]
        x, y, low, high = (shown[c].to_numpy(dtype=float) for c in ("cost", "value", "low", "high"))
        if not np.isnan(low).all():
            axes.fill_between(x, low, high, color=look.colour, alpha=min(0.13, 0.6 / len(lines)), linewidth=0)
        axes.plot(
            x,
            y,
            color=look.colour,
            linestyle=look.dash,
            linewidth=1.1 if look.bound else 1.7,
            marker=look.marker or None,
            markersize=4.2,
            markevery=_marked(x),
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
            clip_on=False,
            zorder=2 if look.bound else 3,
        )


def _marked(x: NDArray[np.float64]) -> list[int]:
    """Return the points that get a marker: all of few, else clicks 1, 3, 5, 10, 15, 20, …."""
    if len(x) <= 12:
        return list(range(len(x)))
    return [i for i, value in enumerate(x) if value in (1, 3, 5) or value % 5 == 0]


def _cost_axis(board: Board) -> str:
    return (
        "clicks"
        if board.rounds.first == 1
        else f"cost in clicks ({board.rounds.prompt}: {board.rounds.first})"
    )


def _click_ticks(budget: int, first: int = 1, few: bool = False) -> list[int]:
    if few:
        return sorted({first, -(-(first + budget - 1) // 2), budget})
    if budget - first < 6:
        return list(range(first, budget + 1))
    return [first, *(tick for tick in range(5, budget + 1, 5) if tick - first > 1)]


def _end_labels(
    axes: Axes, lines: Sequence[tuple[str, pd.DataFrame]], looks: Mapping[str, Look], board: Board
) -> None:
    """Name every line at its right end; names keep apart, and a thin line leads to each."""
    cautions = {s.label: s.caution for s in board.standings}
    ends = [(float(table["value"].iloc[-1]), label) for label, table in lines if len(table)]
    ends = [(y, label) for y, label in ends if not np.isnan(y)]
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    box = axes.get_position()
    inches = (box.y1 - box.y0) * axes.figure.get_figheight()  # type: ignore[union-attr]
    gap = 0.155 * (high - low) / inches
    order = sorted(range(len(ends)), key=lambda i: (ends[i][0], ends[i][1]))
    places = _apart([ends[i][0] for i in order], gap, low, high)
    width = axes.get_xlim()[1] - axes.get_xlim()[0]
    for i, place in zip(order, places, strict=True):
        y, label = ends[i]
        look = looks[label]
        axes.plot(
            (right + 0.015 * width, right + 0.045 * width), (y, place),
            color=look.colour, linewidth=0.8, clip_on=False, solid_capstyle="butt",
        )  # fmt: skip
        caution = cautions.get(label, "")
        text = _shown(label, 22 - len(caution)) + (f" ({caution})" if caution else "")
        axes.text(
            right + 0.055 * width, place, text, color=look.colour, va="center", ha="left", fontsize=8,
            fontstyle="italic" if caution else "normal",
        )  # fmt: skip


def _apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places for labels: as wanted (ascending), but at least `gap` apart and inside."""
    if not wanted:
        return []
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    blocks: list[tuple[float, int]] = []  # centre and count of labels that touch
    for y in wanted:
        blocks.append((y, 1))
        while len(blocks) > 1:
            (a, n), (b, m) = blocks[-2], blocks[-1]
            if b - a >= gap * (n + m) / 2:
                break
            centre = (a * n + b * m) / (n + m)
            blocks[-2:] = [(centre, n + m)]
    places = [centre + gap * (i - (n - 1) / 2) for centre, n in blocks for i in range(n)]
    for i in range(len(places)):
        places[i] = max(places[i], low + gap * i)
    for i in reversed(range(len(places))):
        places[i] = min(places[i], high - gap * (len(places) - 1 - i))
    return places


def _corner(axes: Axes, x: float, y: float, text: str, va: str, ha: str) -> None:
    axes.text(
        x, y, text, transform=axes.transAxes, va=va, ha=ha, fontsize=7.5, color=INK,
        bbox={"facecolor": PAPER, "edgecolor": RULE, "linewidth": 0.5, "pad": 1.5},
    )  # fmt: skip


def _shown(label: str, length: int) -> str:
    return label if len(label) <= length else label[: length - 1] + "…"


def _alt_curves(
    what: str,
    board: Board,
    lines: Sequence[tuple[str, pd.DataFrame]],
    at: Sequence[float],
    word: str = "",
) -> str:
    word = word or ("after click" if board.rounds.first == 1 else "at cost")
    parts = []
    for label, table in lines:
        values = dict(zip(table["cost"].round(2), table["value"], strict=True))
        said = [f"{values[a]:.2f} {word} {a:g}" for a in dict.fromkeys(at) if a in values]
        parts.append(f"{label} {', '.join(said)}")
    return f"{what} on {board.phrase}: " + "; ".join(parts) + "."
