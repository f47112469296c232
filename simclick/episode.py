"""The state machine of one episode, pure: no clock, no disk, no agent.

An episode is one case × one noise level × one repeat, from the empty mask to the end of the budget.
The environments, the engine and the verifier all drive this one class; none has rules of its own:

1. `ask` the annotator for the next round (many episodes of one case at once). No error left in
   the mask, or an annotator that has nothing more to say, ends the episode: *terminated*.
2. Noise moves the round. A round whose cost would pass the budget is not given: *truncated*.
3. `Episode.answer` takes the mask that answers the round, and scores it. A mask without any error
   ends the episode at once, also when it answers the last round of the budget.

An agent that breaks its contract calls `Episode.fail`: from there on its Dice is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import Annotator, Noise
from simclick.case import Case
from simclick.geometry import bounding_box
from simclick.metrics.overlap import dice_from_counts, iou_from_counts
from simclick.prompts import Round
from simclick.protocol import Protocol
from simclick.seeding import Draws

__all__ = ["Episode", "Ground", "Rules", "Status", "ask"]

_BYTE = np.dtype(np.uint8)  # OpenCV counts the pixels of a mask in half of NumPy's time
Status: TypeAlias = Literal["running", "terminated", "truncated", "failed"]


class Ground:
    """What is computed once per case from its truth, shared by all its episodes.

    Attributes:
        case: The case.
        area: Number of truth pixels that count (outside `Case.ignore`).
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self._counts = None if case.ignore is None else ~case.ignore
        self._truth = case.truth if self._counts is None else case.truth & self._counts
        self.area = int(np.count_nonzero(self._truth))
        # A mask is compared with the truth only where there is some.
        x0, y0, x1, y1 = bounding_box(self._truth) or (0, 0, -1, -1)
        self._box = slice(y0, y1 + 1), slice(x0, x1 + 1)
        self._inside = np.ascontiguousarray(self._truth[self._box])

    def overlap(self, mask: NDArray[np.bool_]) -> tuple[int, int]:
        """Return ``(|mask ∩ truth|, |mask|)`` in pixels, ignored pixels left out. Bool[H, W]."""
        counted = mask if self._counts is None else mask & self._counts
        # NumPy's "and": a true byte of a view need not be 1, and OpenCV's is one of bits.
        both = mask[self._box] & self._inside
        return cv2.countNonZero(both.view(_BYTE)), cv2.countNonZero(counted.view(_BYTE))

    def dice(self, mask: NDArray[np.bool_]) -> float:
        """Return the Dice of a mask, ignored pixels left out."""
        return self.dice_of(self.overlap(mask))

    def dice_of(self, overlap: tuple[int, int]) -> float:
        """Return the Dice of a mask whose `overlap` is known."""
        return dice_from_counts(*overlap, self.area)


@dataclass(frozen=True)
class Rules:
    """A protocol with its annotator and noise made: what every episode of a run shares."""

    protocol: Protocol
    seed: int
    annotator: Annotator = field(init=False)
    noise: Noise | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "annotator", self.protocol.make_annotator())
        object.__setattr__(self, "noise", self.protocol.make_noise())


