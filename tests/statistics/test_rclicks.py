from __future__ import annotations

import math

import numpy as np
import pytest

from simclick.errors import ConfigError
from simclick.statistics.rclicks import decile_of, first_click_cases, first_click_table, rclicks_table

CLICKS = {case: [5 + case % 2, 5, 5, 4, 4, 4, 3, 3, 3, 2] for case in range(9)}


def episode(protocol, case, noc, **more):
    """NoC@0.80 is the step at which Dice jumps to 0.82."""
    where = {"protocol": protocol, "case_id": f"c{case}", "group": f"g{case}", "protocol_digest": protocol}
    return {**where, "dice": [0.1] * (noc - 1) + [0.82], **more}


def everything(name="rclicks-g{}-v1"):
    rows = [episode("noc-v1", case, 4) for case in CLICKS]
    return rows + [episode(name.format(g), c, noc[g - 1]) for c, noc in CLICKS.items() for g in range(1, 11)]


def values(table, measure, subset="all"):
    rows = table[(table["measure"] == measure) & (table["subset"] == subset)]
    return rows.set_index("statistic")["value"].to_dict()


def test_by_hand(make):
    table = rclicks_table(*make(everything()), 20)
    found = values(table, "noc@0.80")
    g = np.array(list(CLICKS.values()), dtype=float)
    assert found["delta_sb"] == pytest.approx(((g.mean(axis=1) - 4) / 4).mean())
    assert found["delta_gr"] == pytest.approx(((g[:, 0] - 2) / 2).mean())
    assert found["nsr"] == pytest.approx((g.std(axis=1) / g.mean(axis=1)).mean())
    # All censored at the budget alike.
    assert values(table, "noc@0.90") == {"delta_sb": 0, "delta_gr": 0, "nsr": 0}
    assert values(table, "nof@0.90") == {"delta_sb": 0, "delta_gr": 0}
    # The area over 20 clicks: a click later is 0.72 / 20 less.
    area = values(table, "area")
    assert area["delta_gr"] == pytest.approx(-(0.72 / 20 * (g[:, 0] - 2)).mean())
    assert area["delta_sb"] == pytest.approx(-(0.72 / 20 * (g.mean(axis=1) - 4)).mean())
    sample = rclicks_table(*make(everything()), 20, ddof=1)
    assert values(sample, "noc@0.80")["nsr"] == pytest.approx((g.std(axis=1, ddof=1) / g.mean(axis=1)).mean())
    assert set(table["n_groups"]) == {9}
    gr = table[(table["measure"] == "noc@0.80") & (table["statistic"] == "delta_gr")].iloc[0]
    assert gr["low"] < gr["value"] < gr["high"]


def test_protocols_are_mapped_to_trajectories(make):
    names = {f"mine-{g}": g for g in range(1, 11)}
    mapped = rclicks_table(*make(everything("mine-{}")), 20, deciles=names)
    assert values(mapped, "noc@0.80") == values(rclicks_table(*make(everything()), 20), "noc@0.80")
    assert rclicks_table(*make(everything("mine-{}")), 20).empty


def test_an_empty_truth_has_no_ratio(make):
    """No click is needed where the truth is empty: nothing to divide by."""
    empty = [
        {**row, "case_id": "empty", "dice": [], "final_dice": 1.0}
        for row in everything()
        if row["case_id"] == "c0"
    ]
    table = rclicks_table(*make([*everything(), *empty]), 20)
    assert values(table, "noc@0.80") == values(rclicks_table(*make(everything()), 20), "noc@0.80")
    rows = table.set_index(["measure", "statistic"])["n_cases"]
    assert (rows["noc@0.80", "nsr"], rows["area", "delta_sb"]) == (9, 10)


def test_an_agent_or_case_without_all_trajectories_is_left_out(make):
    rows = [{"protocol": p, "dice": [0.9]} for p in ("noc-v1", "rclicks-g1-v1")]
    assert rclicks_table(*make(rows), 20).empty
    assert rclicks_table(*make([{"protocol": "other", "dice": [0.9]}]), 20).empty
    some = [r for r in everything() if not (r["protocol"] == "rclicks-g4-v1" and r["case_id"] == "c8")]
    assert set(rclicks_table(*make(some), 20)["n_cases"]) == {8}


def test_two_runs_of_one_trajectory_are_refused(make):
    changed = [episode("rclicks-g3-v1+", case, 4) for case in CLICKS]
    with pytest.raises(ConfigError, match=r"claim one trajectory.*rclicks-g3-v1"):
        rclicks_table(*make([*everything(), *changed]), 20)
    levels = [episode("noc-v1", case, 4, level=5.0) for case in CLICKS]
    with pytest.raises(ConfigError, match=r"claim one trajectory.*noc-v1"):
        rclicks_table(*make([*everything(), *levels]), 20)
    budgets = {"noc-v1": 10, **{f"rclicks-g{g}-v1": 20 for g in range(1, 11)}}
    with pytest.raises(ConfigError, match="different budgets"):
        rclicks_table(*make(everything()), budgets)


def test_names_of_trajectories():
    assert [decile_of(f"rclicks-g{g}-v1") for g in (1, 10, 11, 0)] == [1, 10, None, None]
    assert decile_of("rclicks-g7-v2+") == 7
    assert decile_of("noc-v1") is None


def test_first_clicks_by_hand(make):
    first = {0: [0.2, 0.4, 0.9], 1: [0.5, 0.5, 0.5]}
    rows = [
        {"case_id": f"c{c}", "group": f"g{c}", "repeat": r, "dice": [d, 0.95]}
        for c, many in first.items()
        for r, d in enumerate(many)
    ]
    rows.append({"case_id": "c2", "group": "g2", "dice": [0.3]})
    cases = first_click_cases(*make(rows)).set_index("case_id")
    assert cases["n_repeats"].to_list() == [3, 3, 1]
    assert cases["mean"].to_list() == pytest.approx([0.5, 0.5, 0.3])
    assert cases.loc["c0", "sd"] == pytest.approx(math.sqrt((0.09 + 0.01 + 0.16) / 2))
    assert cases.loc["c1", "sd"] == 0.0
    assert math.isnan(cases.loc["c2", "sd"])
    assert (cases.loc["c0", "lowest"], cases.loc["c0", "highest"]) == (0.2, 0.9)
    table = first_click_table(*make(rows)).set_index("statistic")
    assert table.loc["mean", "value"] == pytest.approx(1.3 / 3)
    assert table.loc["sd", "value"] == pytest.approx(math.sqrt(0.13) / 2)
    assert table.loc["sd", "n_cases"] == 2
    assert "needs 8" in table.loc["mean", "note"]


def test_a_first_box_counts_at_its_own_cost(make):
    rows = [
        {"case_id": "c", "repeat": r, "costs": [2, 3], "dice": [d, 0.9]} for r, d in enumerate((0.2, 0.6))
    ]
    episodes, steps = make(rows)
    assert first_click_cases(episodes, steps)["mean"].to_list() == [0.0]
    assert first_click_cases(episodes, steps, at=2)["mean"].to_list() == pytest.approx([0.4])
    table = first_click_table(episodes, steps, at=2).set_index("statistic")
    assert table.loc["highest", "value"] == pytest.approx(0.6)
