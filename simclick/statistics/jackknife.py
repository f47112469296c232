"""Intervals over groups for estimates that are no means, where percentiles alone are too short."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simclick.statistics.bootstrap import Interval, percentile_interval

__all__ = ["jackknife_interval"]

_LEVEL = 0.95


def jackknife_interval(
    value: float,
    left_out: NDArray[np.float64],
    resampled: NDArray[np.float64],
    bounds: tuple[float, float],
    n_cases: int,
    n_groups: int,
) -> Interval:
    """Return an estimate with the hull of two intervals over groups.

    One is ``value ± t(G - 1, 0.975) s`` with the delete-a-group jackknife's
    ``s = sqrt((G - 1) / G * sum_g (e_g - mean)^2)`` over the G estimates e_g without group g (Efron &
    Tibshirani 1993, chapter 11), cut to the range. The other is `percentile_interval`. Of a variance,
    percentiles are too short with few groups: a resample repeats groups, so it has less spread than the
    sample. They keep to the range and are skewed as the estimate is, which the jackknife's are not.

    Args:
        value: The estimate.
        left_out: Float64[G], the estimate without each group.
        resampled: Float64[B], the estimate in each resample of groups.
        bounds: Smallest and largest value that it can take.
        n_cases: Cases that it rests on.
        n_groups: Their groups, G.

    Returns:
        The interval; none, with a note, where percentiles have none, or an estimate without a group is NaN.
    """
    found = percentile_interval(value, resampled, n_cases, n_groups)
    if found.note:
        return found
    if np.isnan(left_out).any():
        return replace(found, low=math.nan, high=math.nan, note="not defined without one of the groups")
    from scipy import stats

    spread = math.sqrt((n_groups - 1) / n_groups * float(((left_out - left_out.mean()) ** 2).sum()))
    reach = float(stats.t.ppf((1 + _LEVEL) / 2, n_groups - 1)) * spread
    low, high = max(bounds[0], value - reach), min(bounds[1], value + reach)
    return replace(found, low=min(found.low, low), high=max(found.high, high))
