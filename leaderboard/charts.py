"""The charts of the site: matplotlib figures as elements of a page.

Names stand beside a chart as text of the page (a key): there they wrap, link and are escaped.
Every method's marks are groups of the drawing, with the id ``PREFIX-methodN`` (N its number on the site):
a page may show or hide them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from simclick.leaderboard.boards import Board, Method
from simclick.report.grid import Grid, Value
from simclick.report.style import MUTED, PAPER, RULE, Look, drawing, page_svg, svg_bytes

__all__ = [
    "Chart",
    "curves_chart",
    "front",
    "pareto_chart",
    "rank_chart",
    "stability_chart",
    "swatch",
    "swatches",
]

WIDTH, HEIGHT = 5.6, 3.5


@dataclass(frozen=True)
class Chart:
    """A chart as a page shows it.

    Attributes:
        id: Prefix of all ids in its drawing; unique on a page.
        title: What it shows.
        alt: What a reader who cannot see it must know.
        note: How to read it.
        svg: The drawing.
        key: The methods in it, in the order of the key.
        grid: Its numbers.
    """

    id: str
    title: str
    alt: str
    note: str
    svg: Markup
    key: tuple[Method, ...]
    grid: Grid

    def marks(self, method: Method) -> tuple[str, ...]:
        """Return what must be said beside a method's name in the key: the marks of its row."""
        return next((row.marks for row in self.grid.rows if row.name == method.label), method.marks)


