"""The corrective clicks of RadioActive, brought to one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal, get_args

import numpy as np

from simclick.annotators.base import History
from simclick.annotators.clicks import landed_clicks
from simclick.annotators.peer_common import (
    Mask,
    Places,
    WrongPixels,
    check_choice,
    check_flag,
    check_whole,
    components_by_area,
    grown_box,
    uniform_place,
    wrong_pixels,
)
from simclick.case import Case
from simclick.prompts import Round
from simclick.seeding import Draws, Words

__all__ = ["Mode", "RadioActive"]

Mode = Literal["realistic", "unrealistic"]


@dataclass(frozen=True)
class RadioActive:
    """Draw whether to add or to remove, then click where RadioActive's annotator would.

    ``mode="realistic"``. The click is negative with probability FP/(FP + FN), counted in wrong
    pixels (first draw); the other way round where the drawn side has no eligible pixel. Then:

    * *Positive*: of the 8-connected components of the false negatives that have an eligible pixel,
      the one with the most pixels (ties: first in row-major order); in it the eligible pixel
      nearest to its centroid (Euclidean, ties in row-major order), the centroid's coordinates
      rounded to whole numbers, halves to even. No chance.
    * *Negative*: a pixel, drawn uniformly, of the contour that runs around the object at
      ``contour_distance``: pixels at most that far from the truth with one of their four neighbours
      (inside the image) farther. Only eligible false positives count. Where the contour meets
      none: an eligible false positive, drawn uniformly. Where the truth is empty: uniformly among
      the eligible false positives of the column that has the most false positives (ties: the
      leftmost), or of all columns where that one has none.

    ``mode="unrealistic"``: an eligible wrong pixel, drawn uniformly, labelled by the truth.

    The first round follows the same rules: from an empty mask that is a positive click in the
    middle of the largest component, or (unrealistic) on any pixel of the object. Nothing eligible:
    None.

    Source: ``prompts/interactive_prompter.py``, ``prompt_utils.py`` and ``utils/interactivity.py``
    of RadioActive (MIC-DKFZ, a benchmark of interactive segmentation of radiological volumes); read
    there, its positive click also run beside this class on real masks: the same pixel but for
    ties. It prompts volumes, and this is what becomes of it in one image:

    * A positive round holds one such click per slice of the component there, one click here.
    * A negative round takes the sagittal slice with the most false positives there, the image here.
      In it a scribble of 0.6 of the contour's length is drawn, centred on a random false positive
      of the contour, and *each* false positive under it becomes a negative point. Here only the
      centre is clicked, since tens of points are not one interaction of an annotator who clicks.
    * The contour comes from marching squares at half pixels there; here it is its inner side.
    * A slice without object gets negative points down the whole column there, one of them here.
    * Not reproduced: where its scribble fails, it gives three random false positives *as positive
      points*; its generators are seeded anew before they draw; an unchanged mask gets the same
      positive click again (``repeats``).

    Attributes:
        mode: As above.
        contour_distance: Distance of the contour from the object, in pixels, ≥ 1; 2 in the source.
        repeats: Whether a pixel on which a click landed may be clicked again, as in the source.
    """

    name: ClassVar[str] = "radioactive"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"click"})

    mode: Mode = "realistic"
    contour_distance: int = 2
    repeats: bool = False

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, get_args(Mode))
        check_whole("contour_distance", self.contour_distance, 1)
        check_flag("repeats", self.repeats)

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return one click per episode, or None."""
        return [
            self._next(case, mask, () if self.repeats else landed_clicks(history), draw)
            for mask, history, draw in zip(masks, histories, draws, strict=True)
        ]

    def _next(self, case: Case, mask: Mask, clicked: Places, draw: Draws) -> Round | None:
        found = wrong_pixels(case, mask, clicked)
        if found is None:
            return None
        words = draw.stream("annotator")
        if self.mode == "unrealistic":
            place = uniform_place(found.eligible, words)
        elif _is_positive(found, words):
            place = _positive(found)
        else:
            place = self._negative(case, found, words)
        return None if place is None else Round((found.click_at(place),))

    def _negative(self, case: Case, found: WrongPixels, words: Words) -> tuple[int, int] | None:
        eligible = found.eligible & ~found.truth
        if case.truth.any():
            preferred = eligible & self._contour(case, found)
        else:
            preferred = np.zeros_like(eligible)
            column = int(found.wrong.sum(axis=0).argmax())
            preferred[:, column] = eligible[:, column]
        return uniform_place(preferred if preferred.any() else eligible, words)

    def _contour(self, case: Case, found: WrongPixels) -> Mask:
        """Return the contour around the object in the window of the wrong pixels, Bool[h, w]."""
        import cv2

        r = self.contour_distance
        height, width = found.wrong.shape
        window = (found.x0, found.y0, found.x0 + width - 1, found.y0 + height - 1)
        x0, y0, x1, y1 = grown_box(window, (r + 1,) * 4, case.size)
        rows, columns = np.ogrid[-r : r + 1, -r : r + 1]
        disk = (rows**2 + columns**2 <= r**2).astype(np.uint8)
        truth = np.ascontiguousarray(case.truth[y0 : y1 + 1, x0 : x1 + 1]).view(np.uint8)
        near = cv2.dilate(truth, disk).astype(np.bool_)
        # Beyond the image's border nothing is farther: edges are repeated.
        p = np.pad(near, 1, mode="edge")
        contour = near & ~(p[:-2, 1:-1] & p[2:, 1:-1] & p[1:-1, :-2] & p[1:-1, 2:])
        top, left = found.y0 - y0, found.x0 - x0
        return np.asarray(contour[top : top + height, left : left + width])


def _is_positive(found: WrongPixels, words: Words) -> bool:
    """Draw the polarity, and turn it where that side has no eligible pixel."""
    n_negative = int(np.count_nonzero(found.wrong & ~found.truth))
    positive = words.integer(int(np.count_nonzero(found.wrong))) >= n_negative
    return positive == bool((found.eligible & (found.truth == positive)).any())


def _positive(found: WrongPixels) -> tuple[int, int] | None:
    """Return the eligible pixel nearest to the centroid of the largest missed component."""
    for component in components_by_area(found.wrong & found.truth):
        rows, columns = np.nonzero(component)
        # In coordinates of the image, as halves are rounded to even.
        y = round(Fraction(int(rows.sum()), rows.size) + found.y0) - found.y0
        x = round(Fraction(int(columns.sum()), columns.size) + found.x0) - found.x0
        rows, columns = np.nonzero(component & found.eligible)
        if rows.size:
            nearest = int(((rows - y) ** 2 + (columns - x) ** 2).argmin())
            return int(columns[nearest]), int(rows[nearest])
    return None
