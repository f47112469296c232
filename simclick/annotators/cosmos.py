"""The prompt strategies S1 to S6 of COSMOS (Huang et al., Segment Anything Model for Medical Images?, 2024).

S1 asks for everything; S2, S3 and S4 give 1 + 0, 5 + 0 and 5 + 5 positive and negative points; S5 is the
tight box (`simclick.annotators.boxes.TightBox`), S6 the tight box with one positive point. All prompts of a
strategy are one round; nothing follows. The object is the truth without ignored pixels; where there is none,
or the mask is right already, nothing is left to correct.

Two modes. ``paper``, the default, follows what others report of the paper's text (second-hand: the text
itself was not read, and how points are spread evenly is our reading). ``code`` follows the released
``utils/get_prompts.py`` (read, and run beside ours).

``paper``:

* The first point is the centre of mass, rounded half up, if that pixel is of the object.
* m further points are, of the L object pixels in row-major order (without the first point), those numbered
  floor((i + 1/2) L / m) for i = 0 … m - 1. Without a first point all of them are chosen like this.
* Negatives are chosen in the same way among the pixels beside the object, in the box of twice its sides:
  half a side (cut off) is added at either end, and the box is cut at the image's edge.

``code``:

* The first point is the centre of mass, cut off to whole pixels, whether it lies in the object or not.
* The others are every ``L // 5``-th of all L object pixels, of which the first gives way to the centre of
  mass. That one may come a second time.
* Negatives are every ``L // 5``-th of the L pixels beside the object, in the box of twice ``max - min``, its
  corners cut off to whole pixels.
* S4 is the first ten of all these, labelled 5 + 5. The stride mostly finds six object pixels: the sixth is
  labelled background, and four true negatives follow. A *meant* label there contradicts the truth, and
  the centre of mass may lie beside the object, so `truthful` is False.

Where there are fewer pixels of a sort than points, each is given once. The code divides by zero where there
are fewer than five of a sort; there all of these few are given, and at most five of the other sort, each
with its own label (S2, which wants the centre of mass alone, is as ever).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import History
from simclick.annotators.peer_common import Mask, check_choice, check_whole, is_right, object_box, object_mask
from simclick.case import Case
from simclick.prompts import Prompt, Round, box, click, everything
from simclick.seeding import Draws

__all__ = ["CosmosBoxPoint", "CosmosEverything", "CosmosPoints"]

_STRIDES = 5
"""Both of the code's numbers of points."""


