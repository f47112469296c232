"""Slips: wrong labels and clicks that miss."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from noise_hand import WIDE, draws, small_case
from scipy import stats

from simclick.annotators.noise_labels import OffTargetClick, WrongLabel
from simclick.prompts import Round, click, scribble

N = 1000
LEVELS = (0.05, 0.1, 0.3, 0.7, 1.0)


def test_labels_turn_with_the_probability_of_the_level_and_nested() -> None:
    round_ = Round((click(3, 4), click(5, 6, False), scribble([(1, 1), (2, 2)])))
    turned = {}
    for level in LEVELS:
        moved = [WrongLabel().perturb(round_, WIDE, draws(s), level).prompts for s in range(N)]
        turned[level] = np.array([[p.positive != p.meant_positive for p in prompts] for prompts in moved])
        assert all(p.landed == p.meant for prompts in moved for p in prompts)
        for k in range(3):
            count = int(turned[level][:, k].sum())
            assert stats.binomtest(count, N, level).pvalue > 1e-3 if level < 1 else count == N
    for low, high in pairwise(LEVELS):
        assert not (turned[low] & ~turned[high]).any(), "what slips at a level slips at higher ones"
    assert np.abs(np.corrcoef(turned[0.3].T.astype(float)) - np.eye(3)).max() < 0.12


def test_a_label_turns_where_its_uniform_is_under_the_level() -> None:
    for seed in range(50):
        u = float(draws(seed).stream("noise", 0).uniform(1)[0])
        [moved] = WrongLabel().perturb(Round((click(3, 4),)), WIDE, draws(seed), 0.5).prompts
        assert moved.positive == (u >= 0.5)
        assert moved.meant_positive


def test_a_miss_lands_anywhere_in_the_image() -> None:
    case = small_case(np.ones((40, 60), bool))
    places = []
    for seed in range(N):
        [moved] = OffTargetClick().perturb(Round((click(3, 4),)), case, draws(seed), 1.0).prompts
        places.append(moved.landed)
        assert moved.positive
    found = np.array(places)
    assert (found.min(axis=0) >= 0).all()
    assert (found.max(axis=0) == [59, 39]).all()
    counts, *_ = np.histogram2d(*found.T, bins=(6, 4), range=((0, 60), (0, 40)))
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_a_miss_within_a_radius_is_uniform_over_the_pixels_of_the_image_there() -> None:
    case = small_case(np.ones((30, 30), bool))
    y, x = np.indices((30, 30))
    disc = (x - 1) ** 2 + (y - 28) ** 2 <= 9
    assert np.count_nonzero(disc) == 5 + 4 + 4 + 4 + 1
    counts = np.zeros((30, 30), int)
    for seed in range(2 * N):
        [moved] = OffTargetClick(radius=3).perturb(Round((click(1, 28),)), case, draws(seed), 1.0).prompts
        counts[moved.landed[1], moved.landed[0]] += 1
    assert not counts[~disc].any()
    assert stats.chisquare(counts[disc]).pvalue > 1e-3


def test_misses_are_nested_and_land_at_the_same_place() -> None:
    round_ = Round((click(2000, 2000),))
    missed = []
    for level in LEVELS:
        places = [OffTargetClick().perturb(round_, WIDE, draws(s), level).prompts[0].landed for s in range(N)]
        missed.append({s: place for s, place in enumerate(places) if place != (2000, 2000)})
        assert stats.binomtest(len(missed[-1]), N, level).pvalue > 1e-3 if level < 1 else len(missed[-1]) == N
    for low, high in pairwise(missed):
        assert low.items() <= high.items()
