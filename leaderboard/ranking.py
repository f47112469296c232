"""Ranks that say how sure they are.

A board's methods are compared in pairs (`simclick.statistics.compare`: differences over common cases, signs
of whole groups flipped, Holm's correction over all pairs of the board). From these tests alone follow:

* the **rank interval** of a method, ``[1 + better, M - worse]``: `better` methods of the M are significantly
  better than it, `worse` significantly worse (Goldstein & Spiegelhalter 1996 state ranks with intervals; the
  counting rule here is the one of Al Mohamad, Goeman & van Zwet 2022 for pairwise tests that hold their level
  together);
* the **tie groups**, letters as in multiple-comparison tables (Piepho 2004): two methods share a letter
  exactly when their difference is not significant. Sharing one is no proof that they are equal, and a method
  may stand in several groups.

`bootstrap_ranks` counts ranks over resamples of groups. It is a picture of chance, not a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simclick.statistics.resampling import RESAMPLES, resampled_groups

__all__ = ["ALPHA", "Pair", "Place", "bootstrap_ranks", "places", "tie_letters"]

ALPHA = 0.05
"""A difference is significant when its p, after Holm's correction, is below this."""


@dataclass(frozen=True)
class Pair:
    """The test between two methods.

    Attributes:
        a: One method.
        b: The other.
        difference: Mean of a less mean of b; higher is better.
        p: p value, corrected over all pairs.
    """

    a: str
    b: str
    difference: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether one is significantly better."""
        return self.p < ALPHA and self.difference != 0


@dataclass(frozen=True)
class Place:
    """Where a method stands on a board.

    Attributes:
        name: The method.
        value: Its mean.
        low: Best rank that the tests leave open, 1 + methods significantly better.
        high: Worst rank that they leave open, M - methods significantly worse.
        letters: Its tie groups.
    """

    name: str
    value: float
    low: int
    high: int
    letters: str

    @property
    def text(self) -> str:
        """The rank interval: ``2`` or ``1–3``."""
        return str(self.low) if self.low == self.high else f"{self.low}\N{EN DASH}{self.high}"


def places(values: dict[str, float], pairs: Iterable[Pair]) -> list[Place]:
    """Return the places of a board's methods, by mean (highest first), then by name.

    Args:
        values: The mean of each method.
        pairs: The tests. A pair that is missing counts as not significant.

    Raises:
        ValueError: When a pair names a method that has no mean.
    """
    better: dict[str, int] = dict.fromkeys(values, 0)
    worse: dict[str, int] = dict.fromkeys(values, 0)
    apart: set[frozenset[str]] = set()
    for pair in pairs:
        if pair.a not in values or pair.b not in values:
            raise ValueError(f"the pair {pair.a!r}, {pair.b!r} is not on the board")
        if pair.significant:
            winner, loser = (pair.a, pair.b) if pair.difference > 0 else (pair.b, pair.a)
            better[loser] += 1
            worse[winner] += 1
            apart.add(frozenset((winner, loser)))
    order = sorted(values, key=lambda name: (-values[name], name))
    letters = tie_letters(order, apart)
    return [
        Place(name, values[name], 1 + better[name], len(order) - worse[name], letters[name]) for name in order
    ]


def tie_letters(order: Sequence[str], apart: Iterable[frozenset[str]]) -> dict[str, str]:
    """Return the letters of each method: two share one exactly when they are not set apart.

    Insert and absorb (Piepho 2004): all methods begin in one group; every pair that is set apart splits each
    group that holds both; a group within another is dropped.

    Args:
        order: The methods, best first: group ``a`` is the one that begins highest.
        apart: The pairs that differ significantly.
    """
    groups: list[frozenset[str]] = [frozenset(order)]
    for pair in sorted(apart, key=sorted):
        split: set[frozenset[str]] = set()
        for group in groups:
            split |= {group - {one} for one in pair} if pair <= group else {group}
        groups = [g for g in split if not any(g < other for other in split)]
    rank = {name: i for i, name in enumerate(order)}
    groups.sort(key=lambda group: sorted(rank[name] for name in group))
    found: dict[str, list[str]] = {name: [] for name in order}
    for number, group in enumerate(groups):
        for name in group:
            found[name].append(_letter(number))
    joint = "" if len(groups) <= 26 else " "
    return {name: joint.join(letters) for name, letters in found.items()}


def _letter(number: int) -> str:
    """Return a, b, …, z, a1, b1, …."""
    turn, place = divmod(number, 26)
    return chr(ord("a") + place) + (str(turn) if turn else "")


def bootstrap_ranks(
    values: NDArray[np.float64], groups: NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Return how often each method has each rank when whole groups are drawn anew.

    Args:
        values: Float64[cases, M], higher is better.
        groups: Int64[cases], the number of each case's group, from 0 without gaps.
        resamples: Number of resamples.
        seed: Their seed.

    Returns:
        Float64[M, M]: row method, column rank (from 1), the share of resamples; rows sum to 1. Methods with
        equal means share the better rank.
    """
    n_groups, m = int(groups.max()) + 1, values.shape[1]
    sums = np.stack([np.bincount(groups, column, n_groups) for column in values.T], axis=1)
    counts = np.bincount(groups, minlength=n_groups).astype(np.float64)
    found, drawn = np.zeros((m, m)), 0
    for weights in resampled_groups(n_groups, resamples, seed):
        # Rounded, so that means that are equal but for rounding tie.
        means = ((weights @ sums) / (weights @ counts)[:, None]).round(12)
        ranks = (means[:, None, :] > means[:, :, None]).sum(axis=2)
        for method in range(m):
            found[method] += np.bincount(ranks[:, method], minlength=m)
        drawn += len(means)
    return found / drawn
