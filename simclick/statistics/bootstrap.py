"""Intervals for means and medians over cases, when cases of one group depend on each other.

The unit of chance is the *group* (patient, volume): whole groups are resampled, cases within a
group are not. The interval is a 95 % **studentised bootstrap** (bootstrap-t; Efron & Tibshirani
1993, chapter 12; for clusters Cameron, Gelbach & Miller 2008):

1. The mean over cases is a ratio, ``sum of values / number of cases``, of sums over groups. Its
   standard error is the cluster-robust one of a ratio, ``s = sqrt(sum_g (S_g - mean * n_g)^2) / n``,
   with ``S_g`` the sum and ``n_g`` the number of a group's cases. (A factor such as
   ``G / (G - 1)`` would cancel.)
2. In each of B = 1,999 resamples of G groups out of G, with replacement,
   ``t* = (mean* - mean) / s*``, where ``s*`` is not taken below ``s / sqrt(G)``. Where few groups
   differ from the others, many resamples miss them and have next to no spread; without the floor
   they would make the interval as wide as the range. On rare yes-or-no outcomes the floor puts the
   bound near the exact binomial one. From 12 groups on it does not change the coverage.
3. The interval is ``[mean - q(0.975) s, mean - q(0.025) s]`` with ``q`` the order statistics 50 and
   1,950 of t* (*equal-tailed*; follows the skewness of Dice and clicks), or ``mean ± q s`` with the
   order statistic 1,900 of ``|t*|`` (*symmetric*; for paired differences, which are nearly
   symmetric and have heavy tails). It is cut to the range that the measure can take.

With strata, the estimate is the mean over strata of the strata's means. A stratum that a resample
misses is left out of that resample.

There is no interval, and `Interval.note` says why, under 8 groups, and where no group differs from
another.

The resamples are those of `simclick.statistics.resampling`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.statistics.resampling import RESAMPLES, resampled_groups

__all__ = [
    "MIN_GROUPS",
    "MIN_STRATUM",
    "Interval",
    "mean_intervals",
    "median_interval",
    "percentile_interval",
    "studentised_bootstrap",
]

MIN_GROUPS = 8
"""Fewer groups than this get no interval."""

MIN_STRATUM = 2
"""A stratum with fewer groups than this gives a mean over strata no interval."""

_LEVEL = 0.95

_Float: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval.

    Attributes:
        value: The estimate; NaN without cases.
        low: Lower end, or NaN where there is no interval.
        high: Upper end, or NaN.
        n_cases: Cases that have a value.
        n_groups: Groups that they come from.
        note: Why there is no interval, or empty.
    """

    value: float
    low: float
    high: float
    n_cases: int
    n_groups: int
    note: str = ""


@dataclass(frozen=True)
class _Sums:
    """Sums over the cases of a group, values taken relative to their stratum's mean.

    Attributes:
        total: Float64[T, G, K].
        count: Float64[T, G].
    """

    total: _Float
    count: _Float


