"""Noise on prompts: the annotator meant one place and hit another. What every noise shares.

A noise touches the prompts of its kinds and passes the others on. All chance about a prompt comes
from the stream ``noise`` under the prompt's index in its round; the level is not in the key, so two
levels, or two agents, meet the same draws. Level 0 returns the round itself, the same object. What
was meant stays in the prompt beside where it landed. Steps after the first stay paired in their
draws, while the meant places follow each agent's own mask.

Noises that move (`Displacement`) land at meant + level × scale × standard displacement, where the
standard displacement is a function of the draws alone: a level is a *dose*, and doubling it doubles
the displacement before rounding. Rings, whose distances follow the level by a rule of their own,
say so. Common rules:

Units. A level counts, along x and along y, in ``px``: pixels; ``mm``: millimetres by the case's
spacing of columns and of rows (a case without one cannot be served, see `PromptNoise.check`);
``fraction``: equivalent diameters of the case's object, 2·√(area / π); ``extent``: the width and
the height of the tight box of the case's object; ``box``: the prompt's own width and height, last
pixel included. The object is the whole truth. An empty object has size 0, and its prompts stay.

Rounding. A displacement d is rounded to floor(d + 0.5).

Border. ``clip``: each coordinate moves to the nearest one inside the image, so what would land
outside lands on the border. ``reject``: the prompt is drawn again, with the number of the try in
the key, until all of it lands inside; after `TRIES` tries the first one is clipped. Which try is
taken depends on the level, so with ``reject`` levels are no longer one draw scaled: they stay
paired only where the same try is accepted.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from simclick.case import Case
from simclick.errors import ConfigError
from simclick.geometry import bounding_box, clip_point, equivalent_diameter
from simclick.prompts import Prompt, Round
from simclick.seeding import Draws, Words

__all__ = [
    "TRIES",
    "Border",
    "Displacement",
    "PromptNoise",
    "Unit",
    "Which",
    "chosen",
    "need_choice",
    "need_number",
    "rounded",
    "unit_vector",
]

Unit = Literal["px", "mm", "fraction", "extent", "box"]
Border = Literal["clip", "reject"]
Which = Literal["all", "first", "positive"]

TRIES = 100
"""How often a prompt is drawn under ``border="reject"`` before it is clipped instead."""

_FAR = 1e12
"""Pixels; a longer displacement per standard draw would say no more, and could overflow."""


@dataclass(frozen=True)
class PromptNoise(ABC):
    """A noise that treats each prompt of some kinds by itself.

    Attributes:
        name: Its registered name.
        version: Raised whenever a perturbed round changes.
        kinds: The kinds of prompt that it touches.
        max_level: The largest level that means anything.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    kinds: ClassVar[frozenset[str]]
    max_level: ClassVar[float] = math.inf

    def perturb(self, round_: Round, case: Case, draws: Draws, level: float) -> Round:
        """Return the round as it lands; `round_` itself at level 0, or where nothing is touched.

        Raises:
            ValueError: When the level is negative, not finite or above `max_level`.
            ConfigError: When the level is not 0 and the case cannot be served (see `check`).
        """
        if not 0 <= level < math.inf:
            raise ValueError(f"noise level {level} must be finite and ≥ 0")
        if level > self.max_level:
            raise ValueError(f"noise level {level} of {self.name} must be ≤ {self.max_level:g}")
        indices = self.touched(round_, draws) if level > 0 else ()
        if not indices:
            return round_
        if (why := self.check(case)) is not None:
            raise ConfigError(why)
        prompts = list(round_.prompts)
        for index in indices:
            prompts[index] = self.landed(prompts[index], case, draws, index, level)
        return Round(tuple(prompts))

    def check(self, case: Case) -> str | None:
        """Return why the case cannot be served at a level above 0, in one line; None if it can."""
        return None

    def touched(self, round_: Round, draws: Draws) -> tuple[int, ...]:
        """Return the indices of the prompts that the noise touches."""
        return chosen(round_, draws, self.kinds)

    @abstractmethod
    def landed(self, prompt: Prompt, case: Case, draws: Draws, index: int, level: float) -> Prompt:
        """Return one touched prompt as it lands at a level above 0."""


