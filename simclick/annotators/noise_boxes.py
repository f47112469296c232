"""Noise on boxes: they land beside, too wide or too tight. Common rules: `simclick.annotators.noise`.

An edge counts in the unit of its axis: x0 and x1 along x, y0 and y1 along y. Edges that cross
change places, so that the box stays in order; noises that only shrink never cross: where two
opposite edges would, both stop at the pixel where they meet, so that one pixel is left along that
axis. They meet at x0 + floor(W · a / (a + b) + 0.5), where W = x1 - x0 and a, b are the whole
pixels by which the first and the last edge would move inwards.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from simclick.annotators.noise import (
    Displacement,
    Unit,
    need_choice,
    need_number,
    rounded,
    unit_vector,
)
from simclick.annotators.noise_clicks import ring_quantile
from simclick.seeding import Words

__all__ = ["BoxEdges", "BoxGrow", "BoxNoise", "BoxRing", "BoxScale", "BoxShift", "BoxShrink", "Direction"]

Direction = Literal["any", "out", "in"]

_OUT = (-1.0, -1.0, 1.0, 1.0)
"""The sign of a move outwards of x0, y0, x1, y1."""


@dataclass(frozen=True)
class BoxNoise(Displacement):
    """Moves boxes."""

    kinds = frozenset({"box"})
    units: ClassVar[tuple[Unit, ...]] = ("px", "mm", "fraction", "box")

    def place(
        self, at: tuple[int, ...], words: Words, level: float, dose: tuple[float, float]
    ) -> tuple[int, ...]:
        """Return the box with each edge moved by dose × its standard displacement."""
        x0, y0, x1, y1 = (
            v + rounded(dose[i % 2] * d)
            for i, (v, d) in enumerate(zip(at, self.displacement(words, level), strict=True))
        )
        if self.inward:
            (x0, x1), (y0, y1) = _meeting(at[0], at[2], x0, x1), _meeting(at[1], at[3], y0, y1)
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    @property
    def inward(self) -> bool:
        """Whether opposite edges stop where they meet, instead of changing places."""
        return False

    @abstractmethod
    def displacement(self, words: Words, level: float) -> tuple[float, ...]:
        """Return the standard displacement of x0, y0, x1, y1: that of dose 1."""


@dataclass(frozen=True)
class BoxEdges(BoxNoise):
    """Move each edge of a box alone, inwards or outwards, uniformly in ±level.

    Draws: four uniforms u, for x0, y0, x1, y1; the standard displacement is 2u - 1. Edges that
    cross change places, so that the box stays in order.
    """

    name = "box-edges"

    def displacement(self, words: Words, level: float) -> tuple[float, ...]:
        """Return four numbers uniform in [-1, 1)."""
        return tuple(2.0 * float(u) - 1.0 for u in words.uniform(4))


@dataclass(frozen=True)
class BoxShift(BoxNoise):
    """Move boxes as a whole, uniformly in ±level along x and along y.

    Draws: two uniforms u, for x and for y; the standard displacement is 2u - 1. The box keeps its
    size, unless a part of it lands outside the image and is cut off there.
    """

    name = "box-shift"

    def displacement(self, words: Words, level: float) -> tuple[float, ...]:
        """Return dx, dy, dx, dy with dx and dy uniform in [-1, 1)."""
        dx, dy = (2.0 * float(u) - 1.0 for u in words.uniform(2))
        return dx, dy, dx, dy


@dataclass(frozen=True)
class BoxGrow(BoxNoise):
    """Move edges outwards, uniformly between 0 and the level: a box drawn too generously.

    Draws: four uniforms u, for x0, y0, x1, y1, or a single one for all with ``sides="same"``.
    A box that touches the image's border cannot grow there: ``border="reject"`` then seldom
    finds a try, and clips.

    Attributes:
        sides: ``"each"`` edge has a draw of its own; ``"same"``: all four move equally far.
    """

    name = "box-grow"

    sides: Literal["each", "same"] = "each"

    def __post_init__(self) -> None:
        super().__post_init__()
        need_choice("sides", self.sides, ("each", "same"))

    def displacement(self, words: Words, level: float) -> tuple[float, ...]:
        """Return four numbers in [0, 1), signed outwards."""
        draws = words.uniform(4 if self.sides == "each" else 1)
        return tuple(sign * float(draws[i % len(draws)]) for i, sign in enumerate(_OUT))


@dataclass(frozen=True)
class BoxShrink(BoxNoise):
    """Move edges inwards, uniformly between 0 and the level: a box that cuts into the object.

    Draws: as `BoxGrow`, so that both move equally far at the same level. Edges never cross (see
    the module); at least one pixel is left.

    Attributes:
        sides: As for `BoxGrow`.
    """

    name = "box-shrink"

    sides: Literal["each", "same"] = "each"

    def __post_init__(self) -> None:
        super().__post_init__()
        need_choice("sides", self.sides, ("each", "same"))

    @property
    def inward(self) -> bool:
        """Edges stop where they meet."""
        return True

    def displacement(self, words: Words, level: float) -> tuple[float, ...]:
        """Return four numbers in [0, 1), signed inwards."""
        return tuple(-d for d in BoxGrow(sides=self.sides).displacement(words, level))


@dataclass(frozen=True)
class BoxScale(BoxNoise):
    """Scale boxes about their centre by one factor for both sides.

    The factor is 1 + level · d: ``any``: d = 2u - 1; ``out``: d = u; ``in``: d = -u, from one
    uniform u. A level is thus a share of the box's own sides. Sides count the last pixel; each edge
    moves by half of its side's change. A factor of 0 or less leaves one pixel, at the centre.

    Attributes:
        unit: Always ``"box"``.
        direction: Which factors there are.
    """

    name = "box-scale"
    units: ClassVar[tuple[Unit, ...]] = ("box",)

    unit: Unit = "box"
    direction: Direction = "any"

    def __post_init__(self) -> None:
        super().__post_init__()
        need_choice("direction", self.direction, get_args(Direction))

    @property
    def inward(self) -> bool:
        """Edges stop where they meet: at the centre."""
        return True

    def displacement(self, words: Words, level: float) -> tuple[float, ...]:
        """Return the four edges' shares of their sides."""
        u = float(words.uniform(1)[0])
        d = {"any": 2.0 * u - 1.0, "out": u, "in": -u}[self.direction]
        return tuple(sign * d / 2.0 for sign in _OUT)


