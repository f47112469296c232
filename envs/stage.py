"""What both forms of the environment share: their cases, the protocol, and which case is played."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from simclick.case import Case
from simclick.envs.observation import Layout
from simclick.episode import Episode, Ground, Rules
from simclick.protocol import Protocol, load_protocol

__all__ = ["Series", "Stage", "checked_level", "checked_options", "checked_repeat", "facts"]


class Stage:
    """Cases of one size under one protocol.

    Attributes:
        cases: The cases.
        layout: Spaces and observations.

    Args:
        case: One case, or several of one size (all are held in memory).
        protocol: A protocol or its id.

    Raises:
        ConfigError: When there is no protocol of that id.
        ValueError: When there is no case, or the cases differ in size.
    """

    def __init__(self, case: Case | Iterable[Case], protocol: Protocol | str) -> None:
        self.cases = (case,) if isinstance(case, Case) else tuple(case)
        _check_cases(self.cases)
        protocol = load_protocol(protocol) if isinstance(protocol, str) else protocol
        self._rules = Rules(protocol, seed=0)
        self.layout = Layout(self.cases[0].size, self._rules)
        self._grounds: dict[int, Ground] = {}

    @property
    def protocol(self) -> Protocol:
        """The protocol."""
        return self._rules.protocol

    def rules(self, seed: int) -> Rules:
        """Return the rules of episodes whose draws are keyed by a seed."""
        return self._rules if seed == self._rules.seed else replace(self._rules, seed=seed)

    def ground(self, index: int) -> Ground:
        """Return the ground of a case; all its episodes share one."""
        if index not in self._grounds:
            self._grounds[index] = Ground(self.cases[index])
        return self._grounds[index]

    def pick(self, options: Mapping[str, Any], rng: np.random.Generator) -> int:
        """Return the index of the case to play: the one asked for, else one drawn uniformly.

        A draw is made only where there is a choice, from one raw 64-bit word of the generator.

        Raises:
            ValueError: When there is no such case.
        """
        n = len(self.cases)
        if "case" not in options:
            return (int(rng.bit_generator.random_raw()) * n) >> 64 if n > 1 else 0
        index = options["case"]
        if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < n:
            raise ValueError(f"options['case']={index!r} must be a whole number from 0 to {n - 1}")
        return int(index)


class Series:
    """The episodes of an environment: a repeat after another; a seed starts anew.

    Args:
        stage: Where they play.
        level: Noise level, ≥ 0.
        repeat: The first repeat, from 0.

    Raises:
        ValueError: When an argument is out of range.
    """

    def __init__(self, stage: Stage, level: float, repeat: int) -> None:
        self._stage = stage
        self._level = checked_level(level, stage.protocol)
        self._first = self._next = checked_repeat(repeat)
        self._rules = stage.rules(seed=0)

    def begin(self, seed: int | None, case: int) -> Episode:
        """Return the next episode.

        Args:
            seed: What keys its draws and those of the episodes after it; None: as before.
            case: Index of the case.
        """
        if seed is not None:
            self._rules = self._stage.rules(seed)
            self._next = self._first
        episode = Episode(self._stage.ground(case), self._rules, self._level, self._next)
        self._next += 1
        return episode


def facts(episode: Episode, training: bool) -> dict[str, Any]:
    """Return what the info says of an episode: nothing of the truth but in training."""
    known: dict[str, Any] = {
        "cost": episode.cost,
        "rounds": tuple(round_.seen() for round_ in episode.rounds),
    }
    if training:
        known |= {"dice": episode.dice, "iou": episode.iou}
    return known


def checked_options(options: Mapping[str, Any] | None, known: Iterable[str]) -> Mapping[str, Any]:
    """Return the options of a reset.

    Raises:
        ValueError: When one is unknown.
    """
    options = {} if options is None else options
    for key in options:
        if key not in known:
            raise ValueError(f"unknown option {key!r} of reset (choices: {', '.join(known)})")
    return options


def checked_level(level: float, protocol: Protocol) -> float:
    """Return a noise level.

    Raises:
        ValueError: When it is negative or not finite, or the protocol has no noise to scale.
    """
    if not (level >= 0 and math.isfinite(level)):
        raise ValueError(f"level={level} must be a finite number ≥ 0")
    if level > 0 and protocol.noise == "none":
        raise ValueError(f"level={level} needs a noise, and protocol {protocol.id} has none")
    return float(level)


def checked_repeat(repeat: int) -> int:
    """Return a repeat.

    Raises:
        ValueError: When it is not a whole number ≥ 0.
    """
    if isinstance(repeat, bool) or not isinstance(repeat, int | np.integer) or repeat < 0:
        raise ValueError(f"repeat={repeat!r} must be a whole number ≥ 0")
    return int(repeat)


def _check_cases(cases: tuple[Case, ...]) -> None:
    if not cases:
        raise ValueError("the environment needs at least one case")
    for case in cases:
        if not isinstance(case, Case):
            raise ValueError(f"case must be a Case or several, not {type(case).__name__}")
        if case.size != cases[0].size:
            raise ValueError(
                f"the cases must have one size, since spaces are fixed: {cases[0].case_id} is "
                f"{list(cases[0].size)}, {case.case_id} is {list(case.size)}"
            )
