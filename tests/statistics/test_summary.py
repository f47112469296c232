import math

import numpy as np
import pytest

from simclick.errors import ConfigError
from simclick.statistics import (
    case_table,
    curve_table,
    episode_table,
    mean_intervals,
    measures,
    median_interval,
    summarise,
)


def number(table, statistic, at=None, subset="all", value="", average="micro", **where):
    rows = table[
        (table["statistic"] == statistic)
        & (table["subset"] == subset)
        & (table["subset_value"] == value)
        & (table["average"] == average)
    ]
    rows = rows[rows["at"].isna()] if at is None else rows[rows["at"] == at]
    for column, wanted in where.items():
        rows = rows[rows[column] == wanted]
    assert len(rows) == 1
    return rows.iloc[0]


def hand_run():
    """Three livers and one spleen, ten clicks."""
    dice = {"c0": [0.5, 0.9], "c1": [0.85], "c2": [0.2, 0.4, 0.6], "c3": [0.95, 0.0]}
    return [
        {
            "case_id": case,
            "group": "g0" if case in ("c0", "c1") else case,
            "target": "spleen" if case == "c3" else "liver",
            "dice": d,
            "status": "failed" if case == "c3" else "ok",
            "hd95": [9.0, *([4.0] * (len(d) - 1))],
            "nsd": [0.1, *([0.5] * (len(d) - 1))],
            "seconds": [1.0 + i for i in range(len(d))],
        }
        for i, (case, d) in enumerate(dice.items())
    ]


def test_numbers_by_hand(make):
    table = summarise(*make(hand_run()), 10, thresholds=(0.8, 0.9), costs=(1, 3, 20))
    assert number(table, "noc", 0.8)["value"] == (2 + 1 + 10 + 1) / 4
    assert number(table, "noc", 0.9)["value"] == (2 + 10 + 10 + 1) / 4
    assert number(table, "noc", 0.9, average="macro")["value"] == round(((2 + 10 + 10) / 3 + 1) / 2, 9)
    assert number(table, "noc", 0.9, subset="target", value="spleen")["value"] == 1
    assert number(table, "nof", 0.9)["value"] == 0.5
    assert number(table, "dice", 1)["value"] == pytest.approx((0.5 + 0.85 + 0.2 + 0.95) / 4)
    assert number(table, "dice", 3)["value"] == pytest.approx((0.9 + 0.85 + 0.6 + 0) / 4)
    areas = [0.5 / 10 + 0.9 * 0.9, 0.85, (0.2 + 0.4 + 0.6 * 8) / 10, 0.095]
    assert number(table, "area")["value"] == pytest.approx(np.mean(areas))
    assert number(table, "final_dice")["value"] == pytest.approx((0.9 + 0.85 + 0.6) / 4)
    assert number(table, "failed")["value"] == 0.25
    assert number(table, "seconds_per_step")["value"] == 1.5  # of 1.5, 1, 2, 1.5
    assert number(table, "seconds_encode")["value"] == 0.5
    assert not (table["at"] == 20).any()  # past the budget
    row = number(table, "area")
    assert (row["n_cases"], row["n_groups"], row["n_failed"]) == (4, 3, 1)
    assert row["note"] == "3 groups: an interval needs 8"
    assert math.isnan(row["low"])
    assert number(table, "area", subset="target", value="liver")["n_failed"] == 0


def test_medians_of_distances_by_hand(make):
    table = summarise(*make(hand_run()), 10, costs=(1, 3), distance_units={"d": "mm"})
    first, third = number(table, "hd95", 1), number(table, "hd95", 3)
    assert (first["value"], first["unit"]) == (9.0, "mm")
    # At cost 3: 4, 9 (carried on), 4, infinite (failed).
    assert third["value"] == 6.5
    assert number(table, "hd95_undefined", 3)["value"] == 0.25
    assert number(table, "nsd", 3)["value"] == 0.3
    assert (number(table, "nsd", 3)["unit"], number(table, "hd95_undefined", 3)["unit"]) == ("share", "share")


