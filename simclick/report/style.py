"""How figures look: colours, lines and marks of agents, and files that are the same every time.

Figures are drawn through matplotlib's objects, never through pyplot: nothing global is left
changed. Agents differ by colour, by dash and by marker, so figures read in grey and without colour
vision; the colours are dark enough on white, and have a light twin for dark pages.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any, TypeAlias

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from simclick.report.runs import Entrant

__all__ = ["THEME", "Look", "drawing", "looks", "page_svg", "png_bytes", "svg_bytes"]

Dash: TypeAlias = Any
DPI = 200

INK, MUTED, RULE, PAPER = "#1c2127", "#5c6670", "#d5dae0", "#ffffff"
_SERIES = (
    ("#0068a8", "#5fb6f2"),
    ("#c8500a", "#f58b4c"),
    ("#00835f", "#35c79d"),
    ("#a8437f", "#e58fc2"),
    ("#8a6400", "#e3b341"),
    ("#5b3fa0", "#b39cf3"),
    ("#7a4526", "#cf9a77"),
    ("#4d5560", "#b4bdc7"),
)
THEME: Mapping[str, tuple[str, str, str]] = {
    "ink": (INK, "#1c2127", "#e6e9ed"),
    "muted": (MUTED, "#5c6670", "#a3adb8"),
    "rule": (RULE, "#d5dae0", "#39424c"),
    "paper": (PAPER, "#ffffff", "#171b20"),
    **{f"c{i}": (light, light, dark) for i, (light, dark) in enumerate(_SERIES)},
}
"""CSS variables of a page: the colour in the figure's file, on a light page, on a dark one."""

_DASHES: Sequence[Dash] = (
    "-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)),
    (0, (9, 2)), (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)), (0, (2.5, 1.2)), (0, (8, 1.5, 3, 1.5)),
)  # fmt: skip
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")

_RC: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.facecolor": PAPER,
    "text.parse_math": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "simclick",
    "path.simplify": True,
}


@dataclass(frozen=True)
class Look:
    """How an agent is drawn, the same in every figure of a report.

    Attributes:
        label: The agent's label.
        colour: Colour of lines and marks.
        dash: Dash pattern of lines.
        marker: Marker.
        bound: Whether it is drawn as a bound: thin, grey, without marker.
    """

    label: str
    colour: str
    dash: Dash
    marker: str
    bound: bool

    @property
    def variable(self) -> str:
        """The colour as the CSS variable of a page."""
        return next(f"var(--{name})" for name, (written, _, _) in THEME.items() if written == self.colour)


def looks(entrants: Sequence[Entrant]) -> dict[str, Look]:
    """Return the look of every agent: by the order of labels, so that it does not hang on results."""
    plain = sorted({e.label for e in entrants if not e.bound})
    colours = cycle(light for light, _ in _SERIES)
    # Dashes and markers take another turn after each round of colours, so that no two looks are equal.
    turn = [(i + i // len(_SERIES)) % len(_SERIES) for i in range(len(plain))]
    found = {
        label: Look(label, colour, _DASHES[t], _MARKERS[t], False)
        for label, colour, t in zip(plain, colours, turn, strict=False)
    }
    for entrant in entrants:
        if entrant.bound:
            found[entrant.label] = Look(entrant.label, MUTED, (0, (1, 1.5)), "", True)
    return found


@contextmanager
def drawing() -> Iterator[None]:
    """Hold matplotlib's settings to ours while a figure is drawn and written.

    Letters that the font lacks show as boxes; matplotlib's warning about each is not passed on.
    """
    settings: dict[Any, Any] = dict(_RC)
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def png_bytes(figure: Figure, dpi: float = DPI) -> bytes:
    """Return a figure as PNG of so many pixels per inch, without a date."""
    stream = io.BytesIO()
    with drawing():
        figure.set_dpi(dpi)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.print_png(stream, metadata={"Software": None})
    return stream.getvalue()


def svg_bytes(figure: Figure) -> bytes:
    """Return a figure as SVG, without a date; texts are outlines."""
    stream = io.StringIO()
    with drawing():
        figure.set_dpi(72)
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(stream, metadata={"Date": None, "Creator": None})
    return stream.getvalue().encode()


def page_svg(svg: bytes, prefix: str) -> str:
    """Return an SVG file as an element of a page that follows its light or dark theme.

    Colours become CSS variables, ids get a prefix of their own, and what a page does not need
    (prologue, comments, metadata, fixed size) is left out.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"\b(id=\"|url\(#|href=\"#)", rf"\g<1>{prefix}-", text)
    for name, (written, _, _) in THEME.items():
        text = re.sub(rf"{written}\b", f"var(--{name})", text, flags=re.I)
    head, rest = text.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', head)
    if box is None:
        raise ValueError("the figure has no viewBox")
    width = float(box.group(1).split()[2])
    attributes = f'viewBox="{box.group(1)}" style="max-width:{width * 1.5:.0f}px;--least:{width * 1.1:.0f}px"'
    return re.sub(r"\s+\n", "\n", f'<svg {attributes} aria-hidden="true" focusable="false">{rest}').strip()
