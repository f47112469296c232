"""What is wrong in a mask, and what of it a person sees.

A pixel is *wrong* where mask and truth differ and the case does not ignore it: a false negative or a
false positive. Regions of wrong pixels are 8-connected components of one of the two kinds, never
merged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simclick.case import Case
from simclick.geometry import connected_components, largest_component, squared_distance

__all__ = ["errors", "is_right", "largest_error", "perceived"]

Mask = NDArray[np.bool_]


def errors(case: Case, mask: Mask) -> tuple[Mask, Mask]:
    """Return the false negatives and the false positives of a mask, each Bool[H, W]."""
    wrong = np.not_equal(case.truth, mask)
    if case.ignore is not None:
        wrong &= ~case.ignore
    return wrong & case.truth, wrong & ~case.truth


def is_right(case: Case, mask: Mask) -> bool:
    """Return whether no pixel of a mask is wrong."""
    return not any(kind.any() for kind in errors(case, mask))


def largest_error(missed: Mask, extra: Mask) -> tuple[Mask, bool] | None:
    """Return the wrong region with the most pixels, and whether it is one of false negatives.

    Args:
        missed: Bool[H, W], the false negatives.
        extra: Bool[H, W], the false positives.

    Returns:
        ``(region, positive)``, region Bool[H, W]; of equally large regions a false positive before a
        false negative, then the one whose first pixel in row-major order comes first. None where
        nothing is wrong.
    """
    missed, extra = largest_component(missed), largest_component(extra)
    areas = np.count_nonzero(missed), np.count_nonzero(extra)
    if not any(areas):
        return None
    return (missed, True) if areas[0] > areas[1] else (extra, False)


def perceived(wrong: Mask, min_pixels: int = 0, min_width: int = 0) -> Mask:
    """Return the part of an error that a person sees: whole components only.

    A component is not seen where it has fewer than `min_pixels` pixels, or where it is thinner than
    `min_width` everywhere. Its width is 2·d - 1 pixels, d being the largest Euclidean distance of one
    of its pixels to the nearest pixel outside it (outside the image is outside): a strip of an odd
    number of pixels has just that width, a strip of an even number one less. Compared exactly, as
    4·d² < (min_width + 1)².

    Args:
        wrong: Bool[H, W], false negatives or false positives, not both.
        min_pixels: In pixels; 0 and 1 see everything.
        min_width: In pixels; 0 and 1 see everything.

    Returns:
        Bool[H, W], the seen pixels of `wrong`.
    """
    if (min_pixels <= 1 and min_width <= 1) or not wrong.any():
        return wrong
    labels, n = connected_components(wrong)
    seen = np.bincount(labels.ravel(), minlength=n + 1) >= min_pixels
    if min_width > 1:
        deepest = np.zeros(n + 1, dtype=np.int64)
        np.maximum.at(deepest, labels[wrong], squared_distance(wrong)[wrong])
        seen &= 4 * deepest >= (min_width + 1) ** 2
    seen[0] = False
    return np.asarray(seen[labels], dtype=np.bool_)
