from __future__ import annotations

import numpy as np
import pyefd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from simclick.harness.plan import Plan, PlannedCase
from simclick.metrics import attributes as module
from simclick.metrics.attributes import ATTRIBUTES, attributes, fourier_orders

ROWS, COLUMNS = np.mgrid[:256, :256]
ANGLE, RADIUS = np.arctan2(ROWS - 128, COLUMNS - 128), np.hypot(ROWS - 128, COLUMNS - 128)


def grey(values):
    return np.repeat(np.asarray(values, np.uint8)[..., None], 3, axis=2)


def star(points, depth=0.4, radius=70):
    return radius * (1 + depth * np.cos(points * ANGLE)) > RADIUS


def test_a_box_by_hand():
    truth = np.zeros((60, 100), np.bool_)
    truth[20:40, 30:70] = True  # 20 by 40: the surround is two rows and four columns wider on each side
    values = np.full((60, 100), 10)
    values[18:42, 26:74] = 60
    values[20:40, 30:70] = 111
    found = attributes(grey(values), truth)
    assert found["area_share"] == pytest.approx(800 / 6000)
    assert found["aspect"] == 0.5
    assert found["intensity_difference"] == pytest.approx(51 / 255)
    assert "contrast_to_noise" not in found  # nothing varies
    assert found["components"] == 1
    assert found["holes"] == 0

    values[20:40, 30:50] = 101
    values[20:40, 50:70] = 121  # standard deviation 10 in the object, none around
    noisy = attributes(grey(values), truth)
    assert noisy["intensity_difference"] == pytest.approx(51 / 255)
    assert noisy["contrast_to_noise"] == pytest.approx(51 / np.sqrt(100 / 2))


def test_the_surround_is_cut_at_the_border():
    truth = np.zeros((10, 10), np.bool_)
    truth[:3, :3] = True
    values = np.full((10, 10), 200)
    values[:4, :4] = 50  # the surround: one pixel to the right and below
    values[:3, :3] = 101
    assert attributes(grey(values), truth)["intensity_difference"] == pytest.approx(51 / 255)


def test_parts_and_holes():
    truth = np.zeros((30, 30), np.bool_)
    truth[2:12, 2:12] = True
    truth[4:6, 4:6] = truth[8, 8] = False  # two holes
    truth[12, 12] = True  # touches at a corner: the same part
    truth[20:25, 20:25] = True
    truth[22, 24] = False  # a bay, no hole
    found = attributes(grey(np.zeros((30, 30))), truth)
    assert (found["components"], found["holes"]) == (2, 2)


@pytest.mark.parametrize(
    ("truth", "missing"),
    [
        (np.zeros((9, 9), np.bool_), set(ATTRIBUTES) - {"area_share", "components", "holes"}),
        (np.ones((9, 9), np.bool_), {"intensity_difference", "contrast_to_noise"}),
        (np.eye(9, dtype=np.bool_), {"fourier_order", "fourier_order_paper"}),
        (np.arange(81).reshape(9, 9) == 40, {"fourier_order", "fourier_order_paper"}),
    ],
)
def test_what_is_not_defined_is_left_out(truth, missing):
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert set(ATTRIBUTES) - set(attributes(image, truth)) == missing


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24))),
    st.integers(0, 2**32 - 1),
)
def test_numbers_are_finite_and_those_of_other_libraries(truth, seed):
    image = np.random.default_rng(seed).integers(0, 256, (*truth.shape, 3), dtype=np.uint8)
    found = attributes(image, truth)
    assert all(np.isfinite(v) and v >= 0 for v in found.values())
    assert found["components"] == ndimage.label(truth, np.ones((3, 3)))[1]
    filled = ndimage.binary_fill_holes(truth)
    assert found["holes"] == ndimage.label(filled & ~truth)[1]
    assert attributes(image[:, ::-1].copy(), truth[:, ::-1].copy())["area_share"] == found["area_share"]


def test_a_disc_needs_one_harmonic_and_a_square_more():
    disc = fourier_orders(RADIUS < 60)
    square = fourier_orders((abs(ROWS - 128) < 50) & (abs(COLUMNS - 128) < 50))
    assert disc[0] == disc[1] < 2.5  # F = 1, and a Dice of more than 0.99
    assert 3 < square[0] < 9  # F = 3 and a Dice just over 0.97
    assert square[1] > 15  # the paper's rule stops at 2: a square has no second harmonic


@pytest.mark.parametrize("points", [4, 5, 6, 7, 8])
def test_the_papers_rule_misses_the_points_of_stars(points):
    corrected, paper = fourier_orders(star(points))
    assert paper >= 2 + 200 * 0.1  # stopped at 2, at a Dice under 0.9
    assert points - 1 <= corrected < 2 * points + 1 + 200 * 0.04
    ellipse_dice = 1 - (paper - 2) / 200
    assert ellipse_dice == pytest.approx(dice_by_pyefd(star(points), 2), abs=0.01)


def dice_by_pyefd(mask, order):
    """The Dice of a shape with its first harmonics, by pyefd's own reconstruction and matplotlib's fill."""
    import cv2
    from matplotlib.path import Path

    contour = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0][0][:, 0]
    closed = np.vstack([contour, contour[:1]]).astype(float)
    coefficients = pyefd.elliptic_fourier_descriptors(closed, order=order)
    outline = pyefd.reconstruct_contour(coefficients, pyefd.calculate_dc_coefficients(closed), 400)
    points = np.column_stack([COLUMNS.ravel(), ROWS.ravel()])
    drawn = Path(outline).contains_points(points, radius=0.5).reshape(mask.shape)
    return 2 * (drawn & mask).sum() / (drawn.sum() + mask.sum())


def test_rougher_outlines_have_a_higher_order():
    disc, *rough = [fourier_orders(star(5, depth))[0] for depth in (0.0, 0.1, 0.2, 0.4)]
    assert min(rough) > disc + 5


def test_both_rules_on_made_curves(monkeypatch):
    def orders(*dice):
        monkeypatch.setattr(module, "_dice_by_order", lambda contour: iter(dice))
        return fourier_orders(RADIUS < 20)

    assert orders(0.90, 0.95, 0.98) == pytest.approx((3 + 4, 3 + 4))  # both stop over 0.97
    late = (0.80, 0.8005, 0.80, 0.93, *[0.9301] * 8)
    assert orders(*late) == pytest.approx((4 + 200 * 0.07, 2 + 200 * 0.1995))
    assert orders(0.97, *[0.97] * 8) == pytest.approx((1 + 6, 2 + 6))  # 0.97 itself is not enough
    slow = [0.5 + 0.002 * k for k in range(64)]
    assert orders(*slow) == pytest.approx((64 + 200 * (0.5 - 0.126), 64 + 200 * (0.5 - 0.126)))


def test_size_hardly_matters_for_the_order():
    small, large = star(5), np.kron(star(5), np.ones((2, 2))).astype(np.bool_)
    assert fourier_orders(small)[0] == pytest.approx(fourier_orders(large)[0], abs=2)


def test_a_plan_holds_the_attributes_and_the_cases_own_factors_win(monkeypatch):
    from simclick.case import Case

    image, truth = grey(ROWS), RADIUS < 60
    case = Case("a", "toy", image, truth, "g", "ct", "disc", factors={"aspect": 7.0, "own": 2.0})
    planned = PlannedCase.of(0, case)
    assert planned.factors == {**attributes(image, truth), "aspect": 7.0, "own": 2.0}
    assert list(planned.factors)[: len(ATTRIBUTES)] == list(ATTRIBUTES)
    assert "factors" not in Plan.digest.__code__.co_names
