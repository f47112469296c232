"""What an object looks like in its image, as numbers that may explain why it is easy or hard.

The choice is COSMOS's (Huang et al. 2024, section 4.8): size, aspect, difference of intensity, boundary
complexity; with components, holes and contrast beside. The paper leaves details open, and its released
code was no source: what is chosen here stands below, so compare with its numbers in kind, not digit by digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from simclick.geometry import largest_component

__all__ = ["ATTRIBUTES", "attributes", "fourier_orders"]

ATTRIBUTES = (
    "area_share",
    "aspect",
    "intensity_difference",
    "contrast_to_noise",
    "fourier_order",
    "fourier_order_paper",
    "components",
    "holes",
)
"""Names of all attributes, in the order in which they are returned."""

GOOD_DICE, LEAST_GAIN = 0.97, 0.001
PATIENCE = 8
"""So many further orders must bring no gain before the corrected rule stops."""
MOST_ORDERS = 64
_SURROUND = 0.1
_SAMPLES = 512  # points of a drawn outline
_FRACTION_BITS = 6

_Mask = NDArray[np.bool_]
_Floats = NDArray[np.float64]


def attributes(image: NDArray[np.uint8], truth: _Mask) -> dict[str, float]:
    """Return the attributes of an object; what is not defined is left out, so every number is finite.

    Brightness is OpenCV's 8-bit luma, ``0.299 R + 0.587 G + 0.114 B``. The *surround* is the truth's
    bounding box with each side moved outwards by a tenth of the box's length in that direction (rounded,
    at least one pixel, cut at the image's border), without the object. Numbers are rounded to nine decimals.

    Args:
        image: UInt8[H, W, 3], RGB.
        truth: Bool[H, W].

    Returns:
        - ``area_share``: the object's share of the image's pixels.
        - ``aspect``: short by long side of the bounding box; 1 for a square box.
        - ``intensity_difference``: absolute difference of mean brightness between object and surround
          over 255. Missing where the object fills the surround.
        - ``contrast_to_noise``: the same difference over the root of the mean of the variances in object
          and surround. Missing where both are constant.
        - ``fourier_order`` and ``fourier_order_paper``: see `fourier_orders`. Missing where the largest
          component has an outline without three corners.
        - ``components``: 8-connected parts. ``holes``: 4-connected parts of the background that do not
          reach the outside.

        An empty truth has ``area_share``, ``components`` and ``holes`` alone, all 0.
    """
    height, width = truth.shape
    rows, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    if len(rows) == 0:
        return {"area_share": 0.0, "components": 0.0, "holes": 0.0}
    top, left = int(rows[0]), int(columns[0])
    h, w = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
    more_h, more_w = max(1, round(_SURROUND * h)), max(1, round(_SURROUND * w))
    around = (
        slice(max(0, top - more_h), min(height, top + h + more_h)),
        slice(max(0, left - more_w), min(width, left + w + more_w)),
    )
    crop = np.ascontiguousarray(truth[top : top + h, left : left + w])
    found = {"area_share": int(np.count_nonzero(crop)) / truth.size, "aspect": min(h, w) / max(h, w)}
    found |= _brightness(image[around], truth[around])
    if (orders := fourier_orders(crop)) is not None:
        found["fourier_order"], found["fourier_order_paper"] = orders
    found["components"] = float(_parts(crop, 8))
    found["holes"] = float(_parts(np.pad(~crop, 1, constant_values=True), 4) - 1)
    return {name: round(found[name], 9) for name in ATTRIBUTES if name in found}


def _parts(mask: _Mask, connectivity: int) -> int:
    return int(cv2.connectedComponents(mask.view(np.uint8), connectivity=connectivity)[0]) - 1


def _brightness(image: NDArray[np.uint8], truth: _Mask) -> dict[str, float]:
    """Return the difference of brightness between object and the rest, and the same by the spread."""
    if truth.all():
        return {}
    luma = np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    inside, outside = _moments(luma, truth), _moments(luma, ~truth)
    difference, spread = abs(inside[0] - outside[0]), math.sqrt((inside[1] + outside[1]) / 2)
    found = {"intensity_difference": difference / 255}
    return {**found, "contrast_to_noise": difference / spread} if spread > 0 else found


def _moments(luma: NDArray[np.uint8], where: _Mask) -> tuple[float, float]:
    """Return mean and variance where a mask holds, from integer counts: the same on every machine."""
    counts = cv2.calcHist([luma], [0], where.view(np.uint8), [256], [0, 256]).ravel().astype(np.int64)
    levels = np.arange(256, dtype=np.int64)
    n, total, squares = int(counts.sum()), int(counts @ levels), int(counts @ (levels * levels))
    return total / n, (n * squares - total * total) / (n * n)


def fourier_orders(mask: _Mask) -> tuple[float, float] | None:
    """Return how complex an outline is, by two rules: corrected and as COSMOS's paper has it.

    The outer contour of the largest component runs through the centres of its border pixels. D(F) is the
    Dice of two filled shapes: inside the contour, and inside the sum of its first F elliptic Fourier
    harmonics (Kuhl & Giardina 1982, by `pyefd`; drawn by OpenCV, outlines belong to the shape). Both
    rules give ``F + 200 * (1 - D(F))``, so a shape that F harmonics draw badly counts as more complex,
    and stop at the first F with D(F) > 0.97. They differ in when they give up.

    - *paper*: at the first F > 1 with D(F) - D(F - 1) < 0.001. A five-pointed star has no harmonic 2 or
      3, so this stops at 2 and never sees the points.
    - *corrected*: when `PATIENCE` orders in a row have gained less than 0.001 on the best one before
      them; F is then that best one. So symmetric shapes of up to eight points are seen.

    Neither goes past `MOST_ORDERS`.

    Returns:
        ``(corrected, paper)``; None where the contour has fewer than three corners: a pixel, a straight
        line.
    """
    part = largest_component(mask)
    # Points within a straight run change neither the shape nor its descriptors, but cost time.
    contours, _ = cv2.findContours(part.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours or len(contours[0]) < 3:
        return None
    contour = contours[0][:, 0, :].astype(np.float64)
    paper: float | None = None
    best, order, last = 0.0, 1, 0.0
    for f, dice in enumerate(_dice_by_order(contour), start=1):
        good = dice > GOOD_DICE
        if paper is None and (good or (f > 1 and dice - last < LEAST_GAIN) or f == MOST_ORDERS):
            paper = f + 200 * (1 - dice)
        if good or dice - best >= LEAST_GAIN:
            best, order = dice, f
        if good or f - order >= PATIENCE:
            break
        last = dice
    assert paper is not None
    return order + 200 * (1 - best), paper


def _dice_by_order(contour: _Floats) -> Iterator[float]:
    """Yield D(1), D(2), … of a closed contour, Float64[n, 2] as (x, y)."""
    pad = int(0.3 * np.ptp(contour, axis=0).max()) + 3
    contour = contour - contour.min(axis=0) + pad
    shape = tuple(int(v) + pad + 1 for v in contour.max(axis=0)[::-1])
    truth = _filled(contour, shape)
    area = cv2.countNonZero(truth)
    for outline in _outlines(contour):
        drawn = _filled(outline, shape)
        shared = cv2.countNonZero(cv2.bitwise_and(truth, drawn))
        yield 2 * shared / (area + cv2.countNonZero(drawn))


def _outlines(contour: _Floats) -> Iterator[_Floats]:
    """Yield the outlines by 1, 2, … harmonics, Float64[m, 2]."""
    import pyefd

    closed = np.vstack([contour, contour[:1]])
    turn = 2 * np.pi * np.linspace(0.0, 1.0, _SAMPLES, endpoint=False)
    outline = np.tile(np.array(pyefd.calculate_dc_coefficients(closed)), (len(turn), 1))
    coefficients = np.empty((0, 4))
    for f in range(1, MOST_ORDERS + 1):
        if f > len(coefficients):
            # Few objects need many orders, and all up to the last one asked for are computed.
            known = 16 if f == 1 else MOST_ORDERS
            coefficients = np.asarray(pyefd.elliptic_fourier_descriptors(closed, order=known))
        a, b, c, d = coefficients[f - 1]
        cosine, sine = np.cos(f * turn), np.sin(f * turn)
        outline = outline + np.stack([a * cosine + b * sine, c * cosine + d * sine], axis=1)
        yield outline


def _filled(outline: _Floats, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    canvas = np.zeros(shape, dtype=np.uint8)
    points = np.round(outline * 2**_FRACTION_BITS).astype(np.int32)
    cv2.fillPoly(canvas, [points[:, None, :]], 1, shift=_FRACTION_BITS)
    return canvas