class Episode:
    """One episode.

    Attributes:
        ground: The case, and what is known of its truth.
        level: Noise level.
        repeat: Repeat, from 0.
        rounds: The rounds given so far, as meant and as landed; the last may wait for its answer.
        mask: Bool[H, W], read-only: the mask chosen last; empty before the first answer.
        cost: Cumulative cost of the rounds given, in clicks.
        dice: Dice of `mask`; 0 once the episode failed.
        iou: Intersection over union of `mask`; 0 once the episode failed.
        status: ``running``; ``terminated``: nothing left to correct; ``truncated``: budget spent;
            ``failed``: the agent broke its contract.
        error: Why it failed, else None.
    """

    def __init__(self, ground: Ground, rules: Rules, level: float = 0.0, repeat: int = 0) -> None:
        self.ground = ground
        self.rules = rules
        self.level = float(level)
        self.repeat = int(repeat)
        self.rounds: list[Round] = []
        self.cost = 0
        self.status: Status = "running"
        self.error: str | None = None
        self._waiting = False
        self._draws: Draws | None = None
        empty = np.zeros(ground.case.size, dtype=np.bool_)
        empty.flags.writeable = False
        self.mask: NDArray[np.bool_] = empty
        self._score(0, 0)
        if self.flawless:
            self.status = "terminated"

    @property
    def case(self) -> Case:
        """The case."""
        return self.ground.case

    @property
    def step(self) -> int:
        """Number of rounds given so far."""
        return len(self.rounds)

    @property
    def waiting(self) -> bool:
        """Whether the last round still waits for its answer."""
        return self._waiting

    def draws(self) -> Draws:
        """Return the keyed draws of the step that `rounds` has reached, or of the coming one."""
        step = len(self.rounds) + (not self._waiting)
        if self._draws is None or self._draws.step != step:
            case = self.ground.case
            self._draws = Draws(self.rules.seed, case.dataset, case.case_id, self.repeat, step)
        return self._draws

    def offer(self, meant: Round | None) -> Round | None:
        """Take what the annotator proposes; return the round as it lands, or None at the end.

        Args:
            meant: The annotator's round without noise; None when it has nothing more to say.
        """
        self._need(not self._waiting, "the last round is not answered yet")
        self._need(self.status == "running", "the episode is over")
        if meant is None:
            self.status = "terminated"
            return None
        landed = meant
        if self.rules.noise is not None and self.level > 0:
            landed = self.rules.noise.perturb(meant, self.case, self.draws(), self.level)
        cost = landed.cost(self.rules.protocol.costs)
        if self.cost + cost > self.rules.protocol.budget:
            self.status = "truncated"
            return None
        self.rounds.append(landed)
        self.cost += cost
        self._waiting = True
        return landed

    def answer(self, mask: NDArray[np.bool_], overlap: tuple[int, int] | None = None) -> float:
        """Take the mask that answers the last round; return the gain in Dice.

        Args:
            mask: Bool[H, W]; kept, so the caller must not change it afterwards.
            overlap: What `Ground.overlap` says of it, for a caller that knows already.

        Raises:
            ValueError: When the mask has another size or dtype.
        """
        self._need(self._waiting, "there is no round to answer")
        if mask.dtype != np.bool_ or mask.shape != self.case.size:
            raise ValueError(f"the mask is {mask.dtype}{list(mask.shape)}, not bool{list(self.case.size)}")
        self._waiting = False
        before = self.dice
        self.mask = mask.view()
        self.mask.flags.writeable = False
        self._score(*(self.ground.overlap(mask) if overlap is None else overlap))
        if self.flawless:
            self.status = "terminated"
        elif self.cost >= self.rules.protocol.budget:
            self.status = "truncated"
        return self.dice - before

    def fail(self, error: str) -> None:
        """End the episode because the agent broke its contract: from here on its Dice is 0."""
        self.status = "failed"
        self.error = error
        self.dice = self.iou = 0.0
        self._waiting = False

    @property
    def flawless(self) -> bool:
        """Whether the mask equals the truth (ignored pixels left out): nothing left to correct."""
        return self._intersection == self._area == self.ground.area

    def _score(self, intersection: int, area: int) -> None:
        self._intersection, self._area = intersection, area
        self.dice = dice_from_counts(intersection, area, self.ground.area)
        self.iou = iou_from_counts(intersection, area, self.ground.area)

    @staticmethod
    def _need(condition: bool, message: str) -> None:
        if not condition:
            raise RuntimeError(message)


def ask(episodes: Sequence[Episode]) -> list[Round | None]:
    """Ask the annotator for the next round of running episodes of one case, in lockstep.

    Args:
        episodes: Running episodes that share one `Ground`; none waits for an answer.

    Returns:
        Per episode the round as it landed, or None where the episode ended instead.
    """
    if not episodes:
        return []
    first = episodes[0]
    if len(episodes) == 1:
        masks = first.mask[None]
    elif all(episode.ground is first.ground for episode in episodes):
        masks = np.stack([e.mask for e in episodes])
    else:
        raise ValueError("lockstep needs episodes of one case")
    meant = first.rules.annotator.propose(
        first.case, masks, [e.rounds for e in episodes], [e.draws() for e in episodes]
    )
    return [episode.offer(round_) for episode, round_ in zip(episodes, meant, strict=True)]
