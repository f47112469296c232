"""Annotators that correct by clicks.

A pixel is *wrong* where mask and truth differ and the case does not ignore it: a false negative
(a positive click corrects it) or a false positive (a negative click). All rules here click a wrong
pixel, label it by the truth, and never click a pixel twice: *clicked* means where an earlier click
landed. Where no wrong pixel is left that was not clicked (a perfect mask, or an empty truth with an
empty mask), nothing is left to correct and the answer is None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import History
from simclick.case import Case
from simclick.geometry import bounding_box, connected_components
from simclick.prompts import Prompt, Round, click
from simclick.seeding import Draws

__all__ = ["CenterClick", "CenterClickDiverse", "LargestComponentClick", "RandomClick"]

Mask = NDArray[np.bool_]
Places = list[tuple[int, int]]


@dataclass(frozen=True)
class CenterClick:
    """RITM's rule: click the wrong pixel that lies deepest inside its error.

    The depth of a wrong pixel is its Euclidean distance to the nearest pixel that is not wrong in
    the same way; false negatives and false positives are looked at apart, and pixels outside the
    image are not wrong (so the image's edge is a border). Among the pixels that were not clicked,
    the deepest false negative is compared with the deepest false positive: the deeper wins, and
    where both are equally deep, the false positive. Equally deep pixels of the winning kind are
    taken in row-major order. Clicked pixels are passed over; they do not change any depth.
    Distances are compared as exact squared integers.

    Source: Sofiiuk, Petrov and Konushin, "Reviving Iterative Training with Mask Guidance for
    Interactive Segmentation" (2022), and the released code's ``Clicker``. One difference: where
    every wrong pixel was clicked, or none is wrong, that code clicks (0, 0) as background; here
    nothing is left to correct.
    """

    name: ClassVar[str] = "center-click"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"click"})

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return one click per episode, or None."""
        return _propose(
            lambda mask, clicked, _: _central(case.truth, mask, case.ignore, clicked), masks, histories, draws
        )


@dataclass(frozen=True)
class CenterClickDiverse:
    """As `CenterClick`, but keeps away from earlier clicks and breaks ties to the middle.

    Pixels within `radius` of a clicked pixel (Euclidean, `radius` included) are not eligible. If
    that leaves no wrong pixel, only the clicked pixels themselves are not. Among equally deep
    pixels of the winning kind it takes the one nearest to the centroid of all of them (compared
    exactly; then the first in row-major order).

    Why: an agent that does not respond makes `CenterClick` give clicks one pixel apart, and
    row-major ties put the click at one end of a long object.

    Attributes:
        radius: In pixels of the original image, a whole number from 0 to 1,000,000.
    """

    name: ClassVar[str] = "center-click-diverse"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"click"})

    radius: int = 5

    def __post_init__(self) -> None:
        whole = isinstance(self.radius, int) and not isinstance(self.radius, bool)
        if not whole or not 0 <= self.radius <= 1_000_000:
            raise ValueError(f"radius={self.radius!r} must be a whole number of pixels from 0 to 1,000,000")

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return one click per episode, or None."""

        def choose(mask: Mask, clicked: Places, _: Draws) -> Prompt | None:
            far = _central(case.truth, mask, case.ignore, clicked, self.radius, middle=True)
            if far or not clicked or self.radius == 0:
                return far
            return _central(case.truth, mask, case.ignore, clicked, middle=True)

        return _propose(choose, masks, histories, draws)


@dataclass(frozen=True)
class RandomClick:
    """Click a wrong pixel at random: each one that was not clicked is as likely as another.

    One draw of the annotator's stream picks among them in row-major order.
    """

    name: ClassVar[str] = "random-click"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"click"})

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return one click per episode, or None."""
        height, width = case.size

        def choose(mask: Mask, clicked: Places, draw: Draws) -> Prompt | None:
            wrong = _wrong(case, mask)
            for x, y in clicked:
                if 0 <= x < width and 0 <= y < height:
                    wrong[y, x] = False
            places = np.flatnonzero(wrong)
            if places.size == 0:
                return None
            y, x = divmod(int(places[draw.stream("annotator").integer(places.size)]), width)
            return click(x, y, bool(case.truth[y, x]))

        return _propose(choose, masks, histories, draws)


