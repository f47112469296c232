"""Slips: a prompt with the wrong label, a click that misses altogether.

The level is the probability of a slip, from 0 to 1. Each prompt has one uniform u, and slips where
u < level: what slips at one level slips at every higher one, in the same way. Common rules:
`simclick.annotators.noise`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, get_args

from simclick.annotators.noise import PromptNoise, Which, chosen, need_choice
from simclick.case import Case
from simclick.prompts import Prompt, Round
from simclick.seeding import Draws

__all__ = ["OffTargetClick", "WrongLabel"]


@dataclass(frozen=True)
class _Slip(PromptNoise):
    """A noise that touches a prompt with the probability that is its level."""

    max_level: ClassVar[float] = 1.0

    which: Which = "all"

    def __post_init__(self) -> None:
        need_choice("which", self.which, get_args(Which))

    def touched(self, round_: Round, draws: Draws) -> tuple[int, ...]:
        """Return the indices of the prompts that `which` names, slipping or not."""
        return chosen(round_, draws, self.kinds, self.which)


@dataclass(frozen=True)
class WrongLabel(_Slip):
    """Give clicks and scribbles the label that was not meant: the wrong mouse button.

    The place stays. Draws: one uniform u; the label is turned where u < level. Level 1 turns all.

    Attributes:
        which: ``"all"``; the ``"first"`` of the episode's first round; or those meant ``"positive"``.
    """

    name = "wrong-label"
    kinds = frozenset({"click", "scribble"})

    def landed(self, prompt: Prompt, case: Case, draws: Draws, index: int, level: float) -> Prompt:
        """Return the prompt, with the other label where it slips."""
        slips = float(draws.stream("noise", index).uniform(1)[0]) < level
        return prompt.moved(prompt.landed, positive=not prompt.positive) if slips else prompt


@dataclass(frozen=True)
class OffTargetClick(_Slip):
    """Let clicks land on any pixel, each as likely as another: the hand slipped.

    The label stays as meant. Draws: one uniform u, and one whole number that picks a pixel in
    row-major order among those of the image within `radius` of where the click was meant (Euclidean,
    `radius` included, the meant pixel among them); the click lands there where u < level.

    Attributes:
        which: As for `WrongLabel`.
        radius: In pixels, a whole number ≥ 1; None for the whole image.
    """

    name = "off-target-click"
    kinds = frozenset({"click"})

    radius: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.radius, int) and not isinstance(self.radius, bool) and self.radius >= 1
        if self.radius is not None and not whole:
            raise ValueError(f"radius={self.radius!r} must be a whole number of pixels ≥ 1, or none")

    def landed(self, prompt: Prompt, case: Case, draws: Draws, index: int, level: float) -> Prompt:
        """Return the click, elsewhere where it slips."""
        words = draws.stream("noise", index)
        if float(words.uniform(1)[0]) >= level:
            return prompt
        height, width = case.size
        if self.radius is None:
            y, x = divmod(words.integer(height * width), width)
            return prompt.moved((x, y))
        rows = _rows(prompt.landed[0], prompt.landed[1], self.radius, case.size)
        k = words.integer(sum(last - first + 1 for _, first, last in rows))
        for y, first, last in rows:
            if k <= last - first:
                return prompt.moved((first + k, y))
            k -= last - first + 1
        raise AssertionError("unreachable: k is less than the number of pixels")


def _rows(x: int, y: int, radius: int, size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Return ``(row, first column, last column)`` of the disc around a pixel, inside the image."""
    height, width = size
    rows = []
    for row in range(max(0, y - radius), min(height - 1, y + radius) + 1):
        half = math.isqrt(radius**2 - (row - y) ** 2)
        rows.append((row, max(0, x - half), min(width - 1, x + half)))
    return rows
