from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from simclick.statistics.bootstrap import studentised_bootstrap
from simclick.statistics.fragility import fragility_pairs
from simclick.statistics.measures import CELL
from simclick.statistics.robustness import dose_area, robustness_table


def noisy(levels, repeats, dice, groups=12, agent="a"):
    """Episodes of one agent; `dice(case, level, repeat)` gives the Dice after each of two clicks."""
    out = []
    for case in range(groups):
        for level in levels:
            for repeat in range(repeats if level else 1):
                out.append(
                    {
                        "agent": agent,
                        "agent_digest": agent * 2,
                        "case_id": f"c{case}",
                        "group": f"g{case}",
                        "noise": "gaussian-click",
                        "level": float(level),
                        "repeat": repeat,
                        "dice": dice(case, level, repeat),
                    }
                )
    return out


def pick(table, statistic, level, outcome="dice@2", subset=("all", "")):
    rows = table[
        (table["statistic"] == statistic)
        & (table["outcome"] == outcome)
        & (table["subset"] == subset[0])
        & (table["subset_value"] == subset[1])
    ]
    rows = rows[rows["level"].isna()] if level is None else rows[rows["level"] == level]
    (row,) = rows.to_dict("records")
    return row


def test_by_hand(make):
    def dice(case, level, repeat):
        if level == 0:
            return [0.5, 0.8 if case else 0.05]
        last = {0: 0.05, 1: 0.6}.get(case, 0.8) - (0.2 if repeat else 0.0) * (case > 0)
        return [0.4, max(last, 0.0)]

    episodes, steps = make(noisy([0, 10], 2, dice, groups=4))
    table = robustness_table(episodes, steps, 2)
    # Case means at level 10: 0.05, 0.5, 0.7, 0.7.
    assert pick(table, "mean", 10)["value"] == pytest.approx(1.95 / 4)
    assert pick(table, "drop", 10)["value"] == pytest.approx((0.0 + 0.3 + 0.1 + 0.1) / 4)
    assert pick(table, "retention", 10)["value"] == pytest.approx((0.5 + 0.7 + 0.7) / 0.8 / 3)
    assert pick(table, "retention", 10)["n_cases"] == 3
    assert pick(table, "not_retained", 10)["value"] == 0.25
    assert pick(table, "sd", 10)["value"] == pytest.approx(np.std([0.6, 0.4], ddof=1) * 3 / 4)
    assert pick(table, "worst_repeat", 10)["value"] == pytest.approx((0.05 + 0.4 + 0.6 + 0.6) / 4)
    assert pick(table, "large_loss", 10)["value"] == pytest.approx((0 + 1 + 0.5 + 0.5) / 4)
    assert pick(table, "dose_area", None)["value"] == pytest.approx(0.125 / 2)
    assert pick(table, "passes@0.05", None)["value"] == pytest.approx(10 * 0.05 / 0.125)
    # After the first click all lose 0.1, which is not more than 0.1; the area is the mean of both clicks.
    assert pick(table, "drop", 10, "dice@1")["value"] == pytest.approx(0.1)
    assert pick(table, "large_loss", 10, "dice@1")["value"] == 0.0
    assert pick(table, "drop", 10, "area")["value"] == pytest.approx((0.1 + 0.125) / 2)
    assert pick(table, "failed", 10, "episode")["value"] == 0.0


def test_clicks_change_with_noise(make):
    """Dice 0.80 at once without noise; under noise in one of two repeats at click 2, else never."""
    last = {0: 0.9, 1: 0.5}
    rows = noisy([0, 4], 2, lambda c, level, r: [0.2, last[r]] if level else [0.85, 0.86], groups=3)
    table = robustness_table(*make(rows), 2)
    # At level 0: 1 click. At level 4: 2, and 2 for the one never reached, as the budget is 2.
    assert pick(table, "noc_change@0.80", 4, "episode")["value"] == 1.0
    assert pick(table, "noc_change@0.85", 0, "episode")["value"] == 0.0
    # Dice 0.90 is not reached without noise: the budget; and at click 2 or never with it.
    assert pick(table, "noc_change@0.90", 4, "episode")["value"] == 0.0


def reference(rows, budget, naive):
    """Statistics of one agent and noise per level, case by case, from the made episodes."""
    found = {}
    for row in rows:
        curve = naive(row, budget)
        key = (row["level"], row["dataset"], row["case_id"])
        found.setdefault(key, []).append((curve[1], curve[budget], float(np.mean(curve[1:]))))
    return found


