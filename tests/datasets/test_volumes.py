import gzip
import struct

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform

from simclick.datasets import volumes
from simclick.datasets.volumes import Volume, nearest_rank, read_volume, same_grid, through_plane
from simclick.errors import DataError

# A head of three landmarks: x to the right, y anterior, z superior (RAS+), spacing 2, 3, 4 mm.
HEAD = np.zeros((5, 6, 7), np.int16)
HEAD[4, 2, 3], HEAD[2, 5, 3], HEAD[2, 2, 6] = 1, 2, 3  # right ear, nose, crown
HEAD[2, 2, 3] = 9
AFFINE = np.diag([2.0, 3.0, 4.0, 1.0])
AFFINE[:3, 3] = [-10, 20, 30]


def turned(values, affine, codes):
    """Store the same head with other axes, as another scanner would."""
    transform = ornt_transform(axcodes2ornt(("R", "A", "S")), axcodes2ornt(codes))
    return (
        nibabel.orientations.apply_orientation(values, transform),
        affine @ inv_ornt_aff(transform, values.shape),
    )


def save(path, values, affine=AFFINE, **header):
    image = nibabel.Nifti1Image(values, affine)
    image.header.set_xyzt_units(header.pop("unit", "mm"))
    nibabel.save(image, path)
    return path


