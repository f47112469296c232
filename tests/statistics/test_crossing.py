from __future__ import annotations

import numpy as np
import pytest

from simclick.statistics.crossing import crossing_table, difference_curves, overtaking


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([0.1, 0.0, -0.1, -0.1], 3),  # equal is not overtaken
        ([0.1, -0.1, 0.1, -0.1], 4),  # a lead that is lost again does not count
        ([0.1, -0.1, -0.1, 0.0], np.inf),
        ([0.1, 0.2, 0.3, 0.4], np.inf),
        ([-0.1, -0.1, -0.1, -0.1], 1),
    ],
)
def test_overtaking_by_hand(differences, expected):
    assert overtaking(np.array([differences]))[0] == expected


def episodes(curves, groups=12, jitter=0.0):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, jitter, groups)
    return [
        {
            "agent": agent,
            "case_id": f"c{c}",
            "group": f"g{c}",
            "dice": list(np.array(curve) + noise[c] * (agent == "b")),
        }
        for agent, curve in curves.items()
        for c in range(groups)
    ]


def test_the_leader_is_overtaken_where_it_should(make):
    early, late = [0.6, 0.65, 0.68, 0.7, 0.7], [0.3, 0.5, 0.69, 0.8, 0.9]
    (row,) = crossing_table(*make(episodes({"b": early, "a": late}, jitter=0.02)), 5).to_dict("records")
    assert (row["leader"], row["other"], row["value"]) == ("b", "a", 3)
    assert row["low"] <= 3 <= row["high"] <= 4
    assert row["never"] == 0


def test_never_is_infinite(make):
    (row,) = crossing_table(*make(episodes({"b": [0.6, 0.7], "a": [0.3, 0.4]})), 2).to_dict("records")
    assert np.isinf(row["value"])
    assert row["never"] == 1


def test_agents_without_a_difference_have_no_row(make):
    assert crossing_table(*make(episodes({"b": [0.6], "a": [0.6]})), 1).empty


def test_the_curve_is_the_mean_difference(make):
    table = difference_curves(*make(episodes({"a": [0.2, 0.5], "b": [0.4, 0.4]}, jitter=0.05)), 2)
    values = table.set_index("cost")["value"]
    rng = np.random.default_rng(0)
    shift = rng.normal(0, 0.05, 12).mean()
    assert values[0] == 0
    assert values[1] == pytest.approx(-0.2 - shift)
    assert values[2] == pytest.approx(0.1 - shift)
