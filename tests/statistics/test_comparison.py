import math

import numpy as np
import pytest
from scipy import stats

from simclick.statistics import compare, episode_table, mean_intervals
from simclick.statistics.comparison import holm, sign_flip


def run(agent, dice, **other):
    """One episode per case, one case per group."""
    return [
        {
            "agent": agent,
            "agent_digest": agent,
            "case_id": f"c{i}",
            "group": f"g{i}",
            "dice": list(d),
            **other,
        }
        for i, d in enumerate(dice)
    ]


def pick(table, statistic, at=None, **where):
    rows = table[table["statistic"] == statistic]
    rows = rows[rows["at"].isna()] if at is None else rows[rows["at"] == at]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_sign_flips_by_hand():
    # Of the eight sums ±1 ±2 ±3, two are as far from 0 as 6; four as far as 4, the one of (1, -2, -3).
    sums = np.array([[1.0, 1.0, 0.0], [2.0, -2.0, 0.0], [3.0, -3.0, 0.0]])
    assert sign_flip(sums).tolist() == [2 / 8, 4 / 8, 1.0]


@pytest.mark.parametrize("g", [1, 2, 5, 9, 12])
def test_sign_flips_equal_scipys_exact_test(g):
    sums = np.random.default_rng(g).normal(0.4, 1, (g, 3))
    for column, p in zip(sums.T, sign_flip(sums), strict=True):
        if g == 1:
            assert p == 1.0  # both patterns are equally far from 0
            continue
        exact = stats.permutation_test(
            (column,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
        )
        assert p == pytest.approx(exact.pvalue, abs=1e-12)


def test_random_sign_flips_are_near_the_exact_ones_and_never_zero():
    sums = np.random.default_rng(0).normal(0.5, 1, (14, 1))
    bits = 1.0 - 2.0 * ((np.arange(2**14)[:, None] >> np.arange(14)) & 1)
    exact = (np.abs(bits @ sums) >= abs(sums.sum()) - 1e-9).mean()
    assert sign_flip(sums)[0] == pytest.approx(exact, abs=0.01)
    assert sign_flip(np.ones((200, 1)))[0] == 1 / 10_000
    assert sign_flip(sums)[0] == sign_flip(sums)[0] != sign_flip(sums, seed=1)[0]


def test_sums_that_differ_by_rounding_alone_are_ties():
    sums = np.array([[0.1], [0.2], [-0.3], [0.3]])
    whole = np.array([[1.0], [2.0], [-3.0], [3.0]])
    assert sign_flip(sums) == sign_flip(whole)


@pytest.mark.parametrize("g", [10, 30])
def test_sign_flips_keep_their_level(g):
    rng = np.random.default_rng(1)
    p = sign_flip(rng.standard_t(2, (g, 1500)) * np.exp(rng.normal(size=(g, 1))))
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.02)


def test_holm_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.4, 0.5])), [0.8, 0.8])
    np.testing.assert_allclose(holm(np.array([0.9, 0.9])), [1.0, 1.0])
    assert holm(np.array([0.2])).tolist() == [0.2]


def test_differences_by_hand(make):
    a = [[0.5, 0.9], [0.95], [0.2, 0.2], [0.9]]
    b = [[0.5, 0.8], [0.85], [0.4, 0.5], [0.9]]
    table = compare(*make(run("a", a) + run("b", b)), 4, thresholds=(0.9,), costs=(1, 5))
    final = pick(table, "final_dice")
    assert (final["agent_a"], final["agent_b"]) == ("a", "b")
    assert final["value_a"] == pytest.approx(np.mean([0.9, 0.95, 0.2, 0.9]))
    assert final["difference"] == pytest.approx(np.mean([0.1, 0.1, -0.3, 0]))
    clicks = pick(table, "noc", 0.9)
    assert (clicks["value_a"], clicks["value_b"]) == ((2 + 1 + 4 + 1) / 4, (4 + 4 + 4 + 1) / 4)
    assert pick(table, "nof", 0.9)["difference"] == pytest.approx(1 / 4 - 3 / 4)
    assert pick(table, "dice", 1)["difference"] == pytest.approx(np.mean([0, 0.1, -0.2, 0]))
    assert not (table["at"] == 5).any()  # past the budget
    assert math.isnan(final["low"])
    assert final["note"] == (
        "4 groups: an interval needs 8; 4 groups and 1 pair of agents: no difference can be significant"
    )
    # Flips of (0.1, 0.1, -0.3, 0): |total| >= 0.1 for all eight signs of the first three but none less.
    assert final["p"] == final["p_holm"] == 1.0


