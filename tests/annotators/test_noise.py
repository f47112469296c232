from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from simclick.annotators.noise import BoxEdges, BoxShift, GaussianClick, UniformDiscClick
from simclick.case import Case
from simclick.prompts import Prompt, Round, box, click, everything, scribble, text
from simclick.seeding import Draws

CLICKS = [GaussianClick, UniformDiscClick]
BOXES = [BoxEdges, BoxShift]
ALL = CLICKS + BOXES
SIZE = (4001, 4001)
WIDE = Case(
    "c",
    "hand",
    np.broadcast_to(np.zeros(3, np.uint8), (*SIZE, 3)),
    np.broadcast_to(np.True_, SIZE),
    "g",
    "none",
    "shape",
)


def small_case(truth: np.ndarray) -> Case:
    return Case("c", "hand", np.zeros((*truth.shape, 3), np.uint8), truth, "g", "none", "shape")


def draws(seed: int = 0, repeat: int = 0) -> Draws:
    return Draws(seed, "hand", "c", repeat, 1)


def shifts(noise: Any, prompt: Prompt, level: float, n: int = 400, case: Case = WIDE) -> np.ndarray:
    """Int64[n, 2 or 4]: where it landed minus where it was meant."""
    moved = [noise.perturb(Round((prompt,)), case, draws(s), level).prompts[0].landed for s in range(n)]
    return np.array(moved) - np.array(prompt.meant)


@pytest.mark.parametrize("cls", ALL)
def test_level_0_returns_the_round_itself(cls: Any) -> None:
    round_ = Round((click(3, 4), box(1, 2, 3, 4)))
    assert cls().perturb(round_, WIDE, draws(), 0.0) is round_


@pytest.mark.parametrize("cls", ALL)
def test_other_kinds_pass(cls: Any) -> None:
    others = [scribble([(1, 1), (2, 2)]), text("liver"), everything()]
    others += [box(1, 2, 3, 4)] if cls in CLICKS else [click(1, 2)]
    round_ = Round(tuple(others))
    assert cls().perturb(round_, WIDE, draws(), 50.0) is round_
    mixed = Round((*others, click(2000, 2000), box(1000, 1000, 2000, 2000)))
    moved = cls().perturb(mixed, WIDE, draws(), 50.0)
    assert moved.prompts[: len(others)] == tuple(others)
    assert sum(a != b for a, b in zip(mixed.prompts, moved.prompts, strict=True)) == 1


@pytest.mark.parametrize("cls", CLICKS)
@pytest.mark.parametrize("positive", [True, False])
def test_meaning_and_label_stay(cls: Any, positive: bool) -> None:
    meant = click(2000, 2000, positive)
    [moved] = cls().perturb(Round((meant,)), WIDE, draws(), 30.0).prompts
    assert moved.landed != meant.landed
    assert (moved.meant, moved.meant_positive, moved.positive) == (meant.meant, positive, positive)


def test_gaussian_is_the_rounded_normal_draw() -> None:
    dx, dy = draws(5).stream("noise", 0).normal(2)
    [found] = shifts(GaussianClick(), click(2000, 1000), 12.5, 6)[5:]
    assert found.tolist() == [math.floor(12.5 * dx + 0.5), math.floor(12.5 * dy + 0.5)]


