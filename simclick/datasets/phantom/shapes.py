"""Shapes as level functions: negative inside, positive outside, about a distance near the edge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from simclick.datasets.phantom.exact import Field, atan2_turns, cos_turns, sin_turns
from simclick.datasets.phantom.fields import Chance, Frame

__all__ = [
    "FAR",
    "Mask",
    "Path",
    "blob",
    "box_level",
    "ellipse",
    "filled",
    "join",
    "roughen",
    "solid",
    "strokes",
    "turned",
    "walk",
    "window",
]

Mask = NDArray[np.bool_]
Path = list[tuple[float, float, float]]
"""A tapering line: ``(x, y, half width)`` at each of its points."""


FAR = 9.0
"""The level given to pixels so far from a shape that their distance does not matter."""

_MARGIN = 0.15
_ANGLES = 2048


def turned(frame: Frame, cx: float, cy: float, turn: float = 0.0) -> tuple[Field, Field]:
    """Return coordinates about a centre, along axes turned clockwise by a part of a full turn."""
    u, v = frame.x - cx, frame.y - cy
    if turn == 0.0:
        return u, v
    c, s = float(cos_turns(turn)), float(sin_turns(turn))
    return u * c + v * s, v * c - u * s


def ellipse(frame: Frame, cx: float, cy: float, rx: float, ry: float, turn: float = 0.0) -> Field:
    """Return the level of an ellipse; a distance along the shorter axis, `FAR` well outside."""

    def level(near: Frame) -> Field:
        u, v = turned(near, cx, cy, turn)
        u, v = u / rx, v / ry
        return (np.sqrt(u * u + v * v) - 1.0) * min(rx, ry)

    return _around(frame, cx, cy, max(rx, ry), level)


def box_level(frame: Frame, cx: float, cy: float, rx: float, ry: float, turn: float = 0.0) -> Field:
    """Return the level of a box with rounded corners (a superellipse of order four)."""

    def level(near: Frame) -> Field:
        u, v = turned(near, cx, cy, turn)
        u, v = u / rx, v / ry
        u, v = u * u, v * v
        return (np.sqrt(np.sqrt(u * u + v * v)) - 1.0) * min(rx, ry)

    return _around(frame, cx, cy, 1.2 * max(rx, ry), level)


def blob(
    frame: Frame,
    cx: float,
    cy: float,
    radius: float,
    chance: Chance,
    lumps: float = 0.15,
    raggedness: float = 0.0,
    squash: float = 1.0,
    turn: float = 0.0,
) -> Field:
    """Return the level of a star-shaped blob: a circle with harmonics along its edge.

    Args:
        frame: Where.
        cx: Centre, to the right.
        cy: Centre, down.
        radius: Mean radius.
        chance: What chooses the harmonics; the same number of draws is taken whatever the rest.
        lumps: Amplitude of harmonics 2 to 5, relative to the radius.
        raggedness: From 0 (smooth) to 1: amplitude of harmonics 7 to 19, which fray the edge.
        squash: Height over width.
        turn: By what part of a turn it is turned.
    """
    angles = np.arange(_ANGLES + 1, dtype=np.float64) / _ANGLES
    edge: Field = np.ones(_ANGLES + 1)
    orders = [(k, lumps / k) for k in (2, 3, 4, 5)]
    orders += [(k, 0.065 * raggedness) for k in (7, 9, 11, 13, 16, 19)]
    for order, amplitude in orders:
        strength, phase = chance.between(0.4, 1.0), chance.between(0.0, 1.0)
        edge += amplitude * strength * cos_turns(angles * order + phase)
    edge = np.maximum(edge, 0.2)

    def level(near: Frame) -> Field:
        u, v = turned(near, cx, cy, turn)
        v = v / squash
        angle = atan2_turns(v, u)
        place = np.minimum((angle - np.floor(angle)) * _ANGLES, _ANGLES - 1.0)
        node = np.floor(place).astype(np.intp)
        reach = edge[node] + (edge[node + 1] - edge[node]) * (place - node)
        return (np.sqrt(u * u + v * v) / reach - radius) * min(1.0, squash)

    return _around(frame, cx, cy, 1.5 * radius * max(1.0, squash), level)


def window(frame: Frame, cx: float, cy: float, reach: float) -> tuple[slice, slice, Frame]:
    """Return the rows and columns within `reach` of a point in x and in y, and the frame of them."""
    left, right = np.searchsorted(frame.x[0], [cx - reach, cx + reach]).tolist()
    top, bottom = np.searchsorted(frame.y[:, 0], [cy - reach, cy + reach]).tolist()
    rows, columns = slice(top, bottom), slice(left, right)
    return rows, columns, Frame(frame.x[:, columns], frame.y[rows], frame.px)


def _around(frame: Frame, cx: float, cy: float, reach: float, level: Callable[[Frame], Field]) -> Field:
    """Return a level that is computed near a shape only, and `FAR` elsewhere."""
    rows, columns, near = window(frame, cx, cy, reach + _MARGIN)
    if near.shape == frame.shape:
        return level(frame)
    result: Field = np.full(frame.shape, FAR)
    if 0 not in near.shape:
        result[rows, columns] = level(near)
    return result


def roughen(level: Field, noise: Field, raggedness: float, reach: float) -> Field:
    """Return a level function whose edge wanders by `noise` times `raggedness` times `reach`."""
    return level + noise * (raggedness * reach)


def join(a: Field, b: Field, soft: float) -> Field:
    """Return the union of two shapes with the notch between them filled over a width `soft`."""
    h = np.maximum(soft - np.abs(a - b), 0.0)
    return np.minimum(a, b) - h * h * (0.25 / soft)


def solid(mask: Mask) -> Mask:
    """Return the largest 8-connected component with its holes filled (the first one on a tie)."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=bool))
    if count > 1:
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        mask = labels == int(np.argmax(sizes))
    return filled(mask)


