import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageFile
from reader_files import picture, png_bytes, write_png

from simclick.datasets import images
from simclick.datasets.images import read_image, read_raster, stretch, to_rgb
from simclick.errors import DataError

GREY = picture()
RGB = np.stack([picture(seed=s) for s in range(3)], axis=2)
DEEP = np.random.default_rng(3).integers(100, 4096, (12, 16, 4)).astype(np.uint16)


def tiff(array: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, array, photometric=options.pop("photometric", "minisblack"), **options)  # type: ignore[call-overload]
    return out.getvalue()


def pillow(array: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(out, kind, **options)
    return out.getvalue()


def shape_of(array: object) -> str | None:
    return f"{array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else None


def stored(tmp_path, data: bytes, name: str = "image.png"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def stretched(array: np.ndarray) -> np.ndarray:
    """The recipe in exact integer arithmetic, half up."""
    low, high = int(array.min()), int(array.max())
    values = [(2 * 255 * (int(v) - low) + (high - low)) // (2 * (high - low)) for v in array.reshape(-1)]
    return np.array(values, np.uint8).reshape(array.shape)


# --- what is stored comes out ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (GREY, GREY),
        (RGB, RGB),
        (np.dstack([GREY, RGB[..., 0]]), GREY),
        (np.dstack([RGB, GREY]), RGB),
        (DEEP[..., 0], DEEP[..., 0]),
        (DEEP[..., :2], np.repeat(DEEP[..., :1], 3, axis=2)),
        (DEEP[..., :3], DEEP[..., :3]),
        (DEEP, DEEP[..., :3]),
    ],
    ids=["grey", "rgb", "grey-alpha", "rgba", "grey16", "grey-alpha16", "rgb16", "rgba16"],
)
def test_png_of_every_kind_gives_its_own_samples(tmp_path, samples, expected):
    raster = read_raster(stored(tmp_path, png_bytes(samples)))
    assert raster.colours().dtype == expected.dtype
    np.testing.assert_array_equal(raster.colours(), expected)
    assert not raster.lossy


def test_png_palette_keeps_index_and_colour(tmp_path):
    palette = np.array([[0, 0, 0], [255, 0, 0], [9, 8, 7]])
    index = np.arange(12 * 16).reshape(12, 16) % 3
    raster = read_raster(stored(tmp_path, png_bytes(index.astype(np.uint8), palette, bits=2)))
    np.testing.assert_array_equal(raster.samples, index)
    np.testing.assert_array_equal(raster.colours(), palette[index])


def test_png_of_one_bit_is_bool_and_shows_black_and_white(tmp_path):
    bits = GREY > 127
    path = write_png(tmp_path / "a.png", bits, bits=1)
    np.testing.assert_array_equal(read_raster(path).samples, bits)
    np.testing.assert_array_equal(read_image(path)[..., 1], np.where(bits, 255, 0))


@pytest.mark.parametrize("array", [GREY, RGB, DEEP[..., 0], DEEP[..., :3], DEEP], ids=shape_of)
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_of_eight_and_sixteen_bits(tmp_path, array, byteorder, compression):
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    data = tiff(array, photometric=photometric, byteorder=byteorder, compression=compression)
    raster = read_raster(stored(tmp_path, data, "a.tif"))
    expected = array if array.ndim == 2 else array[..., :3]
    np.testing.assert_array_equal(raster.colours(), expected)
    assert raster.colours().dtype == array.dtype


def test_tiff_with_lzw_as_opencv_writes_it(tmp_path):
    path = tmp_path / "a.tiff"
    cv2.imwrite(str(path), DEEP[..., 2::-1])
    np.testing.assert_array_equal(read_raster(path).colours(), DEEP[..., :3])


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits"])
@pytest.mark.parametrize("array", [GREY, RGB, DEEP[..., 0]], ids=["grey", "rgb", "grey16"])
def test_compressed_tiff(tmp_path, array, compression):
    path = stored(tmp_path, pillow(array, "TIFF", compression=compression))
    np.testing.assert_array_equal(read_raster(path).colours(), array)


@pytest.mark.parametrize("dtype", ["float32", "int16", "int32", "uint32"])
def test_tiff_of_other_types(tmp_path, dtype):
    array = (np.arange(12 * 16).reshape(12, 16) - (50 if dtype != "uint32" else -(2**31))).astype(dtype)
    raster = read_raster(stored(tmp_path, tiff(array), "a.tif"))
    np.testing.assert_array_equal(raster.samples.astype(np.float64), array.astype(np.float64))


@pytest.mark.parametrize("array", [GREY, RGB, GREY > 99], ids=["grey", "rgb", "bits"])
def test_bmp(tmp_path, array):
    np.testing.assert_array_equal(read_raster(stored(tmp_path, pillow(array, "BMP"), "a.bmp")).samples, array)


def test_jpeg_is_lossy_and_the_name_of_the_file_does_not_matter(tmp_path):
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    raster = read_raster(stored(tmp_path, pillow(smooth, "JPEG", quality=95), "called.png"))
    assert raster.lossy
    assert np.abs(raster.samples.astype(int) - smooth).max() <= 6


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    image = read_image(stored(tmp_path, pillow(flat, "JPEG", "CMYK", quality=100)))
    assert np.abs(image.astype(int) - flat).max() <= 4


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_exif_orientation_is_ignored(tmp_path, kind, orientation):
    image, exif = Image.fromarray(RGB), Image.Exif()
    exif[274] = orientation
    plain, tagged = io.BytesIO(), io.BytesIO()
    image.save(plain, kind)
    image.save(tagged, kind, exif=exif)
    assert plain.getvalue() != tagged.getvalue()
    np.testing.assert_array_equal(
        read_image(stored(tmp_path, tagged.getvalue(), "tagged")),
        read_image(stored(tmp_path, plain.getvalue(), "plain")),
    )


# --- the recipe -------------------------------------------------------------------------------------


def test_eight_bits_stay_and_grey_is_repeated():
    np.testing.assert_array_equal(to_rgb(GREY), np.stack([GREY] * 3, axis=2))
    np.testing.assert_array_equal(to_rgb(RGB), RGB)
    assert to_rgb(np.full((2, 2), 77, np.uint8)).tolist() == [[[77] * 3] * 2] * 2


def test_alpha_is_dropped_not_composited():
    hidden = np.dstack([RGB, np.zeros_like(GREY)])
    np.testing.assert_array_equal(to_rgb(hidden), RGB)
    np.testing.assert_array_equal(to_rgb(np.dstack([GREY, np.zeros_like(GREY)]))[..., 2], GREY)


def test_hand_computed_stretch():
    # 1000..3000 onto 0..255: 2000 is 127.5, rounded half up to 128.
    assert to_rgb(np.array([[1000, 2000, 3000]], np.uint16))[0, :, 0].tolist() == [0, 128, 255]
    assert to_rgb(np.array([[-1.0, 0.0, 1.0]], np.float32))[0, :, 0].tolist() == [0, 128, 255]


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.uint16, (3, 5, 3), elements=st.integers(0, 65535)))
def test_sixteen_bits_use_one_range_for_all_channels(array):
    if array.min() == array.max():
        np.testing.assert_array_equal(to_rgb(array), 0)
    else:
        np.testing.assert_array_equal(to_rgb(array), stretched(array))


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_a_constant_image_is_zero_without_a_warning(dtype):
    with np.errstate(all="raise"):
        for recipe in images.RECIPES:
            np.testing.assert_array_equal(to_rgb(np.full((4, 5), 999, dtype), recipe), 0)


