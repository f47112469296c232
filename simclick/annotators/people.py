"""An annotator that clicks as people might: not always in the middle, and not always right.

Here a person's click is drawn from a map of how likely each wrong pixel is to be clicked. The map is a
formula with two parameters, not a model learned from people: its parameters were not fitted to clicks
of people, and a number measured with them says how an agent takes clicks that vary in this way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import History
from simclick.annotators.clicks import landed_clicks
from simclick.annotators.perception import errors, perceived
from simclick.case import Case
from simclick.geometry import connected_components, squared_distance
from simclick.prompts import Prompt, Round, click
from simclick.seeding import Draws, Words

__all__ = ["Clickability", "decile_of"]

Mask = NDArray[np.bool_]
Depth = NDArray[np.int64]

_ONE = 2**20


@dataclass(frozen=True)
class Clickability:
    """Click a wrong pixel drawn from a map of clickability.

    **Which error.** As RITM: of the pixels that were not clicked, the deepest false negative against
    the deepest false positive (depth: Euclidean distance to the nearest pixel that is not wrong in the
    same way; outside the image is not wrong). The deeper kind wins; where both are equally deep, the
    false positives. All pixels of that kind that were not clicked can be clicked.

    **The map.** A pixel's weight is exp(s / temperature), s = ln(depth) - center_bias · (r / R)², r
    being its distance to the centroid of its component (8-connected) and R = √(area / π) the radius of
    the disc with that component's area. Weights are divided by the largest among the pixels that can
    be clicked, multiplied by 2²⁰ and rounded (floor of + 0.5), so that draws are exact; the map cannot
    vanish: the likeliest pixel always weighs 2²⁰. With ``temperature=1, center_bias=0`` the weight is
    in proportion to depth. Low temperatures approach RITM's click (with random ties), high ones a
    click anywhere in the error.

    **Deciles.** With ``decile=k`` only the k-th tenth of the map's mass can be clicked. In ascending
    order of weight, with C the cumulative weight and T its total: from the weight of the first pixel
    with C ≥ (k-1)·T/10 to that of the first with C > k·T/10 (the last pixel where there is none), all
    pixels of both these weights included, so it is never empty and pixels that tie stay together.
    Decile 1 holds the least likely clicks, 10 the likeliest.

    **Human limits.** *Perception*: components that are small or thin are not seen (see
    `simclick.annotators.perception.perceived`); where nothing wrong is seen, nothing is left to
    correct. In an episode's first round everything is seen: the annotator was asked for this object.
    ``rank=2``: the annotator overlooks the component that holds the deepest pixel and corrects the
    rest, if any is left. ``wrong_label``: with this probability the click is given with the opposite
    label; ``off_target``: with this probability it lands on a pixel drawn uniformly from those of the
    image within ``off_target_radius`` of where it was meant (that one included). What was meant stays
    the truth in both.

    Clicked means where an earlier click landed. Draws of a round, in this order: the pixel, whether
    the label is wrong, whether it is off target, where it lands; the last three are drawn always, so
    the probabilities are doses.

    Sources: polarity, deciles (there called G1 to G10, "groups") and their thresholds are those of
    Antonov et al., "RClicks: Realistic Click Simulation for Benchmarking Interactive Segmentation"
    (2024), and its released ``Clicker``. There the map is a network's; where it vanishes RITM's click
    is taken. The limits are this project's own, and not measured on people.

    Attributes:
        temperature: > 0, finite.
        center_bias: ≥ 0, finite; 0: no preference for the centroid.
        decile: 1 to 10, or None: the whole map.
        min_pixels: Components with fewer pixels are not seen.
        min_width: Components thinner than this many pixels are not seen.
        wrong_label: Probability, 0 to 1.
        off_target: Probability, 0 to 1.
        off_target_radius: In pixels, ≥ 1.
        rank: 1, or 2: the second error.
    """

    name: ClassVar[str] = "clickability"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"click"})

    temperature: float = 1.0
    center_bias: float = 0.0
    decile: int | None = None
    min_pixels: int = 0
    min_width: int = 0
    wrong_label: float = 0.0
    off_target: float = 0.0
    off_target_radius: int = 10
    rank: int = 1

    def __post_init__(self) -> None:
        def need(option: str, good: bool, rule: str) -> None:
            if not good:
                raise ValueError(f"{option}={getattr(self, option)!r} must be {rule}")

        need("temperature", _is_number(self.temperature) and self.temperature > 0, "a finite number > 0")
        need("center_bias", _is_number(self.center_bias) and self.center_bias >= 0, "a finite number ≥ 0")
        need(
            "decile", self.decile is None or _is_whole(self.decile, 1, 10), "a whole number 1 to 10, or None"
        )
        need("rank", _is_whole(self.rank, 1, 2), "1 or 2")
        for option, least in (("min_pixels", 0), ("min_width", 0), ("off_target_radius", 1)):
            need(option, _is_whole(getattr(self, option), least), f"a whole number of pixels ≥ {least}")
        for option in ("wrong_label", "off_target"):
            value = getattr(self, option)
            need(option, _is_number(value) and 0 <= value <= 1, "a probability, 0 to 1")

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return one click per episode, or None."""
        return [
            self._click(case, mask, history, draw.stream("annotator"))
            for mask, history, draw in zip(masks, histories, draws, strict=True)
        ]

    def _click(self, case: Case, mask: Mask, history: History, words: Words) -> Round | None:
        depths = [squared_distance(self._seen(wrong, history)) for wrong in errors(case, mask)]
        clicked = landed_clicks(history)
        found = _deepest(depths, clicked)
        if found is not None and self.rank == 2:
            rest = _without_component(depths, *found)
            second = _deepest(rest, clicked)
            depths, found = (depths, found) if second is None else (rest, second)
        if found is None:
            return None
        depth = depths[found[0]]
        places = np.flatnonzero(_unclicked(depth, clicked))
        weights = self._weights(depth, places)
        if self.decile is not None:
            kept = decile_of(weights, self.decile)
            places, weights = places[kept], weights[kept]
        total = np.cumsum(weights)
        at = int(places[np.searchsorted(total, words.integer(int(total[-1])), side="right")])
        y, x = divmod(at, case.size[1])
        return Round((self._given(click(x, y, found[0] == 0), case.size, words),))

    def _seen(self, wrong: Mask, history: History) -> Mask:
        return perceived(wrong, self.min_pixels, self.min_width) if history else wrong

    def _weights(self, depth: Depth, places: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the whole-number weight of each place (flat indices of pixels with a depth)."""
        score = 0.5 * np.log(depth.flat[places])
        if self.center_bias:
            score -= self.center_bias * _eccentricity(depth > 0)[places]
        with np.errstate(over="ignore", under="ignore"):
            weight = np.exp((score - score.max()) / self.temperature)
        return np.asarray(np.floor(_ONE * weight + 0.5), dtype=np.int64)

    def _given(self, prompt: Prompt, size: tuple[int, int], words: Words) -> Prompt:
        """Return the click as a fallible person gives it."""
        wrong, off = (float(u) for u in words.uniform(2))
        nearby = _disc(prompt.landed, self.off_target_radius, size)
        elsewhere = nearby[words.integer(len(nearby))]
        landed = elsewhere if off < self.off_target else prompt.landed
        return prompt.moved(landed, prompt.positive != (wrong < self.wrong_label))


def decile_of(weights: NDArray[np.int64], k: int) -> Mask:
    """Return which weights belong to the k-th tenth of their mass; see `Clickability`.

    Args:
        weights: Int64[N], ≥ 0, at least one of them > 0. Zero weights may be counted in, but add
            nothing that could be drawn.
        k: 1 (the lightest) to 10.

    Returns:
        Bool[N].
    """
    ordered = np.sort(weights)
    mass = np.cumsum(ordered)
    low = np.searchsorted(10 * mass, (k - 1) * mass[-1], side="left")
    high = min(np.searchsorted(10 * mass, k * mass[-1], side="right"), mass.size - 1)
    return np.asarray((weights >= ordered[low]) & (weights <= ordered[high]), dtype=np.bool_)


def _unclicked(depth: Depth, clicked: Sequence[tuple[int, int]]) -> Mask:
    """Return where there is an error that was not clicked."""
    height, width = depth.shape
    left = depth > 0
    for x, y in clicked:
        if 0 <= x < width and 0 <= y < height:
            left[y, x] = False
    return left


def _deepest(depths: Sequence[Depth], clicked: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the kind (0: false negatives) and flat index of RITM's click, or None."""
    eligible = [np.where(_unclicked(depth, clicked), depth, 0) for depth in depths]
    missed, extra = (int(depth.max()) for depth in eligible)
    if not missed and not extra:
        return None
    kind = 0 if missed > extra else 1
    return kind, int(np.argmax(eligible[kind]))


def _without_component(depths: Sequence[Depth], kind: int, place: int) -> list[Depth]:
    """Return the depths without the component that holds a pixel; those of the others stay."""
    labels, _ = connected_components(depths[kind] > 0)
    rest = np.where(labels == labels.flat[place], 0, depths[kind])
    return [rest if k == kind else depth for k, depth in enumerate(depths)]


def _eccentricity(region: Mask) -> NDArray[np.float64]:
    """Return (r / R)² of each pixel, Float64[H·W]; see `Clickability`. 0 outside."""
    labels, n = connected_components(region)
    flat = labels.ravel()
    area = np.maximum(np.bincount(flat, minlength=n + 1), 1)
    squared = np.zeros(flat.size)
    for coordinate in np.indices(region.shape).reshape(2, -1):
        centre = np.bincount(flat, weights=coordinate, minlength=n + 1) / area
        squared += (coordinate - centre[flat]) ** 2
    return np.asarray(np.where(flat > 0, squared * math.pi / area[flat], 0.0), dtype=np.float64)


def _disc(centre: tuple[int, ...], radius: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the pixels of an image within a distance of one, in row-major order."""
    height, width = size
    x, y = centre
    return [
        (column, row)
        for row in range(max(0, y - radius), min(height, y + radius + 1))
        for column in range(max(0, x - radius), min(width, x + radius + 1))
        if (row - y) ** 2 + (column - x) ** 2 <= radius**2
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
