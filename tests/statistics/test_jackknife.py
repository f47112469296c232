from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from simclick.statistics.bootstrap import percentile_interval
from simclick.statistics.jackknife import jackknife_interval

RESAMPLED = np.linspace(0.4, 0.6, 1999)
ALL = (-math.inf, math.inf)


def test_of_a_mean_it_is_the_t_interval():
    x = np.random.default_rng(0).normal(size=9)
    left_out = (x.sum() - x) / 8
    found = jackknife_interval(x.mean(), left_out, np.full(1999, x.mean()), ALL, 9, 9)
    expected = stats.t.interval(0.95, 8, x.mean(), stats.sem(x))
    assert (found.low, found.high) == pytest.approx(expected)


def test_the_hull_of_both_cut_to_the_range():
    same = np.full(10, 0.5)
    by_percentiles = percentile_interval(0.5, RESAMPLED, 30, 10)
    assert jackknife_interval(0.5, same, RESAMPLED, (0, 1), 30, 10) == by_percentiles
    wide = jackknife_interval(0.5, np.linspace(0.3, 0.7, 10), RESAMPLED, (0, 0.8), 30, 10)
    assert wide.low == 0
    assert wide.high == 0.8
    lopsided = jackknife_interval(0.41, np.linspace(0.40, 0.42, 10), RESAMPLED, (0, 1), 30, 10)
    assert lopsided.low < by_percentiles.low
    assert lopsided.high == by_percentiles.high


def test_none_where_it_is_not_known():
    few = jackknife_interval(0.5, np.empty(0), RESAMPLED, (0, 1), 7, 7)
    assert (math.isnan(few.low), few.note) == (True, "7 groups: an interval needs 8")
    gap = jackknife_interval(0.5, np.array([0.5] * 9 + [math.nan]), RESAMPLED, (0, 1), 10, 10)
    assert (math.isnan(gap.low), gap.note) == (True, "not defined without one of the groups")
