"""Resamples of whole groups, with replacement.

They depend on the number of groups and a seed alone, so that every measure meets the same ones. They come
from raw 64-bit words (`simclick.seeding`): the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from simclick.seeding import words_of

__all__ = ["RESAMPLES", "resampled_groups", "resampled_means"]

RESAMPLES = 1999
"""One less than a multiple of 40, so that the percentiles are order statistics."""

_BLOCK = 2**21  # entries of a block of resamples: 16 MiB
_KEPT = 2**19  # larger sets of resamples are made anew each time

_Float: TypeAlias = NDArray[np.float64]


def resampled_groups(g: int, resamples: int, seed: int) -> Iterator[_Float]:
    """Yield blocks of resamples, Float64[b, g]: how often each group was drawn."""
    if g * resamples <= _KEPT:
        yield _kept(g, resamples, seed)
        return
    yield from _drawn(g, resamples, seed)


def resampled_means(
    values: _Float, groups: NDArray[np.int64], resamples: int = RESAMPLES, seed: int = 0
) -> _Float:
    """Return the means over cases in each resample of whole groups, Float64[B, ...].

    Args:
        values: Float64[n, ...], without NaN.
        groups: Int64[n], the number of each case's group, from 0 without gaps.
        resamples: Number of resamples.
        seed: Their seed.
    """
    g = int(groups.max()) + 1
    sums = np.zeros((g, int(np.prod(values.shape[1:], dtype=np.int64))))
    np.add.at(sums, groups, values.reshape(len(values), -1))
    counts = np.bincount(groups, minlength=g).astype(np.float64)
    means = [(w @ sums) / (w @ counts)[:, None] for w in resampled_groups(g, resamples, seed)]
    return np.concatenate(means).reshape(-1, *values.shape[1:])


@lru_cache(maxsize=32)
def _kept(g: int, resamples: int, seed: int) -> _Float:
    return np.concatenate(list(_drawn(g, resamples, seed)))


def _drawn(g: int, resamples: int, seed: int) -> Iterator[_Float]:
    """Draw g groups out of g per resample: ``floor(top 32 bits of a word * g / 2^32)``."""
    words = words_of("group bootstrap", seed, g)
    step = max(1, _BLOCK // g)
    for start in range(0, resamples, step):
        b = min(step, resamples - start)
        picks = ((words.words(b * g) >> np.uint64(32)) * np.uint64(g)) >> np.uint64(32)
        cells = picks.astype(np.int64).reshape(b, g) + g * np.arange(b)[:, None]
        yield np.bincount(cells.ravel(), minlength=b * g).reshape(b, g).astype(np.float64)