def test_only_common_cases_and_repeats_count(make):
    a = run("a", [[0.5], [0.6], [0.7]]) + run("a", [[0.9]], repeat=1)
    b = run("b", [[0.4], [0.4]]) + run("b", [[0.4]], repeat=1)
    row = pick(compare(*make(a + b[:2]), 2), "final_dice")
    assert (row["n_cases"], row["difference"]) == (2, pytest.approx((0.1 + 0.2) / 2))
    both = pick(compare(*make(a + b), 2), "final_dice")
    # Case 0 has two repeats: their differences 0.1 and 0.5 are averaged first.
    assert both["difference"] == pytest.approx((0.3 + 0.2) / 2)


def test_failures_stay_in(make):
    a = run("a", [[0.9, 0.9]] * 2)
    b = run("b", [[0.9, 0.9]] * 2)
    a[0] |= {"status": "failed", "dice": [0.9, 0.0]}
    row = pick(compare(*make(a + b), 2), "final_dice")
    assert (row["n_cases"], row["difference"]) == (2, -0.45)


def test_different_protocols_and_levels_never_meet(make):
    given = run("a", [[0.5]], protocol_digest="x") + run("b", [[0.6]], protocol_digest="y")
    given += run("a", [[0.5]], level=1.0, protocol_digest="z") + run(
        "b", [[0.5]], level=2.0, protocol_digest="z"
    )
    table = compare(*make(given), 2)
    assert len(table) == 0
    assert "p_holm" in table.columns


def test_every_pair_and_data_set_with_holm_over_the_pairs(make):
    rng = np.random.default_rng(3)
    given = []
    for k, agent in enumerate("abc"):
        for dataset in ("d", "e"):
            dice = np.round(0.5 + 0.1 * k + 0.1 * rng.random((12, 1)), 3)
            given += run(agent, dice.tolist(), dataset=dataset)
    table = compare(*make(given), 3, thresholds=(), costs=())
    assert set(zip(table["subset"], table["subset_value"], strict=True)) == {
        ("all", ""),
        ("dataset", "d"),
        ("dataset", "e"),
    }
    for _, family in table[table["statistic"] == "area"].groupby("subset_value"):
        assert list(zip(family["agent_a"], family["agent_b"], strict=True)) == [
            ("a", "b"),
            ("a", "c"),
            ("b", "c"),
        ]
        np.testing.assert_allclose(family["p_holm"], holm(family["p"].to_numpy()), atol=1e-8)
    everything = pick(table, "area", subset="all", agent_a="a", agent_b="c")
    assert everything["n_groups"] == 24  # a group is a name within one data set
    assert everything["low"] < everything["difference"] < everything["high"] < 0
    assert everything["difference"] - everything["low"] == pytest.approx(
        everything["high"] - everything["difference"], abs=1e-8
    )
    assert everything["p_holm"] < 0.01


def test_many_pairs_on_few_groups_cannot_be_significant(make):
    given = [e for k in range(5) for e in run(f"a{k}", [[0.1 * k + 0.01 * i] for i in range(8)])]
    table = compare(*make(given), 2, thresholds=(), costs=())
    # Ten pairs times 2 / 2^8 = 0.078.
    assert set(table["note"]) >= {
        "no spread: all groups have the same mean; 8 groups and 10 pairs of agents: "
        "no difference can be significant"
    }
    assert table["p_holm"].min() == pytest.approx(10 * 2 / 256)


def test_equals_a_direct_computation(make, random_run):
    episodes, steps = make(random_run(2))
    table = compare(episodes, steps, 8)
    wide = episode_table(episodes, steps, 8)
    level = wide[wide["level"] == 2.0]
    case = ["dataset", "case_id", "group"]
    means = {agent: rows.groupby(case)["area"].mean() for agent, rows in level.groupby("agent")}
    difference = means["a"] - means["b"]
    groups = [f"{d}/{g}" for d, _, g in difference.index]
    expected = mean_intervals(difference.to_numpy()[:, None], groups, bounds=[(-1, 1)], symmetric=True)[0]
    found = pick(table, "area", subset="all", level=2.0)
    assert (found["difference"], found["low"], found["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=1e-8
    )
