"""What the rules of other evaluators share: wrong pixels, and picking one of many places.

A pixel is *wrong* where mask and truth differ and the case does not ignore it. It is *eligible* if
it may be clicked: wrong, and not passed over because an earlier click landed on it. Everything works
in the smallest window that holds the wrong pixels. Masks are Bool[H, W], indexed ``[row, column]``;
places are ``(x, y)`` in pixels of the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.case import Case
from simclick.geometry import Box, bounding_box, clip_box, connected_components
from simclick.prompts import Prompt, click
from simclick.seeding import Words

__all__ = [
    "Mask",
    "Places",
    "WrongPixels",
    "check_choice",
    "check_flag",
    "check_whole",
    "components_by_area",
    "deepest_place",
    "grown_box",
    "is_right",
    "object_box",
    "object_mask",
    "unclicked",
    "uniform_place",
    "wrong_pixels",
]

Mask = NDArray[np.bool_]
Places = Sequence[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class WrongPixels:
    """The wrong pixels of one mask, in the smallest window that holds them all.

    Attributes:
        x0: Column of the window's first pixel.
        y0: Row of the window's first pixel.
        wrong: Bool[h, w], the wrong pixels.
        eligible: Bool[h, w], those that may be clicked; never empty.
        truth: Bool[h, w], the truth in the window.
    """

    x0: int
    y0: int
    wrong: Mask
    eligible: Mask
    truth: Mask

    def click_at(self, place: tuple[int, int]) -> Prompt:
        """Return a click at a pixel ``(column, row)`` of the window, labelled by the truth."""
        x, y = place
        return click(self.x0 + x, self.y0 + y, bool(self.truth[y, x]))


def wrong_pixels(case: Case, mask: Mask, passed_over: Places = ()) -> WrongPixels | None:
    """Return the wrong pixels of a mask, or None where none is eligible.

    Args:
        case: The case; its ignored pixels are never wrong.
        mask: Bool[H, W], the mask to correct.
        passed_over: Places that may not be clicked; they may lie outside the image.
    """
    wrong = np.not_equal(case.truth, mask)
    if case.ignore is not None:
        wrong &= ~case.ignore
    window = bounding_box(wrong)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    wrong = wrong[y0 : y1 + 1, x0 : x1 + 1]
    eligible = unclicked(wrong, passed_over, x0, y0)
    if not eligible.any():
        return None
    return WrongPixels(x0, y0, wrong, eligible, case.truth[y0 : y1 + 1, x0 : x1 + 1])


def unclicked(mask: Mask, places: Places, x0: int = 0, y0: int = 0) -> Mask:
    """Return a copy of a mask without some pixels.

    Args:
        mask: Bool[h, w], a window of the image.
        places: Pixels ``(x, y)`` of the image; those outside the window do nothing.
        x0: Column of the window's first pixel.
        y0: Row of the window's first pixel.
    """
    left = mask.copy()
    height, width = mask.shape
    for x, y in places:
        if 0 <= x - x0 < width and 0 <= y - y0 < height:
            left[y - y0, x - x0] = False
    return left


def uniform_place(mask: Mask, words: Words) -> tuple[int, int] | None:
    """Return a pixel ``(x, y)`` of a mask, each as likely as another, or None where it is empty.

    One draw picks among the pixels in row-major order; an empty mask draws nothing.
    """
    places = np.flatnonzero(mask)
    if places.size == 0:
        return None
    y, x = divmod(int(places[words.integer(places.size)]), mask.shape[1])
    return x, y


def deepest_place(depth: NDArray[Any], eligible: Mask, words: Words) -> tuple[int, int]:
    """Return an eligible pixel ``(x, y)`` of the greatest depth; ties are drawn uniformly.

    Args:
        depth: Number[h, w].
        eligible: Bool[h, w], not empty.
        words: One draw picks among the ties in row-major order, also where there is one only.
    """
    place = uniform_place(eligible & (depth == depth[eligible].max()), words)
    assert place is not None
    return place


def components_by_area(mask: Mask) -> Iterator[Mask]:
    """Yield the 8-connected components of a mask, most pixels first.

    Of equally large ones, the one whose first pixel in row-major order comes first.
    """
    labels, n = connected_components(mask)
    areas = np.bincount(labels.ravel(), minlength=n + 1)
    for k in sorted(range(1, n + 1), key=lambda k: (-int(areas[k]), k)):
        yield labels == k


def object_mask(case: Case) -> Mask:
    """Return the truth without ignored pixels, Bool[H, W]."""
    return case.truth if case.ignore is None else case.truth & ~case.ignore


def object_box(case: Case) -> Box | None:
    """Return the tight box of the object without ignored pixels, or None without an object."""
    return bounding_box(object_mask(case))


def is_right(case: Case, mask: Mask) -> bool:
    """Return whether no pixel of a mask is wrong."""
    wrong = np.not_equal(case.truth, mask)
    return not (wrong if case.ignore is None else wrong & ~case.ignore).any()


def grown_box(box: Box, grow: Iterable[int], size: tuple[int, int]) -> Box:
    """Return a box with each edge moved outwards, cut off at the image's border.

    Args:
        box: ``(x0, y0, x1, y1)``, last pixel included.
        grow: Pixels to the left, up, right and down.
        size: ``(height, width)`` of the image.
    """
    left, up, right, down = grow
    x0, y0, x1, y1 = box
    return clip_box((x0 - left, y0 - up, x1 + right, y1 + down), size)


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise ValueError unless an option is one of its choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} must be one of {', '.join(choices)}")


def check_flag(name: str, value: object) -> None:
    """Raise ValueError unless an option is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r} must be true or false")


def check_whole(name: str, value: object, least: int = 0) -> None:
    """Raise ValueError unless an option is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name}={value!r} must be a whole number ≥ {least}")
