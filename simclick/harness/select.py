"""Which of an agent's candidate masks answers the round: one rule, applied in one place.

* ``score``: the highest score that the agent gave; ties go to the first.
* ``first``: the first candidate.
* ``largest``: the most pixels; ties go to the first.
* ``oracle``: the best Dice against the truth; ties go to the first. It needs the truth, and its
  memory carries the choice into later steps: such runs are marked wherever they appear.

The best Dice among the candidates is measured under every rule: a bound per step, not a trajectory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Prediction
from simclick.episode import Ground
from simclick.errors import AgentError
from simclick.runlength import RunLengths, decode

__all__ = ["Selection", "candidate_masks", "select"]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The chosen mask of a prediction.

    Attributes:
        mask: Bool[H, W], owned by the caller.
        memory: The agent's memory that came with it, or None.
        chosen: Index of the chosen candidate.
        overlap: What `Ground.overlap` says of the chosen mask.
        masks: Bool[K, H, W], all candidates.
        oracle_dice: Best Dice among the candidates.
        scores: The agent's own score of each candidate.
    """

    mask: NDArray[np.bool_]
    memory: Any
    chosen: int
    overlap: tuple[int, int]
    masks: NDArray[np.bool_]
    oracle_dice: float
    scores: tuple[float, ...]


def candidate_masks(prediction: Prediction, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the candidates as Bool[K, H, W], checked.

    Raises:
        AgentError: When the prediction breaks the contract; says how.
    """
    if not isinstance(prediction, Prediction):
        raise AgentError(f"predict returned a {type(prediction).__name__}, not a Prediction")
    candidates = prediction.candidates
    if isinstance(candidates, np.ndarray):
        masks = candidates
    else:
        try:
            masks = np.stack([_decoded(candidate, size) for candidate in candidates])
        except ValueError as error:
            raise AgentError(f"bad run lengths: {error}") from None
    if masks.dtype != np.bool_ or masks.ndim != 3 or masks.shape[0] < 1 or masks.shape[1:] != size:
        raise AgentError(
            f"candidates are {masks.dtype}{list(masks.shape)}, not bool[K, {size[0]}, {size[1]}] with K ≥ 1"
        )
    return masks


def _decoded(candidate: RunLengths, size: tuple[int, int]) -> NDArray[np.bool_]:
    if not isinstance(candidate, RunLengths):
        raise ValueError(f"a candidate is a {type(candidate).__name__}, not RunLengths")
    return decode(candidate.counts, size)


def select(prediction: Prediction, rule: str, ground: Ground) -> Selection:
    """Choose among a prediction's candidates.

    Args:
        prediction: The agent's answer.
        rule: One of `simclick.protocol.SELECTION_RULES`.
        ground: The truth, for ``oracle`` and for the bound.

    Raises:
        AgentError: When the prediction breaks the contract.
    """
    masks = candidate_masks(prediction, ground.case.size)
    scores = _scores(prediction, len(masks))
    memories = prediction.memories
    if memories is not None and len(memories) != len(masks):
        raise AgentError(f"{len(masks)} candidates came with {len(memories)} memories")
    overlaps = [ground.overlap(mask) for mask in masks]
    dices = [ground.dice_of(overlap) for overlap in overlaps]
    if rule == "first" or len(masks) == 1:
        chosen = 0
    else:
        by: Sequence[float]
        if rule == "score":
            by = scores
        elif rule == "largest":
            by = [int(np.count_nonzero(mask)) for mask in masks]
        else:
            by = dices
        chosen = by.index(max(by))
    memory = None if memories is None else memories[chosen]
    return Selection(masks[chosen].copy(), memory, chosen, overlaps[chosen], masks, max(dices), tuple(scores))


def _scores(prediction: Prediction, n: int) -> list[float]:
    """Return the scores, one finite number per candidate."""
    try:
        scores = [float(score) for score in prediction.scores]
    except (TypeError, ValueError):
        raise AgentError(f"{n} candidates came with scores that are no flat list of numbers") from None
    if len(scores) != n:
        raise AgentError(f"{n} candidates came with scores of length {len(scores)}")
    if not all(map(math.isfinite, scores)):
        raise AgentError(f"scores must be finite, not {scores}")
    return scores
