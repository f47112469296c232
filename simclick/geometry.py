"""Geometry of masks: boxes, components, distances.

Masks are Bool[H, W], indexed ``[row, column]``. Points are ``(x, y)``, boxes
``(x0, y0, x1, y1)`` with the last pixel included.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Box",
    "bounding_box",
    "clip_box",
    "clip_point",
    "connected_components",
    "equivalent_diameter",
    "largest_component",
    "squared_distance",
]

Box = tuple[int, int, int, int]


def bounding_box(mask: NDArray[np.bool_]) -> Box | None:
    """Return the tight box ``(x0, y0, x1, y1)`` of a mask, or None where it is empty."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    y0, y1 = int(rows[0]), int(rows[-1])
    columns = np.flatnonzero(mask[y0 : y1 + 1].any(axis=0))
    return int(columns[0]), y0, int(columns[-1]), y1


def connected_components(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Label the 8-connected components of a mask: pixels that touch at a corner are connected.

    Returns:
        Int32[H, W], 0 outside and 1 to n inside, numbered by each component's first pixel in
        row-major order; and n.
    """
    pixels = np.ascontiguousarray(mask, dtype=np.bool_).view(np.uint8)
    n, labels = cv2.connectedComponents(pixels, connectivity=8, ltype=cv2.CV_32S)
    if n <= 2:
        return np.asarray(labels, dtype=np.int32), n - 1
    # OpenCV numbers them in an order that depends on its algorithm.
    found, first = np.unique(labels[mask], return_index=True)
    renumbered = np.zeros(n, dtype=np.int32)
    renumbered[found[np.argsort(first)]] = np.arange(1, n)
    return renumbered[labels], n - 1


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the 8-connected component with the most pixels, Bool[H, W]; empty for an empty mask.

    Of several with the same number, it is the one whose first pixel in row-major order comes first.
    """
    labels, n = connected_components(mask)
    if n <= 1:
        return np.array(mask)
    areas = np.bincount(labels.ravel())
    return np.asarray(labels == 1 + np.argmax(areas[1:]), dtype=np.bool_)


def equivalent_diameter(mask: NDArray[np.bool_]) -> float:
    """Return the diameter in pixels of the disc with the mask's area, 2·√(area / π); 0 if empty."""
    return 2.0 * math.sqrt(np.count_nonzero(mask) / math.pi)


def squared_distance(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return each pixel's squared Euclidean distance to the nearest False pixel, exactly.

    Pixels outside the image count as False, so a pixel on the border has at most 1.

    Returns:
        Int64[H, W], 0 where the mask is False.
    """
    # Heavy, and needed by few.
    from scipy.ndimage import distance_transform_edt

    result = np.zeros(mask.shape, dtype=np.int64)
    box = bounding_box(mask)
    if box is None:
        return result
    x0, y0, x1, y1 = box
    padded = np.pad(mask[y0 : y1 + 1, x0 : x1 + 1], 1)
    nearest = distance_transform_edt(padded, return_distances=False, return_indices=True)
    away = nearest.astype(np.int64) - np.indices(padded.shape)
    result[y0 : y1 + 1, x0 : x1 + 1] = (away**2).sum(axis=0)[1:-1, 1:-1]
    return result


def clip_point(x: int, y: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return the pixel nearest to ``(x, y)`` inside an image of ``(height, width)``."""
    height, width = size
    return min(max(x, 0), width - 1), min(max(y, 0), height - 1)


def clip_box(box: Box, size: tuple[int, int]) -> Box:
    """Return the box whose corners are those of `box`, each moved to the nearest pixel inside."""
    x0, y0, x1, y1 = box
    return *clip_point(x0, y0, size), *clip_point(x1, y1, size)
