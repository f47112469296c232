"""The rounds of the CVPR 2025 challenge on interactive 3D segmentation, on one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from simclick.annotators.base import History
from simclick.annotators.clicks import landed_clicks
from simclick.annotators.peer_common import (
    Mask,
    Places,
    check_flag,
    check_whole,
    components_by_area,
    deepest_place,
    grown_box,
    is_right,
    object_box,
    wrong_pixels,
)
from simclick.case import Case
from simclick.geometry import squared_distance
from simclick.prompts import Round, box
from simclick.seeding import Draws

__all__ = ["Cvpr25"]


@dataclass(frozen=True)
class Cvpr25:
    """Give a box first, then clicks in the middle of the largest region of the merged error.

    *First round*: the tight box of the object (ignored pixels left out). With ``shift`` = n > 0 all
    four edges move outwards by one drawn number s, uniform in 0…n: by floor(s·width/256) pixels in
    x and floor(s·height/256) in y, cut off at the image's border. Without an object the first round
    is a click.

    *Later rounds*: false negatives and false positives form one region (mask XOR truth, ignored
    pixels left out). Of its 8-connected components the one with the most pixels is taken (clicked
    ones count; of equally large ones the first in row-major order). In it the eligible pixel with
    the largest Euclidean distance to the component's outside is clicked (exact; outside the image
    is outside), equally deep ones drawn uniformly, and labelled by the truth. A component that was
    clicked all over gives way to the next. Nothing eligible: None.

    Source: ``CVPR25_iter_eval.py`` and ``get_boxes.py`` of the challenge's repository
    (CVPR-MedSegFMCompetition); read there. Differences: there the components are 26-connected in
    the volume, the box comes from the middle slice, and all classes are clicked at once; the draw
    is seeded anew before every click, so an unchanged mask is clicked at the same voxel five times
    (the keyed draws are other, and ``repeats`` decides); a step without output is scored with
    the mask of the step before.

    Attributes:
        shift: Largest outward shift of the box, in pixels of an image of 256; the source has 5.
        repeats: Whether a pixel on which a click landed may be clicked again, as in the source.
    """

    name: ClassVar[str] = "cvpr25"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"box", "click"})

    shift: int = 0
    repeats: bool = False

    def __post_init__(self) -> None:
        check_whole("shift", self.shift)
        check_flag("repeats", self.repeats)

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return a box for episodes in their first round, a click for the others, or None."""
        return [
            (None if history else self._box(case, mask, draw))
            or self._click(case, mask, () if self.repeats else landed_clicks(history), draw)
            for mask, history, draw in zip(masks, histories, draws, strict=True)
        ]

    def _box(self, case: Case, mask: Mask, draw: Draws) -> Round | None:
        tight = object_box(case)
        if tight is None or is_right(case, mask):
            return None
        if self.shift == 0:
            return Round((box(*tight),))
        height, width = case.size
        s = draw.stream("annotator").integer(self.shift + 1)
        dx, dy = s * width // 256, s * height // 256
        return Round((box(*grown_box(tight, (dx, dy, dx, dy), case.size)),))

    def _click(self, case: Case, mask: Mask, clicked: Places, draw: Draws) -> Round | None:
        found = wrong_pixels(case, mask, clicked)
        if found is None:
            return None
        for component in components_by_area(found.wrong):
            eligible = component & found.eligible
            if eligible.any():
                place = deepest_place(squared_distance(component), eligible, draw.stream("annotator"))
                return Round((found.click_at(place),))
        return None
