"""Clicks of people: the map by hand, deciles, what is seen, slips of the hand."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.annotators.clicks import CenterClick
from simclick.annotators.people import Clickability, decile_of
from simclick.annotators.perception import errors, is_right, largest_error, perceived
from simclick.case import Case
from simclick.geometry import connected_components, squared_distance
from simclick.prompts import Prompt, Round, click
from simclick.protocol import load_protocol
from simclick.seeding import Draws
from simclick.testing_annotator import check_annotator

LATER = [Round((click(0, 0, False),))]
"""A history: only in a first round is everything seen."""


def case_of(truth: np.ndarray, ignore: np.ndarray | None = None) -> Case:
    return Case("c", "hand", np.zeros((*truth.shape, 3), np.uint8), truth, "g", "none", "s", ignore=ignore)


def rectangle(shape: tuple[int, int], y0: int, y1: int, x0: int, x1: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def prompts(
    annotator: Any, truth: np.ndarray, mask: np.ndarray | None = None, n: int = 1, history: Any = ()
) -> list[Prompt]:
    mask = np.zeros_like(truth) if mask is None else mask
    draws = [Draws(seed, "hand", "c", 0, 1) for seed in range(n)]
    rounds = annotator.propose(case_of(truth), np.repeat(mask[None], n, axis=0), [history] * n, draws)
    return [p for r in rounds if r is not None for p in r.prompts]


def places(annotator: Any, truth: np.ndarray, n: int = 200, **given_: Any) -> Counter[tuple[int, ...]]:
    return Counter(p.meant for p in prompts(annotator, truth, n=n, **given_))


SQUARE = rectangle((7, 7), 2, 5, 2, 5)
RIM = {(x, y) for x in (2, 3, 4) for y in (2, 3, 4)} - {(3, 3)}


class TestMap:
    def test_weight_is_depth_by_default(self) -> None:
        """Eight pixels of depth 1 and one of depth 2: a fifth of the mass lies in the middle."""
        found = places(Clickability(), SQUARE, 2000)
        assert set(found) == RIM | {(3, 3)}
        assert 340 < found[3, 3] < 460
        assert all(150 < found[p] < 255 for p in RIM)

    def test_temperature(self) -> None:
        assert set(places(Clickability(temperature=0.01), SQUARE)) == {(3, 3)}
        # (1/2)^(1/2) = 0.7071 against 1: the middle has 1 / (1 + 8 * 0.7071) = 0.150.
        assert 240 < places(Clickability(temperature=2.0), SQUARE, 2000)[3, 3] < 360
        assert 170 < places(Clickability(temperature=1e9), SQUARE, 2000)[3, 3] < 275

    def test_weights_by_another_way(self) -> None:
        rng = np.random.default_rng(5)
        region = rng.random((13, 17)) < 0.7
        depth = squared_distance(region)
        spots = np.flatnonzero(region)
        annotator = Clickability(temperature=0.7, center_bias=1.3)
        weights = annotator._weights(depth, spots)
        labels, n = connected_components(region)
        score = {}
        for k in range(1, n + 1):
            rows, columns = np.nonzero(labels == k)
            for y, x in zip(rows, columns, strict=True):
                away = (y - rows.mean()) ** 2 + (x - columns.mean()) ** 2
                score[y * 17 + x] = math.log(math.sqrt(depth[y, x])) - 1.3 * away / (rows.size / math.pi)
        best = max(score.values())
        expected = [2**20 * math.exp((score[spot] - best) / 0.7) for spot in spots.tolist()]
        np.testing.assert_allclose(weights, expected, atol=0.51)
        assert weights.max() == 2**20
        assert weights.dtype == np.int64

    def test_clicked_pixels_are_not_clicked_again(self) -> None:
        history = [Round((click(3, 3),)), Round((click(2, 2),))]
        assert set(places(Clickability(), SQUARE, history=history)) == RIM - {(2, 2)}
        everywhere = [Round((click(x, y),)) for x, y in RIM | {(3, 3)}]
        assert not prompts(Clickability(), SQUARE, history=everywhere)

    @settings(deadline=None, max_examples=40)
    @given(st.integers(0, 10**6), st.integers(0, 3))
    def test_polarity_and_coldest_clicks_are_ritms(self, seed: int, before: int) -> None:
        rng = np.random.default_rng(seed)
        truth, mask = rng.random((9, 12)) < 0.6, rng.random((9, 12)) < 0.4
        history = [Round((click(int(rng.integers(12)), int(rng.integers(9))),)) for _ in range(before)]
        [central] = prompts(CenterClick(), truth, mask, history=history)
        [warm] = prompts(Clickability(), truth, mask, history=history)
        [cold] = prompts(Clickability(temperature=1e-4), truth, mask, history=history)
        assert warm.positive == cold.positive == central.positive
        missed, extra = errors(case_of(truth), mask)
        depth = squared_distance(missed if central.positive else extra)
        assert depth[cold.meant[::-1]] == depth[central.meant[::-1]]
        assert cold.landed not in {p.landed for r in history for p in r.prompts}


class TestDeciles:
    def test_by_hand(self) -> None:
        """Ascending mass in tenths of the square: the rim's eight have one each, the middle two."""
        weights = np.array([1, 1, 1, 1, 2, 1, 1, 1, 1])
        rim = weights == 1
        for k in range(1, 8):
            np.testing.assert_array_equal(decile_of(weights, k), rim)
        for k in (8, 9):  # the rim's last pixel ends at 0.8 sharp: both its ends are included
            assert decile_of(weights, k).all()
        np.testing.assert_array_equal(decile_of(weights, 10), ~rim)

    def test_of_one_pixel_and_of_equal_ones(self) -> None:
        for k in range(1, 11):
            assert decile_of(np.array([7]), k).all()
            assert decile_of(np.array([3, 3, 3]), k).all()

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 10))
    def test_by_another_way(self, values: list[int], k: int) -> None:
        ordered, total = sorted(values), sum(values)
        mass, cumulative = Fraction(0), []
        for value in ordered:
            mass += value
            cumulative.append(mass)
        low = next(v for v, c in zip(ordered, cumulative, strict=True) if c >= Fraction((k - 1) * total, 10))
        above = [v for v, c in zip(ordered, cumulative, strict=True) if c > Fraction(k * total, 10)]
        high = above[0] if above else ordered[-1]
        expected = [low <= v <= high for v in values]
        assert decile_of(np.array(values), k).tolist() == expected
        assert any(expected)

    def test_clicks_stay_in_their_decile(self) -> None:
        assert set(places(Clickability(decile=1), SQUARE)) == RIM
        assert set(places(Clickability(decile=10), SQUARE)) == {(3, 3)}
        truth = rectangle((41, 41), 3, 38, 3, 38)
        depth = squared_distance(truth)
        means = [
            np.mean([math.sqrt(depth[y, x]) for x, y in places(Clickability(decile=k), truth).elements()])
            for k in range(1, 11)
        ]
        assert means == sorted(means)
        assert means[0] < 4
        assert means[-1] > 15

    def test_protocols(self) -> None:
        for k in range(1, 11):
            protocol = load_protocol(f"rclicks-g{k}-v1")
            assert protocol.make_annotator() == Clickability(decile=k)
            assert (protocol.budget, protocol.repeats, protocol.noise) == (20, 1, "none")
        people = load_protocol("people-v1")
        assert people.make_annotator() == Clickability(min_pixels=20, min_width=3)
        assert people.repeats == 5


