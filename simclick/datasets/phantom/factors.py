"""What makes a case easy or hard, as numbers measured on its image and mask."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from simclick.datasets.phantom.shapes import Mask

__all__ = ["measured_factors"]

_RING = (2, 6)
_SQUARE = np.ones((3, 3), dtype=np.bool_)


def measured_factors(image: NDArray[np.uint8], truth: Mask) -> dict[str, float]:
    """Return the measured factors of a case, each a finite number.

    Brightness is the rounded integer luma ``(299 R + 587 G + 114 B) / 1000``, 0 to 255. The *ring*
    is the background 2 to 6 pixels from the object (Chebyshev distance; the pixel next to the edge
    is left out, as it is blurred). All sums are over integers, so the numbers are the same
    everywhere.

    Returns:
        - ``contrast``: the difference of mean brightness between object and ring over 255, absolute.
        - ``contrast_to_noise``: the same difference over the root of the mean of the variances
          within the object and within the ring (0 where both are constant).
        - ``noise``: standard deviation of pixel noise over 255 in object and ring, by Immerkær's
          estimate: the mean absolute response to a mask that ignores planes (edges raise it).
        - ``complexity``: perimeter² / (4 π area): 1 for a disc. The perimeter is Crofton's from
          four directions and counts holes and the part along the image's border.
        - ``area_px`` and ``area_fraction``: pixels of the object, and their share of the image.
        - ``components``: 8-connected parts. ``holes``: 4-connected holes.
        - ``touches_border``: 1 where the object reaches the image's border, else 0.

    Raises:
        ValueError: When the mask is empty.
    """
    area = int(np.count_nonzero(truth))
    if area == 0:
        raise ValueError("an empty mask has no factors")
    luma = (image.astype(np.int64) @ np.array([299, 587, 114]) + 500) // 1000
    ring = _near(truth, _RING[1]) & ~_near(truth, _RING[0] - 1)
    inside, outside = _moments(luma[truth]), _moments(luma[ring])
    difference = abs(inside[0] - outside[0]) if ring.any() else 0.0
    spread = math.sqrt((inside[1] + outside[1]) / 2)
    perimeter = _perimeter(truth)
    return {
        "contrast": difference / 255,
        "contrast_to_noise": difference / spread if spread > 0 else 0.0,
        "noise": _noise(luma, truth | ring) / 255,
        "complexity": perimeter * perimeter / (4 * math.pi * area),
        "area_px": float(area),
        "area_fraction": area / truth.size,
        "components": float(ndimage.label(truth, structure=_SQUARE)[1]),
        "holes": float(ndimage.label(~np.pad(truth, 1))[1] - 1),
        "touches_border": float(_touches_border(truth)),
    }


def _near(mask: Mask, distance: int) -> Mask:
    """Return the pixels within a Chebyshev distance of a mask."""
    return np.asarray(ndimage.binary_dilation(mask, _SQUARE, iterations=distance), dtype=np.bool_)


def _moments(values: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean and variance of integers; zeros where there are none."""
    n = values.size
    if n == 0:
        return 0.0, 0.0
    total, squares = int(values.sum()), int((values * values).sum())
    return total / n, (n * squares - total * total) / (n * n)


def _noise(luma: NDArray[np.int64], where: Mask) -> float:
    """Return Immerkær's estimate of the noise where the mask is true, away from the border."""
    core = luma[1:-1, 1:-1] * 4
    sides = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    corners = luma[:-2, :-2] + luma[:-2, 2:] + luma[2:, :-2] + luma[2:, 2:]
    response = np.abs(core - 2 * sides + corners)[where[1:-1, 1:-1]]
    return math.sqrt(math.pi / 2) * int(response.sum()) / (6 * response.size) if response.size else 0.0


def _perimeter(mask: Mask) -> float:
    """Return Crofton's perimeter: crossings of lines in four directions, times their spacing."""
    m = np.pad(mask, 1)
    straight = np.count_nonzero(m[1:] != m[:-1]) + np.count_nonzero(m[:, 1:] != m[:, :-1])
    diagonal = np.count_nonzero(m[1:, 1:] != m[:-1, :-1]) + np.count_nonzero(m[1:, :-1] != m[:-1, 1:])
    return math.pi / 8 * (int(straight) + int(diagonal) / math.sqrt(2))


def _touches_border(mask: Mask) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
