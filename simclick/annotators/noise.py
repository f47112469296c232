"""Noise on prompts: the annotator meant one place and hit another.

Every noise here moves prompts of one kind by ``level`` × scale × a fixed number of standard draws,
and passes the others on. The draws of a prompt come from the stream ``noise`` under the prompt's
index in its round and do not depend on the level, so levels and agents are paired: a level is a
dose. Level 0 returns the round itself.

Common rules. Displacements are in pixels (``unit="px"``, scale 1) or in equivalent diameters of
the case's object (``unit="fraction"``, scale 2·√(area / π); an empty object has 0, and its prompts
stay). A displacement d is rounded to floor(d + 0.5); the coordinates are then moved to the nearest
pixel inside the image, so what would land outside lands on the border. Labels do not change.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from simclick.case import Case
from simclick.geometry import clip_box, clip_point, equivalent_diameter
from simclick.prompts import Kind, Prompt, Round
from simclick.seeding import Draws, Words

__all__ = ["BoxEdges", "BoxShift", "GaussianClick", "UniformDiscClick", "Unit"]

Unit = Literal["px", "fraction"]


@dataclass(frozen=True)
class _Displacement(ABC):
    """Moves each prompt of one kind by level × scale × the standard displacement of its draws.

    Attributes:
        unit: What a level is a multiple of: ``"px"`` or ``"fraction"`` (see the module).
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    kind: ClassVar[Kind]

    unit: Unit = "px"

    def __post_init__(self) -> None:
        if self.unit not in get_args(Unit):
            raise ValueError(f"unit={self.unit!r} must be one of {', '.join(get_args(Unit))}")

    def perturb(self, round_: Round, case: Case, draws: Draws, level: float) -> Round:
        """Return the round with its prompts of this kind moved; `round_` itself at level 0.

        Raises:
            ValueError: When the level is negative or not finite.
        """
        if not 0 <= level < math.inf:
            raise ValueError(f"noise level {level} must be finite and ≥ 0")
        if level == 0 or all(prompt.kind != self.kind for prompt in round_.prompts):
            return round_
        dose = level * (1.0 if self.unit == "px" else equivalent_diameter(case.truth))
        return Round(
            tuple(
                self._moved(prompt, dose, draws.stream("noise", index), case.size)
                if prompt.kind == self.kind
                else prompt
                for index, prompt in enumerate(round_.prompts)
            )
        )

    def _moved(self, prompt: Prompt, dose: float, words: Words, size: tuple[int, int]) -> Prompt:
        """Return the prompt moved by dose × the standard displacement, inside the image."""
        shifts = (math.floor(dose * d + 0.5) for d in self.displacement(words))
        x, *rest = (v + shift for v, shift in zip(prompt.landed, shifts, strict=True))
        if self.kind == "click":
            return prompt.moved(clip_point(x, rest[0], size))
        y, x_end, y_end = rest
        ordered = (min(x, x_end), min(y, y_end), max(x, x_end), max(y, y_end))
        return prompt.moved(clip_box(ordered, size))

    @abstractmethod
    def displacement(self, words: Words) -> tuple[float, ...]:
        """Return the standard displacement of each coordinate: that of dose 1."""


class GaussianClick(_Displacement):
    """Move clicks by independent normal displacements in x and y.

    The level is the standard deviation along each axis. Draws: two normals, for x and for y.
    """

    name = "gaussian-click"
    kind = "click"

    def displacement(self, words: Words) -> tuple[float, ...]:
        """Return two standard normals."""
        dx, dy = words.normal(2)
        return float(dx), float(dy)


class UniformDiscClick(_Displacement):
    """Move clicks to a point uniform in a disc around where they were meant.

    The level is the radius. Draws: two uniforms u, v; the standard displacement is √u · (cos 2πv,
    sin 2πv), cosine and sine rounded to nine decimals so that the last bits of a platform's never
    show.
    """

    name = "uniform-disc-click"
    kind = "click"

    def displacement(self, words: Words) -> tuple[float, ...]:
        """Return a point uniform in the unit disc."""
        u, v = (float(w) for w in words.uniform(2))
        radius, angle = math.sqrt(u), 2.0 * math.pi * v
        return radius * round(math.cos(angle), 9), radius * round(math.sin(angle), 9)


class BoxEdges(_Displacement):
    """Move each edge of a box alone, inwards or outwards, uniformly in ±level.

    Draws: four uniforms u, for x0, y0, x1, y1; the standard displacement is 2u - 1. Edges that
    cross change places, so that the box stays in order.
    """

    name = "box-edges"
    kind = "box"

    def displacement(self, words: Words) -> tuple[float, ...]:
        """Return four numbers uniform in [-1, 1)."""
        return tuple(2.0 * float(u) - 1.0 for u in words.uniform(4))


class BoxShift(_Displacement):
    """Move boxes as a whole, uniformly in ±level along x and along y.

    Draws: two uniforms u, for x and for y; the standard displacement is 2u - 1. The box keeps its
    size, unless a part of it lands outside the image and is cut off there.
    """

    name = "box-shift"
    kind = "box"

    def displacement(self, words: Words) -> tuple[float, ...]:
        """Return dx, dy, dx, dy with dx and dy uniform in [-1, 1)."""
        dx, dy = (2.0 * float(u) - 1.0 for u in words.uniform(2))
        return dx, dy, dx, dy
