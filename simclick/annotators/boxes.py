"""Annotators that give boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import History
from simclick.annotators.clicks import CenterClick
from simclick.case import Case
from simclick.geometry import bounding_box, largest_component
from simclick.prompts import Round, box
from simclick.seeding import Draws

__all__ = ["BoxThenClick", "Component", "TightBox"]

Component = Literal["all", "largest"]


@dataclass(frozen=True)
class TightBox:
    """Give the tight box of the object in the first round, and nothing afterwards.

    The box is the smallest that holds every pixel of the truth that the case does not ignore, last
    pixel included. Where there is no such pixel, or the mask is right already, nothing is left to
    correct.

    Attributes:
        component: ``"all"``: the box holds the whole object (COSMOS). ``"largest"``: it holds the
            8-connected component with the most pixels (SAM-Med2D); of equally large ones the one
            whose first pixel in row-major order comes first.
    """

    name: ClassVar[str] = "tight-box"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"box"})

    component: Component = "all"

    def __post_init__(self) -> None:
        _check_component(self.component)

    def propose(
        self,
        case: Case,
        masks: NDArray[np.bool_],
        histories: Sequence[History],
        draws: Sequence[Draws],
    ) -> list[Round | None]:
        """Return the box for episodes in their first round, None for the others."""
        tight = _tight_box(case, self.component) if not all(histories) else None
        return [
            None if history or _is_right(case, mask) else tight
            for mask, history in zip(masks, histories, strict=True)
        ]


@dataclass(frozen=True)
class BoxThenClick:
    """Give the tight box of the object first (as `TightBox`), then clicks (as `CenterClick`).

    Without an object there is no box: the first round is a click then, if anything is wrong.

    Attributes:
        component: As for `TightBox`.
    """

    name: ClassVar[str] = "box-then-click"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"box", "click"})

    component: Component = "all"

    def __post_init__(self) -> None:
        _check_component(self.component)

    def propose(
        self,
        case: Case,
        masks: NDArray[np.bool_],
        histories: Sequence[History],
        draws: Sequence[Draws],
    ) -> list[Round | None]:
        """Return a box for episodes in their first round, a click for the others, or None."""
        boxes = TightBox(self.component).propose(case, masks, histories, draws)
        clicks = CenterClick()
        return [
            box_ or clicks.propose(case, masks[b : b + 1], histories[b : b + 1], draws[b : b + 1])[0]
            for b, box_ in enumerate(boxes)
        ]


def _check_component(component: str) -> None:
    if component not in get_args(Component):
        raise ValueError(f"component={component!r} must be one of {', '.join(get_args(Component))}")


def _is_right(case: Case, mask: NDArray[np.bool_]) -> bool:
    wrong = case.truth != mask
    return not (wrong if case.ignore is None else wrong & ~case.ignore).any()


def _tight_box(case: Case, component: Component) -> Round | None:
    truth = case.truth if case.ignore is None else case.truth & ~case.ignore
    found = bounding_box(largest_component(truth) if component == "largest" else truth)
    return None if found is None else Round((box(*found),))
