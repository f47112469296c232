import hashlib
import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.statistics import resampling
from simclick.statistics.bootstrap import mean_intervals, median_interval, studentised_bootstrap


def clustered(seed, n_groups=12, columns=1):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 7, n_groups))
    return rng.normal(size=(n_groups, columns))[groups] + rng.normal(size=(len(groups), columns)), groups


def draws(n_groups, resamples, seed=0):
    return np.concatenate(list(resampling._drawn(n_groups, resamples, seed)))


def naive(values, groups, strata=None, symmetric=False, resamples=1999):
    """The module's three steps, written out case by case, one resample at a time."""
    strata = np.zeros(len(values)) if strata is None else np.asarray(strata)
    names, targets = np.unique(groups), np.unique(strata)

    def estimate(sample):
        """Mean over strata of means, and its standard error; `sample` lists groups."""
        means, residual = {}, np.zeros(len(sample))
        for t in targets:
            mine = [v for g in sample for v in values[(groups == g) & (strata == t)]]
            if mine:
                means[t] = (np.mean(mine), len(mine))
        for i, g in enumerate(sample):
            for t, (mean, n) in means.items():
                residual[i] += (values[(groups == g) & (strata == t)] - mean).sum() / n / len(means)
        return {t: m for t, (m, _) in means.items()}, math.sqrt((residual**2).sum())

    whole, s = estimate(list(names))
    mean = np.mean(list(whole.values()))
    pivots = []
    for counts in draws(len(names), resamples):
        means, error = estimate([g for g, n in zip(names, counts, strict=True) for _ in range(int(n))])
        shift = np.mean([m - whole[t] for t, m in means.items()])
        pivots.append(shift / max(error, s / math.sqrt(len(names))))
    if symmetric:
        q = np.sort(np.abs(pivots))[int(0.95 * (resamples + 1)) - 1]
        return mean, mean - q * s, mean + q * s
    ordered = np.sort(pivots)
    k = (resamples + 1) // 40
    return mean, mean - ordered[resamples - k] * s, mean - ordered[k - 1] * s


@pytest.mark.parametrize("kind", ["skewed", "yes or no", "rare"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_equals_the_steps_written_out(kind, symmetric):
    values, groups = clustered(4, n_groups=9)
    values = {"skewed": np.exp(values), "yes or no": values > 0.5, "rare": values > 2}[kind][:, 0].astype(
        float
    )
    found = studentised_bootstrap(values, groups, symmetric=symmetric, resamples=199)
    expected = naive(values, groups, symmetric=symmetric, resamples=199)
    assert (found.value, found.low, found.high) == pytest.approx(expected, rel=1e-9)
    assert (found.n_cases, found.n_groups, found.note) == (len(values), 9, "")


@pytest.mark.parametrize("crossed", [True, False])
def test_means_over_strata_equal_the_steps_written_out(crossed):
    values, groups = clustered(5, n_groups=10)
    strata = np.arange(len(groups)) % 3 if crossed else groups % 3
    values = values[:, 0] + strata
    found = studentised_bootstrap(values, groups, strata=strata, resamples=199)
    expected = naive(values, groups, strata, resamples=199)
    assert (found.value, found.low, found.high) == pytest.approx(expected, rel=1e-9)
    assert found.value == pytest.approx(np.mean([values[strata == t].mean() for t in range(3)]))


def test_columns_do_not_disturb_each_other():
    values, groups = clustered(6, columns=5)
    values[3, 1] = values[7, 1] = values[0, 4] = np.nan
    together = mean_intervals(values, groups, bounds=[(-9, 9)] * 5)
    for column, interval in zip(values.T, together, strict=True):
        alone = studentised_bootstrap(column, groups, bounds=(-9, 9))
        assert (interval.value, interval.low, interval.high) == pytest.approx(
            (alone.value, alone.low, alone.high), rel=1e-12
        )
        assert interval.n_cases == np.isfinite(column).sum() == alone.n_cases


def test_neither_the_order_of_cases_nor_the_type_of_names_matters():
    values, groups = clustered(7)
    order = np.random.default_rng(0).permutation(len(values))
    a = studentised_bootstrap(values[:, 0], groups)
    b = studentised_bootstrap(values[order, 0], [f"patient {g:03}" for g in groups[order]])
    assert (b.value, b.low, b.high) == pytest.approx((a.value, a.low, a.high), rel=1e-12)


def test_single_cases_have_the_textbook_standard_error():
    rng = np.random.default_rng(8)
    values = rng.normal(size=200)
    interval = studentised_bootstrap(values, np.arange(200), symmetric=True)
    s = values.std() / math.sqrt(200)
    assert (interval.high - interval.value) / s == pytest.approx(1.97, abs=0.12)


def test_resamples_are_pinned():
    counts = draws(12, 1999)
    assert counts.shape == (1999, 12)
    assert (counts.sum(axis=1) == 12).all()
    digest = hashlib.sha256(counts.astype(np.uint8).tobytes()).hexdigest()
    assert digest == "a8d40197dd39d8763f2417d14dad69604aeecf1ca0d4fc442b5f0e5076553fb2"
    assert abs(counts.mean(axis=0) - 1).max() < 0.1
    assert not np.array_equal(counts, draws(12, 1999, seed=1))


def test_blocks_of_resamples_change_nothing(monkeypatch):
    values, groups = clustered(9, n_groups=40)
    whole = studentised_bootstrap(values[:, 0], groups)
    monkeypatch.setattr(resampling, "_BLOCK", 1000)
    monkeypatch.setattr(resampling, "_KEPT", 0)
    parts = studentised_bootstrap(values[:, 0], groups)
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), rel=1e-12)