@dataclass(frozen=True)
class LargestComponentClick:
    """Click the middle of the wrong region with the most pixels.

    Regions are the 8-connected components of the false negatives and those of the false positives,
    not merged. The largest by number of pixels (clicked ones included) is taken; of equally large
    ones a false positive before a false negative, then the one whose first pixel in row-major order
    comes first. Within it the pixel with the largest Euclidean distance to the region's outside is
    clicked (outside the image is outside; ties in row-major order; clicked pixels passed over). A
    region that is clicked all over gives way to the next.

    The largest region by area need not hold the deepest pixel: a long thin vessel loses to a small
    blob under `CenterClick`, and wins here.
    """

    name: ClassVar[str] = "largest-component-click"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"click"})

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return one click per episode, or None."""

        def choose(mask: Mask, clicked: Places, _: Draws) -> Prompt | None:
            for x0, y0, region, positive in _regions(case, mask):
                shifted = [(x - x0, y - y0) for x, y in clicked]
                found = _central(region, np.zeros_like(region), None, shifted)
                if found:
                    return click(found.landed[0] + x0, found.landed[1] + y0, positive)
            return None

        return _propose(choose, masks, histories, draws)


def landed_clicks(history: History) -> Places:
    """Return where the clicks of an episode landed, oldest first."""
    return [
        (prompt.landed[0], prompt.landed[1])
        for round_ in history
        for prompt in round_.prompts
        if prompt.kind == "click"
    ]


def _propose(
    choose: Callable[[Mask, Places, Draws], Prompt | None],
    masks: Mask,
    histories: Sequence[History],
    draws: Sequence[Draws],
) -> list[Round | None]:
    """Ask `choose` for the click of each episode."""
    rounds = []
    for mask, history, draw in zip(masks, histories, draws, strict=True):
        prompt = choose(mask, landed_clicks(history), draw)
        rounds.append(None if prompt is None else Round((prompt,)))
    return rounds


def _central(
    truth: Mask, mask: Mask, ignore: Mask | None, clicked: Places, radius: int = 0, middle: bool = False
) -> Prompt | None:
    found = _kernel()(truth, mask, ignore, clicked, radius, middle)
    return None if found is None else click(found[0], found[1], found[2])


@cache
def _kernel() -> Callable[..., tuple[int, int, bool, int] | None]:
    """Return `best_click`; numba is slow to import: only who asks for a click pays for it, once."""
    from simclick.annotators.kernels import best_click

    return best_click


def _wrong(case: Case, mask: Mask) -> Mask:
    wrong = np.not_equal(case.truth, mask)
    if case.ignore is not None:
        wrong &= ~case.ignore
    return wrong


def _regions(case: Case, mask: Mask) -> Iterator[tuple[int, int, Mask, bool]]:
    """Yield each wrong region as ``(x0, y0, crop, positive)``, the largest first."""
    wrong = _wrong(case, mask)
    box = bounding_box(wrong)
    if box is None:
        return
    x0, y0, x1, y1 = box
    inside = case.truth[y0 : y1 + 1, x0 : x1 + 1]
    wrong = wrong[y0 : y1 + 1, x0 : x1 + 1]
    labels, order = {}, []
    for positive in (False, True):
        labels[positive], n = connected_components(wrong & (inside == positive))
        areas = np.bincount(labels[positive].ravel())
        order += [(-int(areas[k]), positive, k) for k in range(1, n + 1)]
    for _, positive, k in sorted(order):
        yield x0, y0, labels[positive] == k, positive