def refused(path, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_volume(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# --- orientation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "SPR", "AIL", "PSR"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_every_orientation_gives_the_same_volume(tmp_path, codes, ending):
    volume = read_volume(save(tmp_path / f"a{ending}", *turned(HEAD, AFFINE, codes)))
    np.testing.assert_array_equal(volume.values, HEAD)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert volume.spacing == (2.0, 3.0, 4.0)


def test_pictures_as_radiologists_look_at_them():
    volume = Volume(HEAD, AFFINE)

    def where(picture, value):
        return tuple(int(v) for v in np.argwhere(picture == value)[0])

    axial = volume.picture(2, 3)
    assert axial.shape == (6, 5)
    assert where(axial, 2) == (0, 2)  # the nose is up
    assert where(axial, 1) == (3, 0)  # the right ear is at the left
    assert volume.picture_spacing(2) == (3.0, 2.0)
    coronal = volume.picture(1, 2)
    assert coronal.shape == (7, 5)
    assert where(coronal, 3) == (0, 2)  # the crown is up
    assert where(coronal, 1) == (3, 0)
    assert volume.picture_spacing(1) == (4.0, 2.0)
    sagittal = volume.picture(0, 2)
    assert sagittal.shape == (7, 6)
    assert where(sagittal, 3) == (0, 3)
    assert where(sagittal, 2) == (3, 0)  # the nose points left
    assert volume.picture_spacing(0) == (4.0, 3.0)
    assert axial.flags.c_contiguous


def test_oblique_volumes_are_turned_but_not_resampled(tmp_path):
    angle = np.deg2rad(20)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    volume = read_volume(save(tmp_path / "a.nii.gz", *turned(HEAD, rotation @ AFFINE, "LPS")))
    np.testing.assert_array_equal(volume.values, HEAD)
    assert volume.spacing == pytest.approx((2.0, 3.0, 4.0), abs=1e-6)


def test_spacing_in_other_units(tmp_path):
    micron = read_volume(save(tmp_path / "a.nii", HEAD, AFFINE, unit="micron"))
    assert micron.spacing == (0.002, 0.003, 0.004)
    metre = read_volume(save(tmp_path / "b.nii", HEAD, AFFINE, unit="meter"))
    assert metre.spacing == (2000.0, 3000.0, 4000.0)
    assert read_volume(save(tmp_path / "c.nii", HEAD, AFFINE, unit="unknown")).spacing == (2.0, 3.0, 4.0)


# --- what is stored ---------------------------------------------------------------------------------


def test_two_and_four_axes(tmp_path):
    flat = read_volume(save(tmp_path / "a.nii", HEAD[:, :, 3]))
    np.testing.assert_array_equal(flat.values, HEAD[:, :, 3:4])
    channels = np.stack([HEAD, HEAD * 2], axis=3)
    path = save(tmp_path / "b.nii.gz", channels)
    np.testing.assert_array_equal(read_volume(path).values, HEAD)
    np.testing.assert_array_equal(read_volume(path, channel=1).values, HEAD * 2)
    assert "has 2 channels; dataset.channel=2" in refused(path, channel=2)


def test_slope_and_intercept_are_applied(tmp_path):
    image = nibabel.Nifti1Image(HEAD, AFFINE)
    image.header.set_slope_inter(2.0, -1000.0)
    raw = bytearray(image.to_bytes())
    struct.pack_into("<ff", raw, 112, 2.0, -1000.0)
    (tmp_path / "a.nii").write_bytes(raw)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").values, HEAD * 2.0 - 1000)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_types(tmp_path, dtype):
    volume = read_volume(save(tmp_path / "a.nii.gz", HEAD.astype(dtype)))
    np.testing.assert_array_equal(volume.values, HEAD)


def test_nifti_2(tmp_path):
    nibabel.save(nibabel.Nifti2Image(HEAD, AFFINE), tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").values, HEAD)


# --- damaged and hostile files ----------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_truncated_anywhere(tmp_path, ending):
    path = save(tmp_path / f"a{ending}", HEAD)
    data = path.read_bytes()
    for length in [*range(0, len(data), 13), len(data) - 1]:
        path.write_bytes(data[:length])
        refused(path)


def test_a_flipped_bit_in_gzip_is_never_silent(tmp_path):
    values = np.random.default_rng(0).integers(0, 99, (9, 9, 9)).astype(np.int16)
    path = save(tmp_path / "a.nii.gz", values)
    data = path.read_bytes()
    accepted = 0
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(read_volume(path).values, values)
            accepted += 1  # a bit without a meaning, such as the time in gzip's header
        except DataError:
            continue
    assert accepted < 0.05 * len(data)


def test_a_bomb_is_refused_before_decompression(tmp_path, monkeypatch):
    raw = bytearray(nibabel.Nifti1Image(HEAD, AFFINE).to_bytes())
    struct.pack_into("<8h", raw, 40, 3, 2000, 2000, 2000, 1, 1, 1, 1)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(bytes(raw)))
    monkeypatch.setattr(volumes, "_content", lambda *_: pytest.fail("decompressed"))
    assert "declares 8,000,000,000 voxels" in refused(path)


def test_more_bytes_than_declared(tmp_path):
    raw = nibabel.Nifti1Image(HEAD, AFFINE).to_bytes()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(raw + bytes(10)))
    np.testing.assert_array_equal(read_volume(path).values, HEAD)  # padding does no harm
    path.write_bytes(gzip.compress(raw + bytes(2**21)))
    assert "more than" in refused(path)


def with_header(tmp_path, *edits, affine=None):
    image = nibabel.Nifti1Image(HEAD, affine)
    image.header.set_zooms((2, 3, 4))
    if affine is None:
        image.header.set_sform(None)
        image.header.set_qform(None)
    raw = bytearray(image.to_bytes())
    for form, place, *values in edits:
        struct.pack_into("<" + form, raw, place, *values)
    path = tmp_path / "a.nii"
    path.write_bytes(raw)
    return path


def test_spacing_without_an_affine_comes_from_the_header(tmp_path):
    assert read_volume(with_header(tmp_path)).spacing == (2.0, 3.0, 4.0)
    assert read_volume(with_header(tmp_path, ("f", 80, -2.0))).spacing == (2.0, 3.0, 4.0)


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_bad_spacing(tmp_path, value, caplog):
    message = refused(with_header(tmp_path, ("f", 80, value)))
    assert "spacing" in message
    assert not caplog.records  # nibabel mends a zero to one and would say so on the terminal


def test_bad_affines(tmp_path):
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    for row in ([np.nan, 0, 0, 0], [0, 0, 0, 0]):
        path = with_header(tmp_path, ("4f", 280, *row), affine=affine)
        assert "affine" in refused(path)
    path = with_header(tmp_path, ("f", 80, 1.0), affine=affine)
    assert "header says 1 x 3 x 4 mm per voxel, its affine 2 x 3 x 4" in refused(path)


def test_what_is_no_volume(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"")
    assert "0 bytes" in refused(tmp_path / "a.nii")
    (tmp_path / "b.nii.gz").write_bytes(b"text")
    refused(tmp_path / "b.nii.gz")
    (tmp_path / "c.nii").mkdir()
    assert "folder" in refused(tmp_path / "c.nii")
    assert "no such file" in refused(tmp_path / "d.nii")
    complex_values = save(tmp_path / "e.nii", HEAD.astype(np.complex64))
    assert "complex64" in refused(complex_values)
    vectors = save(tmp_path / "f.nii", np.zeros((2, 2, 2, 1, 3), np.float32))
    assert "[2, 2, 2, 1, 3]" in refused(vectors)


# --- grids, planes, percentiles ---------------------------------------------------------------------


def test_same_grid():
    first = Volume(HEAD, AFFINE)
    assert same_grid(first, Volume(HEAD, AFFINE + 1e-4)) is None
    moved = AFFINE.copy()
    moved[0, 3] += 0.5
    assert same_grid(first, Volume(HEAD, moved)) == "its corners lie up to 0.5 mm apart"
    stretched = AFFINE.copy()
    stretched[2, 2] *= 1.02  # 24 mm long: the far end is 0.48 mm off
    assert "0.48 mm" in str(same_grid(first, Volume(HEAD, stretched)))
    assert "shape [5, 6, 6] instead of [5, 6, 7]" in str(same_grid(first, Volume(HEAD[..., 1:], AFFINE)))


@pytest.mark.parametrize(
    ("spacing", "shape", "axis"),
    [
        ((1, 1, 5), (9, 9, 9), 2),
        ((5, 1, 1), (9, 9, 9), 0),
        ((1, 5, 1), (9, 9, 9), 1),
        ((1, 1, 1), (9, 9, 9), 2),
        ((2, 2, 1), (9, 9, 9), 1),
        ((1.0, 1.0, 0.995), (9, 9, 9), 2),
        ((1, 1, 5), (1, 9, 9), 0),
        ((1, 5, 1), (1, 9, 1), 1),
    ],
)
def test_through_plane(spacing, shape, axis):
    assert through_plane(Volume(np.zeros(shape, np.uint8), np.diag([*spacing, 1.0]))) == axis


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=300), st.integers(0, 1000))
def test_nearest_rank_against_a_sorted_list(values, per_mille):
    exact = per_mille * (len(values) - 1) / 1000
    rank = int(exact + 0.5)
    assert nearest_rank(np.array(values), per_mille) == sorted(values)[rank]
