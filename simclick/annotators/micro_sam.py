"""The rounds of micro-sam's iterative evaluation: one positive and one negative click at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from simclick.annotators.base import History
from simclick.annotators.clicks import landed_clicks
from simclick.annotators.peer_common import (
    Mask,
    Places,
    check_choice,
    check_flag,
    check_whole,
    grown_box,
    is_right,
    object_box,
    object_mask,
    unclicked,
    uniform_place,
    wrong_pixels,
)
from simclick.case import Case
from simclick.geometry import bounding_box, squared_distance
from simclick.prompts import Round, box, click
from simclick.seeding import Draws

__all__ = ["First", "MicroSam"]

First = Literal["box", "point", "random"]


@dataclass(frozen=True)
class MicroSam:
    """Start with a box or a point, then give two clicks a round: one positive, one negative.

    *First round* (``first``). Deterministic: ``"box"``, the tight box of the object, last pixel
    included; ``"point"``, a positive click on the object's pixel that is farthest (Euclidean,
    exactly) from the object's boundary pixels, the first in row-major order of several. A boundary
    pixel is one of the object with one of its four neighbours outside the object or the image.
    Drawn: ``"random"``, a positive click on a pixel of the object, uniformly. Without an object the
    first round is a correction.

    *Later rounds*, all drawn:

    1. A positive click, uniform over the eligible false negatives. Where there is none: uniform
       over the object's pixels that the mask has already. Where there is none either: left out.
    2. A negative click, uniform over the eligible false positives. Where there is none: uniform
       over the background inside the object's tight box grown by ``margin`` pixels on every side.
       Where there is none: uniform over all background. Where there is none either: left out.

    The positive click comes first in the round; its draw is that of prompt 0, the negative one's
    that of prompt 1. Pixels are numbered in row-major order for the draw. A full round costs two
    clicks. Ignored pixels are never clicked. Where no eligible pixel is wrong: None.

    Source: ``micro_sam/prompt_generators.py`` (``IterativePromptGenerator``,
    ``PointAndBoxPromptGenerator``), ``util.get_centers_and_bounding_boxes`` and
    ``evaluation/inference.py`` of micro-sam (Archit et al., "Segment Anything for Microscopy",
    2025); run beside this class, the same pixel for the same draw. Its eight iterations are eight
    masks: the start and seven rounds of two clicks. Differences: its box ends one pixel later
    (exclusive bounds); it goes on clicking perfect masks; it raises where a click has no place at
    all, for example on an image that is object everywhere; it may click a pixel again (``repeats``).

    Attributes:
        first: How an episode starts; the source's evaluation has ``"box"`` and ``"point"``.
        margin: How far around the object's box a negative click without false positives may lie,
            in pixels of the image; 3 in the source.
        repeats: Whether a pixel on which a click landed may be clicked again, as in the source.
    """

    name: ClassVar[str] = "micro-sam"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"box", "click"})

    first: First = "box"
    margin: int = 3
    repeats: bool = False

    def __post_init__(self) -> None:
        check_choice("first", self.first, get_args(First))
        check_whole("margin", self.margin)
        check_flag("repeats", self.repeats)
        if self.first != "box":
            # Agents that take no boxes can answer it then.
            object.__setattr__(self, "kinds", frozenset({"click"}))

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return the start for episodes in their first round, up to two clicks for the others."""
        return [
            (None if history else self._start(case, mask, draw))
            or self._correction(case, mask, () if self.repeats else landed_clicks(history), draw)
            for mask, history, draw in zip(masks, histories, draws, strict=True)
        ]

    def _start(self, case: Case, mask: Mask, draw: Draws) -> Round | None:
        tight = object_box(case)
        if tight is None or is_right(case, mask):
            return None
        if self.first == "box":
            return Round((box(*tight),))
        whole = object_mask(case)
        place = _middle(whole) if self.first == "point" else uniform_place(whole, draw.stream("annotator"))
        return None if place is None else Round((click(*place),))

    def _correction(self, case: Case, mask: Mask, clicked: Places, draw: Draws) -> Round | None:
        found = wrong_pixels(case, mask, clicked)
        if found is None:
            return None
        prompts = []
        for index, positive in enumerate((True, False)):
            words = draw.stream("annotator", index)
            place = uniform_place(found.eligible & (found.truth == positive), words)
            if place is not None:
                prompts.append(found.click_at(place))
                continue
            for x0, y0, pixels in self._elsewhere(case, mask, clicked, positive):
                place = uniform_place(pixels, words)
                if place is not None:
                    prompts.append(click(x0 + place[0], y0 + place[1], positive))
                    break
        return Round(tuple(prompts))

    def _elsewhere(
        self, case: Case, mask: Mask, clicked: Places, positive: bool
    ) -> list[tuple[int, int, Mask]]:
        """Return where else to click, in order of preference, as ``(x0, y0, pixels of a window)``."""
        counted = np.ones(case.size, dtype=np.bool_) if case.ignore is None else ~case.ignore
        pixels = unclicked(counted & (case.truth & mask if positive else ~case.truth), clicked)
        tight = object_box(case)
        if positive or tight is None:
            return [(0, 0, pixels)]
        x0, y0, x1, y1 = grown_box(tight, (self.margin,) * 4, case.size)
        return [(x0, y0, pixels[y0 : y1 + 1, x0 : x1 + 1]), (0, 0, pixels)]


def _middle(mask: Mask) -> tuple[int, int] | None:
    """Return the pixel of a mask farthest from its boundary pixels, the first in row-major order."""
    window = bounding_box(mask)
    if window is None:
        return None
    x0, y0, x1, y1 = window
    p = np.pad(mask[y0 : y1 + 1, x0 : x1 + 1], 1)
    inside = p[1:-1, 1:-1]
    interior = inside & p[:-2, 1:-1] & p[2:, 1:-1] & p[1:-1, :-2] & p[1:-1, 2:]
    # The way out of the object leads over a boundary pixel: the nearest one is nearer than the
    # nearest pixel outside, so both may count as the end of the interior.
    depth = np.where(inside, squared_distance(interior), -1)
    y, x = divmod(int(depth.argmax()), depth.shape[1])
    return x0 + x, y0 + y