def test_non_finite_samples_count_as_the_smallest():
    array = np.array([[np.nan, -np.inf, np.inf, 2.0, 4.0]], np.float32)
    assert to_rgb(array)[0, :, 0].tolist() == [0, 0, 0, 0, 255]
    np.testing.assert_array_equal(to_rgb(np.full((2, 2), np.nan)), 0)


def test_stretch_clips():
    assert stretch(np.array([-5, 0, 5, 10, 99]), 0, 10).tolist() == [0, 0, 128, 255, 255]


def cosmos_reference(array: np.ndarray, low_percentile: float) -> np.ndarray:
    """COSMOS's rule, element by element."""
    channels = np.stack([array] * 3, axis=2) if array.ndim == 2 else array[..., :3]
    ordered = sorted(float(v) for v in channels.reshape(-1))

    def percentile(p: float) -> float:
        place = p / 100 * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (place - below)

    low, high = percentile(low_percentile), percentile(99.5)
    out = np.zeros(channels.shape, np.uint8)
    for at in np.ndindex(channels.shape):
        value = min(max(float(channels[at]), low), high)
        out[at] = 0 if channels[at] == 0 else int((value - low) / (high - low) * 255.0 + 1e-9)
    return out


@pytest.mark.parametrize(("recipe", "low"), [("cosmos", 0.95), ("cosmos-0.5", 0.5)])
@pytest.mark.parametrize("array", [GREY, RGB, np.dstack([RGB, GREY]), DEEP[..., 1]], ids=shape_of)
def test_cosmos_recipe_against_its_definition(recipe, low, array):
    with_zeros = array.copy()
    with_zeros[:2] = 0
    np.testing.assert_array_equal(to_rgb(with_zeros, recipe), cosmos_reference(with_zeros, low))