def curves_chart(board: Board, grid: Grid, shown: Method | None = None, prefix: str = "") -> Chart:
    """Return Dice over clicks, or over noise levels under noise.

    Args:
        board: The board.
        grid: The numbers: `curves_grid` or `levels_grid`.
        shown: One method to stand out; the others are then grey.
        prefix: Of the ids.
    """
    x = np.array([float(c.key) for c in grid.columns])
    with drawing():
        figure, axes = _figure()
        for method, row in zip(board.methods.values(), grid.rows, strict=True):
            cells = [row.values.get(c.key, Value()) for c in grid.columns]
            grey = shown is not None and method is not shown
            _line(axes, x, cells, method, grey, band=not method.look.bound)
        what = f"noise ({board.level_text(0).split(' ', 1)[1]})" if board.noisy else "clicks"
        axes.set(xlabel=what, ylabel="mean Dice", ylim=(0, 1))
        pad = 0.02 * (x[-1] - x[0]) if len(x) > 1 else 0.5
        axes.set_xlim(x[0] - pad, x[-1] + pad)
        axes.set_xticks(x if len(x) <= 6 else [v for v in x if v == 1 or v % 5 == 0])
    best = [row for row in grid.rows if shown is None or row.name == shown.label][:3]
    first, last = grid.columns[0].key, grid.columns[-1].key
    ends = ", ".join(
        f"{row.name} from {row.values[first].value:.2f} to {row.values[last].value:.2f}" for row in best
    )
    over = "noise level" if board.noisy else "clicks"
    others = "" if shown is None else " Grey: the other methods of the board."
    key = tuple(board.methods.values()) if shown is None else (shown,)
    return Chart(
        prefix or f"{board.key}-curves", f"Dice against {'noise' if board.noisy else 'clicks'}",
        f"Mean Dice against {over}: {ends}; all numbers are in the table below.",
        f"Bands: 95 % interval over groups, where there are at least eight.{others}",
        _drawn(figure, prefix or f"{board.key}-curves"), key, grid,
    )  # fmt: skip


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the points that no other beats: cheaper and as good, or as cheap and better.

    Args:
        points: ``(cost, quality)`` of each; NaN is never on the front.

    Returns:
        Their positions, cheapest first.
    """
    known = [i for i, (c, q) in enumerate(points) if not (math.isnan(c) or math.isnan(q))]

    def beaten(i: int) -> bool:
        cost, quality = points[i]
        return any(points[j][0] <= cost and points[j][1] >= quality and points[j] != points[i] for j in known)

    return sorted((i for i in known if not beaten(i)), key=lambda i: points[i])


def pareto_chart(board: Board, grid: Grid) -> Chart | None:
    """Return the outcome against declared seconds per prompt, or None where fewer than two declare them.

    Args:
        board: The board.
        grid: The numbers (`pareto_grid`): columns ``seconds`` and ``outcome``, one row per ranked method.
    """
    methods = [board.methods[place.name] for place in board.places]
    points = [(row.values["seconds"].value, row.values["outcome"].value) for row in grid.rows]
    known = [i for i, (cost, _) in enumerate(points) if cost > 0]
    if len(known) < 2:
        return None
    on = [i for i in front(points) if i in known]
    with drawing():
        figure, axes = _figure()
        axes.set_xscale("log")
        axes.set_ylim(0, 1)
        xs, ys = [points[i][0] for i in on], [points[i][1] for i in on]
        axes.plot(xs, ys, drawstyle="steps-post", color=MUTED, linewidth=1.1, zorder=1)
        for i in known:
            look = methods[i].look
            (dot,) = axes.plot(
                *points[i], linestyle="none", marker=look.marker or "o", color=look.colour, markersize=8,
                markeredgecolor=PAPER, markeredgewidth=0.8, zorder=3,
            )  # fmt: skip
            dot.set_clip_on(False)  # a mark at 0 or 1 is whole
            dot.set_gid(f"method{methods[i].number}")
        low, high = min(points[i][0] for i in known), max(points[i][0] for i in known)
        axes.set_xlim(low / 1.8, high * 1.8)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: np.format_float_positional(v, 6, trim="-")))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set(xlabel="seconds per prompt, declared (logarithmic)", ylabel=board.outcome_words)
    names = ", ".join(methods[i].label for i in on)
    return Chart(
        f"{board.key}-pareto", "Quality against cost", f"On the front, cheapest first: {names}.",
        f"The line joins the methods that no other beats in both: {names}. Seconds are declared, on "
        "different machines; see the hardware on each method's page.",
        _drawn(figure, f"{board.key}-pareto"), tuple(methods[i] for i in known), grid,
    )  # fmt: skip


def rank_chart(
    board: Board, methods: Sequence[Method], shares: NDArray[np.float64], grid: Grid
) -> Chart:  # fmt: skip
    """Return how often each method has each rank over resamples, behind it the rank interval of the tests."""
    m = len(methods)
    with drawing():
        figure = Figure((WIDTH, 0.75 + 0.3 * m))
        high = figure.get_figheight()
        axes = figure.add_axes((0.06, 0.5 / high, 0.92, 1 - 0.58 / high))
        for i, method in enumerate(methods):
            place = board.place[method.slug]
            (bar,) = axes.plot(
                (place.low, place.high), (i, i), color=RULE, linewidth=11, solid_capstyle="round", zorder=1
            )
            bar.set_gid(f"bar{method.number}")
            seen = np.flatnonzero(shares[i] >= 0.005)
            axes.scatter(
                seen + 1, np.full(len(seen), i), s=130 * shares[i][seen], color=method.look.colour,
                linewidths=0, zorder=3, gid=f"method{method.number}",
            )  # fmt: skip
        axes.set(xlim=(0.5, m + 0.5), ylim=(m - 0.4, -0.6), xlabel="rank")
        axes.set_xticks(range(1, m + 1))
        axes.set_yticks(range(m), [str(i + 1) for i in range(m)])
        axes.grid(axis="y", visible=False)
    certain = ", ".join(f"{method.label} {board.place[method.slug].text}" for method in methods)
    return Chart(
        f"{board.key}-ranks", "Ranks when groups are drawn anew", f"Rank intervals: {certain}.",
        "Rows in the order of the board. Dots: the share of resamples of groups in which a method has "
        "the rank (area of the dot). Grey bar: its rank interval from the tests. The dots are a picture of "
        "chance, not a test: they look surer than they are.",
        _drawn(figure, f"{board.key}-ranks"), tuple(methods), grid,
    )  # fmt: skip


def stability_chart(
    suite: str, conditions: Sequence[str], ranks: Mapping[str, Sequence[float]], methods: Sequence[Method],
    grid: Grid,
) -> Chart:  # fmt: skip
    """Return every method's rank under every annotator and noise level.

    Args:
        suite: Name of the suite.
        conditions: The conditions in words.
        ranks: By slug, the rank in each.
        methods: The methods.
        grid: The numbers.
    """
    x = np.arange(len(conditions), dtype=np.float64)
    with drawing():
        # Slanted labels end at their tick: room for what reaches beyond the axis, to the left and below.
        lengths = [TextPath((0, 0), text, size=8).get_extents().width / 72 for text in conditions]
        step = WIDTH / (len(x) - 0.6)
        ahead = [0.88 * length - (i + 0.2) * step for i, length in enumerate(lengths)]
        left, below = max(0.5, *ahead) + 0.1, 0.47 * max(lengths) + 0.35
        wide, high = left + WIDTH + 0.1, below + 0.45 + 0.28 * len(methods)
        figure = Figure((wide, high))
        axes = figure.add_axes((left / wide, below / high, WIDTH / wide, 1 - (below + 0.1) / high))
        for method in methods:
            cells = [Value(float(rank)) for rank in ranks[method.slug]]
            _line(axes, x, cells, method, grey=False, band=False)
        axes.set(ylim=(len(methods) + 0.4, 0.6), xlim=(-0.2, len(x) - 0.8), ylabel="rank")
        axes.set_yticks(range(1, len(methods) + 1))
        axes.set_xticks(x, list(conditions), rotation=28, ha="right", rotation_mode="anchor", fontsize=8)
    always = [m.label for m in methods if len(set(ranks[m.slug])) == 1]
    said = f"The same rank everywhere: {', '.join(always)}." if always else "No rank holds everywhere."
    return Chart(
        f"{suite}-stability", "Ranks under each annotator and noise", said,
        f"By mean Dice over the clicks of each protocol (area). {said}",
        _drawn(figure, f"{suite}-stability"), tuple(methods), grid,
    )  # fmt: skip


def swatches(drawn: Mapping[str, Look]) -> Markup:
    """Return a piece of every method's line with its marker, as symbols that a page holds once (`swatch`)."""
    return Markup("\n").join(_symbol(slug, look) for slug, look in sorted(drawn.items()))


