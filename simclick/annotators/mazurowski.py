"""The click rule of Mazurowski et al.: the middle of the error, false negatives and positives merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import History
from simclick.annotators.clicks import landed_clicks
from simclick.annotators.peer_common import (
    Mask,
    Places,
    check_choice,
    check_flag,
    deepest_place,
    wrong_pixels,
)
from simclick.case import Case
from simclick.geometry import squared_distance
from simclick.prompts import Round
from simclick.seeding import Draws

__all__ = ["MazurowskiXor", "Transform"]

Transform = Literal["exact", "5x5"]


@dataclass(frozen=True)
class MazurowskiXor:
    """Click the wrong pixel that lies deepest inside the merged error; label it by the truth.

    False negatives and false positives form one region (mask XOR truth, ignored pixels left out).
    The depth of a wrong pixel is its Euclidean distance to the nearest pixel that is not wrong;
    pixels outside the image are not wrong. Among the eligible pixels the deepest is clicked; equally
    deep ones are drawn uniformly (one draw of the annotator's stream). The first round follows the
    same rule: from an empty mask it is the middle of the object. Nothing eligible: None.

    Where false negatives touch false positives, the deepest pixel often lies on the border between
    them, and its label is then an accident of the rule: that is the rule, and it is kept.

    Source: Mazurowski et al., "Segment anything model for medical image analysis: an experimental
    study" (2023), ``prompt_gen_and_exec_v1.py`` of the released code; read there. Differences:
    its label is taken from the mask of all classes, so that a false positive over another class is
    a positive click (not reproduced: the label is the case's truth); it may click a pixel again
    (``repeats``); its distances are OpenCV's 5x5 approximation (``transform``); a perfect mask is
    clicked there at random. Which of SAM's masks it keeps (the first, or the best by the truth) is
    the protocol's rule, not the annotator's.

    Attributes:
        transform: ``"exact"``: squared integers. ``"5x5"``: ``cv2.distanceTransform`` with
            ``DIST_L2`` and mask size 5, as in the source; ties then hang on its rounding, and in
            rare cases on the OpenCV build.
        repeats: Whether a pixel on which a click landed may be clicked again, as in the source.
    """

    name: ClassVar[str] = "mazurowski-xor"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"click"})

    transform: Transform = "exact"
    repeats: bool = False

    def __post_init__(self) -> None:
        check_choice("transform", self.transform, get_args(Transform))
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
        place = deepest_place(self._depth(found.wrong), found.eligible, draw.stream("annotator"))
        return Round((found.click_at(place),))

    def _depth(self, wrong: Mask) -> NDArray[Any]:
        if self.transform == "exact":
            return squared_distance(wrong)
        import cv2

        padded = np.pad(wrong, 1).view(np.uint8)
        return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1])
