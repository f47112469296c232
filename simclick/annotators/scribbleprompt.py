"""ScribblePrompt's clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import History
from simclick.annotators.perception import errors
from simclick.case import Case
from simclick.geometry import connected_components, squared_distance
from simclick.prompts import Round, click
from simclick.seeding import Draws

__all__ = ["Rule", "ScribblePromptClick"]

Mask = NDArray[np.bool_]
Rule = Literal["center", "random"]


@dataclass(frozen=True)
class ScribblePromptClick:
    """Click as ScribblePrompt's evaluation does, once a round.

    ``rule="center"``: the wrong region with the most pixels (8-connected components of the false
    negatives and of the false positives, apart; of equally large ones, of either kind, the one whose
    first pixel in row-major order comes first), and in it one of the pixels with the largest Euclidean
    distance to the nearest pixel that is not wrong in the same way: drawn uniformly where several tie.
    ``rule="random"``: any wrong pixel, drawn uniformly.

    Earlier clicks are not looked at: an agent that does not answer may get the same click again. The
    label is the truth's. Distances are compared as exact squared integers.

    Source: Wong et al., "ScribblePrompt" (2024), and the released code's ``ComponentCenterClick`` (as
    it is used for evaluation, with one click) and ``RandomClick``. There equally large regions are
    sorted by an unstable sort, here by their first pixel; and where every pixel of the image is wrong
    in the same way, distances are undefined there, and all equal here.

    Attributes:
        rule: See above.
        pad_border: Whether pixels outside the image count as not wrong. False, as in ScribblePrompt:
            then an error that touches the image's edge is clicked at the edge.
    """

    name: ClassVar[str] = "scribbleprompt-click"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"click"})

    rule: Rule = "center"
    pad_border: bool = False

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise ValueError(f"rule={self.rule!r} must be one of {', '.join(get_args(Rule))}")
        if not isinstance(self.pad_border, bool):
            raise ValueError(f"pad_border={self.pad_border!r} must be true or false")

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return one click per episode, or None where nothing is wrong."""
        return [self._click(case, mask, draw) for mask, draw in zip(masks, draws, strict=True)]

    def _click(self, case: Case, mask: Mask, draw: Draws) -> Round | None:
        missed, extra = errors(case, mask)
        if self.rule == "random":
            places = np.flatnonzero(missed | extra)
        else:
            places = _centres(missed, extra, self.pad_border)
        if places.size == 0:
            return None
        place = int(places[draw.stream("annotator").integer(places.size)])
        y, x = divmod(place, case.size[1])
        return Round((click(x, y, bool(case.truth[y, x])),))


def _centres(missed: Mask, extra: Mask, pad_border: bool) -> NDArray[np.intp]:
    """Return the flat indices of the deepest pixels of the largest region, in row-major order."""
    candidates = []
    for wrong in (missed, extra):
        labels, n = connected_components(wrong)
        if n:
            areas = np.bincount(labels.ravel())[1:]
            region = labels == 1 + int(np.argmax(areas))
            candidates.append((-int(areas.max()), int(np.argmax(region)), region, wrong))
    if not candidates:
        return np.zeros(0, dtype=np.intp)
    *_, region, wrong = min(candidates, key=lambda candidate: candidate[:2])
    depth = squared_distance(wrong) if pad_border else _without_border(wrong)
    return np.flatnonzero(region & (depth == depth[region].max()))


def _without_border(wrong: Mask) -> NDArray[np.int64]:
    """Return squared distances as `squared_distance` does, the image's edge being no border.

    Where every pixel is True there is no distance: all get 1.
    """
    from scipy.ndimage import distance_transform_edt

    if wrong.all():
        return np.ones(wrong.shape, dtype=np.int64)
    nearest = distance_transform_edt(wrong, return_distances=False, return_indices=True)
    away = nearest.astype(np.int64) - np.indices(wrong.shape)
    return np.asarray((away**2).sum(axis=0), dtype=np.int64)