def swatch(method: Method) -> Markup:
    """Return a method's piece of line, for keys: colour, dash and marker as in charts."""
    start = Markup('<svg class="line" viewBox="0 0 30 12" aria-hidden="true" focusable="false">')
    return start + Markup('<use href="#swatch-{}"/></svg>').format(method.slug)


def _symbol(slug: str, look: Look) -> Markup:
    with drawing():
        figure = Figure((30 / 72, 12 / 72))
        line = Line2D(
            (0.04, 0.5, 0.96), (0.5, 0.5, 0.5), color=look.colour, linestyle=look.dash,
            linewidth=1.1 if look.bound else 1.7, marker=look.marker or None, markersize=5, markevery=[1],
            markeredgecolor=PAPER, markeredgewidth=0.5, transform=figure.transFigure,
        )  # fmt: skip
        figure.add_artist(line)
        figure.patch.set_visible(False)
    text = page_svg(svg_bytes(figure), f"look-{slug}")
    inside = text[text.index(">") + 1 : text.rindex("</svg>")]
    start = Markup('<symbol id="swatch-{}" viewBox="0 0 30 12">').format(slug)
    return start + Markup(inside) + Markup("</symbol>")


def _line(
    axes: Axes, x: NDArray[np.float64], cells: Sequence[Value], method: Method, grey: bool, band: bool
) -> None:
    """Draw one method's line; its parts carry its id."""
    look, gid = method.look, f"method{method.number}"
    y = np.array([cell.value for cell in cells])
    low, high = (np.array([getattr(cell, end) for cell in cells]) for end in ("low", "high"))
    if band and not grey and not np.isnan(low).all():
        filled = axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)
        filled.set_gid(f"{gid}-band")
    (line,) = axes.plot(
        x, y, color=RULE if grey else look.colour, linestyle="-" if grey else look.dash,
        linewidth=1.1 if grey or look.bound else 1.8, marker="" if grey else look.marker, markersize=4.6,
        markevery=[i for i, v in enumerate(x) if len(x) <= 12 or v in (1, 3, 5) or v % 5 == 0],
        markeredgecolor=PAPER, markeredgewidth=0.6, clip_on=False, zorder=1 if grey else 3,
    )  # fmt: skip
    line.set_gid(gid)


def _figure() -> tuple[Figure, Axes]:
    figure = Figure((WIDTH, HEIGHT))
    return figure, figure.add_axes((0.1, 0.135, 0.88, 0.84))


def _drawn(figure: Figure, prefix: str) -> Markup:
    """Return a figure as markup; its texts are outlines, so nothing of a user's is in it."""
    return Markup(page_svg(svg_bytes(figure), prefix))