def test_gaussian_distribution() -> None:
    found = shifts(GaussianClick(), click(2000, 2000), 100.0, 1500)
    for axis in range(2):
        assert stats.kstest(found[:, axis] / 100.0, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.1


def test_disc_distribution() -> None:
    found = shifts(UniformDiscClick(), click(2000, 2000), 1000.0, 1500) / 1000.0
    radii, angles = np.hypot(*found.T), np.arctan2(found[:, 1], found[:, 0])
    assert radii.max() <= 1.001
    assert stats.kstest(radii**2, "uniform").pvalue > 1e-3, "area, not radius, is uniform"
    assert stats.kstest((angles + math.pi) / (2 * math.pi), "uniform").pvalue > 1e-3


def test_disc_is_the_documented_transform() -> None:
    u, v = draws(3).stream("noise", 0).uniform(2)
    [found] = shifts(UniformDiscClick(), click(2000, 2000), 77.0, 4)[3:]
    expected = 77.0 * math.sqrt(u) * np.array([math.cos(2 * math.pi * v), math.sin(2 * math.pi * v)])
    assert np.abs(found - expected).max() <= 0.5 + 1e-6


def test_edges_move_alone() -> None:
    found = shifts(BoxEdges(), box(1500, 1600, 2500, 2600), 200.0, 1000)
    assert np.abs(found).max() <= 200
    for edge in range(4):
        assert stats.kstest(found[:, edge] / 200.0, "uniform", (-1, 2)).pvalue > 1e-3
    assert np.abs(np.corrcoef(found.T) - np.eye(4)).max() < 0.12


def test_shift_is_rigid() -> None:
    found = shifts(BoxShift(), box(1500, 1600, 2500, 2600), 200.0, 1000)
    assert np.array_equal(found[:, :2], found[:, 2:])
    assert np.abs(found).max() <= 200
    for axis in range(2):
        assert stats.kstest(found[:, axis] / 200.0, "uniform", (-1, 2)).pvalue > 1e-3


@pytest.mark.parametrize("cls", ALL)
def test_a_level_is_a_dose(cls: Any) -> None:
    prompt = click(2000, 2000) if cls in CLICKS else box(1800, 1800, 2200, 2200)
    one, three = (shifts(cls(), prompt, level, 50) for level in (50.0, 150.0))
    assert np.abs(three - 3 * one).max() <= 2, "the same draws, scaled; rounded apart"


@pytest.mark.parametrize("cls", ALL)
def test_prompts_of_a_round_have_draws_of_their_own(cls: Any) -> None:
    prompt = click(2000, 2000) if cls in CLICKS else box(1800, 1800, 2200, 2200)
    [alone] = cls().perturb(Round((prompt,)), WIDE, draws(), 90.0).prompts
    first, second = cls().perturb(Round((prompt, prompt)), WIDE, draws(), 90.0).prompts
    assert first == alone
    assert second != first
    [_, later] = cls().perturb(Round((text("a"), prompt)), WIDE, draws(), 90.0).prompts
    assert later == second, "the index in the round is the key"


@pytest.mark.parametrize("cls", ALL)
def test_fraction_is_of_the_equivalent_diameter(cls: Any) -> None:
    y, x = np.indices((300, 300))
    case = small_case((y - 150) ** 2 + (x - 150) ** 2 <= 50**2)
    diameter = 2 * math.sqrt(np.count_nonzero(case.truth) / math.pi)
    prompt = click(150, 150) if cls in CLICKS else box(100, 100, 200, 200)
    by_fraction = shifts(cls(unit="fraction"), prompt, 0.3, 40, case)
    by_pixels = shifts(cls(unit="px"), prompt, 0.3 * diameter, 40, case)
    assert np.array_equal(by_fraction, by_pixels)
    assert np.abs(by_pixels).max() > 10


@pytest.mark.parametrize("cls", ALL)
def test_fraction_of_an_empty_object_is_nothing(cls: Any) -> None:
    case = small_case(np.zeros((9, 9), bool))
    round_ = Round((click(4, 4, False), box(1, 1, 5, 5)))
    assert cls(unit="fraction").perturb(round_, case, draws(), 3.0) == round_


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(ALL),
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0, 1e6),
    st.integers(0, 1000),
    st.data(),
)
def test_lands_inside_and_in_order(
    cls: Any, height: int, width: int, level: float, seed: int, data: st.DataObject
) -> None:
    case = small_case(np.ones((height, width), bool))
    xs = sorted(data.draw(st.tuples(*[st.integers(0, width - 1)] * 2)))
    ys = sorted(data.draw(st.tuples(*[st.integers(0, height - 1)] * 2)))
    round_ = Round((click(xs[0], ys[0]), box(xs[0], ys[0], xs[1], ys[1])))
    moved = cls().perturb(round_, case, draws(seed), level)
    (x, y), (x0, y0, x1, y1) = (prompt.landed for prompt in moved.prompts)
    assert 0 <= x < width
    assert 0 <= y < height
    assert 0 <= x0 <= x1 < width
    assert 0 <= y0 <= y1 < height


def test_crossing_edges_change_places() -> None:
    found = [
        BoxEdges().perturb(Round((box(2000, 2000, 2000, 2000),)), WIDE, draws(s), 20.0) for s in range(40)
    ]
    boxes = np.array([round_.prompts[0].landed for round_ in found])
    raw = np.array([[2 * u - 1 for u in draws(s).stream("noise", 0).uniform(4)] for s in range(40)])
    moved = 2000 + np.floor(20 * raw + 0.5).astype(int)
    assert (moved[:, 0] > moved[:, 2]).any()
    expected = np.concatenate(
        [np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], 1
    )
    assert np.array_equal(boxes, expected)


def test_a_shift_over_the_border_is_cut_off() -> None:
    case = small_case(np.ones((20, 20), bool))
    for seed in range(40):
        u = draws(seed).stream("noise", 0).uniform(2)
        dx, dy = (math.floor(15 * (2 * float(v) - 1) + 0.5) for v in u)
        [moved] = BoxShift().perturb(Round((box(5, 6, 10, 12),)), case, draws(seed), 15.0).prompts
        assert moved.landed == tuple(min(max(v, 0), 19) for v in (5 + dx, 6 + dy, 10 + dx, 12 + dy))


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("level", [-0.5, math.nan, math.inf])
def test_refuses_a_bad_level(cls: Any, level: float) -> None:
    with pytest.raises(ValueError, match="must be finite and ≥ 0"):
        cls().perturb(Round((click(1, 1),)), WIDE, draws(), level)


@pytest.mark.parametrize("cls", ALL)
def test_refuses_an_unknown_unit(cls: Any) -> None:
    with pytest.raises(ValueError, match="unit='mm' must be one of px, fraction"):
        cls(unit="mm")