@pytest.mark.parametrize("column, outcome", list(enumerate(["dice@1", "dice@8", "area"])))
def test_against_case_by_case_recomputation(make, random_run, naive, column, outcome):
    rows = [row for row in random_run(3) if row["agent"] == "a"]
    table = robustness_table(*make(rows), 8)
    values = {key: [v[column] for v in many] for key, many in reference(rows, 8, naive).items()}
    for dataset in ("", "d", "e"):
        cases = sorted({key[1:] for key in values if dataset in ("", key[1])})
        at, base = ([np.array(values[(level, *case)]) for case in cases] for level in (2.0, 0.0))
        known = np.array([b.mean() for b in base])
        x = np.array([v.mean() for v in at])
        kept = known >= 0.1
        q = np.sort(np.concatenate(at))
        tenth = len(q) / 10
        whole = int(tenth)
        worst = (q[:whole].sum() + (tenth - whole) * q[whole]) / tenth
        wanted = {
            "mean": x.mean(),
            "drop": (known - x).mean(),
            "retention": (x[kept] / known[kept]).mean(),
            "not_retained": 1 - kept.mean(),
            "sd": np.mean([v.std(ddof=1) for v in at]),
            "worst_repeat": np.mean([v.min() for v in at]),
            "worst_tenth": worst,
            "large_loss": np.mean([np.mean(k - v > 0.1 + 1e-9) for k, v in zip(known, at, strict=True)]),
        }
        subset = ("dataset", dataset) if dataset else ("all", "")
        for name, value in wanted.items():
            assert pick(table, name, 2.0, outcome, subset)["value"] == pytest.approx(value, abs=1e-8), name
        area = pick(table, "dose_area", None, outcome, subset)["value"]
        assert area == pytest.approx((known - x).mean() / 2, abs=1e-8)


def test_cases_without_a_level_have_no_paired_numbers(make):
    rows = noisy([0, 5], 2, lambda c, level, r: [0.5, 0.9 - 0.1 * level * (c + 1) / 10], groups=4)
    rows = [row for row in rows if not (row["case_id"] == "c3" and row["level"] == 0)]
    table = robustness_table(*make(rows), 2)
    assert pick(table, "mean", 5)["n_cases"] == 4
    assert pick(table, "drop", 5)["n_cases"] == 3
    assert pick(table, "drop", 5)["value"] == pytest.approx(0.05 * (1 + 2 + 3) / 3)
    assert pick(table, "not_retained", 5)["n_cases"] == 3
    assert pick(table, "dose_area", None)["n_cases"] == 3


def test_one_repeat_has_no_spread(make):
    table = robustness_table(*make(noisy([0, 5], 1, lambda c, level, r: [0.5, 0.5], groups=9)), 2)
    assert math.isnan(pick(table, "sd", 5)["value"])
    assert pick(table, "sd", 5)["note"] == "no cases"


def test_failures_stay_in(make):
    rows = noisy([0, 5], 2, lambda c, level, r: [0.5, 0.8], groups=10)
    for row in rows:
        if row["case_id"] in ("c0", "c1") and row["level"] == 5 and row["repeat"] == 0:
            row["status"], row["dice"] = "failed", [0.5, 0.0]
    table = robustness_table(*make(rows), 2)
    assert pick(table, "failed", 5, "episode")["value"] == pytest.approx(0.1)
    assert pick(table, "mean", 5)["value"] == pytest.approx((2 * 0.4 + 8 * 0.8) / 10)
    failed = pick(table, "failed", 5, "episode")
    assert 0 <= failed["low"] < 0.1 < failed["high"] <= 1


def test_worst_tenth_is_the_mean_of_the_worst_tenth(make):
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (10, 4))
    episodes, steps = make(
        noisy([0, 5], 4, lambda c, level, r: [0.5, values[c, r] if level else 1.0], groups=10)
    )
    found = pick(robustness_table(episodes, steps, 2), "worst_tenth", 5)["value"]
    assert found == pytest.approx(np.sort(values.ravel())[:4].mean())


