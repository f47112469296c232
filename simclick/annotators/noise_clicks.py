"""Noise on clicks: they land beside where they were meant. Common rules: `simclick.annotators.noise`.

Labels stay as meant, also where a click lands on the other side of the object's border.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, get_args

from simclick.annotators.noise import (
    Displacement,
    Unit,
    Which,
    chosen,
    need_choice,
    need_number,
    rounded,
    unit_vector,
)
from simclick.prompts import Round
from simclick.seeding import Draws, Words

__all__ = [
    "AnisotropicClick",
    "ClickNoise",
    "GaussianClick",
    "HeavyTailedClick",
    "RingClick",
    "UniformDiscClick",
]


@dataclass(frozen=True)
class ClickNoise(Displacement):
    """Moves clicks.

    Attributes:
        which: ``"all"`` clicks; the ``"first"``: that of the episode's first round, and of several
            the first given; or the ``"positive"`` ones.
    """

    kinds = frozenset({"click"})
    units: ClassVar[tuple[Unit, ...]] = ("px", "mm", "fraction", "extent")

    which: Which = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        need_choice("which", self.which, get_args(Which))

    def touched(self, round_: Round, draws: Draws) -> tuple[int, ...]:
        """Return the indices of the clicks that `which` names."""
        return chosen(round_, draws, self.kinds, self.which)

    def place(
        self, at: tuple[int, ...], words: Words, level: float, dose: tuple[float, float]
    ) -> tuple[int, ...]:
        """Return the click moved by dose × the standard displacement of its draws."""
        dx, dy = self.displacement(words, level)
        return at[0] + rounded(dose[0] * dx), at[1] + rounded(dose[1] * dy)

    @abstractmethod
    def displacement(self, words: Words, level: float) -> tuple[float, float]:
        """Return the standard displacement along x and along y: that of dose 1."""


@dataclass(frozen=True)
class GaussianClick(ClickNoise):
    """Move clicks by independent normal displacements in x and y.

    The level is the standard deviation along each axis. Draws: two normals, for x and for y.
    """

    name = "gaussian-click"

    def displacement(self, words: Words, level: float) -> tuple[float, float]:
        """Return two standard normals."""
        dx, dy = words.normal(2)
        return float(dx), float(dy)


@dataclass(frozen=True)
class UniformDiscClick(ClickNoise):
    """Move clicks to a point uniform in a disc around where they were meant.

    The level is the radius. Draws: two uniforms u, v; the standard displacement is √u · (cos 2πv,
    sin 2πv), cosine and sine rounded to nine decimals so that the last bits of a platform's never
    show.
    """

    name = "uniform-disc-click"

    def displacement(self, words: Words, level: float) -> tuple[float, float]:
        """Return a point uniform in the unit disc."""
        u, v = (float(w) for w in words.uniform(2))
        x, y = unit_vector(v)
        return math.sqrt(u) * x, math.sqrt(u) * y


@dataclass(frozen=True)
class RingClick(ClickNoise):
    """Move clicks by a distance between two bounds, in any direction.

    The level L is the outer bound and max(0, L - `width`) the inner one. Draws: two uniforms u, v;
    the distance is inner + (L - inner) · u, uniform in distance (not in area), and the direction is
    2πv. Levels share u and v: the same direction, and the same place across the ring. A level of at
    most `width` is a dose; above it the distance grows by as much as the level does.

    With the default, levels 10, 20 and 30 in pixels are the ranges 0–10, 10–20 and 20–30 of
    COSMOS's randomness study (Huang et al., Medical Image Analysis 2024, §4.10). The ranges are
    known second-hand; the distribution within them, whether a range bounds the distance or each
    axis, and which points moved, are not known: this reading is an assumption.

    Attributes:
        width: Width of the ring, > 0, in the unit of the level.
    """

    name = "ring-click"

    width: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        need_number("width", self.width, 0.0, above=True)

    def displacement(self, words: Words, level: float) -> tuple[float, float]:
        """Return a point of the ring, its outer bound scaled to 1."""
        u, v = (float(w) for w in words.uniform(2))
        distance = ring_quantile(u, level, self.width)
        x, y = unit_vector(v)
        return distance * x, distance * y


@dataclass(frozen=True)
class HeavyTailedClick(ClickNoise):
    """Move clicks by Student's t in two dimensions: mostly a little, now and then far.

    Draws: 2 + `df` normals; the standard displacement is (z1, z2) / √((z3² + … ) / df), the
    bivariate t, the same in all directions; along each axis it is Student's t with `df` degrees of
    freedom. The level is its scale: the standard deviation along an axis is level · √(df / (df -
    2)), √3 · level for 3, and infinite for 1 (Cauchy) and 2.

    Attributes:
        df: Degrees of freedom, a whole number from 1; the fewer, the heavier the tails.
    """

    name = "heavy-tailed-click"

    df: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.df, bool) or not isinstance(self.df, int) or self.df < 1:
            raise ValueError(f"df={self.df!r} must be a whole number ≥ 1")

    def displacement(self, words: Words, level: float) -> tuple[float, float]:
        """Return a draw of the standard bivariate t."""
        x, y, *rest = (float(z) for z in words.normal(2 + self.df))
        # Normals have nine decimals, so the sum can be exactly 0; the floor keeps that finite.
        spread = math.sqrt(max(sum(z * z for z in rest), 1e-18) / self.df)
        return x / spread, y / spread


@dataclass(frozen=True)
class AnisotropicClick(ClickNoise):
    """Move clicks by a normal displacement that is longer along one axis than across it.

    The level is the standard deviation along the axis, `ratio` · level the one across. Draws: two
    normals a, b; the standard displacement is a along the axis plus `ratio` · b across it: with c,
    s = cos and sin of `angle` to nine decimals, (c·a - s·ratio·b, s·a + c·ratio·b). With ratio 1
    and angle 0 it is `GaussianClick`, number for number. In a unit that differs between x and y the
    axis is one of that unit, not of the pixel grid.

    Attributes:
        ratio: Spread across the axis over spread along it, ≥ 0; 0 is noise along a line.
        angle: Angle of the axis in degrees, from x to the right towards y down.
    """

    name = "anisotropic-click"

    ratio: float = 0.25
    angle: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        need_number("ratio", self.ratio, 0.0)
        need_number("angle", self.angle)

    def displacement(self, words: Words, level: float) -> tuple[float, float]:
        """Return a draw of the standard elongated normal."""
        along, across = (float(z) for z in words.normal(2))
        across *= self.ratio
        c, s = unit_vector(self.angle / 360.0)
        return c * along - s * across, s * along + c * across


def ring_quantile(u: float, level: float, width: float) -> float:
    """Return the distance at quantile u of the ring from max(0, level - width) to level, over level.

    Args:
        u: In [0, 1).
        level: The outer bound, > 0.
        width: The ring's width, > 0, in the level's unit.
    """
    share = min(1.0, width / level)
    return (1.0 - share) + share * u
