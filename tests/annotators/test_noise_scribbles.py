"""Noise on scribbles: smooth, across, and broken off."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from noise_hand import WIDE, draws, landed_of, shifts, small_case
from scipy import stats

from simclick.annotators.noise_scribbles import SPACING, ScribbleBreaks, ScribbleWidth, ScribbleWobble
from simclick.prompts import Prompt, Round, scribble

LINE = scribble([(1800 + 4 * k, 2000) for k in range(101)])
"""Dense, so that what landed can be compared point by point."""


def landed(noise: object, prompt: Prompt, level: float, seed: int = 0) -> np.ndarray:
    """Int64[points, 2]: where a scribble landed."""
    [moved] = noise.perturb(Round((prompt,)), WIDE, draws(seed), level).prompts  # type: ignore[attr-defined]
    return np.array(moved.landed).reshape(-1, 2)


def test_wobble_is_normal_at_every_point_with_the_level_as_its_deviation() -> None:
    found = shifts(ScribbleWobble(), LINE, 100.0, 800).reshape(800, -1, 2) / 100.0
    for point in (0, 7, 50, 100):
        for axis in range(2):
            assert stats.kstest(found[:, point, axis], "norm").pvalue > 1e-3
        assert abs(np.corrcoef(found[:, point].T)[0, 1]) < 0.1


def test_wobble_is_smooth_with_the_documented_correlation() -> None:
    """Of two points d apart the correlation is the mean of cos(2πd / λ_k) over the waves."""
    found = shifts(ScribbleWobble(length=80.0), LINE, 100.0, 1000).reshape(1000, -1, 2)[..., 0]
    for d in (4, 12, 24):
        expected = np.mean([math.cos(2 * math.pi * d * math.sqrt(k) / 80.0) for k in range(1, 5)])
        assert np.corrcoef(found[:, 50], found[:, 50 + d // 4])[0, 1] == pytest.approx(expected, abs=0.09)


def test_wobble_is_the_documented_transform() -> None:
    z = draws(3).stream("noise", 0).normal(16).reshape(2, 2, 4)
    found = landed(ScribbleWobble(length=50.0), LINE, 30.0, 3) - np.array(LINE.meant).reshape(-1, 2)
    s = 4 * np.arange(101)[:, None] * np.sqrt(np.arange(1, 5)) / 50.0 * 2 * math.pi
    for axis in range(2):
        expected = 30.0 * (np.cos(s) @ z[axis, 0] + np.sin(s) @ z[axis, 1]) / 2.0
        assert np.abs(found[:, axis] - expected).max() <= 0.5 + 1e-6


def test_a_sparse_polyline_gets_points_and_a_dense_one_keeps_its_own() -> None:
    sparse = scribble([(100, 100), (140, 110), (141, 111), (141, 111)])
    found = landed(ScribbleWobble(), sparse, 1e-9)
    assert found[0].tolist() == [100, 100]
    assert found[-2:].tolist() == [[141, 111], [141, 111]]
    assert len(found) == 1 + 10 + 1 + 1
    assert max(np.abs(b - a).max() for a, b in pairwise(found)) <= SPACING
    on_the_line = 100 + (found[:11, 0] - 100) / 4
    assert np.abs(found[:11, 1] - on_the_line).max() <= 0.5
    assert len(landed(ScribbleWobble(), LINE, 5.0)) == 101


def test_wobble_lands_inside() -> None:
    case = small_case(np.ones((12, 15), bool))
    at = scribble([(0, 0), (14, 11), (3, 8)])
    for seed in range(30):
        for border in ("clip", "reject"):
            [moved] = ScribbleWobble(border=border).perturb(Round((at,)), case, draws(seed), 3.0).prompts  # type: ignore[arg-type]
            points = np.array(moved.landed).reshape(-1, 2)
            assert points.min() >= 0
            assert (points < [15, 12]).all()


def test_width_moves_points_across_only() -> None:
    found = shifts(ScribbleWidth(), LINE, 200.0, 20).reshape(20, -1, 2)
    assert not found[..., 0].any()
    across = found[..., 1].ravel() / 200.0
    assert np.abs(across).max() <= 0.5
    assert stats.kstest(across, "uniform", (-0.5, 1.0)).pvalue > 1e-3
    apart = np.corrcoef(found[:, :-1, 1].ravel(), found[:, 1:, 1].ravel())[0, 1]
    assert abs(apart) < 0.05, "each point on its own"


def test_width_across_a_diagonal_by_hand() -> None:
    diagonal = scribble([(1000 + k, 1000 + k) for k in range(5)])
    u = draws(1).stream("noise", 0).uniform(5)
    found = landed(ScribbleWidth(), diagonal, 100.0, 1) - np.array(diagonal.meant).reshape(-1, 2)
    offset = 100.0 * (u - 0.5) / math.sqrt(2)
    assert np.array_equal(found, np.floor(np.stack([-offset, offset], 1) + 0.5).astype(int))


def test_width_of_a_point_is_nothing() -> None:
    for at in (scribble([(50, 60)]), scribble([(50, 60), (50, 60)])):
        assert set(map(tuple, landed(ScribbleWidth(), at, 40.0))) == {(50, 60)}


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_breaks_lose_their_share_of_the_length(level: float) -> None:
    u = np.array([draws(s).stream("noise", 0).uniform(1)[0] for s in range(200)])
    for seed in range(200):
        found = landed(ScribbleBreaks(), LINE, level, seed)
        assert (found[:, 1] == 2000).all()
        start = 1800 + level * u[seed] * 400
        assert abs(found[0, 0] - start) <= 0.5 + 1e-6
        assert abs(found[-1, 0] - (start + (1 - level) * 400)) <= 0.5 + 1e-6
        assert (np.diff(found[:, 0]) >= 0).all()


def test_breaks_are_nested_over_levels() -> None:
    bent = scribble([(1000, 1000), (1100, 1000), (1100, 1080), (1030, 1080)])
    for seed in range(30):
        lengths: list[float] = []
        corners = [{(1100, 1000), (1100, 1080)}]
        for level in (0.2, 0.4, 0.8, 1.0):
            found = landed(ScribbleBreaks(), bent, level, seed)
            lengths.append(sum(math.dist(a, b) for a, b in pairwise(found.tolist())))
            corners.append(corners[0] & set(map(tuple, found[1:-1].tolist())))
            assert corners[-1] <= corners[-2]
        assert np.abs(np.array(lengths) - 250 * np.array([0.8, 0.6, 0.2, 0.0])).max() <= 2.0


def test_all_lost_leaves_a_point_twice() -> None:
    found = landed(ScribbleBreaks(), LINE, 1.0)
    assert len(found) == 2
    assert found[0].tolist() == found[1].tolist()


def test_a_point_cannot_break() -> None:
    for at in (scribble([(50, 60)]), scribble([(50, 60), (50, 60)])):
        round_ = Round((at,))
        assert ScribbleBreaks().perturb(round_, WIDE, draws(), 0.7) == round_


def test_breaks_of_a_straight_line_of_two_points() -> None:
    [x0, y0, x1, y1] = landed_of(ScribbleBreaks(), scribble([(10, 20), (110, 20)]), 0.5, 1)[0]
    u = draws(0).stream("noise", 0).uniform(1)[0]
    assert (x0, x1) == (10 + math.floor(50 * u + 0.5), 10 + math.floor(50 * u + 50 + 0.5))
    assert y0 == y1 == 20
