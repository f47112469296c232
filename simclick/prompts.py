"""Prompts, and rounds of prompts.

A *prompt* is what an annotator gives an agent: a click, a box, a scribble, a mask, a text label, or the
request to segment everything. It records both what was *meant* and where it *landed*: noise moves
the second, never the first. A *round* is the prompts given between two masks.

Coordinates are ``(x, y)`` in pixels of the original image, x to the right, y down; an integer is a
pixel's centre. Boxes are ``(x0, y0, x1, y1)`` with the last pixel included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from operator import is_
from typing import Literal, TypeAlias

__all__ = [
    "DEFAULT_COSTS",
    "KINDS",
    "Kind",
    "Prompt",
    "Round",
    "box",
    "click",
    "everything",
    "mask",
    "scribble",
    "text",
]

Kind: TypeAlias = Literal["click", "box", "scribble", "mask", "text", "everything"]
KINDS: tuple[Kind, ...] = ("click", "box", "scribble", "mask", "text", "everything")

DEFAULT_COSTS: Mapping[str, int] = {
    "click": 1,
    "box": 2,
    "scribble": 3,
    "mask": 0,
    "text": 1,
    "everything": 0,
}
"""What a prompt costs, in clicks, unless the protocol says otherwise."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt.

    Attributes:
        kind: Which sort of prompt this is.
        landed: Where it landed: ``(x, y)`` for a click, ``(x0, y0, x1, y1)`` for a box, the flat
            polyline ``(x0, y0, x1, y1, …)`` for a scribble, empty for mask, text and everything.
        positive: Whether it marks the object (True) or the background (False), as given.
        meant: Where the annotator meant it, in the same form.
        meant_positive: The label that the annotator meant.
        label: The text of a text prompt, else None.
    """

    kind: Kind
    landed: tuple[int, ...]
    positive: bool
    meant: tuple[int, ...]
    meant_positive: bool
    label: str | None = None

    def moved(self, landed: Iterable[int], positive: bool | None = None) -> Prompt:
        """Return this prompt landed elsewhere (and with another label), meaning unchanged."""
        return replace(
            self,
            landed=tuple(int(v) for v in landed),
            positive=self.positive if positive is None else positive,
        )

    def seen(self) -> Prompt:
        """Return what an agent may see: what was meant is replaced by what landed."""
        if self.meant == self.landed and self.meant_positive == self.positive:
            return self
        return replace(self, meant=self.landed, meant_positive=self.positive)


@dataclass(frozen=True, slots=True)
class Round:
    """The prompts of one interaction, in the order in which they are given."""

    prompts: tuple[Prompt, ...]

    def __post_init__(self) -> None:
        if not self.prompts:
            raise ValueError("a round holds at least one prompt; nothing left to correct is None")

    def cost(self, costs: Mapping[str, int] = DEFAULT_COSTS) -> int:
        """Return the round's cost in clicks: the sum of its prompts' costs."""
        return sum([costs[prompt.kind] for prompt in self.prompts])

    def seen(self) -> Round:
        """Return the round as an agent may see it."""
        seen = tuple([prompt.seen() for prompt in self.prompts])
        return self if all(map(is_, seen, self.prompts)) else Round(seen)


def click(x: int, y: int, positive: bool = True) -> Prompt:
    """Return a click at pixel ``(x, y)``, landed where it was meant."""
    at = (int(x), int(y))
    return Prompt("click", at, bool(positive), at, bool(positive))


def box(x0: int, y0: int, x1: int, y1: int) -> Prompt:
    """Return a box from ``(x0, y0)`` to ``(x1, y1)``, last pixel included."""
    at = (int(x0), int(y0), int(x1), int(y1))
    return Prompt("box", at, True, at, True)


def scribble(points: Iterable[tuple[int, int]], positive: bool = True) -> Prompt:
    """Return a scribble along a polyline of ``(x, y)`` pixels."""
    at = tuple(int(v) for point in points for v in point)
    return Prompt("scribble", at, bool(positive), at, bool(positive))


def mask() -> Prompt:
    """Return the prompt that hands a mask over: the mask itself is the request's previous mask."""
    return Prompt("mask", (), True, (), True)


def text(label: str) -> Prompt:
    """Return a text prompt."""
    return Prompt("text", (), True, (), True, label)


def everything() -> Prompt:
    """Return the request to segment everything, without a place."""
    return Prompt("everything", (), True, (), True)
