"""The contracts of annotators and of noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from simclick.case import Case
from simclick.prompts import Round
from simclick.seeding import Draws

__all__ = ["Annotator", "History", "Noise"]

History = Sequence[Round]
"""The rounds of an episode so far, oldest first, with what was meant and where it landed."""


@runtime_checkable
class Annotator(Protocol):
    """A policy that looks at truth and current mask and gives the next round.

    Pure: the same arguments give the same rounds; all chance comes from `draws`. An instance
    holds its options only (constructor keywords), so one serves many episodes at once.

    Attributes:
        name: Its registered name.
        version: Raised whenever a proposed round changes; part of a protocol's digest.
        draws_chance: Whether it ever uses `draws`. Where it does not, a cell without noise is
            run once, not `repeats` times.
        kinds: The kinds of prompt it can give; an agent must accept them all.

    An annotator may also have ``truthful``, on the class or on the instance; without it, it is True.
    True promises that the label of every prompt agrees with the truth where the prompt was *meant*: at
    the pixel of a click, at one vertex of a scribble or more. It says nothing of where noise makes a
    prompt land. False is for those whose meant labels may contradict the truth on purpose: faithful
    copies of faulty code, and replayed people. `simclick.testing.check_annotator` holds it to this.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    draws_chance: ClassVar[bool]
    kinds: frozenset[str]

    def propose(
        self,
        case: Case,
        masks: NDArray[np.bool_],
        histories: Sequence[History],
        draws: Sequence[Draws],
    ) -> list[Round | None]:
        """Return the next round of each of B episodes on one case, None where nothing is left.

        Args:
            case: The case; the annotator may look at its truth.
            masks: Bool[B, H, W], the current masks (empty before the first answer).
            histories: The rounds so far of each episode.
            draws: The keyed draws of each episode's coming step.
        """
        ...


@runtime_checkable
class Noise(Protocol):
    """A seeded perturbation of a round: what was meant stays, where it landed moves.

    A noise may also have ``max_level``, the largest level that means anything (infinite where it
    has none), and ``check(case) -> str | None``, which says in one line why it cannot serve a case
    (None: it can).

    Attributes:
        name: Its registered name.
        version: Raised whenever a perturbed round changes; part of a protocol's digest.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    def perturb(self, round_: Round, case: Case, draws: Draws, level: float) -> Round:
        """Return the round as it lands: level × fixed standard draws. Level 0 returns it unchanged.

        Args:
            round_: The round as meant.
            case: The case (its size, and its object where the level is relative to it).
            draws: The keyed draws of the step.
            level: How strong, ≥ 0, in the noise's own unit.
        """
        ...
