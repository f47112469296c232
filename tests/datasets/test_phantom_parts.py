"""The tools that the phantoms are made of, against independent references."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import measure

from simclick.datasets.phantom import exact
from simclick.datasets.phantom.factors import measured_factors
from simclick.datasets.phantom.fields import Chance, Frame, blur, resample
from simclick.datasets.phantom.shapes import blob, ellipse, filled, solid, strokes


@given(st.floats(-600, 600))
@settings(deadline=None)
def test_exp(x):
    assert float(exact.exp(x)) == pytest.approx(math.exp(x), rel=1e-13)


@given(st.floats(1e-300, 1e300))
@settings(deadline=None)
def test_log(x):
    assert float(exact.log(x)) == pytest.approx(math.log(x), rel=1e-13, abs=1e-13)


@given(st.floats(-50, 50))
@settings(deadline=None)
def test_sine_and_cosine(turns):
    assert float(exact.sin_turns(turns)) == pytest.approx(math.sin(2 * math.pi * turns), abs=1e-12)
    assert float(exact.cos_turns(turns)) == pytest.approx(math.cos(2 * math.pi * turns), abs=1e-12)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
@settings(deadline=None)
def test_angle(y, x):
    y, x = y + 0.0, x + 0.0  # no negative zeros: the sign of zero does not count here
    assert float(exact.atan2_turns(y, x)) == pytest.approx(math.atan2(y, x) / (2 * math.pi), abs=1e-12)


def test_angles_on_the_axes():
    assert exact.atan2_turns([0, 1, 0, -1, 0], [1, 0, -1, 0, 0]).tolist() == [0, 0.25, 0.5, -0.25, 0]


def test_gaussian_noise_is_normal_and_keyed():
    noise = Chance(1, "a").gaussian(400, 500)
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert np.mean(np.abs(noise) < 1) == pytest.approx(0.683, abs=0.01)
    assert np.mean(noise > 2) == pytest.approx(0.0228, abs=0.003)
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.01
    assert np.array_equal(noise, Chance(1, "a").gaussian(400, 500))
    assert not np.array_equal(noise, Chance(2, "a").gaussian(400, 500))


def test_gaussian_noise_sums_the_bytes_of_words():
    noise, words = Chance("x").gaussian(50), Chance("x")._words.words(50)
    sums = [sum(int(word).to_bytes(8, "little")) for word in words]
    assert np.allclose(noise, (np.array(sums) - 1020) / math.sqrt(8 * (256**2 - 1) / 12), atol=1e-6)


@pytest.mark.parametrize("cells", [3.0, 11.0, 40.0])
def test_smooth_fields_have_unit_variance_and_the_same_form_at_any_size(cells):
    fields = [Chance("f", k).smooth(Frame.of(96, 128), cells, 2) for k in range(40)]
    assert np.mean([np.mean(field**2) for field in fields]) == pytest.approx(1, abs=0.25)
    small = Chance("f", 0).smooth(Frame.of(64, 64), cells)
    large = Chance("f", 0).smooth(Frame.of(192, 192), cells)
    assert np.allclose(small, large[1::3, 1::3])


def test_blur_is_scipys():
    field = Chance("b").uniform(40, 50)
    ours = blur(field, 1.3, 2.1)
    radius = (math.ceil(3 * 1.3), math.ceil(3 * 2.1))
    theirs = ndimage.gaussian_filter(field, (1.3, 2.1), mode="nearest", radius=radius)
    assert np.allclose(ours, theirs)
    assert np.array_equal(blur(field, 0.0), field)


def test_resample_is_scipys():
    field = Chance("r").uniform(20, 30)
    rows, columns = Chance("at").uniform(9, 9) * 18, Chance("at", 2).uniform(9, 9) * 28
    assert np.allclose(
        resample(field, rows, columns), ndimage.map_coordinates(field, [rows, columns], order=1)
    )


def test_ellipse_near_and_far():
    frame = Frame.of(200, 200)
    level = ellipse(frame, 0.2, -0.1, 0.4, 0.2, 0.25)  # turned by a quarter: its long axis is down
    inside = ((frame.x - 0.2) / 0.2) ** 2 + ((frame.y + 0.1) / 0.4) ** 2 < 1
    assert np.array_equal(level < 0, inside)


def test_blob_without_lumps_is_a_disc():
    frame = Frame.of(128, 160)
    level = blob(frame, 0.3, 0.1, 0.4, Chance("disc"), lumps=0.0)
    assert np.array_equal(level < 0, (frame.x - 0.3) ** 2 + (frame.y - 0.1) ** 2 < 0.16)


def test_strokes_measure_distance():
    frame = Frame.of(100, 100)
    level = strokes(frame, [[(-0.5, 0.0, 0.1), (0.5, 0.0, 0.1)]])
    along = np.clip(frame.x, -0.5, 0.5)
    exactly = np.sqrt((frame.x - along) ** 2 + frame.y**2) - 0.1
    near = exactly < 0.05
    assert np.allclose(level[near], exactly[near])
    assert (level[~near] > 0).all()


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
@settings(deadline=None)
def test_filled_and_solid(mask):
    assert np.array_equal(filled(mask), ndimage.binary_fill_holes(mask))
    alone = solid(mask)
    parts = measure.label(mask, connectivity=2)
    biggest = max((int((parts == k).sum()) for k in range(1, parts.max() + 1)), default=0)
    assert np.count_nonzero(alone & mask) >= biggest
    assert measure.label(alone, connectivity=2).max() <= 1


IMAGES = hnp.arrays(np.uint8, (14, 17, 3))
MASKS = hnp.arrays(np.bool_, (14, 17)).filter(lambda mask: mask.any())


@given(IMAGES, MASKS)
@settings(deadline=None)
def test_shape_factors_are_skimages(image, mask):
    f = measured_factors(image, mask)
    padded = np.pad(mask, 1)
    assert f["area_px"] == mask.sum()
    assert f["components"] == measure.label(mask, connectivity=2).max()
    assert f["components"] - f["holes"] == measure.euler_number(padded, connectivity=2)
    perimeter = measure.perimeter_crofton(padded, directions=4)
    assert f["complexity"] == pytest.approx(perimeter**2 / (4 * math.pi * mask.sum()))
    border = mask.copy()
    border[1:-1, 1:-1] = False
    assert f["touches_border"] == border.any()


def test_a_disc_is_round():
    y, x = np.mgrid[:101, :101]
    f = measured_factors(np.zeros((101, 101, 3), np.uint8), (x - 50) ** 2 + (y - 50) ** 2 < 40**2)
    assert f["complexity"] == pytest.approx(1, abs=0.02)


def test_contrast_by_hand():
    image = np.full((40, 40, 3), 100, np.uint8)
    mask = np.zeros((40, 40), np.bool_)
    mask[15:25, 15:25] = True
    image[mask] = (130, 130, 130)
    image[14, 15:25] = 255  # beside the edge: not in the ring
    f = measured_factors(image, mask)
    assert f["contrast"] == pytest.approx(30 / 255)
    assert f["contrast_to_noise"] == 0  # both constant
    image[:, ::2] = np.where(mask[:, ::2, None], 140, 110)  # now each half is 10 apart: deviation 5
    image[14, 15:25] = 255
    assert measured_factors(image, mask)["contrast_to_noise"] == pytest.approx(30 / 5)


@pytest.mark.parametrize("sigma", [2.0, 8.0, 20.0])
def test_noise_is_estimated(sigma):
    grey = 120 + np.arange(120)[:, None] * 0.3 + sigma * Chance("noise").gaussian(120, 120)
    image = np.repeat(np.clip(np.round(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    mask = np.zeros((120, 120), np.bool_)
    mask[20:100, 20:100] = True
    assert measured_factors(image, mask)["noise"] * 255 == pytest.approx(sigma, rel=0.06)


def test_a_mask_without_surroundings_has_no_contrast():
    full = np.ones((8, 8), np.bool_)
    f = measured_factors(np.full((8, 8, 3), 9, np.uint8), full)
    assert (f["contrast"], f["contrast_to_noise"], f["area_fraction"]) == (0, 0, 1)


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="empty"):
        measured_factors(np.zeros((5, 5, 3), np.uint8), np.zeros((5, 5), np.bool_))
