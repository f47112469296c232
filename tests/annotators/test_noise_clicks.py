"""The distributions of noise on clicks, and the transforms of draws that are written down."""

from __future__ import annotations

import math

import numpy as np
import pytest
from noise_hand import draws, shifts
from scipy import stats

from simclick.annotators.noise_clicks import (
    AnisotropicClick,
    GaussianClick,
    HeavyTailedClick,
    RingClick,
    UniformDiscClick,
    ring_quantile,
)
from simclick.prompts import click

MIDDLE = click(2000, 2000)
GOLDEN_GAUSSIAN = [[16, 7], [-32, 10], [24, 19]]
GOLDEN_DISC = [[-11, -14], [-2, -4], [9, -17]]


def uniform_angles(found: np.ndarray) -> float:
    angles = np.arctan2(found[:, 1], found[:, 0])
    return float(stats.kstest((angles + math.pi) / (2 * math.pi), "uniform").pvalue)


def test_version_1_never_changes() -> None:
    """Published numbers rest on these."""
    assert shifts(GaussianClick(), click(200, 150), 20.0, 3).tolist() == GOLDEN_GAUSSIAN
    assert shifts(UniformDiscClick(), click(200, 150), 20.0, 3).tolist() == GOLDEN_DISC


def test_gaussian_is_the_rounded_normal_draw() -> None:
    dx, dy = draws(5).stream("noise", 0).normal(2)
    [found] = shifts(GaussianClick(), click(2000, 1000), 12.5, 6)[5:]
    assert found.tolist() == [math.floor(12.5 * dx + 0.5), math.floor(12.5 * dy + 0.5)]


def test_gaussian_distribution() -> None:
    found = shifts(GaussianClick(), MIDDLE, 100.0, 1500)
    for axis in range(2):
        assert stats.kstest(found[:, axis] / 100.0, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.1


def test_disc_distribution() -> None:
    found = shifts(UniformDiscClick(), MIDDLE, 1000.0, 1500) / 1000.0
    radii = np.hypot(*found.T)
    assert radii.max() <= 1.001
    assert stats.kstest(radii**2, "uniform").pvalue > 1e-3, "area, not radius, is uniform"
    assert uniform_angles(found) > 1e-3


def test_disc_is_the_documented_transform() -> None:
    u, v = draws(3).stream("noise", 0).uniform(2)
    [found] = shifts(UniformDiscClick(), MIDDLE, 77.0, 4)[3:]
    expected = 77.0 * math.sqrt(u) * np.array([math.cos(2 * math.pi * v), math.sin(2 * math.pi * v)])
    assert np.abs(found - expected).max() <= 0.5 + 1e-6


def test_ring_quantile_by_hand() -> None:
    assert 30 * ring_quantile(0.25, 30.0, 10.0) == pytest.approx(22.5)
    assert 10 * ring_quantile(0.25, 10.0, 10.0) == pytest.approx(2.5)
    assert 4 * ring_quantile(0.5, 4.0, 10.0) == pytest.approx(2.0), "the inner bound is never below 0"


def test_ring_is_the_documented_transform() -> None:
    u, v = (float(w) for w in draws(2).stream("noise", 0).uniform(2))
    [found] = shifts(RingClick(width=50.0), MIDDLE, 200.0, 3)[2:]
    distance = 150.0 + 50.0 * u
    expected = distance * np.array([math.cos(2 * math.pi * v), math.sin(2 * math.pi * v)])
    assert np.abs(found - expected).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("level", "inner"), [(10.0, 0.0), (20.0, 10.0), (30.0, 20.0)])
def test_rings_of_cosmos(level: float, inner: float) -> None:
    radii = np.hypot(*shifts(RingClick(), MIDDLE, level, 400).T)
    assert radii.min() >= inner - math.sqrt(0.5)
    assert radii.max() <= level + math.sqrt(0.5)
    assert radii.min() < inner + 1.5, "all of the ring is reached"
    assert radii.max() > level - 1.5


def test_ring_distribution() -> None:
    found = shifts(RingClick(width=500.0), MIDDLE, 1500.0, 1500)
    radii = np.hypot(*found.T)
    assert stats.kstest((radii - 1000) / 500, "uniform").pvalue > 1e-3, "distance, not area, is uniform"
    assert uniform_angles(found) > 1e-3


@pytest.mark.parametrize("df", [1, 3, 8])
def test_heavy_tails_distribution(df: int) -> None:
    """Along any axis Student's t; the radius, squared and halved, is an F(2, df)."""
    noise = HeavyTailedClick(df=df)
    found = np.array([noise.displacement(draws(s).stream("noise", 0), 1.0) for s in range(1500)])
    for axis in range(2):
        assert stats.kstest(found[:, axis], stats.t(df).cdf).pvalue > 1e-3
    assert stats.kstest((found**2).sum(axis=1) / 2, stats.f(2, df).cdf).pvalue > 1e-3
    assert uniform_angles(found) > 1e-3


def test_heavy_tails_are_the_documented_transform() -> None:
    z = draws(4).stream("noise", 0).normal(5)
    [found] = shifts(HeavyTailedClick(), MIDDLE, 30.0, 5)[4:]
    assert np.abs(found - 30.0 * z[:2] / math.sqrt((z[2:] ** 2).sum() / 3)).max() <= 0.5 + 1e-6


def test_heavy_tails_are_heavier() -> None:
    far = [np.abs(shifts(noise, MIDDLE, 10.0)).max() for noise in (HeavyTailedClick(), GaussianClick())]
    assert far[0] > 1.5 * far[1]


@pytest.mark.parametrize("df", [0, -1, 2.0, True, "3"])
def test_heavy_tails_need_whole_degrees_of_freedom(df: object) -> None:
    with pytest.raises(ValueError, match="must be a whole number ≥ 1"):
        HeavyTailedClick(df=df)  # type: ignore[arg-type]


def test_anisotropic_distribution() -> None:
    found = shifts(AnisotropicClick(ratio=0.3, angle=30.0), MIDDLE, 200.0, 1500) / 200.0
    c, s = math.cos(math.pi / 6), math.sin(math.pi / 6)
    along, across = found @ np.array([c, s]), found @ np.array([-s, c])
    assert stats.kstest(along, "norm").pvalue > 1e-3
    assert stats.kstest(across / 0.3, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(along, across)[0, 1]) < 0.1


def test_anisotropic_by_hand() -> None:
    a, b = (float(z) for z in draws(0).stream("noise", 0).normal(2))
    [along_y] = shifts(AnisotropicClick(ratio=0.5, angle=90.0), MIDDLE, 100.0, 1)
    assert along_y.tolist() == [math.floor(-50.0 * b + 0.5), math.floor(100.0 * a + 0.5)]
    line = shifts(AnisotropicClick(ratio=0.0, angle=0.0), MIDDLE, 100.0, 50)
    assert not line[:, 1].any()
    assert line[:, 0].any()


def test_anisotropic_of_equal_axes_is_gaussian() -> None:
    one, other = (shifts(n, MIDDLE, 33.0, 60) for n in (AnisotropicClick(ratio=1.0), GaussianClick()))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "options", [{"ratio": -0.1}, {"ratio": math.nan}, {"angle": math.inf}, {"angle": "x"}]
)
def test_anisotropic_refuses_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be a finite number"):
        AnisotropicClick(**options)
