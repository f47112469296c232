from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.leaderboard.ranking import Pair, bootstrap_ranks, places, tie_letters
from simclick.statistics.resampling import RESAMPLES, resampled_groups


def test_rank_intervals_of_a_board_worked_out_by_hand() -> None:
    # a beats c and d; b beats d; the rest is open.
    values = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.2}
    pairs = [
        Pair("a", "b", 0.1, 0.40),
        Pair("c", "a", -0.2, 0.01),
        Pair("a", "d", 0.7, 0.001),
        Pair("b", "c", 0.1, 0.05),  # not below 0.05
        Pair("d", "b", -0.6, 0.049),
        Pair("c", "d", 0.5, 0.2),
    ]
    found = {place.name: place for place in places(values, pairs)}
    assert {name: (p.low, p.high) for name, p in found.items()} == {
        "a": (1, 2),  # two of four are worse
        "b": (1, 3),
        "c": (2, 4),
        "d": (3, 4),
    }
    assert {name: p.letters for name, p in found.items()} == {"a": "a", "b": "ab", "c": "bc", "d": "c"}
    assert [p.text for p in found.values()] == ["1–2", "1–3", "2–4", "3–4"]  # noqa: RUF001


def test_without_differences_all_share_all_ranks_and_one_letter() -> None:
    found = places({"b": 0.5, "a": 0.5}, [Pair("a", "b", 0.0, 1.0)])
    assert [(p.name, p.low, p.high, p.letters) for p in found] == [("a", 1, 2, "a"), ("b", 1, 2, "a")]
    assert places({"only": 0.1}, [])[0].text == "1"
    assert places({}, []) == []


def test_a_difference_of_nothing_separates_nobody() -> None:
    assert places({"a": 0.5, "b": 0.5}, [Pair("a", "b", 0.0, 0.001)])[0].high == 2


def test_a_pair_of_strangers_is_refused() -> None:
    with pytest.raises(ValueError, match="not on the board"):
        places({"a": 1.0}, [Pair("a", "z", 0.1, 0.01)])


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_two_share_a_letter_exactly_when_they_are_not_set_apart(data: st.DataObject) -> None:
    order = [f"m{i}" for i in range(data.draw(st.integers(1, 8)))]
    couples = [frozenset(pair) for pair in combinations(order, 2)]
    apart = {pair for pair in couples if data.draw(st.booleans())}
    letters = tie_letters(order, apart)
    assert all(letters.values())
    for pair in couples:
        one, two = (set(letters[name]) for name in pair)
        assert bool(one & two) == (pair not in apart)
    assert letters[order[0]].startswith("a")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.data())
def test_intervals_hold_the_order_of_the_means(values: list[float], data: st.DataObject) -> None:
    named = {f"m{i}": value for i, value in enumerate(values)}
    pairs = [
        Pair(a, b, named[a] - named[b], data.draw(st.sampled_from([0.001, 0.5])))
        for a, b in combinations(named, 2)
    ]
    found = places(named, pairs)
    assert [p.value for p in found] == sorted(values, reverse=True)
    for rank, place in enumerate(found, 1):
        # Tests go the way of the means, so each interval holds the place in the order.
        assert 1 <= place.low <= rank <= place.high <= len(values)


def test_more_groups_than_letters() -> None:
    order = [f"m{i:02d}" for i in range(30)]
    letters = tie_letters(order, {frozenset(pair) for pair in combinations(order, 2)})
    assert letters["m00"] == "a"
    assert letters["m26"] == "a1"
    assert len(set(letters.values())) == 30


def test_bootstrap_ranks_count_what_a_plain_loop_counts() -> None:
    rng = np.random.default_rng(3)
    values, groups = rng.random((20, 3)), np.repeat(np.arange(10), 2)
    values[:, 2] = values[:, 1]  # always tied: both take the better rank
    found = bootstrap_ranks(values, groups)
    expected = np.zeros((3, 3))
    for weights in np.concatenate(list(resampled_groups(10, RESAMPLES, 0))):
        means = np.average(values, axis=0, weights=weights[groups]).round(12)
        for method in range(3):
            expected[method, int((means > means[method]).sum())] += 1
    np.testing.assert_allclose(found, expected / RESAMPLES)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert found[1].tolist() == found[2].tolist()
