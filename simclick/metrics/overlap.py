"""Overlap of two masks: Dice and intersection over union.

Two empty masks are equal: both scores are 1. One empty mask of two has no overlap: both are 0.
Scores are Float64 quotients of two exact counts, so they are the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dice", "dice_from_counts", "iou", "iou_from_counts", "overlap_counts"]


def dice_from_counts(intersection: int, a: int, b: int) -> float:
    """Return ``2 |A and B| / (|A| + |B|)``: 1 where both are empty, 0 where one is.

    Args:
        intersection: Pixels in both masks.
        a: Pixels in the first mask.
        b: Pixels in the second mask.
    """
    total = int(a) + int(b)
    return 2 * int(intersection) / total if total else 1.0


def iou_from_counts(intersection: int, a: int, b: int) -> float:
    """Return ``|A and B| / |A or B|``: 1 where both are empty, 0 where one is.

    Args:
        intersection: Pixels in both masks.
        a: Pixels in the first mask.
        b: Pixels in the second mask.
    """
    union = int(a) + int(b) - int(intersection)
    return int(intersection) / union if union else 1.0


def overlap_counts(
    a: NDArray[np.bool_], b: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None
) -> tuple[int, int, int]:
    """Return ``(|A and B|, |A|, |B|)`` in pixels, those under `ignore` left out.

    Args:
        a: Bool[H, W].
        b: Bool[H, W].
        ignore: Bool[H, W], pixels that count in neither mask, or None.

    Raises:
        ValueError: When the shapes differ or an array is not Bool.
    """
    for mask in (a, b) if ignore is None else (a, b, ignore):
        if mask.dtype != np.bool_ or mask.shape != a.shape:
            raise ValueError(f"masks must be bool of one shape, not {mask.dtype}{list(mask.shape)}")
    if ignore is not None:
        keep = ~ignore
        a, b = a & keep, b & keep
    return int(np.count_nonzero(a & b)), int(np.count_nonzero(a)), int(np.count_nonzero(b))


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None) -> float:
    """Return the Dice coefficient of two masks, in [0, 1]; see `overlap_counts` for the arguments.

    >>> import numpy as np
    >>> dice(np.array([[True, True, False]]), np.array([[True, False, False]])) == 2 / 3
    True
    """
    return dice_from_counts(*overlap_counts(a, b, ignore))


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None) -> float:
    """Return the intersection over union of two masks, in [0, 1]; see `overlap_counts`.

    >>> import numpy as np
    >>> iou(np.array([[True, True, False]]), np.array([[True, False, False]]))
    0.5
    """
    return iou_from_counts(*overlap_counts(a, b, ignore))