def test_the_interval_is_cut_to_the_range():
    values, groups = clustered(10, n_groups=8)
    values = (values[:, 0] > 1.2).astype(float)
    free = studentised_bootstrap(values, groups)
    cut = studentised_bootstrap(values, groups, bounds=(0, 1))
    assert free.low < 0 == cut.low
    assert cut.high == min(free.high, 1.0)


@pytest.mark.parametrize(
    "values, groups, strata, note",
    [
        ([0.1] * 3 + [0.2] * 4, [*range(7)], None, "7 groups: an interval needs 8"),
        ([0.1, 0.2], [0, 0], None, "1 group: an interval needs 8"),
        ([0.3] * 9, [*range(9)], None, "no spread: all groups have the same mean"),
        (
            [0.1, 0.3] * 9,
            [g for g in range(9) for _ in "ab"],
            None,
            "no spread: all groups have the same mean",
        ),
        ([*range(9)], [*range(9)], [*"aaaaaaaab"], "b has 1 group: the mean over targets needs 2"),
        ([np.nan] * 9, [*range(9)], None, "no cases"),
        ([], [], None, "no cases"),
    ],
)
def test_why_there_is_no_interval(values, groups, strata, note):
    interval = studentised_bootstrap(np.array(values, dtype=float), groups, strata=strata)
    assert interval.note == note
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    if note != "no cases" and strata is None:
        assert interval.value == pytest.approx(np.mean(values))


def test_groups_without_a_value_do_not_count():
    values = np.arange(10.0)
    values[:3] = np.nan
    assert studentised_bootstrap(values, np.arange(10)).note == "7 groups: an interval needs 8"


def test_a_rare_outcome_gets_a_bound_near_the_exact_binomial_one():
    exact = {8: 0.527, 12: 0.385, 20: 0.249, 40: 0.132}  # Clopper-Pearson, 1 of G
    for g, bound in exact.items():
        one = np.zeros(g)
        one[0] = 1
        interval = studentised_bootstrap(one, np.arange(g), bounds=(0, 1))
        assert interval.low == 0
        assert interval.high == pytest.approx(bound, abs=0.07)


def test_a_few_groups_that_differ_do_not_blow_the_interval_up():
    # Three of eleven groups differ; resamples that draw only the smallest of them have little spread.
    sums, sizes = [1, 15, 19, *[0] * 8], [3, 1, 3, 3, 3, 1, 2, 2, 2, 2, 2]
    values = np.concatenate([np.full(n, total / n) for total, n in zip(sums, sizes, strict=True)])
    found = studentised_bootstrap(values, np.repeat(np.arange(11), sizes), bounds=(-20, 20), symmetric=True)
    assert found.value == pytest.approx(35 / 24)
    assert -5 < found.low < 0 < found.high < 8


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 11), st.sampled_from([0.0, 0.25, 1.0, 20.0])), min_size=1, max_size=60),
    st.booleans(),
)
def test_an_interval_holds_its_estimate_or_says_why_not(cases, symmetric):
    groups, values = zip(*cases, strict=True)
    found = studentised_bootstrap(
        np.array(values), groups, bounds=(0, 20), symmetric=symmetric, resamples=199
    )
    assert found.value == pytest.approx(np.mean(values))
    if found.note:
        assert math.isnan(found.low)
    else:
        assert 0 <= found.low <= found.value <= found.high <= 20


def test_median_by_hand():
    values = np.arange(1.0, 22.0)
    found = median_interval(values, np.arange(21), bounds=(0, math.inf))
    assert found.value == 11
    below = studentised_bootstrap((values <= 11).astype(float), np.arange(21), bounds=(0, 1))
    low = 0.5 - (below.high - below.value)
    high = 0.5 + (below.value - below.low)
    assert found.low == min(v for v in values if (values <= v).mean() >= low)
    assert found.high == min(v for v in values if (values <= v).mean() > high)
    assert 5 <= found.low <= 8
    assert 14 <= found.high <= 18


def test_median_with_undefined_distances():
    half = np.array([1.0, 2.0, 3.0, 4.0, 5.0, math.inf, math.inf, math.inf, math.inf, math.inf])
    found = median_interval(half, np.arange(10), bounds=(0, math.inf))
    assert found.value == math.inf
    most = median_interval(np.r_[half[:5], half[:5] + 1, math.inf], np.arange(11), bounds=(0, math.inf))
    assert (most.value, most.low) == (4.0, 2.0)
    assert most.high in (5.0, 6.0, math.inf)
    none = median_interval(np.full(9, math.inf), np.arange(9), bounds=(0, math.inf))
    assert none.value == math.inf
    assert none.note == "no spread: all groups have the same mean"


def test_median_without_an_interval():
    assert median_interval(np.array([3.0, 1.0, np.nan]), [0, 1, 2]).value == 2.0
    assert median_interval(np.array([3.0, 1.0]), [0, 1]).note == "2 groups: an interval needs 8"
    assert median_interval(np.array([np.nan]), [0]).note == "no cases"


def _coverage():
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "interval_coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("index, n_groups", [(0, 12), (1, 20), (2, 20), (4, 12)])
def test_coverage_is_near_its_goal(index, n_groups):
    module = _coverage()
    outcome = module.OUTCOMES[index]
    found = module.coverage(outcome, outcome.truth(), n_groups, trials=600, seed=1)
    # Three standard errors of 600 trials are 0.027; the band allows for the skewness as well.
    assert 0.905 <= found["coverage"] <= 0.985


@pytest.mark.slow
def test_coverage_of_every_kind_of_interval():
    module = _coverage()
    for outcome in module.OUTCOMES:
        truth = outcome.truth()
        for n_groups in module.GROUPS:
            found = module.coverage(outcome, truth, n_groups, trials=1000, seed=2)
            assert found["coverage"] >= 0.88, (outcome.name, n_groups, found)