def test_repeats_are_averaged_within_a_case_first(make):
    given = [
        {"repeat": r, "dice": [d], "hd95": [h], "nsd": [d]}
        for r, (d, h) in enumerate([(0.9, 2), (0.7, 4), (0.5, math.inf)])
    ]
    given.append({"case_id": "c1", "dice": [0.1], "hd95": [10.0], "nsd": [0.1]})
    episodes, steps = make(given)
    table = summarise(episodes, steps, 5, costs=(1,), thresholds=(0.9,))
    assert number(table, "dice", 1)["value"] == pytest.approx((0.7 + 0.1) / 2)
    assert number(table, "noc", 0.9)["value"] == pytest.approx(((1 + 5 + 5) / 3 + 5) / 2)
    assert number(table, "hd95", 1)["value"] == (4 + 10) / 2  # the median repeat, then the median case
    assert number(table, "hd95_undefined", 1)["value"] == pytest.approx(1 / 6)
    cases = case_table(episode_table(episodes, steps, 5))
    assert cases["n_episodes"].tolist() == [3, 1]


def test_distances_in_two_units_are_not_mixed(make):
    given = hand_run() + [{**e, "dataset": "e"} for e in hand_run()]
    table = summarise(*make(given), 10, distance_units={"d": "mm", "e": "px"})
    for statistic in ("hd95", "nsd"):
        row = number(table, statistic, 1)
        assert math.isnan(row["value"])
        assert row["note"] == "millimetres and pixels are mixed: see each data set"
        assert number(table, statistic, 1, "dataset", "e")["value"] > 0
    assert number(table, "hd95", 1)["unit"] == "mixed"
    assert number(table, "hd95", 1, "dataset", "e")["unit"] == "px"
    assert number(summarise(*make(given), 10), "hd95", 1)["unit"] == "mm or px"


def test_protocols_have_their_own_budgets_and_digests_their_own_lines(make):
    given = [
        {"protocol": "short", "protocol_digest": "s", "dice": [0.5]},
        {"protocol": "long", "protocol_digest": "l", "dice": [0.5]},
        {"protocol": "long", "protocol_digest": "m", "case_id": "c1", "dice": [0.7]},
    ]
    episodes, steps = make(given)
    table = summarise(episodes, steps, {"short": 3, "long": 20}, thresholds=(0.9,))
    assert number(table, "noc", 0.9, protocol="short")["value"] == 3
    assert number(table, "noc", 0.9, protocol_digest="m")["value"] == 20
    assert not len(table[(table["protocol"] == "short") & (table["at"] == 5)])
    assert number(table, "dice", 20, protocol_digest="l")["value"] == 0.5
    with pytest.raises(ConfigError, match="no budget is given for protocol 'long'"):
        summarise(episodes, steps, {"short": 3})


@pytest.mark.parametrize("seed", [0, 1])
def test_every_number_equals_the_definition(make, random_run, naive, seed):
    budget, given = 8, random_run(seed)
    episodes, steps = make(given)
    table = summarise(episodes, steps, budget, costs=(1, 3, 5))

    def per_case(value):
        cases = {}
        for e in given:
            if (e["agent"], e["level"]) == ("a", 2.0):
                key = (e["dataset"], e["case_id"], e["group"], e["modality"], e["target"])
                cases.setdefault(key, []).append(value(e, naive(e, budget)))
        return {key: np.mean(values) for key, values in cases.items()}

    def clicks(tau):
        return lambda e, d: next((c for c, v in enumerate(d) if v >= tau), budget)

    expected = {
        ("noc", 0.8): per_case(clicks(0.8)),
        ("noc", 0.95): per_case(clicks(0.95)),
        ("nof", 0.9): per_case(lambda e, d: max(d) < 0.9),
        ("dice", 3): per_case(lambda e, d: d[3]),
        ("oracle_dice", 5): per_case(lambda e, d: naive(e, budget, "oracle")[5]),
        ("area", None): per_case(lambda e, d: np.mean(d[1:])),
        ("final_dice", None): per_case(lambda e, d: d[-1]),
        ("failed", None): per_case(lambda e, d: e["status"] == "failed"),
    }
    where = {"agent": "a", "level": 2.0}
    subsets = [("all", "", slice(0)), ("dataset", "e", 0), ("modality", "mr", 3), ("target", "vessel", 4)]
    for (statistic, at), cases in expected.items():
        for subset, value, position in subsets:
            mine = {k: v for k, v in cases.items() if subset == "all" or k[position] == value}
            row = number(table, statistic, at, subset, value, **where)
            interval = mean_intervals(
                np.array([[v] for v in mine.values()]),
                [f"{k[0]}/{k[2]}" for k in mine],
                bounds=[(0, 8 if statistic == "noc" else 1)],
            )[0]
            assert row["value"] == pytest.approx(np.mean(list(mine.values())), abs=1e-8)
            assert (row["n_cases"], row["n_groups"], row["note"]) == (
                len(mine),
                interval.n_groups,
                interval.note,
            )
            np.testing.assert_allclose([row["low"], row["high"]], [interval.low, interval.high], atol=1e-8)
        macro = [np.mean([v for k, v in cases.items() if k[4] == t]) for t in ("liver", "spleen", "vessel")]
        assert number(table, statistic, at, average="macro", **where)["value"] == pytest.approx(
            np.mean(macro), abs=1e-8
        )


