"""The prompts of SAM-Med2D (Cheng et al. 2023), after its released ``utils.py`` and ``test.py`` (read).

* The box is that of the largest 8-connected component (of equally large ones the first in row-major order).
  Jitter moves it as a whole, by whole pixels in [-m, m) along x and along y, m = min(`jitter`, half its
  shorter side); 5 in training, 0 here as at test. Their boxes end one pixel later (``half_open``). What
  leaves the image is cut off.
* The first point is any object pixel, a correction any wrong pixel, labelled by the truth, each as likely
  as another, also one that was clicked before. n rounds are a budget of n clicks.

Differences. Without an error they give a random pixel labelled -1, here nothing is left to correct. Their
points live in the frame of 256 pixels, ours in the image. Their test after a box ends there (an option that
would change this is read as True always). Their training starts with a box or with a point, at even odds,
and goes on with corrections, several at once, with the last answer fed back and the box discarded.
`sam-med2d-box-points` is that order with the box always and one correction a round; it takes nothing back:
the box stays among the prompts of the episode, and whether an agent still heeds it is the agent's affair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from simclick.annotators.base import History
from simclick.annotators.peer_common import (
    Mask,
    check_flag,
    check_whole,
    is_right,
    object_mask,
    uniform_place,
    wrong_pixels,
)
from simclick.case import Case
from simclick.geometry import bounding_box, clip_box, largest_component
from simclick.prompts import Round, box, click
from simclick.seeding import Draws

__all__ = ["SamMed2dBox", "SamMed2dBoxPoints", "SamMed2dPoints"]


@dataclass(frozen=True)
class SamMed2dBox:
    """Give the box of the largest component in the first round, and nothing afterwards.

    Attributes:
        jitter: The most that the box moves, in pixels.
        half_open: Whether the box ends one pixel past the component, as theirs (cut at the image's edge).
    """

    name: ClassVar[str] = "sam-med2d-box"
    version: ClassVar[int] = 1
    kinds = frozenset({"box"})

    jitter: int = 0
    half_open: bool = False
    draws_chance: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_whole("jitter", self.jitter)
        check_flag("half_open", self.half_open)
        object.__setattr__(self, "draws_chance", self.jitter > 0)

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return the box for episodes in their first round, None for the others."""
        return [
            None if history or is_right(case, mask) else self._box(case, draw)
            for mask, history, draw in zip(masks, histories, draws, strict=True)
        ]

    def _box(self, case: Case, draws: Draws) -> Round | None:
        found = bounding_box(largest_component(object_mask(case)))
        if found is None:
            return None
        x0, y0, x1, y1 = found
        m = min(self.jitter, min(x1 - x0 + 1, y1 - y0 + 1) // 2)
        dx = dy = 0
        if m > 0:
            words = draws.stream("annotator")
            dx, dy = words.integer(2 * m) - m, words.integer(2 * m) - m
        end = int(self.half_open)
        moved = (x0 + dx, y0 + dy, x1 + dx + end, y1 + dy + end)
        return Round((box(*clip_box(moved, case.size)),))


@dataclass(frozen=True)
class SamMed2dPoints:
    """Give a random object pixel first, then a random wrong pixel per round, with repetition."""

    name: ClassVar[str] = "sam-med2d-points"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"click"})

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return one click per episode, or None where no pixel is wrong."""
        return [
            _point(case, mask, first=not history, draws=draw)
            for mask, history, draw in zip(masks, histories, draws, strict=True)
        ]


@dataclass(frozen=True)
class SamMed2dBoxPoints:
    """Give the box first (as `SamMed2dBox`), then random corrections (as `SamMed2dPoints`).

    Without an object there is no box: the first round is a correction then, if anything is wrong.

    Attributes:
        jitter: As for `SamMed2dBox`.
    """

    name: ClassVar[str] = "sam-med2d-box-points"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"box", "click"})

    jitter: int = 0

    def __post_init__(self) -> None:
        check_whole("jitter", self.jitter)

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return a box for episodes in their first round, a click for the others, or None."""
        boxes = SamMed2dBox(self.jitter).propose(case, masks, histories, draws)
        return [
            given or _point(case, mask, first=False, draws=draw)
            for given, mask, draw in zip(boxes, masks, draws, strict=True)
        ]


def _point(case: Case, mask: Mask, first: bool, draws: Draws) -> Round | None:
    wrong = wrong_pixels(case, mask)
    if wrong is None:
        return None
    inside = object_mask(case)
    if first and inside.any():
        place = uniform_place(inside, draws.stream("annotator"))
        assert place is not None
        return Round((click(*place),))
    place = uniform_place(wrong.wrong, draws.stream("annotator"))
    assert place is not None
    return Round((wrong.click_at(place),))