class TestPerception:
    @pytest.mark.parametrize("width", range(1, 8))
    def test_width_of_strips(self, width: int) -> None:
        strip = rectangle((20, 40), 5, 5 + width, 5, 35)
        own = width if width % 2 else width - 1
        assert perceived(strip, min_width=own).any()
        assert not perceived(strip, min_width=own + 1).any()

    def test_at_the_image_edge_outside_is_outside(self) -> None:
        strip = rectangle((20, 40), 0, 2, 0, 40)
        assert not perceived(strip, min_width=3).any()

    def test_whole_components_by_size(self) -> None:
        wrong = rectangle((20, 40), 2, 4, 2, 7) | rectangle((20, 40), 10, 13, 10, 13)
        assert perceived(wrong, min_pixels=10).sum() == 10
        assert perceived(wrong, min_pixels=9).sum() == 19
        assert perceived(wrong, min_width=3).sum() == 9
        assert not perceived(wrong, min_pixels=10, min_width=3).any()
        np.testing.assert_array_equal(perceived(wrong, 1, 1), wrong)
        assert not perceived(np.zeros((3, 3), bool), 5, 5).any()

    @settings(deadline=None, max_examples=40)
    @given(st.integers(0, 10**6), st.integers(0, 12), st.integers(0, 5))
    def test_component_by_component(self, seed: int, min_pixels: int, min_width: int) -> None:
        wrong = np.random.default_rng(seed).random((14, 15)) < 0.65
        labels, n = connected_components(wrong)
        expected = np.zeros_like(wrong)
        for k in range(1, n + 1):
            alone = labels == k
            width = 2 * math.sqrt(squared_distance(alone).max()) - 1
            if alone.sum() >= min_pixels and width >= min_width - 1e-9:
                expected |= alone
        np.testing.assert_array_equal(perceived(wrong, min_pixels, min_width), expected)

    def test_nothing_seen_is_nothing_left_but_not_at_first(self) -> None:
        annotator = Clickability(min_pixels=10)
        assert len(prompts(annotator, SQUARE)) == 1
        assert prompts(annotator, SQUARE, history=LATER) == []
        assert len(prompts(Clickability(min_pixels=9), SQUARE, history=LATER)) == 1

    def test_what_is_seen_decides_which_error_it_is(self) -> None:
        truth = rectangle((20, 40), 2, 5, 2, 5)  # nine pixels, depth 2
        extra = rectangle((20, 40), 10, 12, 10, 30)  # forty pixels, depth 1
        assert prompts(Clickability(), truth, extra, history=LATER)[0].positive
        assert not prompts(Clickability(min_pixels=10), truth, extra, history=LATER)[0].positive

    def test_helpers(self) -> None:
        truth, mask = rectangle((6, 6), 0, 3, 0, 3), rectangle((6, 6), 1, 5, 1, 5)
        ignore = rectangle((6, 6), 4, 6, 0, 6)
        missed, extra = errors(case_of(truth, ignore), mask)
        np.testing.assert_array_equal(missed, truth & ~mask)
        np.testing.assert_array_equal(extra, mask & ~truth & ~ignore)
        assert not is_right(case_of(truth), mask)
        assert is_right(case_of(truth, truth ^ mask), mask)
        assert largest_error(np.zeros((3, 3), bool), np.zeros((3, 3), bool)) is None
        found = largest_error(missed, extra)
        assert found is not None
        assert found[1] == (missed.sum() > extra.sum())