def studentised_bootstrap(
    values: _Float,
    groups: Labels,
    *,
    strata: Labels | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    symmetric: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the mean over cases with its interval over groups.

    Args:
        values: Float64[n], one per case; NaN where a case has none.
        groups: The group of each case, n labels of one type.
        strata: None, or n labels: the estimate is then the mean over strata of their means.
        bounds: Smallest and largest value that the mean can take; the interval is cut to them.
        symmetric: Whether the interval is symmetric about the mean, instead of equal-tailed.
        resamples: Number of resamples; one less than a multiple of 40.
        seed: Seed of the resamples.
    """
    column = np.asarray(values, dtype=np.float64)[:, None]
    return mean_intervals(
        column,
        groups,
        strata=strata,
        bounds=[bounds],
        symmetric=symmetric,
        resamples=resamples,
        seed=seed,
    )[0]


def mean_intervals(
    values: _Float,
    groups: Labels,
    *,
    strata: Labels | None = None,
    bounds: Sequence[tuple[float, float]] | None = None,
    symmetric: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Interval]:
    """Return `studentised_bootstrap` of each column of Float64[n, K], on the same resamples."""
    values = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(values)
    limits = np.array([(-np.inf, np.inf)] * values.shape[1] if bounds is None else bounds, dtype=np.float64)
    group_labels = np.asarray(groups)
    strata_labels = np.zeros(len(values), dtype=np.int64) if strata is None else np.asarray(strata)
    out: list[Interval | None] = [None] * values.shape[1]
    patterns, pattern_of = np.unique(present, axis=1, return_inverse=True)
    for p in range(patterns.shape[1]):
        rows, columns = patterns[:, p], np.flatnonzero(pattern_of.ravel() == p)
        found = _intervals(
            values[np.ix_(rows, columns)],
            group_labels[rows],
            strata_labels[rows],
            limits[columns],
            symmetric,
            resamples,
            seed,
        )
        for column, interval in zip(columns, found, strict=True):
            out[column] = interval
    return [interval for interval in out if interval is not None]


def median_interval(
    values: _Float,
    groups: Labels,
    *,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Return the median over cases with its interval over groups (Woodruff 1952).

    The share of cases at or below the sample median is a mean, so it has a studentised bootstrap
    interval over groups; the error that this interval allows about one half is read back as
    quantiles of the values. Where it reaches the end of the sample the bound of the range is given.

    Args:
        values: Float64[n], one per case; NaN where a case has none; infinities are values.
        groups: The group of each case.
        bounds: Range of the values, for example ``(0, inf)`` for a distance.
        resamples: Number of resamples.
        seed: Seed of the resamples.
    """
    values = np.asarray(values, dtype=np.float64)
    rows = ~np.isnan(values)
    ordered = np.sort(values[rows])
    n = len(ordered)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0, 0, "no cases")
    # Halves first: the sum of two infinities of one sign is what it should be, of two signs NaN.
    median = float(ordered[(n - 1) // 2] / 2 + ordered[n // 2] / 2)
    below = (values[rows] <= median).astype(np.float64)
    share = studentised_bootstrap(
        below, np.asarray(groups)[rows], bounds=(0.0, 1.0), resamples=resamples, seed=seed
    )
    if share.note:
        return replace(share, value=median)
    first = math.ceil(round(n * (0.5 - (share.high - share.value)), 9)) - 1
    last = math.floor(round(n * (0.5 + (share.value - share.low)), 9))
    low = bounds[0] if first < 0 else float(ordered[first])
    high = bounds[1] if last >= n else float(ordered[last])
    return Interval(median, low, high, n, share.n_groups)


def percentile_interval(value: float, resampled: _Float, n_cases: int, n_groups: int) -> Interval:
    """Return an estimate with the percentile interval of its resamples over groups.

    For estimates that are no means (ranks, crossings, shares of variance): the order statistics 50 and
    1,950 of 1,999 resampled estimates. Infinite estimates are values; an estimate that is NaN in some
    resamples has no interval.

    Args:
        value: The estimate.
        resampled: Float64[B], the estimate in each resample.
        n_cases: Cases that it rests on.
        n_groups: Their groups.
    """
    if n_groups < MIN_GROUPS:
        note = f"{n_groups} group{'s' * (n_groups != 1)}: an interval needs {MIN_GROUPS}"
        return Interval(value, math.nan, math.nan, n_cases, n_groups, note)
    if np.isnan(resampled).any() or math.isnan(value):
        return Interval(value, math.nan, math.nan, n_cases, n_groups, "not defined in every resample")
    ordered = np.sort(resampled)
    tail = round((len(ordered) + 1) * (1 - _LEVEL) / 2)
    return Interval(value, float(ordered[tail - 1]), float(ordered[-tail]), n_cases, n_groups)


def _intervals(
    values: _Float,
    groups: NDArray[Any],
    strata: NDArray[Any],
    limits: _Float,
    symmetric: bool,
    resamples: int,
    seed: int,
) -> list[Interval]:
    """Intervals of columns without NaN."""
    if len(values) == 0:
        return [Interval(math.nan, math.nan, math.nan, 0, 0, "no cases")] * values.shape[1]
    group, group_names = pd.factorize(groups, sort=True)
    stratum, stratum_names = pd.factorize(strata, sort=True)
    n, g = len(values), len(group_names)
    means = _sums(values, stratum, len(stratum_names)) / np.bincount(stratum)[:, None]
    mean = means.mean(axis=0)
    sums = _group_sums(values - means[stratum], group, g, stratum, len(stratum_names))
    whole = np.ones((1, g))
    shift, per_case, _ = _shifts(sums, whole)
    error = np.sqrt(_variance(sums, whole, shift, per_case)[0])
    flat = error <= 1e-12 * np.maximum(1.0, np.abs(values).max(axis=0))
    reason = _reason(g, sums.count, stratum_names)
    reasons = [reason or ("no spread: all groups have the same mean" if f else "") for f in flat]
    low = high = np.full(values.shape[1], np.nan)
    if not all(reasons):
        t = _pivots(sums, error, resamples, seed)
        lower, upper = _quantiles(t, symmetric)
        low = np.clip(mean - upper * error, limits[:, 0], limits[:, 1])
        high = np.clip(mean - lower * error, limits[:, 0], limits[:, 1])
    return [
        Interval(float(mean[k]), math.nan, math.nan, n, g, why)
        if (why := reasons[k])
        else Interval(float(mean[k]), float(low[k]), float(high[k]), n, g)
        for k in range(values.shape[1])
    ]


def _reason(n_groups: int, count: _Float, strata: NDArray[Any]) -> str:
    """Say why there is no interval, or nothing."""
    if n_groups < MIN_GROUPS:
        return f"{n_groups} group{'s' * (n_groups != 1)}: an interval needs {MIN_GROUPS}"
    per_stratum = np.count_nonzero(count, axis=1)
    fewest = int(per_stratum.argmin())
    if len(strata) > 1 and per_stratum[fewest] < MIN_STRATUM:
        return f"{strata[fewest]} has {per_stratum[fewest]} group: the mean over targets needs {MIN_STRATUM}"
    return ""


def _sums(values: _Float, code: NDArray[np.intp], n: int) -> _Float:
    """Sum rows by code, Float64[n, K]; codes without rows give zeros."""
    out = np.zeros((n, values.shape[1]))
    order = np.argsort(code, kind="stable")
    present, starts = np.unique(code[order], return_index=True)
    out[present] = np.add.reduceat(values[order], starts, axis=0)
    return out


def _group_sums(values: _Float, group: NDArray[np.intp], g: int, stratum: NDArray[np.intp], t: int) -> _Sums:
    cell = stratum * g + group
    total = _sums(values, cell, t * g).reshape(t, g, values.shape[1])
    return _Sums(total, np.bincount(cell, minlength=t * g).reshape(t, g).astype(np.float64))


def _shifts(sums: _Sums, weights: _Float) -> tuple[_Float, _Float, _Float]:
    """Return how far each resample lies from the sample.

    Args:
        sums: The sums over groups.
        weights: Float64[B, G], how often a group was drawn.

    Returns:
        Float64[T, B, K], the strata's means less the sample's, 0 for a stratum that is absent;
        Float64[T, B], ``1 / (strata present * cases)``, the weight of a case, 0 for one that is absent;
        Float64[B, K], the mean of the first over the strata present.
    """
    t, _, k = sums.total.shape
    drawn = weights @ np.concatenate([*sums.total, sums.count.T], axis=1)  # one product: see `_variance`
    cases = drawn[:, t * k :].T
    present = cases > 0
    n_present = present.sum(axis=0)
    cases = np.where(present, cases, 1.0)
    shift = drawn[:, : t * k].reshape(-1, t, k).transpose(1, 0, 2) / cases[:, :, None]
    return shift, present / (cases * n_present), shift.sum(axis=0) / n_present[:, None]


def _variance(sums: _Sums, weights: _Float, shift: _Float, per_case: _Float) -> _Float:
    """Return the squared cluster-robust standard error in each resample, Float64[B, K].

    A group's residual is ``r_g = sum_t w_t (S_gt - shift_t n_gt)``; the result is the sum of its
    square over the groups drawn, multiplied out so that it is a few matrix products. Those of a pair of
    strata are one product with more columns: of many small ones, most of the time is threads that wait.
    """
    k = shift.shape[2]
    out = np.zeros((shift.shape[1], k))
    for t, u in combinations_with_replacement(range(len(shift)), 2):
        shared = np.flatnonzero((sums.count[t] > 0) & (sums.count[u] > 0))
        if len(shared) == 0:
            continue
        drawn = weights if len(shared) == weights.shape[1] else weights[:, shared]
        total_t, total_u = sums.total[t][shared], sums.total[u][shared]
        count_t, count_u = sums.count[t][shared, None], sums.count[u][shared, None]
        crossed = [total_t * count_u] if t == u else [total_t * count_u, total_u * count_t]
        sum_of = drawn @ np.concatenate([total_t * total_u, count_t * count_u, *crossed], axis=1)
        product = sum_of[:, :k] + shift[t] * shift[u] * sum_of[:, k : k + 1]
        product -= shift[u] * sum_of[:, k + 1 : 2 * k + 1]
        product -= shift[t] * sum_of[:, -k:]
        product *= (1 if t == u else 2) * (per_case[t] * per_case[u])[:, None]
        out += product
    return np.maximum(out, 0.0)


def _pivots(sums: _Sums, error: _Float, resamples: int, seed: int) -> _Float:
    """Return t* of each resample and column, Float64[B, K]."""
    g = sums.count.shape[1]
    out = []
    for weights in resampled_groups(g, resamples, seed):
        shift, per_case, estimate = _shifts(sums, weights)
        spread = np.maximum(np.sqrt(_variance(sums, weights, shift, per_case)), error / math.sqrt(g))
        out.append(estimate / np.where(spread > 0, spread, 1.0))
    return np.concatenate(out)


def _quantiles(t: _Float, symmetric: bool) -> tuple[_Float, _Float]:
    """Return the lower and upper 2.5 % points of t* per column, as order statistics."""
    b = len(t)
    if symmetric:
        upper = np.sort(np.abs(t), axis=0)[round((b + 1) * _LEVEL) - 1]
        return -upper, upper
    tail = round((b + 1) * (1 - _LEVEL) / 2)
    ordered = np.sort(t, axis=0)
    return ordered[tail - 1], ordered[b - tail]