def test_distances_equal_a_direct_median(make, random_run):
    episodes, steps = make(random_run(3))
    table = summarise(episodes, steps, 8, costs=(1, 3, 5))
    cases = case_table(episode_table(episodes, steps, 8, costs=(1, 3, 5)))
    cases = cases[(cases["agent"] == "b") & (cases["level"] == 2.0)]
    groups = cases["dataset"] + "/" + cases["group"]
    for cost in (1, 3, 5):
        expected = median_interval(cases[f"hd95@{cost}"].to_numpy(), groups.to_numpy(), bounds=(0, math.inf))
        row = number(table, "hd95", cost, agent="b", level=2.0)
        np.testing.assert_allclose(
            [row["value"], row["low"], row["high"]], [expected.value, expected.low, expected.high]
        )
        assert row["n_cases"] == expected.n_cases > 0


def test_names_of_columns():
    names = [m.name for m in measures(5, (0.8, 0.925), (1, 5, 20), (5, 20))]
    assert names == [
        *("noc@0.80", "noc@0.925", "nof@0.80", "nof@0.925"),
        *("dice@1", "dice@5", "oracle_dice@1", "oracle_dice@5"),
        *("area", "final_dice", "failed", "hd95@5", "hd95_undefined@5", "nsd@5"),
        *("seconds_per_step", "seconds_encode"),
    ]


def test_curves_equal_the_definition(make, random_run, naive):
    budget, given = 8, random_run(4)
    table = curve_table(*make(given), budget, ("target",), (0.9,))
    cell = table[(table["agent"] == "b") & (table["level"] == 2.0) & (table["subset_value"] == "liver")]
    cases = {}
    for e in given:
        if (e["agent"], e["level"], e["target"]) == ("b", 2.0, "liver"):
            cases.setdefault((e["dataset"], e["case_id"]), []).append(naive(e, budget))
    dice = np.array([np.mean(c, axis=0) for c in cases.values()])
    reached = np.array([np.mean(np.maximum.accumulate(c, axis=1) >= 0.9, axis=0) for c in cases.values()])
    for statistic, expected in (("dice", dice), ("reach", reached)):
        rows = cell[cell["statistic"] == statistic]
        assert rows["cost"].tolist() == list(range(budget + 1))
        np.testing.assert_allclose(rows["value"], expected.mean(axis=0), atol=1e-8)
    assert (rows["at"] == 0.9).all()
    whole = table[(table["subset"] == "all") & (table["note"] == "")]
    assert len(whole)
    assert ((whole["low"] <= whole["value"]) & (whole["value"] <= whole["high"])).all()


def test_the_reach_curve_ends_where_the_failure_rate_begins(make, random_run):
    episodes, steps = make(random_run(5))
    summary, curves = summarise(episodes, steps, 8), curve_table(episodes, steps, 8)
    end = curves[(curves["statistic"] == "reach") & (curves["cost"] == 8) & (curves["subset"] == "all")]
    for _, row in end.iterrows():
        nof = number(summary, "nof", row["at"], agent=row["agent"], level=row["level"])
        assert row["value"] == pytest.approx(1 - nof["value"], abs=1e-8)


def test_same_rows_in_any_order(make, random_run):
    episodes, steps = make(random_run(6))
    mixed = episodes.sample(frac=1, random_state=0), steps.sample(frac=1, random_state=1)
    assert summarise(*mixed, 8).equals(summarise(episodes, steps, 8))
