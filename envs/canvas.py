"""A canvas in the pixel coordinates of an image: outlines, marks and numbers, with smooth edges.

Everything is drawn on a finer grid and averaged down, so edges are smooth; where nothing is drawn
the picture keeps its exact values.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "Colour"]

Colour: TypeAlias = tuple[int, int, int]
"""RGB, 0 to 255 each."""

_Rectangle: TypeAlias = tuple[float, float, float, float]

DARK: Colour = (20, 20, 20)
LIGHT: Colour = (255, 255, 255)
SIDE = 512
"""Length of a picture's longer side at which lines have the widths below, in pixels."""
LINE = 1.6
HALO = 1.0
RADIUS = 5.8
RING = 3.5
FONT = cv2.FONT_HERSHEY_DUPLEX
TEXT = 0.44
SHIFT = 4
"""Fractional bits of the coordinates that OpenCV is given."""


class Canvas:
    """A picture that is drawn on in the coordinates of the image beneath it.

    Args:
        picture: UInt8[H * factor, W * factor, 3], the enlarged image.
        factor: How many of its pixels an image pixel covers along a side.
        origin: ``(x, y)`` of the image pixel in the upper left corner.
        marks: How many times larger than usual lines, marks and numbers are.
    """

    def __init__(
        self, picture: NDArray[np.uint8], factor: int, origin: tuple[int, int] = (0, 0), marks: float = 1.0
    ) -> None:
        height, width = picture.shape[:2]
        self._fine = 3 if max(height, width) <= 1024 else 2 if max(height, width) <= 2048 else 1
        self._size = (width, height)
        self._origin = np.array(origin, dtype=np.float64)
        self._scale = factor * self._fine
        self._unit = max(0.6, max(height, width) / SIDE) * self._fine * marks
        self._pixels = picture.repeat(self._fine, axis=0).repeat(self._fine, axis=1)
        self._taken: list[_Rectangle] = []

    def picture(self) -> NDArray[np.uint8]:
        """Return the picture at its own resolution."""
        if self._fine == 1:
            return self._pixels
        small = cv2.resize(self._pixels, self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8)

    def outline(self, mask: NDArray[np.bool_], colour: Colour, dashed: bool = False) -> None:
        """Draw the outline of a mask, along the inner edge of its pixels' squares.

        Args:
            mask: Bool[h + 2, w + 2] for a picture of h x w image pixels: one more on every side, so
                that a mask that goes on beyond the picture has no outline there.
            colour: Its colour.
            dashed: Whether it is dashed.
        """
        squares = mask.astype(np.uint8).repeat(self._scale, axis=0).repeat(self._scale, axis=1)
        found, _ = cv2.findContours(squares, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        contours = [contour[:, 0] - self._scale for contour in found]
        lines = [_dashes(points, 7 * self._unit) if dashed else [points] for points in contours]
        for line in (line for parts in lines for line in parts):
            self._polyline(line, DARK, LINE + HALO, closed=not dashed)
        for line in (line for parts in lines for line in parts):
            self._polyline(line, colour, LINE, closed=not dashed)

    def badge(self, at: Sequence[int], positive: bool, colour: Colour) -> None:
        """Draw a disc with a plus or a minus sign, centred on the pixel ``(x, y)``."""
        centre, radius = self._at(at), RADIUS * self._unit
        self._disc(centre, radius + 1.3 * self._unit, LIGHT)
        self._disc(centre, radius, colour)
        arm = 0.55 * radius
        for dx, dy in ((arm, 0.0), (0.0, arm)) if positive else ((arm, 0.0),):
            arms = np.array((dx, dy))
            self._polyline(np.array([centre - arms, centre + arms]), LIGHT, 1.8)
        self._take(centre, radius + 1.3 * self._unit)

    def ring(self, at: Sequence[int], colour: Colour) -> None:
        """Draw a small hollow circle, centred on the pixel ``(x, y)``."""
        centre, radius = self._at(at), RING * self._unit
        for width, shade in ((3.2, LIGHT), (1.4, colour)):
            self._circle(centre, radius, shade, width)
        self._take(centre, radius + 1.6 * self._unit)

    def link(self, start: Sequence[int], end: Sequence[int], colour: Colour) -> None:
        """Draw a thin line from the `ring` around a pixel to another pixel, if that is outside."""
        centre, goal = self._at(start), self._at(end)
        length = float(np.hypot(*(goal - centre)))
        if length > RING * self._unit:
            edge = centre + (goal - centre) * (RING * self._unit / length)
            self._haloed(np.array([edge, goal]), colour, 1.2)
            for share in (0.2, 0.5, 0.8):  # Numbers keep off the line too.
                self._take(edge + (goal - edge) * share, 1.5 * self._unit)

    def box(self, box: Sequence[int], colour: Colour, hollow: bool) -> None:
        """Draw a box around the pixels from ``(x0, y0)`` to ``(x1, y1)``; thin and dashed if hollow."""
        x0, y0 = self._at(box[:2]) - (self._scale - 1) / 2
        x1, y1 = self._at(box[2:]) + (self._scale - 1) / 2
        corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
        self._line(corners, colour, hollow)

    def stroke(self, polyline: Sequence[int], colour: Colour, hollow: bool) -> None:
        """Draw a polyline ``(x0, y0, x1, y1, …)``; thin and dashed if hollow."""
        xy = np.array(polyline, dtype=np.float64).reshape(-1, 2)
        self._line(np.array([self._at(point) for point in xy]), colour, hollow)

    def number(self, at: Sequence[int], text: str, colour: Colour) -> None:
        """Write a number beside the badge at pixel ``(x, y)``, where it hides least."""
        glyphs = _glyphs(text, TEXT * self._unit, max(1, round(1.1 * self._unit)))
        height, width = glyphs.shape
        x, y = self._free_place(self._at(at), width, height)
        reach = max(1, round(1.3 * self._unit))
        glyphs = np.pad(glyphs, reach)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        place = (round(x) - reach, round(y) - reach)
        self._blend(np.asarray(cv2.dilate(glyphs, disc)), place, DARK)
        self._blend(glyphs, place, colour)

    def _blend(self, cover: NDArray[Any], place: tuple[int, int], colour: Colour) -> None:
        """Lay a colour over the picture where `cover` (0 to 255) says, upper left corner at `place`."""
        (x, y), (height, width) = place, cover.shape
        pixels = self._pixels[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
        cover = cover[max(0, -y) :, max(0, -x) :][: pixels.shape[0], : pixels.shape[1], None] / 255
        pixels[:] = np.rint(pixels * (1 - cover) + np.array(colour) * cover).astype(np.uint8)

    def _take(self, centre: NDArray[np.float64], reach: float) -> None:
        (x0, y0), (x1, y1) = centre - reach, centre + reach
        self._taken.append((x0, y0, x1, y1))

    def _free_place(self, centre: NDArray[np.float64], width: float, height: float) -> tuple[float, float]:
        """Return the upper left corner of the free place nearest to the first choice, and take it."""
        gap = (RADIUS + 4.0) * self._unit
        across, down = gap + width / 2, gap + height / 2
        ways = ((1, 0), (0, -1), (0, 1), (-1, 0), (1, -1), (1, 1), (-1, 1), (-1, -1))
        best: tuple[float, _Rectangle] | None = None
        for dx, dy in ways:
            x, y = centre[0] + dx * across - width / 2, centre[1] + dy * down - height / 2
            spot = (x, y, x + width, y + height)
            cost = self._crowding(spot)
            if best is None or cost < best[0] - 1e-9:
                best = (cost, spot)
        assert best is not None
        self._taken.append(best[1])
        return best[1][:2]

    def _crowding(self, spot: _Rectangle) -> float:
        """Return the area of a rectangle that is taken, and ten times that outside the picture."""
        height, width = self._pixels.shape[:2]
        inside = _overlap(spot, (0.0, 0.0, width, height))
        area = (spot[2] - spot[0]) * (spot[3] - spot[1])
        return sum(_overlap(spot, taken) for taken in self._taken) + 10 * (area - inside)

    def _at(self, xy: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the place on the fine grid of an image pixel's centre."""
        return (np.array(xy[:2], dtype=np.float64) - self._origin + 0.5) * self._scale - 0.5

    def _line(self, points: NDArray[np.float64], colour: Colour, hollow: bool) -> None:
        if not hollow:
            self._haloed(points, colour, 2.4)
            return
        for part in _dashes(_densified(points), 5 * self._unit):
            self._haloed(part, colour, 1.2)

    def _haloed(self, points: NDArray[np.float64], colour: Colour, width: float) -> None:
        self._polyline(points, LIGHT, width + 1.6)
        self._polyline(points, colour, width)

    def _polyline(
        self, points: NDArray[np.floating | np.integer], colour: Colour, width: float, closed: bool = False
    ) -> None:
        fixed = np.rint(np.asarray(points) * (1 << SHIFT)).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(self._pixels, [fixed], closed, colour, self._thick(width), cv2.LINE_AA, SHIFT)

    def _disc(self, centre: NDArray[np.float64], radius: float, colour: Colour) -> None:
        self._circle(centre, radius, colour, None)

    def _circle(
        self, centre: NDArray[np.float64], radius: float, colour: Colour, width: float | None
    ) -> None:
        x, y, r = (round(float(v) * (1 << SHIFT)) for v in (*centre, radius))
        thick = cv2.FILLED if width is None else self._thick(width)
        cv2.circle(self._pixels, (x, y), r, colour, thick, cv2.LINE_AA, SHIFT)

    def _thick(self, width: float) -> int:
        return max(1, round(float(width * self._unit)))


def _glyphs(text: str, scale: float, thick: int) -> NDArray[np.uint8]:
    """Return a text's coverage, 0 to 255, cut to its ink.

    Measured rather than asked for: versions of OpenCV differ in font, size and baseline, and what
    they call thickness is a stroke in one and a weight in another.
    """
    (width, height), below = cv2.getTextSize(text, FONT, scale, thick)
    margin = height + below
    ink = np.zeros((3 * margin, width + 2 * margin), dtype=np.uint8)
    cv2.putText(ink, text, (margin, 2 * margin), FONT, scale, (255,), thick, cv2.LINE_AA)
    x, y, w, h = cv2.boundingRect(ink)
    return ink[y : y + h, x : x + w]


def _overlap(a: _Rectangle, b: _Rectangle) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, width) * max(0.0, height)


def _densified(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a polyline with a point about every pixel."""
    parts = [points[:1]]
    for start, end in pairwise(points):
        steps = max(1, int(np.abs(end - start).max()))
        parts.append(start + (end - start) * (np.arange(1, steps + 1)[:, None] / steps))
    return np.concatenate(parts)


def _dashes(points: NDArray[np.floating | np.integer], length: float) -> list[NDArray[np.float64]]:
    """Return the dashes of a line whose points lie about a pixel apart; gaps are as long."""
    n = max(2, round(length))
    return [points[i : i + n].astype(np.float64) for i in range(0, len(points), 2 * n)]