class TestRank:
    def test_second_error(self) -> None:
        truth = rectangle((20, 40), 2, 9, 2, 9)
        extra = rectangle((20, 40), 12, 17, 20, 25)
        assert prompts(Clickability(), truth, extra)[0].positive
        found = prompts(Clickability(rank=2), truth, extra, 50)
        assert {p.positive for p in found} == {False}
        assert all(extra[p.meant[1], p.meant[0]] for p in found)

    def test_second_component_of_one_kind(self) -> None:
        truth = rectangle((20, 40), 2, 9, 2, 9) | rectangle((20, 40), 12, 15, 20, 23)
        assert {x > 15 for x, _ in places(Clickability(rank=2), truth)} == {True}
        assert {x > 15 for x, _ in places(Clickability(), truth)} == {True, False}

    def test_the_only_error_is_not_overlooked(self) -> None:
        assert set(places(Clickability(rank=2), SQUARE)) == RIM | {(3, 3)}


class TestHand:
    def test_wrong_labels(self) -> None:
        [slip] = prompts(Clickability(wrong_label=1.0), SQUARE)
        assert (slip.positive, slip.meant_positive, slip.landed) == (False, True, slip.meant)
        share = np.mean([not p.positive for p in prompts(Clickability(wrong_label=0.3), SQUARE, n=1000)])
        assert 0.25 < share < 0.35
        assert all(p.positive for p in prompts(Clickability(), SQUARE, n=100))

    def test_off_target(self) -> None:
        annotator = Clickability(off_target=1.0, off_target_radius=2, temperature=0.01)
        found = prompts(annotator, SQUARE, n=2600)
        assert {p.meant for p in found} == {(3, 3)}
        assert all(p.positive and p.meant_positive for p in found)
        landed = Counter(p.landed for p in found)
        disc = {(x, y) for x in range(7) for y in range(7) if (x - 3) ** 2 + (y - 3) ** 2 <= 4}
        assert set(landed) == disc
        # 13 pixels, 200 each expected, a standard deviation of 14.
        assert all(140 < count < 260 for count in landed.values())

    def test_off_target_stays_in_the_image(self) -> None:
        corner = rectangle((5, 6), 0, 1, 0, 1)
        landed = {p.landed for p in prompts(Clickability(off_target=1.0), corner, n=300)}
        assert landed == {(x, y) for x in range(6) for y in range(5)}

    def test_probabilities_are_doses(self) -> None:
        """Who slips at a low probability slips at a high one; the meant pixel is the same."""
        runs = {p: prompts(Clickability(wrong_label=p, off_target=p), SQUARE, n=200) for p in (0.0, 0.2, 0.6)}
        for a, b, c in zip(*runs.values(), strict=True):
            assert a.meant == b.meant == c.meant
            assert a.positive
            assert b.positive or not c.positive
            assert b.landed == b.meant or b.landed == c.landed


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"temperature": math.inf},
        {"center_bias": -1},
        {"decile": 0},
        {"decile": 11},
        {"decile": True},
        {"min_pixels": -1},
        {"min_width": 1.5},
        {"wrong_label": 1.1},
        {"off_target": -0.1},
        {"off_target_radius": 0},
        {"rank": 3},
    ],
    ids=str,
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Clickability(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"decile": 1, "center_bias": 2.0},
        {"rank": 2, "min_pixels": 5, "min_width": 3},
        {"wrong_label": 0.5, "off_target": 0.5},
    ],
    ids=str,
)
def test_conformance_with_options(options: dict[str, Any]) -> None:
    check_annotator(Clickability(**options), rounds=2)