def test_the_two_percentiles_of_cosmos_differ():
    assert (to_rgb(DEEP[..., 0], "cosmos") != to_rgb(DEEP[..., 0], "cosmos-0.5")).any()


# --- damaged and hostile files ----------------------------------------------------------------------


def refused(path) -> str:
    with pytest.raises(DataError) as caught:
        read_raster(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


KINDS = {
    "grey.png": png_bytes(GREY),
    "rgba.png": png_bytes(np.dstack([RGB, GREY])),
    "rgb16.png": png_bytes(DEEP[..., :3]),
    "palette.png": png_bytes(GREY % 4, np.eye(4, 3) * 255),
    "grey.jpg": pillow(GREY, "JPEG"),
    "rgb.jpg": pillow(RGB, "JPEG"),
    "progressive.jpg": pillow(RGB, "JPEG", progressive=True),
    "plain.tif": tiff(GREY),
    "rgb16.tif": tiff(DEEP[..., :3], photometric="rgb"),
    "zlib.tif": tiff(RGB, photometric="rgb", compression="zlib"),
    "lzw.tif": pillow(RGB, "TIFF", compression="tiff_lzw"),
    "grey.bmp": pillow(GREY, "BMP"),
    "rgb.bmp": pillow(RGB, "BMP"),
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("allowed_by_others", [False, True])
def test_truncated_anywhere_is_refused_or_whole(tmp_path, monkeypatch, name, allowed_by_others):
    """Cut at every 7th byte: either refused, or (cut behind the pixels) exactly the same samples."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", allowed_by_others)
    data = KINDS[name]
    whole = read_raster(stored(tmp_path, data, name)).samples
    accepted = []
    for length in [*range(0, len(data), 7), len(data) - 1]:
        path = stored(tmp_path, data[:length], name)
        try:
            samples = read_raster(path).samples
        except DataError:
            refused(path)
            continue
        np.testing.assert_array_equal(samples, whole)
        accepted.append(length)
    assert all(length > 0.85 * len(data) for length in accepted)
    if name.endswith(".png"):  # the checksum of the end mark comes after everything
        assert all(length >= len(data) - 4 for length in accepted)
    if name.endswith(".jpg"):
        assert not accepted
    assert ImageFile.LOAD_TRUNCATED_IMAGES is allowed_by_others


def test_a_flipped_bit_in_a_png_is_never_silent(tmp_path):
    data = KINDS["palette.png"]
    for place in range(len(data) - 12):  # the last 12 bytes are the end mark, behind everything
        for bit in range(8):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            refused(stored(tmp_path, bytes(damaged)))


def test_empty_text_folder_and_missing(tmp_path):
    assert "0 bytes" in refused(stored(tmp_path, b"", "empty.png"))
    assert "is no PNG, JPEG, TIFF or BMP" in refused(stored(tmp_path, b"just text\n", "text.png"))
    (tmp_path / "folder.png").mkdir()
    assert "folder" in refused(tmp_path / "folder.png")
    assert "no such file" in refused(tmp_path / "none.png")
    out = io.BytesIO()
    Image.fromarray(GREY).save(out, "GIF")
    assert "is no PNG" in refused(stored(tmp_path, out.getvalue(), "gif.png"))


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (60_000, 60_000)])
def test_a_bomb_is_refused_before_decoding(tmp_path, monkeypatch, width, height):
    def never(*_args, **_kwargs):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    data = bytearray(png_bytes(np.zeros((2, 2), np.uint8)))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert "more than the 100,000,000" in refused(stored(tmp_path, bytes(data)))


def test_several_pictures_in_one_file(tmp_path):
    stack = tiff(np.stack([GREY, GREY, GREY]))
    assert "holds 3 pictures" in refused(stored(tmp_path, stack, "stack.tif"))


def test_tiff_traps_are_refused(tmp_path):
    white = refused(stored(tmp_path, tiff(DEEP[..., 0], photometric="miniswhite"), "a.tif"))
    assert "white as zero" in white
    planes = tiff(np.moveaxis(DEEP[..., :3], 2, 0), photometric="rgb", planarconfig="separate")
    assert "separate planes" in refused(stored(tmp_path, planes, "b.tif"))
    turned = tiff(GREY, extratags=[(274, "H", 1, 3, True)])
    assert "orientation" in refused(stored(tmp_path, turned, "c.tif"))
    assert "signed" in refused(stored(tmp_path, tiff(GREY.astype(np.int8)), "d.tif"))


def test_read_image_applies_the_recipe(tmp_path):
    path = write_png(tmp_path / "a.png", DEEP[..., :3])
    np.testing.assert_array_equal(read_image(path), stretched(DEEP[..., :3]))
    assert read_image(path).flags.c_contiguous
