from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from simclick.statistics.variance import (
    COMPONENTS,
    components,
    reliability,
    variance_intervals,
    variance_table,
)


def drawn(rng, agents, cases, repeats, sd):
    """Values with known components; `sd` in the order of COMPONENTS."""
    case, prompt, agent, pair, rest = sd
    return (
        rng.normal(0, case, (1, cases, 1))
        + rng.normal(0, prompt, (1, cases, repeats))
        + rng.normal(0, agent, (agents, 1, 1))
        + rng.normal(0, pair, (agents, cases, 1))
        + rng.normal(0, rest, (agents, cases, repeats))
    )


def test_components_are_unbiased():
    rng = np.random.default_rng(0)
    sd = np.array([1.0, 0.7, 0.8, 0.5, 0.4])
    found = np.mean([components(drawn(rng, 6, 60, 5, sd), np.ones((1, 60)))[0] for _ in range(150)], axis=0)
    np.testing.assert_allclose(found, sd**2, rtol=0.12)


def test_mean_squares_equal_a_direct_analysis_of_variance():
    y = drawn(np.random.default_rng(1), 3, 7, 4, [1, 1, 1, 1, 1])
    a, c, r = y.shape
    grand = y.mean()
    ya, yc, yac, ycr = y.mean((1, 2)), y.mean((0, 2)), y.mean(2), y.mean(0)
    ms_a = c * r * ((ya - grand) ** 2).sum() / (a - 1)
    ms_c = a * r * ((yc - grand) ** 2).sum() / (c - 1)
    ms_p = a * ((ycr - yc[:, None]) ** 2).sum() / (c * (r - 1))
    ms_ac = r * ((yac - ya[:, None] - yc[None] + grand) ** 2).sum() / ((a - 1) * (c - 1))
    rest = y - yac[:, :, None] - ycr[None] + yc[None, :, None]
    ms_e = (rest**2).sum() / ((a - 1) * c * (r - 1))
    expected = [
        (ms_c - ms_ac - ms_p + ms_e) / (a * r), (ms_p - ms_e) / a, (ms_a - ms_ac) / (c * r),
        (ms_ac - ms_e) / r, ms_e,
    ]  # fmt: skip
    np.testing.assert_allclose(components(y, np.ones((1, c)))[0], np.maximum(expected, 0))


def test_a_case_of_weight_two_is_that_case_twice():
    y = drawn(np.random.default_rng(2), 3, 6, 3, [1, 1, 1, 1, 1])
    weights = np.array([[2.0, 1, 0, 1, 3, 1]])
    order = [0, 0, 1, 3, 4, 4, 4, 5]
    np.testing.assert_allclose(components(y, weights), components(y[:, order], np.ones((1, 8))))
    np.testing.assert_allclose(reliability(y[0], weights), reliability(y[0][order], np.ones((1, 8))))


def test_reliability_is_the_one_way_intraclass_correlation():
    y = np.array([[9.0, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    # Shrout & Fleiss (1979), table 2: six targets, four judges, ICC(1, 1) = 0.17.
    assert reliability(y, np.ones((1, 6)))[0] == pytest.approx(0.17, abs=0.005)


def test_table(make):
    rng = np.random.default_rng(5)
    y = 0.5 + 0.05 * drawn(rng, 2, 12, 3, [1, 1, 1, 0.3, 0.3])
    rows = [
        {"agent": "ab"[a], "case_id": f"c{c}", "group": f"g{c}", "noise": "n", "level": 5.0, "repeat": r,
         "dice": [float(y[a, c, r])]}
        for a in range(2) for c in range(12) for r in range(3)
    ]  # fmt: skip
    table = variance_table(*make(rows), 1)
    shares = table[table["statistic"].str.startswith("share")]
    assert [s.removeprefix("share of ") for s in shares["statistic"]] == list(COMPONENTS)
    assert shares["value"].sum() == pytest.approx(1)
    assert (shares["low"] <= shares["value"] + 0.5).all()
    assert table[table["statistic"] == "reliability"]["agent"].tolist() == ["a", "b"]
    incomplete = variance_table(*make(rows[:-1]), 1)
    assert set(incomplete["n_cases"]) == {11}
    assert incomplete["note"].str.contains("1 incomplete case left out").all()
    assert variance_table(*make([row for row in rows if row["repeat"] == 0]), 1).empty


def test_intervals_are_those_without_each_group_by_hand():
    y = drawn(np.random.default_rng(7), 3, 18, 4, [1, 0.7, 0.5, 0.5, 0.4])
    codes = np.arange(18) // 2
    rows = {(r["statistic"], r["agent"]): r for r in variance_intervals(y, ["a", "b", "c"], codes)}
    one = {"share of case": [], "reliability": []}
    for g in range(9):
        part = y[:, codes != g]
        found = components(part, np.ones((1, 16)))[0]
        one["share of case"].append(found[0] / found.sum())
        one["reliability"].append(reliability(part[1], np.ones((1, 16)))[0])
    for statistic, agent in (("share of case", ""), ("reliability", "b")):
        left = np.array(one[statistic])
        reach = stats.t.ppf(0.975, 8) * np.sqrt(8 / 9 * ((left - left.mean()) ** 2).sum())
        row = rows[statistic, agent]
        assert row["low"] <= row["value"] - reach + 1e-12
        assert row["high"] >= min(1.0, row["value"] + reach) - 1e-12
        assert row["low"] == pytest.approx(row["value"] - reach) or row["high"] == pytest.approx(
            row["value"] + reach
        )
    few = variance_intervals(y[:, :6], ["a", "b", "c"], np.arange(6) // 2)
    assert all(r["note"] == "3 groups: an interval needs 8" for r in few)