@dataclass(frozen=True)
class Displacement(PromptNoise):
    """A noise that moves the coordinates of a prompt (rules in the module's docstring).

    Attributes:
        units: The units that a level may have here.
        unit: What a level is a multiple of.
        border: What happens to a prompt that would land outside the image.
    """

    units: ClassVar[tuple[Unit, ...]] = ("px", "mm", "fraction")

    unit: Unit = "px"
    border: Border = "clip"

    def __post_init__(self) -> None:
        need_choice("unit", self.unit, self.units)
        need_choice("border", self.border, get_args(Border))

    def check(self, case: Case) -> str | None:
        """Return that a level in millimetres needs a spacing, where the case has none."""
        if self.unit != "mm" or case.spacing is not None:
            return None
        return (
            f"noise {self.name} with unit=mm needs the spacing of case {case.dataset}/{case.case_id}, "
            f"which is unknown; use another unit ({', '.join(u for u in self.units if u != 'mm')})"
        )

    def landed(self, prompt: Prompt, case: Case, draws: Draws, index: int, level: float) -> Prompt:
        """Return the prompt moved, inside the image."""
        width, height = (min(level * scale, _FAR) for scale in self._scales(prompt, case))
        first: tuple[int, ...] = ()
        for attempt in range(TRIES if self.border == "reject" else 1):
            words = draws.stream("noise", index, attempt)
            at = self.place(prompt.landed, words, level, (width, height))
            inside = _clipped(at, case.size)
            if inside == at:
                return prompt.moved(at)
            first = first or inside
        return prompt.moved(first)

    @abstractmethod
    def place(
        self, at: tuple[int, ...], words: Words, level: float, dose: tuple[float, float]
    ) -> tuple[int, ...]:
        """Return where a prompt lands when nothing limits it to the image.

        Args:
            at: Where it was going to land, as in `Prompt.landed`.
            words: Its draws.
            level: The level, for rules in which it is more than a factor.
            dose: The level in pixels along x and along y.
        """

    def _scales(self, prompt: Prompt, case: Case) -> tuple[float, float]:
        """Return how many pixels one unit is along x and along y."""
        if self.unit == "mm" and case.spacing is not None:
            return 1.0 / case.spacing[1], 1.0 / case.spacing[0]
        if self.unit == "fraction":
            diameter = equivalent_diameter(case.truth)
            return diameter, diameter
        if self.unit == "extent":
            box = bounding_box(case.truth)
            return (0.0, 0.0) if box is None else _sides(*box)
        if self.unit == "box":
            x0, y0, x1, y1 = prompt.landed
            return _sides(x0, y0, x1, y1)
        return 1.0, 1.0


def chosen(round_: Round, draws: Draws, kinds: Iterable[str], which: Which = "all") -> tuple[int, ...]:
    """Return the indices of the prompts of some kinds in a round.

    Args:
        round_: The round.
        draws: The draws of the step, which know its number.
        kinds: The kinds.
        which: ``"all"`` of them; ``"first"``: the first of them in the episode's first round (in
            later rounds none, also where the first round had none); ``"positive"``: those that
            were meant to mark the object.
    """
    of_kind = [i for i, prompt in enumerate(round_.prompts) if prompt.kind in kinds]
    if which == "first":
        of_kind = of_kind[:1] if draws.step == 1 else []
    elif which == "positive":
        of_kind = [i for i in of_kind if round_.prompts[i].meant_positive]
    return tuple(of_kind)


def need_choice(option: str, value: object, choices: Iterable[object]) -> None:
    """Raise a ValueError unless the value of an option is among the choices."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{option}={value!r} must be one of {', '.join(str(c) for c in choices)}")


def need_number(option: str, value: object, low: float = -math.inf, *, above: bool = False) -> None:
    """Raise a ValueError unless the value is a finite number ≥ `low` (> `low` with `above`)."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value < low or (above and value == low):  # type: ignore[operator]
        rule = "" if low == -math.inf else f" {'>' if above else '≥'} {low:g}"
        raise ValueError(f"{option}={value!r} must be a finite number{rule}")


def rounded(value: float) -> int:
    """Return floor(value + 0.5)."""
    return math.floor(value + 0.5)


def unit_vector(turns: float) -> tuple[float, float]:
    """Return ``(x, y)`` of the unit vector at an angle in turns, from x towards y.

    Both are rounded to nine decimals, so that the last bits of a platform's cosine never show.
    """
    angle = 2.0 * math.pi * turns
    return round(math.cos(angle), 9), round(math.sin(angle), 9)


def _sides(x0: int, y0: int, x1: int, y1: int) -> tuple[float, float]:
    return float(x1 - x0 + 1), float(y1 - y0 + 1)


def _clipped(at: tuple[int, ...], size: tuple[int, int]) -> tuple[int, ...]:
    points = (clip_point(x, y, size) for x, y in zip(at[::2], at[1::2], strict=True))
    return tuple(v for point in points for v in point)