def filled(mask: Mask) -> Mask:
    """Return a mask with its holes filled: background that does not reach the image's border."""
    labels, count = ndimage.label(~mask)
    outside = np.zeros(count + 1, dtype=np.bool_)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        outside[edge] = True
    outside[0] = False
    filled: NDArray[np.bool_] = ~outside[labels]
    return filled


def strokes(frame: Frame, paths: Sequence[Path], level: Field | None = None) -> Field:
    """Return the level of tapering lines: the distance to the nearest, less its half width there.

    Far from every line the level is a large number; only its sign and its values near lines count.
    """
    if level is None:
        level = np.full(frame.shape, FAR)
    xs, ys = frame.x[0], frame.y[:, 0]
    for path in paths:
        for (x0, y0, r0), (x1, y1, r1) in pairwise(path):
            margin = max(r0, r1) + 5.0 * frame.px
            left, right = np.searchsorted(xs, [min(x0, x1) - margin, max(x0, x1) + margin]).tolist()
            top, bottom = np.searchsorted(ys, [min(y0, y1) - margin, max(y0, y1) + margin]).tolist()
            if left == right or top == bottom:
                continue
            u, v = xs[None, left:right] - x0, ys[top:bottom, None] - y0
            dx, dy = x1 - x0, y1 - y0
            along = np.clip((u * dx + v * dy) / max(dx * dx + dy * dy, 1e-12), 0.0, 1.0)
            u, v = u - along * dx, v - along * dy
            here = np.sqrt(u * u + v * v) - (r0 + (r1 - r0) * along)
            view = level[top:bottom, left:right]
            np.minimum(view, here, out=view)
    return level


def walk(
    start: tuple[float, float],
    heading: float,
    length: float,
    widths: tuple[float, float],
    chance: Chance,
    wander: float,
    step: float = 0.03,
    bend: float = 0.0,
) -> Path:
    """Return a wandering, tapering line.

    Args:
        start: Its first point.
        heading: Its first direction in turns; 0 is to the right, 0.25 down.
        length: How long it is.
        widths: Half widths at its ends.
        chance: What it wanders by.
        wander: About how far the direction strays from `heading`, in turns (standard deviation).
        step: How long a step is.
        bend: How much the direction changes per unit of length, in turns.
    """
    n = max(1, int(length / step))
    headings, swing = [], 0.0
    for i, kick in enumerate(chance.uniform(n).tolist()):
        swing = 0.85 * swing + wander * 0.9 * (2.0 * kick - 1.0)
        headings.append(heading + swing + bend * step * (i + 1))
    cosines, sines = cos_turns(headings).tolist(), sin_turns(headings).tolist()
    x, y = start
    path: Path = [(x, y, widths[0])]
    for i, (c, s) in enumerate(zip(cosines, sines, strict=True)):
        x, y = x + c * step, y + s * step
        path.append((x, y, widths[0] + (widths[1] - widths[0]) * ((i + 1) / n)))
    return path
