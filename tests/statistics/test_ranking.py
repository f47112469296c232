from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from simclick.statistics.ranking import kendall_tau_b, ranking_sensitivity


def test_tau_equals_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (50, 6)).astype(float), rng.integers(0, 4, (50, 6)).astype(float)
    expected = [kendalltau(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(kendall_tau_b(a, b), expected)
    assert np.isnan(kendall_tau_b(np.ones((1, 3)), np.array([[1.0, 2, 3]]))[0])


def runs(table, groups=12):
    """`table[agent][level]` is a function of the case's number that gives the Dice."""
    return [
        {"agent": agent, "case_id": f"c{c}", "group": f"g{c}", "noise": "n", "level": float(level),
         "dice": [value(c)]}
        for agent, levels in table.items()
        for level, value in levels.items()
        for c in range(groups)
    ]  # fmt: skip


def test_a_reversed_order_is_seen(make):
    table = {
        "a": {0: lambda c: 0.9, 5: lambda c: 0.3},
        "b": {0: lambda c: 0.8, 5: lambda c: 0.4},
        "c": {0: lambda c: 0.7, 5: lambda c: 0.5},
    }
    found = ranking_sensitivity(*make(runs(table)), 1)
    assert found is not None
    (pair,) = found.pairs.to_dict("records")
    assert pair["tau"] == -1
    assert pair["swapped"] == 1.0
    assert found.swaps["swap"].tolist() == [0.0, 0.0]
    assert found.ranks.set_index(["level", "agent"])["rank"].to_dict() == {
        (0.0, "a"): 1, (0.0, "b"): 2, (0.0, "c"): 3, (5.0, "a"): 3, (5.0, "b"): 2, (5.0, "c"): 1,
    }  # fmt: skip


def test_equal_agents_swap_in_half_of_the_resamples(make):
    rng = np.random.default_rng(3)
    x = rng.normal(0, 0.1, (2, 40))
    table = {
        "a": {0: lambda c: 0.5 + x[0, c], 5: lambda c: 0.5 + x[0, c]},
        "b": {0: lambda c: 0.5 + x[0, c] + x[1, c] - x[1].mean(), 5: lambda c: 0.4},
    }
    found = ranking_sensitivity(*make(runs(table, 40)), 1)
    assert found is not None
    assert found.swaps["swap"].iloc[0] == pytest.approx(0.5, abs=0.05)


def test_one_agent_or_no_common_case_has_no_ranking(make):
    assert ranking_sensitivity(*make(runs({"a": {0: lambda c: 0.5}})), 1) is None
    apart = runs({"a": {0: lambda c: 0.5}}) + [
        {**row, "case_id": "other"} for row in runs({"b": {0: lambda c: 0.5}}, 1)
    ]
    assert ranking_sensitivity(*make(apart), 1) is None
