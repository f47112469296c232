"""The boxes with which MedSAM and SAM-HQ prompt, in training and in evaluation.

Both give one box in the first round and nothing afterwards. The object's tight box is the smallest
that holds every pixel of the truth that the case does not ignore, last pixel included. Where there
is no such pixel, or the mask is right already, nothing is left to correct.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from simclick.annotators.base import History
from simclick.annotators.peer_common import (
    Mask,
    check_flag,
    check_whole,
    grown_box,
    is_right,
    object_box,
)
from simclick.case import Case
from simclick.geometry import Box, clip_box
from simclick.prompts import Round, box
from simclick.seeding import Draws

__all__ = ["MedSamBox", "SamHqBox"]


@dataclass(frozen=True)
class MedSamBox:
    """Give the tight box grown outwards, by an amount measured on an image of 1024 x 1024.

    MedSAM resizes every image to 1024 x 1024, whatever its proportions, so g pixels there are
    g·width/1024 pixels in x and g·height/1024 in y here. An edge moves outwards by that, rounded to
    floor(d + 0.5) exactly, and is cut off at the image's border.

    Source: Ma et al., "Segment anything in medical images" (2024), and the released code: exactly
    20 on every side in the SAM baseline (``comparisons/SAM/infer_SAM_2D_npz.py``, read there); each
    edge for itself, a whole number uniform in 0…20, when MedSAM is trained (``random``). Difference:
    there the box is taken on the resized mask and may end one pixel beyond the image.

    Attributes:
        growth: How far every edge moves, or at most moves, in pixels of an image of 1024.
        random: Whether each edge moves by a drawn whole number of such pixels, uniform in 0…growth
            (four draws, for x0, x1, y0, y1), as in training.
    """

    name: ClassVar[str] = "medsam-box"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"box"})

    growth: int = 20
    random: bool = False

    def __post_init__(self) -> None:
        check_whole("growth", self.growth)
        check_flag("random", self.random)
        object.__setattr__(self, "draws_chance", self.random and self.growth > 0)

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return the box for episodes in their first round, None for the others."""
        tight = object_box(case)
        return [
            None
            if tight is None or history or is_right(case, mask)
            else Round((box(*self._grown(tight, case.size, draw)),))
            for mask, history, draw in zip(masks, histories, draws, strict=True)
        ]

    def _grown(self, tight: Box, size: tuple[int, int], draw: Draws) -> Box:
        height, width = size
        left = right = up = down = self.growth
        if self.random:
            words = draw.stream("annotator")
            left, right, up, down = (words.integer(self.growth + 1) for _ in range(4))
        grow = ((left, width), (up, height), (right, width), (down, height))
        return grown_box(tight, ((2 * g * side + 1024) // 2048 for g, side in grow), size)


@dataclass(frozen=True)
class SamHqBox:
    """Give the tight box with its centre and its size disturbed in proportion to its size.

    With w = x1 - x0 and h = y1 - y0 of the tight box and four draws u uniform in [-1, 1), the
    centre moves by (u1·s·w/2, u2·s·h/2) and the size becomes (w·(1 + u3·s), h·(1 + u4·s)), where s
    is ``scale``. The corners are rounded to floor(v + 0.5) and moved to the nearest pixel inside
    the image. Scale 0 is the tight box, without chance.

    Source: Ke et al., "Segment Anything in High Quality" (2023), ``box_noise`` and
    ``masks_to_boxes`` of the released training code; read there. Its evaluation gives one tight box
    of the truth, the default here. Differences: there coordinates are real numbers on an image of
    1024 and may end one pixel beyond it.

    Attributes:
        scale: s, in [0, 1].
    """

    name: ClassVar[str] = "sam-hq-box"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"box"})

    scale: float = 0.0

    def __post_init__(self) -> None:
        if (
            isinstance(self.scale, bool)
            or not isinstance(self.scale, (int, float))
            or not 0 <= self.scale <= 1
        ):
            raise ValueError(f"scale={self.scale!r} must be a number from 0 to 1")
        object.__setattr__(self, "draws_chance", self.scale > 0)

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return the box for episodes in their first round, None for the others."""
        tight = object_box(case)
        return [
            None
            if tight is None or history or is_right(case, mask)
            else Round((box(*self._disturbed(tight, case.size, draw)),))
            for mask, history, draw in zip(masks, histories, draws, strict=True)
        ]

    def _disturbed(self, tight: Box, size: tuple[int, int], draw: Draws) -> Box:
        if self.scale == 0:
            return tight
        x0, y0, x1, y1 = tight
        u = [2.0 * float(v) - 1.0 for v in draw.stream("annotator").uniform(4)]
        xs = _interval(x0, x1, self.scale * u[0], self.scale * u[2])
        ys = _interval(y0, y1, self.scale * u[1], self.scale * u[3])
        return clip_box((xs[0], ys[0], xs[1], ys[1]), size)


def _interval(low: int, high: int, shift: float, growth: float) -> tuple[int, int]:
    """Return an interval moved by shift · length / 2 and stretched by 1 + growth, in whole numbers."""
    length = high - low
    centre = (low + high) / 2 + shift * length / 2
    half = length * (1 + growth) / 2
    return math.floor(centre - half + 0.5), math.floor(centre + half + 0.5)