def test_no_interval_under_eight_groups_and_the_note_says_so(make):
    def dice(case, level, repeat):
        return [0.5, 0.9 - 0.01 * level * (1 + case) - 0.01 * repeat]

    for groups, any_interval in ((7, False), (8, True)):
        table = robustness_table(*make(noisy([0, 10], 2, dice, groups=groups)), 2)
        for name, level in (("mean", 10), ("drop", 10), ("dose_area", None), ("passes@0.05", None)):
            row = pick(table, name, level)
            assert math.isnan(row["low"]) != any_interval
            assert ("needs 8" in row["note"]) != any_interval


def test_the_level_that_passes_is_linear_between_levels_and_the_first_one(make):
    drops = {0: 0.0, 5: 0.02, 10: 0.10, 20: 0.01, 40: 0.2}
    table = robustness_table(*make(noisy(drops, 2, lambda c, level, r: [0.5, 0.8 - drops[level]])), 2)
    assert pick(table, "passes@0.05", None)["value"] == pytest.approx(5 + 5 * 0.03 / 0.08)
    area = (5 * 0.01 + 5 * 0.06 + 10 * 0.055 + 20 * 0.105) / 40
    assert pick(table, "dose_area", None)["value"] == pytest.approx(area)


def test_a_drop_that_never_passes_is_infinite_and_intervals_hold_the_estimate(make):
    rng = np.random.default_rng(1)
    jitter = rng.normal(0, 0.01, (20, 3))
    episodes, steps = make(
        noisy(
            [0, 5, 10],
            3,
            lambda c, level, r: [0.5, 0.8 - 0.001 * level + jitter[c, r] * (level > 0)],
            groups=20,
        )
    )
    table = robustness_table(episodes, steps, 2)
    passes = pick(table, "passes@0.05", None)
    assert np.isinf(passes["value"])
    assert np.isinf(passes["high"])
    assert passes["note"] == "not within the levels"
    drop = pick(table, "drop", 10)
    assert drop["low"] < drop["value"] < drop["high"]
    assert drop["value"] == pytest.approx(0.01 - jitter.mean(), abs=1e-9)


def test_intervals_are_the_studentised_bootstrap_over_groups(make):
    rng = np.random.default_rng(5)
    lost = rng.uniform(0, 0.3, (24, 2))
    rows = noisy([0, 5, 10], 2, lambda c, level, r: [0.5, 0.9 - lost[c, r] * level / 10], groups=24)
    rows = [{**row, "group": f"g{int(row['case_id'][1:]) // 2:02d}"} for row in rows]
    table = robustness_table(*make(rows), 2)
    group = np.arange(24) // 2
    drop = studentised_bootstrap(lost.mean(axis=1), group, symmetric=True)
    found = pick(table, "drop", 10)
    assert (found["value"], found["low"], found["high"]) == pytest.approx((drop.value, drop.low, drop.high))
    spread = studentised_bootstrap(lost.std(axis=1, ddof=1), group)
    found = pick(table, "sd", 10)
    assert (found["value"], found["low"], found["high"]) == pytest.approx(
        (spread.value, spread.low, spread.high)
    )
    # The drop is linear in the level here, and so are its ends.
    passes = pick(table, "passes@0.05", None)
    assert (passes["value"], passes["low"]) == pytest.approx((0.5 / drop.value, 0.5 / drop.high))
    assert passes["high"] == pytest.approx(0.5 / drop.low)
    assert passes["n_groups"] == 12


def test_the_level_that_passes_may_be_open_above(make):
    lost = np.linspace(0.0, 0.13, 10)
    rows = noisy([0, 10], 1, lambda c, level, r: [0.5, 0.9 - lost[c] * level / 10], groups=10)
    passes = pick(robustness_table(*make(rows), 2), "passes@0.05", None)
    drop = pick(robustness_table(*make(rows), 2), "drop", 10)
    assert drop["low"] < 0.05 < drop["value"]
    assert passes["value"] == pytest.approx(0.5 / 0.065)
    assert (passes["low"], passes["high"], passes["note"]) == (
        pytest.approx(0.5 / drop["high"]),
        math.inf,
        "",
    )


def test_data_sets_have_their_own_rows_and_no_level_zero_gives_no_paired_numbers(make):
    some = noisy([5], 2, lambda c, level, r: [0.5, 0.5 + 0.01 * c + 0.02 * r], groups=9)
    other = [{**row, "dataset": "e"} for row in some]
    table = robustness_table(*make([*some, *other]), 2)
    assert set(table["subset_value"]) == {"", "d", "e"}
    assert not set(table["statistic"]) & {"drop", "retention", "large_loss", "dose_area"}
    assert pick(table, "mean", 5)["n_groups"] == 18