@dataclass(frozen=True)
class CosmosEverything:
    """S1: ask for everything, once; a rule of the protocol picks among the masks."""

    name: ClassVar[str] = "cosmos-everything"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"everything"})

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return the request for episodes in their first round, None for the others."""
        return _once(Round((everything(),)) if object_mask(case).any() else None, case, masks, histories)


@dataclass(frozen=True)
class CosmosPoints:
    """S2 to S4: so many positive and negative points at once (rules in the module's docstring).

    Attributes:
        positive: Positive points, at least 1.
        negative: Negative points.
        mode: ``paper`` or ``code``; the code knows 1 + 0, 5 + 0 and 5 + 5.
    """

    name: ClassVar[str] = "cosmos-points"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"click"})

    positive: int = 1
    negative: int = 0
    mode: str = "paper"
    truthful: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_whole("positive", self.positive, 1)
        check_whole("negative", self.negative)
        check_choice("mode", self.mode, ("paper", "code"))
        if self.mode == "code" and (self.positive, self.negative) not in {(1, 0), (5, 0), (5, 5)}:
            raise ValueError("mode='code' knows positive and negative 1 and 0, 5 and 0, or 5 and 5")
        # The code's centre of mass may lie beside the object, and its sixth point is mislabelled.
        object.__setattr__(self, "truthful", self.mode == "paper")

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return the points for episodes in their first round, None for the others."""
        return _once(self._round(case) if not all(histories) else None, case, masks, histories)

    def _round(self, case: Case) -> Round | None:
        if not object_mask(case).any():
            return None
        points = _paper if self.mode == "paper" else _code
        return Round(tuple(points(case, self.positive, self.negative)))


@dataclass(frozen=True)
class CosmosBoxPoint:
    """S6: the tight box and one positive point, as `CosmosPoints` has it, in one round.

    Attributes:
        mode: ``paper`` or ``code``.
    """

    name: ClassVar[str] = "cosmos-box-point"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"box", "click"})

    mode: str = "paper"
    truthful: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, ("paper", "code"))
        object.__setattr__(self, "truthful", self.mode == "paper")

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return box and point for episodes in their first round, None for the others."""
        found = object_box(case)
        whole = None
        if found is not None:
            points = _paper if self.mode == "paper" else _code
            whole = Round((box(*found), *points(case, 1, 0)))
        return _once(whole, case, masks, histories)


def _once(round_: Round | None, case: Case, masks: Mask, histories: Sequence[History]) -> list[Round | None]:
    return [
        None if history or is_right(case, mask) else round_
        for mask, history in zip(masks, histories, strict=True)
    ]


def _paper(case: Case, positive: int, negative: int) -> list[Prompt]:
    inside = object_mask(case)
    places = _places(inside)
    x, y = (int(np.floor(mean + 0.5)) for mean in places.mean(axis=0))
    first: list[tuple[int, int]] = []
    if inside[y, x]:
        first = [(x, y)]
        places = places[(places != (x, y)).any(axis=1)]
    chosen = [*first, *_even(places, positive - len(first))]
    return [*(click(*at) for at in chosen), *(click(*at, False) for at in _even(_beside(case), negative))]


def _places(mask: Mask) -> NDArray[np.int64]:
    """Return the pixels of a mask, Int64[n, 2] as ``(x, y)``, in row-major order."""
    rows, columns = np.nonzero(mask)
    return np.stack([columns, rows], axis=1).astype(np.int64)


def _even(places: NDArray[np.int64], m: int) -> list[tuple[int, int]]:
    """Return m of the places, evenly spread over their order; all of them where there are fewer."""
    n = len(places)
    if m >= n:
        return [(int(x), int(y)) for x, y in places]
    return [(int(x), int(y)) for x, y in places[((2 * np.arange(m) + 1) * n) // (2 * m)]]


def _beside(case: Case) -> NDArray[np.int64]:
    """Return the pixels that are not object in the box of twice the object's sides."""
    found = object_box(case)
    assert found is not None
    x0, y0, x1, y1 = found
    across, down = (x1 - x0 + 1) // 2, (y1 - y0 + 1) // 2
    left, top = max(0, x0 - across), max(0, y0 - down)
    outside = ~case.truth if case.ignore is None else ~case.truth & ~case.ignore
    window = outside[top : y1 + down + 1, left : x1 + across + 1]
    return np.asarray(_places(window) + np.array([left, top]), dtype=np.int64)


def _code(case: Case, positive: int, negative: int) -> list[Prompt]:
    inside = object_mask(case)
    places = _places(inside)
    x, y = (int(total // len(places)) for total in places.sum(axis=0))
    strided = [(int(a), int(b)) for a, b in places[:: max(1, len(places) // _STRIDES)]]
    objects = [(x, y), *strided[1:]]
    if not negative:
        few = positive > 1 and len(places) < _STRIDES
        return [click(*at) for at in (strided if few else objects[:positive])]
    beside = _beside_code(case)
    others = [(int(a), int(b)) for a, b in beside[:: max(1, len(beside) // _STRIDES)]]
    if min(len(places), len(beside)) < _STRIDES:
        # The code divides by zero here: all of the few, each with its own label.
        chosen = strided if len(places) < _STRIDES else list(dict.fromkeys(objects))[:positive]
        return [*(click(*at) for at in chosen), *(click(*at, False) for at in others[:negative])]
    given = [*objects, *others][: positive + negative]
    return [click(a, b, i < positive) for i, (a, b) in enumerate(given)]


def _beside_code(case: Case) -> NDArray[np.int64]:
    tight = object_box(case)
    assert tight is not None
    height, width = case.size
    x0, y0, x1, y1 = tight
    w, h = x1 - x0, y1 - y0
    left, top = max(0.0, x0 - w / 2), max(0.0, y0 - h / 2)
    # The far corner is taken before the near one is cut at the image's edge.
    right, bottom = min(x0 + 1.5 * w, float(width)), min(y0 + 1.5 * h, float(height))
    x, y, across, down = int(left), int(top), int(right - left), int(bottom - top)
    outside = ~case.truth if case.ignore is None else ~case.truth & ~case.ignore
    found = _places(outside[y : y + down, x : x + across]) + np.array([x, y])
    return np.asarray(found, dtype=np.int64)
