import io

import numpy as np
import pytest
from PIL import Image
from reader_files import disc, png_bytes

from simclick.datasets.images import Raster, read_raster
from simclick.datasets.masks import MAX_LABELS, Selector, colour_codes, distinct, foreground, label_values
from simclick.errors import DataError

DISC = disc()


def stored(tmp_path, data: bytes) -> Raster:
    path = tmp_path / "mask"
    path.write_bytes(data)
    return read_raster(path)


# --- foreground -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 128, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_but_zero_is_foreground(tmp_path, value, dtype):
    raster = stored(tmp_path, png_bytes(DISC * dtype(value)))
    np.testing.assert_array_equal(foreground(raster), DISC)


def test_the_largest_channel_counts_and_alpha_does_not():
    rgba = np.zeros((*DISC.shape, 4), np.uint8)
    rgba[..., 1], rgba[..., 3] = DISC * 7, 255
    np.testing.assert_array_equal(foreground(Raster(rgba)), DISC)


def test_a_mask_that_is_only_in_alpha_is_refused():
    rgba = np.full((*DISC.shape, 4), 255, np.uint8)
    rgba[..., 3] = DISC * 255
    with pytest.raises(DataError, match="alpha"):
        foreground(Raster(rgba))
    with pytest.raises(DataError, match="alpha"):
        foreground(Raster(rgba[..., 2:] * np.array([0, 1], np.uint8)))


def test_foreground_of_a_palette_is_what_a_viewer_shows(tmp_path):
    # Index 0 is white and index 1 black: the object is where the index is 0.
    palette = np.array([[255, 255, 255], [0, 0, 0]])
    raster = stored(tmp_path, png_bytes((~DISC).astype(np.uint8), palette, bits=1))
    np.testing.assert_array_equal(foreground(raster), DISC)


@pytest.mark.parametrize(
    ("values", "threshold", "expected"),
    [
        (np.array([[0, 127, 128, 255]], np.uint8), 0.5, [False, False, True, True]),
        (np.array([[0, 254, 255]], np.uint8), 1.0, [False, False, True]),
        (np.array([[0, 32767, 32768, 65535]], np.uint16), 0.5, [False, False, True, True]),
        (np.array([[0.0, 0.49, 0.5, 1.0]], np.float32), 0.5, [False, False, True, True]),
        (np.array([[False, True]]), 0.5, [False, True]),
        (np.array([[0, 51, 50]], np.uint8), 0.2, [False, True, False]),
    ],
)
def test_threshold_is_a_fraction_of_the_types_range(values, threshold, expected):
    assert foreground(Raster(values), threshold)[0].tolist() == expected


def test_a_threshold_needs_a_known_range():
    with pytest.raises(DataError, match=r"from 0\.0 to 200\.0"):
        foreground(Raster(np.array([[0, 200]], np.float32)), 0.5)
    with pytest.raises(DataError, match="int32"):
        foreground(Raster(np.array([[0, 1]], np.int32)), 0.5)
    with pytest.raises(DataError, match="non-finite"):
        foreground(Raster(np.array([[0, np.nan]], np.float32)))


def test_jpeg_noise_around_zero_is_no_foreground(tmp_path):
    mask, out = disc(64, 64, 20.0), io.BytesIO()
    Image.fromarray(mask * np.uint8(255)).save(out, "JPEG", quality=60)
    raster = stored(tmp_path, out.getvalue())
    assert ((raster.samples > 0) & ~mask).sum() > 100  # there is noise to get rid of
    wrong = foreground(raster) ^ mask
    assert wrong.sum() < 0.02 * mask.sum()


# --- label values -----------------------------------------------------------------------------------


def test_label_values_of_a_palette_are_its_indices(tmp_path):
    index = (np.arange(192).reshape(12, 16) % 4).astype(np.uint8)
    palette = np.array([[0, 0, 0], [128, 0, 0], [128, 0, 0], [0, 128, 0]])
    np.testing.assert_array_equal(label_values(stored(tmp_path, png_bytes(index, palette, bits=4))), index)


def test_label_values_of_grey_saved_as_rgb():
    values = (np.arange(192).reshape(12, 16) % 5).astype(np.uint8)
    np.testing.assert_array_equal(label_values(Raster(np.stack([values] * 3, axis=2))), values)
    np.testing.assert_array_equal(label_values(Raster(np.dstack([values, values + 9]))), values)


def test_label_values_of_other_types(tmp_path):
    assert label_values(Raster(np.array([[0, 3000]], np.uint16))).tolist() == [[0, 3000]]
    assert label_values(Raster(np.array([[0.0, 2.0]], np.float32))).tolist() == [[0, 2]]
    assert label_values(Raster(np.array([[False, True]]))).tolist() == [[0, 1]]
    # The PNG standard scales grey of few bits: a 2-bit 1 is 85.
    two_bits = stored(tmp_path, png_bytes(np.array([[0, 1, 2, 3]], np.uint8), bits=2))
    assert label_values(two_bits).tolist() == [[0, 85, 170, 255]]


def test_what_is_no_label_map():
    coloured = np.zeros((4, 4, 3), np.uint8)
    coloured[0, 0] = 255, 0, 0
    with pytest.raises(DataError, match="targets=colour"):
        label_values(Raster(coloured))
    with pytest.raises(DataError, match="whole numbers"):
        label_values(Raster(np.array([[0.5]], np.float32)))
    for codes in (label_values, colour_codes):
        with pytest.raises(DataError, match="JPEG"):
            codes(Raster(np.zeros((4, 4), np.uint8), lossy=True))


# --- colours, selectors -----------------------------------------------------------------------------


def test_colour_codes(tmp_path):
    palette = np.array([[0, 0, 0], [1, 2, 3], [255, 255, 254]])
    index = np.array([[0, 1, 2]], np.uint8)
    expected = [[0, 0x010203, 0xFFFFFE]]
    assert colour_codes(stored(tmp_path, png_bytes(index, palette))).tolist() == expected
    assert colour_codes(Raster(palette[index].astype(np.uint8))).tolist() == expected
    assert colour_codes(Raster(np.array([[7]], np.uint8))).tolist() == [[0x070707]]
    assert colour_codes(Raster(np.array([[True]]))).tolist() == [[0xFFFFFF]]
    with pytest.raises(DataError, match="8 bits"):
        colour_codes(Raster(np.zeros((2, 2, 3), np.uint16)))


def test_distinct_values_and_their_limit():
    assert distinct(np.array([[3, 0, 1, 3]])) == [1, 3]
    assert len(distinct(np.arange(MAX_LABELS + 1))) == MAX_LABELS
    with pytest.raises(DataError, match="513 distinct values"):
        distinct(np.arange(MAX_LABELS + 2))


def test_selectors():
    raster = Raster(np.array([[0, 1, 2, 3]], np.uint8))
    assert Selector("foreground").select(raster)[0].tolist() == [False, True, True, True]
    assert Selector("foreground", threshold=0.01).select(raster)[0].tolist() == [False, False, False, True]
    assert Selector("value", (2,)).select(raster)[0].tolist() == [False, False, True, False]
    assert Selector("value", (1, 3)).select(raster)[0].tolist() == [False, True, False, True]
    assert Selector("colour", (0x020202,)).select(raster)[0].tolist() == [False, False, True, False]
    assert Selector("value", (2,)).select(raster).dtype == np.bool_
