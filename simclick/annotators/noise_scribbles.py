"""Noise on scribbles: an unsteady, broken or wide stroke. Common rules: `simclick.annotators.noise`.

A scribble is a polyline. Noises that move its points first put further points on its segments, so
that neighbours are at most `SPACING` pixels apart along each axis: a segment of n pixels along its
longer axis is cut into ceil(n / SPACING) equal parts, rounded to pixels. A polyline that is that
dense keeps its points. Length is measured in pixels along the points as meant. So the polyline
that landed may have another number of points than the one that was meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np

from simclick.annotators.noise import Displacement, PromptNoise, need_number, rounded
from simclick.case import Case
from simclick.prompts import Prompt
from simclick.seeding import Draws, Words

__all__ = ["SPACING", "ScribbleBreaks", "ScribbleWidth", "ScribbleWobble"]

SPACING = 4
"""Largest distance in pixels, along an axis, between neighbours on a polyline that is moved."""

_WAVES = 4

Points = list[tuple[int, int]]


@dataclass(frozen=True)
class ScribbleWobble(Displacement):
    """Move scribbles by a smooth random displacement along the stroke: an unsteady hand.

    Along each axis the displacement at length s is level × (Σ a_k cos(2πs / λ_k) + b_k sin(2πs /
    λ_k)) / 2, over four waves k = 1…4 of wavelength λ_k = `length` / √k, with a_k, b_k standard
    normals. So every point is displaced normally with standard deviation level along each axis, as
    by `simclick.annotators.noise_clicks.GaussianClick`, and neighbours nearly alike. Draws:
    sixteen normals: a_1…a_4, b_1…b_4 for x, then for y; cosines and sines have nine decimals. This
    is a model of our own, not a measured one.

    Attributes:
        length: The longest wavelength, > 0, in pixels along the stroke, whatever the unit.
    """

    name = "scribble-wobble"
    kinds = frozenset({"scribble"})

    length: float = 50.0

    def __post_init__(self) -> None:
        super().__post_init__()
        need_number("length", self.length, 0.0, above=True)

    def place(
        self, at: tuple[int, ...], words: Words, level: float, dose: tuple[float, float]
    ) -> tuple[int, ...]:
        """Return the polyline with every point moved."""
        points = _dense(at)
        s = np.array(_lengths(points))
        displaced = np.zeros((len(points), 2))
        for axis, (cosines, sines) in enumerate(words.normal(4 * _WAVES).reshape(2, 2, _WAVES)):
            for k, (a, b) in enumerate(zip(cosines, sines, strict=True), start=1):
                angle = 2.0 * math.pi * math.sqrt(k) / self.length * s
                # Nine decimals, so that the last bits of a platform's cosine never show.
                displaced[:, axis] += a * np.cos(angle).round(9) + b * np.sin(angle).round(9)
        moved = np.array(points) + np.floor(displaced / math.sqrt(_WAVES) * dose + 0.5)
        return tuple(int(v) for v in moved.ravel())


@dataclass(frozen=True)
class ScribbleWidth(Displacement):
    """Spread the points of a scribble across the stroke: the marks of a wide or shaking pen.

    A polyline has no width. This stands in for one: each point moves on its own, perpendicularly to
    the stroke, uniformly in ±level / 2, so that the points fill a band of width level; an agent that
    joins them by lines sees a zigzag within that band, not a filled one. The stroke's direction at
    a point is that from the point before to the point after, on the pixel grid; where the two are
    the same pixel, and in a scribble of one point, the point stays. Draws: one uniform per point, in
    order.
    """

    name = "scribble-width"
    kinds = frozenset({"scribble"})

    def place(
        self, at: tuple[int, ...], words: Words, level: float, dose: tuple[float, float]
    ) -> tuple[int, ...]:
        """Return the polyline with every point moved across."""
        points = _dense(at)
        landed: list[int] = []
        for i, u in enumerate(words.uniform(len(points))):
            (x0, y0), (x1, y1) = points[max(i - 1, 0)], points[min(i + 1, len(points) - 1)]
            dx, dy = x1 - x0, y1 - y0
            norm = math.sqrt(dx * dx + dy * dy) or 1.0
            d = float(u) - 0.5
            x, y = points[i]
            landed += [x + rounded(dose[0] * d * -dy / norm), y + rounded(dose[1] * d * dx / norm)]
        return tuple(landed)


@dataclass(frozen=True)
class ScribbleBreaks(PromptNoise):
    """Let only one stretch of a scribble leave a mark: the pen starts late and breaks off early.

    The level, from 0 to 1, is the share of the stroke's length T that is lost. Draws: one uniform u;
    what is kept reaches from length level · u · T to T - level · (1 - u) · T, so that what a higher
    level keeps is a part of what a lower one keeps, and level 1 keeps a point. The ends of the
    stretch are rounded to pixels; the polyline's own points between them stay; there are always two
    points at least, equal where the stretch is a point. Gaps within a stroke are left out: a
    polyline cannot hold them, and further scribbles would change what the round costs.
    """

    name = "scribble-breaks"
    kinds = frozenset({"scribble"})
    max_level: ClassVar[float] = 1.0

    def landed(self, prompt: Prompt, case: Case, draws: Draws, index: int, level: float) -> Prompt:
        """Return the scribble with its ends lost."""
        points = _points(prompt.landed)
        lengths = _lengths(points)
        total = lengths[-1]
        if total == 0:
            return prompt
        u = float(draws.stream("noise", index).uniform(1)[0])
        # The same sum in both places, so that rounding cannot turn the ends around.
        start = level * u * total
        end = max(start, start + (1.0 - level) * total)
        inner = [p for p, s in zip(points, lengths, strict=True) if start < s < end]
        kept = [_at(points, lengths, start), *inner, _at(points, lengths, end)]
        return prompt.moved(v for point in kept for v in point)


def _points(at: tuple[int, ...]) -> Points:
    return list(zip(at[::2], at[1::2], strict=True))


def _dense(at: tuple[int, ...]) -> Points:
    """Return the polyline's points, with further ones where they are more than `SPACING` apart."""
    points = _points(at)
    dense = points[:1]
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        n = max(1, -(-max(abs(dx), abs(dy)) // SPACING))
        dense += [
            (x0 + (2 * i * dx + n) // (2 * n), y0 + (2 * i * dy + n) // (2 * n)) for i in range(1, n + 1)
        ]
    return dense


def _lengths(points: Points) -> list[float]:
    """Return the length along the polyline at each point."""
    lengths = [0.0]
    for (x0, y0), (x1, y1) in pairwise(points):
        lengths.append(lengths[-1] + math.sqrt((x1 - x0) ** 2 + (y1 - y0) ** 2))
    return lengths


def _at(points: Points, lengths: list[float], s: float) -> tuple[int, int]:
    """Return the pixel at length `s` along the polyline."""
    for ((x0, y0), (x1, y1)), (s0, s1) in zip(pairwise(points), pairwise(lengths), strict=True):
        if s0 < s1 and s <= s1:
            share = (s - s0) / (s1 - s0)
            return x0 + rounded(share * (x1 - x0)), y0 + rounded(share * (y1 - y0))
    return points[-1]