def test_the_first_outcome_follows_the_cost_of_the_first_prompt(make):
    rows = noisy([0, 5], 1, lambda c, level, r: [0.6])
    boxes = [{**row, "costs": [2], "protocol": "box"} for row in rows]
    found = robustness_table(*make([*rows, *boxes]), {"p": 2, "box": 2})
    outcomes = found.groupby("protocol")["outcome"].unique().map(set).to_dict()
    assert outcomes == {"p": {"dice@1", "dice@2", "area", "episode"}, "box": {"dice@2", "area", "episode"}}


def test_the_order_of_rows_does_not_matter(make):
    episodes, steps = make(
        noisy([0, 10], 2, lambda c, level, r: [0.3, 0.9 - 0.02 * level * (c % 3) / 2 - 0.01 * r])
    )
    one = robustness_table(episodes, steps, 2)
    other = robustness_table(episodes.sample(frac=1, random_state=1), steps.sample(frac=1, random_state=2), 2)
    pd.testing.assert_frame_equal(one, other)
    assert list(one.columns[: len(CELL)]) == list(CELL)


def two_agents(groups=10):
    def loses(much):
        return lambda c, level, r: [0.5, 0.9 - 0.01 * level * much * (1 + 0.2 * (c % 3)) - 0.01 * r * (c % 2)]

    return [*noisy([0, 5, 10], 2, loses(1), groups, "a"), *noisy([0, 5, 10], 2, loses(3), groups, "b")]


def test_pairs_are_differences_of_drops(make):
    pairs = fragility_pairs(*make(two_agents()), 2)
    shape = np.mean([1 + 0.2 * (c % 3) for c in range(10)])
    for level in (5, 10):
        row = pick(pairs, "drop", level)
        assert row["difference"] == pytest.approx((0.01 - 0.03) * level * shape)
        assert row["low"] < row["difference"] < row["high"] < 0
        assert row["p"] == pytest.approx(2 / 2**10)
        assert (row["agent_a"], row["agent_b"]) == ("a", "b")
    assert pick(pairs, "mean", 10)["difference"] == pytest.approx(0.2 * shape)
    whole = pick(pairs, "dose_area", None)
    assert whole["difference"] == pytest.approx(-0.02 * 10 / 2 * shape)
    assert whole["value_a"] - whole["value_b"] == pytest.approx(whole["difference"])
    table = robustness_table(*make(two_agents()), 2)
    alone = table[table["agent"] == "b"]
    assert pick(pairs, "drop", 10)["value_b"] == pytest.approx(pick(alone, "drop", 10)["value"])


def test_pairs_take_common_cases_and_repeats_only(make):
    rows = [
        row
        for row in two_agents()
        if not (
            row["agent"] == "b" and (row["case_id"] == "c0" or (row["level"] == 5 and row["repeat"] == 1))
        )
    ]
    pairs = fragility_pairs(*make(rows), 2)
    row = pick(pairs, "drop", 5)
    assert row["n_cases"] == 9
    shape = np.mean([1 + 0.2 * (c % 3) for c in range(1, 10)])
    assert row["value_a"] == pytest.approx(0.05 * shape)  # repeat 0 alone: no 0.01 for the second
    one = [row for row in rows if row["agent"] == "a"]
    assert fragility_pairs(*make(one), 2).empty


def test_holm_corrects_over_the_pairs_of_one_statistic(make):
    rows = [*two_agents(), *noisy([0, 5, 10], 2, lambda c, level, r: [0.5, 0.9], 10, "c")]
    pairs = fragility_pairs(*make(rows), 2)
    mine = pairs[(pairs["statistic"] == "drop") & (pairs["level"] == 10) & (pairs["outcome"] == "dice@2")]
    assert len(mine) == 3
    assert mine["p_holm"].to_numpy() == pytest.approx([3 * 2 / 2**10] * 3)


def test_the_area_is_an_average_over_doses():
    levels = np.array([0.0, 1.0, 4.0])
    drops = np.array([[0.0, 0.2, 0.2], [0.0, 0.0, 0.4]])
    assert dose_area(drops, levels) == pytest.approx([(0.1 + 0.6) / 4, 0.6 / 4])
