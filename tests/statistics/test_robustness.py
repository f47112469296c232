from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simclick.statistics.robustness import robustness_table


def noisy(levels, repeats, dice, groups=12, agent="a", budget=2):
    """Episodes of one agent; `dice(case, level, repeat)` gives the Dice after each of two clicks."""
    out = []
    for case in range(groups):
        for level in levels:
            for repeat in range(repeats if level else 1):
                out.append(
                    {
                        "agent": agent,
                        "case_id": f"c{case}",
                        "group": f"g{case}",
                        "noise": "gaussian-click",
                        "level": float(level),
                        "repeat": repeat,
                        "dice": dice(case, level, repeat),
                    }
                )
    return out


def pick(table, statistic, level, outcome="dice@2"):
    rows = table[
        (table["statistic"] == statistic) & (table["outcome"] == outcome) & (table["subset"] == "all")
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
    assert pick(table, "noc_change@0.80", 10, "episode")["value"] == pytest.approx(0.0)
    assert "an interval needs" in pick(table, "mean", 10)["note"]


def test_worst_tenth_is_the_mean_of_the_worst_tenth(make):
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (10, 4))
    episodes, steps = make(
        noisy([0, 5], 4, lambda c, level, r: [0.5, values[c, r] if level else 1.0], groups=10)
    )
    found = pick(robustness_table(episodes, steps, 2), "worst_tenth", 5)["value"]
    assert found == pytest.approx(np.sort(values.ravel())[:4].mean())


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
    drop = pick(table, "drop", 10)
    assert drop["low"] < drop["value"] < drop["high"]
    assert drop["value"] == pytest.approx(0.01 - jitter.mean(), abs=1e-9)


def test_data_sets_have_their_own_rows_and_no_level_zero_gives_no_paired_numbers(make):
    some = noisy([5], 2, lambda c, level, r: [0.5, 0.5 + 0.01 * c + 0.02 * r], groups=9)
    other = [{**row, "dataset": "e"} for row in some]
    table = robustness_table(*make([*some, *other]), 2)
    assert set(table["subset_value"]) == {"", "d", "e"}
    assert not set(table["statistic"]) & {"drop", "retention", "large_loss", "dose_area"}
    assert pick(table, "mean", 5)["n_groups"] == 18


def test_the_order_of_rows_does_not_matter(make):
    episodes, steps = make(
        noisy([0, 10], 2, lambda c, level, r: [0.3, 0.9 - 0.02 * level * (c % 3) / 2 - 0.01 * r])
    )
    one = robustness_table(episodes, steps, 2)
    other = robustness_table(episodes.sample(frac=1, random_state=1), steps.sample(frac=1, random_state=2), 2)
    pd.testing.assert_frame_equal(one, other)