@dataclass(frozen=True)
class BoxRing(BoxNoise):
    """Move boxes or their edges by a distance between two bounds.

    The level L is the outer bound and max(0, L - `width`) the inner one; a distance is inner + (L -
    inner) · u. Levels share all draws, as in `simclick.annotators.noise_clicks.RingClick`.

    ``mode="rigid"``: the whole box moves by one distance in one direction. Draws: two uniforms, for
    the distance and for the angle, as `RingClick`: a box moves exactly as its centre would.

    ``mode="edges"``: each edge moves alone. Draws: eight uniforms: the distances of x0, y0, x1, y1,
    then their directions: with ``direction="any"`` an edge moves outwards where its uniform is
    under 0.5, else inwards; with ``"out"`` and ``"in"`` those four are drawn and not used, so that
    the distances are the same. With ``"in"`` edges never cross (see the module), with ``"any"``
    those that cross change places.

    COSMOS's randomness study (Huang et al., Medical Image Analysis 2024, §4.10) enlarged or moved
    boxes by 0–10, 10–20 and 20–30 pixels: levels 10, 20, 30 with the default width. The ranges are
    known second-hand; whether a box moved rigidly or edge by edge is not known, hence the options.

    Attributes:
        mode: ``"edges"`` or ``"rigid"``.
        direction: Where edges move; ``"any"`` for rigid boxes.
        width: Width of the ring, > 0, in the unit of the level.
    """

    name = "box-ring"

    mode: Literal["edges", "rigid"] = "edges"
    direction: Direction = "any"
    width: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        need_choice("mode", self.mode, ("edges", "rigid"))
        need_choice("direction", self.direction, get_args(Direction))
        if self.mode == "rigid" and self.direction != "any":
            raise ValueError(f"direction={self.direction!r} needs mode=edges: a rigid box has no in and out")
        need_number("width", self.width, 0.0, above=True)

    @property
    def inward(self) -> bool:
        """Whether all edges move inwards."""
        return self.direction == "in"

    def displacement(self, words: Words, level: float) -> tuple[float, ...]:
        """Return the edges' displacements, the outer bound scaled to 1."""
        if self.mode == "rigid":
            u, v = (float(w) for w in words.uniform(2))
            distance = ring_quantile(u, level, self.width)
            x, y = unit_vector(v)
            return distance * x, distance * y, distance * x, distance * y
        draws = [float(u) for u in words.uniform(8)]
        distances = [ring_quantile(u, level, self.width) for u in draws[:4]]
        outward = {"any": [u < 0.5 for u in draws[4:]], "out": [True] * 4, "in": [False] * 4}[self.direction]
        return tuple(
            sign * d if out else -sign * d for sign, d, out in zip(_OUT, distances, outward, strict=True)
        )


def _meeting(first: int, last: int, new_first: int, new_last: int) -> tuple[int, int]:
    """Return the new edges along one axis, both where they meet if they would cross."""
    if new_first <= new_last:
        return new_first, new_last
    a, b = new_first - first, last - new_last
    at = first + (2 * (last - first) * a + a + b) // (2 * (a + b))
    return at, at
