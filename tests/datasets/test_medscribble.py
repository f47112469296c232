import pickle

import numpy as np
import pytest
from reader_files import disc, shared

from simclick.datasets.medscribble import MedScribble, example_folders, read_npy
from simclick.errors import ConfigError, DataError

NAMES = [
    "ACDC/LV/p1_axis2_maxslice",
    "ACDC/RV/p1_axis2_maxslice",
    "CAMUS/4CH_ED/train-p7_axis0_midslice",
    "NEW/thing/x",
]


def collection(root, names=NAMES, folder="MedScribble"):
    for i, name in enumerate(names):
        path = root / folder / name
        path.mkdir(parents=True)
        image = np.linspace(0, 0.5, 12 * 16, dtype=np.float32).reshape(12, 16)
        np.save(path / "img.npy", image)
        soft = disc().astype(np.float32)
        soft[0, :3] = (0.5, 0.499, 0.501)
        soft[1, i] = 1.0
        np.save(path / "seg.npy", soft)
    return root


@pytest.mark.parametrize("inside", [True, False])
def test_ids_groups_targets_and_modalities(tmp_path, inside):
    root = collection(tmp_path) / ("MedScribble" if inside else "")
    cases = list(MedScribble(root))
    assert [(c.case_id, c.group, c.target, c.modality) for c in cases] == [
        ("ACDC_LV_p1_axis2_maxslice", "ACDC_p1", "LV", "mr"),
        ("ACDC_RV_p1_axis2_maxslice", "ACDC_p1", "RV", "mr"),
        ("CAMUS_4CH_ED_train-p7_axis0_midslice", "CAMUS_train-p7", "4CH_ED", "us"),
        ("NEW_thing_x", "NEW_x", "thing", "unknown"),
    ]
    assert {c.dataset for c in cases} == {"medscribble"}
    assert {c.spacing for c in cases} == {None}
    assert {c.truths for c in cases} == {None}


def test_the_truth_is_half_or_more_and_the_image_its_own_range(tmp_path):
    case = next(iter(MedScribble(collection(tmp_path))))
    expected = disc().copy()
    expected[0, :3] = (True, False, True)
    expected[1, 0] = True
    np.testing.assert_array_equal(case.truth, expected)
    assert case.image.shape == (12, 16, 3)
    assert (case.image[0, 0, 0], case.image[-1, -1, 0]) == (0, 255)
    np.testing.assert_array_equal(case.image[..., 0], case.image[..., 2])


def test_options(tmp_path):
    root = collection(tmp_path)
    assert {c.modality for c in MedScribble(root, modality="other")} == {"other"}
    cases = list(MedScribble(root, group=r"^(?:train-)?([a-z]+)"))
    assert [c.group for c in cases] == ["ACDC_p", "ACDC_p", "CAMUS_p", "NEW_x"]
    with pytest.raises(DataError, match="does not fit"):
        MedScribble(root, group="(nothing)").references()
    with pytest.raises(ConfigError, match="recipe"):
        MedScribble(root, recipe="own")
    with pytest.raises(ConfigError, match="root"):
        MedScribble()
    copy = pickle.loads(pickle.dumps(MedScribble(root)))
    assert [c.sha256() for c in copy] == [c.sha256() for c in MedScribble(root)]


def test_empty_masks_are_listed(tmp_path):
    root = collection(tmp_path)
    np.save(root / "MedScribble" / NAMES[1] / "seg.npy", np.full((12, 16), 0.4, np.float32))
    dataset = MedScribble(root)
    assert len(dataset) == 3
    assert [(s.what, s.why) for s in dataset.skipped] == [
        (f"MedScribble/{NAMES[1]}/seg.npy", "the mask is empty: it holds no object")
    ]


def test_no_example(tmp_path):
    with pytest.raises(DataError, match="no MedScribble example"):
        MedScribble(tmp_path).references()


BAD = {
    "three dimensions": (np.zeros((2, 12, 16), np.float32), "2 dimensions are expected"),
    "too large values": (np.full((12, 16), 255.0, np.float32), "0 to 1 are expected"),
    "not finite": (np.full((12, 16), np.nan, np.float32), "non-finite"),
    "words": (np.array([["a", "b"]]), "no array of real numbers"),
    "objects": (np.array([[{}]]), "cannot be read"),
    "no pixels": (np.zeros((0, 4), np.float32), "has the shape"),
}


@pytest.mark.parametrize(("array", "reason"), BAD.values(), ids=list(BAD))
def test_bad_masks(tmp_path, array, reason):
    root = collection(tmp_path)
    np.save(root / "MedScribble" / NAMES[0] / "seg.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=rf"seg\.npy: .*{reason}"):
        MedScribble(root).references()
    dataset = MedScribble(root, skip_invalid=True)
    assert len(list(dataset)) == 3
    assert reason in dataset.skipped[0].why


def test_files_that_are_no_arrays(tmp_path):
    path = tmp_path / "a.npy"
    with pytest.raises(DataError, match="no such file"):
        read_npy(path, 2)
    for content in (b"", b"nonsense", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            read_npy(path, 2)
    np.save(path, np.zeros((50, 50)))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="cannot be read"):
        read_npy(path, 2)
    np.save(path, np.arange(6, dtype=">i4").reshape(2, 3))
    assert read_npy(path, 2).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_npy(path, 2).dtype.isnative


def test_image_and_mask_of_two_sizes(tmp_path):
    root = collection(tmp_path)
    np.save(root / "MedScribble" / NAMES[0] / "img.npy", np.zeros((4, 5), np.float32))
    dataset = MedScribble(root)
    with pytest.raises(DataError, match=r"16 x 12 pixels, its image 5 x 4"):
        dataset.load(dataset.references()[0])


@pytest.mark.data
def test_the_real_examples():
    root = shared("medscribble")
    cases = list(MedScribble(root))
    assert [(c.target, c.modality, int(c.truth.sum())) for c in cases] == [
        ("4CH_ED", "us", 4965),
        ("OCTA_6M", "oct", 5196),
        ("VIS_human", "mr", 1106),
    ]
    assert [case_id for case_id, _ in example_folders(root)] == [c.case_id for c in cases]
    assert {c.size for c in cases} == {(256, 256)}
