import pickle

import nibabel
import numpy as np
import pytest
from reader_files import shared, write_json

from simclick.datasets.nifti import Nifti
from simclick.errors import ConfigError, DataError

SHAPE = (6, 8, 10)
AFFINE = np.diag([1.0, 1.5, 3.0, 1.0])
CT = np.random.default_rng(0).integers(-1000, 2000, SHAPE).astype(np.int16)


def labels(**boxes):
    """Label volume: value -> (z slices, pixels in each)."""
    values = np.zeros(SHAPE, np.uint8)
    for name, areas in boxes.items():
        for z, area in areas.items():
            start = 24 if name == "v2" else 0
            values[..., z].reshape(-1)[start : start + area] = int(name[1:])
    return values


LABELS = labels(v1={0: 2, 3: 5, 4: 5, 9: 1}, v2={2: 4, 3: 3})


def volume(path, values, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


def pair(root, image=CT, label=LABELS, affine=AFFINE, label_affine=AFFINE):
    volume(root / "ct.nii.gz", image, affine)
    volume(root / "seg.nii.gz", label, label_affine)
    return {"root": root, "images": "ct.nii.gz", "labels": "seg.nii.gz"}


def ids(dataset):
    return [reference.case_id for reference in dataset.references()]


# --- which slices -----------------------------------------------------------------------------------


def test_largest_takes_the_lowest_of_equal_ones_in_slice_order(tmp_path):
    dataset = Nifti(**pair(tmp_path))
    assert ids(dataset) == ["ct_axial002_value-2", "ct_axial003_value-1"]
    assert [int(case.truth.sum()) for case in dataset] == [4, 5]


def test_every_and_all(tmp_path):
    options = pair(tmp_path)
    assert ids(Nifti(**options, slices="all")) == [
        "ct_axial000_value-1",
        "ct_axial002_value-2",
        "ct_axial003_value-1",
        "ct_axial003_value-2",
        "ct_axial004_value-1",
        "ct_axial009_value-1",
    ]
    assert ids(Nifti(**options, slices="every", every=3)) == [
        "ct_axial000_value-1",
        "ct_axial003_value-1",
        "ct_axial003_value-2",
        "ct_axial009_value-1",
    ]


def test_min_area_and_what_is_left_out(tmp_path):
    dataset = Nifti(**pair(tmp_path), slices="all", min_area=5)
    assert ids(dataset) == ["ct_axial003_value-1", "ct_axial004_value-1"]
    assert [(s.what, s.why) for s in dataset.skipped] == [
        ("seg.nii.gz", "no slice has 5 pixels or more of value-2")
    ]


def test_names_and_regions(tmp_path):
    names = {"both": [1, 2], "liver": 1, "absent": 7}
    dataset = Nifti(**pair(tmp_path), names=names)
    assert ids(dataset) == ["ct_axial003_both", "ct_axial003_liver"]
    both, liver = dataset
    assert (int(both.truth.sum()), int(liver.truth.sum())) == (8, 5)
    assert np.shares_memory(both.image, liver.image) or (both.image == liver.image).all()
    assert "absent" in dataset.skipped[0].why


@pytest.mark.parametrize(
    ("axis", "plane", "spacing", "size"),
    [
        ("auto", "axial", (1.5, 1.0), (8, 6)),
        ("coronal", "coronal", (3.0, 1.0), (10, 6)),
        ("sagittal", "sagittal", (3.0, 1.5), (10, 8)),
    ],
)
def test_planes_with_their_spacing(tmp_path, axis, plane, spacing, size):
    case = next(iter(Nifti(**pair(tmp_path), axis=axis)))
    assert plane in case.case_id
    assert case.spacing == spacing
    assert case.size == size
    assert case.unit == "mm"


def test_the_picture_is_cut_from_image_and_labels_alike(tmp_path):
    for case, index in zip(Nifti(**pair(tmp_path), window=[-1000, 1999]), (2, 3), strict=True):
        expected = (LABELS[..., index] == (2 if index == 2 else 1))[::-1, ::-1].T
        np.testing.assert_array_equal(case.truth, expected)
        grey = CT[..., index][::-1, ::-1].T.astype(np.int64) + 1000
        np.testing.assert_array_equal(case.image[..., 0], (2 * grey * 255 + 2999) // (2 * 2999))


def test_labels_in_another_orientation_are_turned(tmp_path):
    flipped = AFFINE.copy()
    flipped[:2] *= -1
    flipped[0, 3], flipped[1, 3] = SHAPE[0] - 1, 1.5 * (SHAPE[1] - 1)
    options = pair(tmp_path / "b", label=LABELS[::-1, ::-1], label_affine=flipped)
    assert [c.sha256() for c in Nifti(**options)] == [c.sha256() for c in Nifti(**pair(tmp_path / "a"))]


# --- intensities ------------------------------------------------------------------------------------


def test_window(tmp_path):
    case = next(iter(Nifti(**pair(tmp_path), window=[-160, 240])))
    values = CT[..., 2][::-1, ::-1].T
    assert (case.image[values <= -160] == 0).all()
    assert (case.image[values >= 240] == 255).all()
    middle = case.image[values == np.sort(values[(values > -160) & (values < 240)])[0]]
    assert 0 < middle.flat[0] < 255


def test_percentiles_of_the_whole_volume(tmp_path):
    ordered = np.sort(CT.reshape(-1).astype(np.int64))
    low, high = ordered[int(0.005 * 479 + 0.5)], ordered[int(0.995 * 479 + 0.5)]
    explicit = Nifti(**pair(tmp_path / "a"), window=[int(low), int(high)])
    assert [c.sha256() for c in Nifti(**pair(tmp_path / "b"))] == [c.sha256() for c in explicit]


def test_voxels_that_are_not_finite_count_as_the_smallest(tmp_path):
    values = CT.astype(np.float32)
    holes = values.copy()
    holes[0, 0, 2], holes[0, 1, 2], holes[1, 1, 2] = np.nan, np.inf, -np.inf
    filled = values.copy()
    filled[0, 0, 2] = filled[0, 1, 2] = filled[1, 1, 2] = values.min()
    first = [c.sha256() for c in Nifti(**pair(tmp_path / "a", holes), window=[-1000, 2000])]
    assert first == [c.sha256() for c in Nifti(**pair(tmp_path / "b", filled), window=[-1000, 2000])]
    with pytest.raises(DataError, match="no finite voxel"):
        list(Nifti(**pair(tmp_path / "c", np.full(SHAPE, np.nan, np.float32))))


def test_a_constant_volume_is_black(tmp_path):
    for case in Nifti(**pair(tmp_path, np.full(SHAPE, 40, np.int16))):
        assert not case.image.any()


# --- layouts ----------------------------------------------------------------------------------------


def test_folders_and_patterns(tmp_path):
    for name in ("p2_v1", "p1_v1", "p1_v2"):
        volume(tmp_path / f"images/{name}.nii.gz", CT)
        volume(tmp_path / f"labels/{name}.nii.gz", LABELS)
        volume(tmp_path / f"{name}/{name}-ct.nii", CT)
        volume(tmp_path / f"{name}/seg.nii", LABELS)
    by_folder = Nifti(tmp_path, images="images", labels="labels", names={"x": 1}, title="mine", modality="ct")
    assert ids(by_folder) == ["p1_v1_axial003_x", "p1_v2_axial003_x", "p2_v1_axial003_x"]
    assert [c.group for c in by_folder] == ["p1_v1", "p1_v2", "p2_v1"]
    assert {(c.dataset, c.modality) for c in by_folder} == {("mine", "ct")}
    by_pattern = Nifti(tmp_path, images="*/*-ct", labels="*/seg", names={"x": 1}, group="^(p[0-9])_")
    assert ids(by_pattern) == ids(by_folder)
    assert [c.group for c in by_pattern] == ["p1", "p1", "p2"]


MSD = {
    "name": "Liver",
    "licence": "CC-BY-SA 4.0",
    "modality": {"0": "CT"},
    "labels": {"0": "background", "1": "liver", "2": "cancer"},
    "training": [
        {"image": "./imagesTr/liver_1.nii.gz", "label": "./labelsTr/liver_1.nii.gz"},
        {"image": "./imagesTr/liver_0.nii.gz", "label": "./labelsTr/liver_0.nii.gz"},
    ],
    "test": ["./imagesTs/liver_2.nii.gz"],
}


def decathlon(root, content=MSD, image_names="imagesTr/liver_{}.nii.gz", image=CT, label=LABELS):
    for index in (0, 1):
        volume(root / image_names.format(index), image)
        volume(root / f"labelsTr/liver_{index}.nii.gz", label)
    (root / "imagesTr/._liver_0.nii.gz").write_bytes(b"left by a Mac")
    (root / "labelsTr/._liver_0.nii.gz").write_bytes(b"left by a Mac")
    write_json(root / "dataset.json", content)
    return root


EXPECTED = [
    ("liver_0_axial002_cancer", "liver_0", "cancer"),
    ("liver_0_axial003_liver", "liver_0", "liver"),
    ("liver_1_axial002_cancer", "liver_1", "cancer"),
    ("liver_1_axial003_liver", "liver_1", "liver"),
]


def test_medical_segmentation_decathlon(tmp_path):
    dataset = Nifti(decathlon(tmp_path))
    cases = list(dataset)
    assert [(c.case_id, c.group, c.target) for c in cases] == EXPECTED
    assert {c.modality for c in cases} == {"ct"}
    assert (dataset.info.licence, dataset.info.source) == ("CC-BY-SA 4.0", "Liver")
    assert cases[0].ignore is None


def test_decathlon_channels(tmp_path):
    content = {**MSD, "modality": {"0": "MRI", "1": "ADC"}}
    root = decathlon(tmp_path, content, image=np.stack([CT, CT[::-1]], axis=3))
    first, second = (Nifti(root, channel=c, window=[-1000, 2000]) for c in (0, 1))
    assert next(iter(first)).modality == "mr"
    assert next(iter(second)).modality == "adc"
    a, b = next(iter(first)).image, next(iter(second)).image
    np.testing.assert_array_equal(a, b[:, ::-1])
    with pytest.raises(ConfigError, match="no channel 2"):
        Nifti(root, channel=2)


def test_nnunet_1_stores_channels_in_files(tmp_path):
    root = decathlon(tmp_path, image_names="imagesTr/liver_{}_0000.nii.gz")
    assert [(c.case_id, c.group, c.target) for c in Nifti(root)] == EXPECTED


NNUNET = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "liver": 1, "cancer": 2},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}


def test_nnunet_2(tmp_path):
    root = decathlon(tmp_path, NNUNET, "imagesTr/liver_{}_0000.nii.gz")
    assert [(c.case_id, c.group, c.target) for c in Nifti(root)] == EXPECTED
    assert ids(Nifti(root, names={"cancer": 2})) == [e[0] for e in EXPECTED if e[2] == "cancer"]


def test_nnunet_regions_and_ignore(tmp_path):
    content = {**NNUNET, "labels": {"background": 0, "all": [1, 2], "cancer": [2], "ignore": 3}}
    label = LABELS.copy()
    label[5, 7, :] = 3
    cases = list(Nifti(decathlon(tmp_path, content, "imagesTr/liver_{}_0000.nii.gz", label=label)))
    assert [c.target for c in cases[:2]] == ["cancer", "all"]
    assert int(cases[1].truth.sum()) == 8
    for case in cases:
        assert case.ignore is not None
        assert int(case.ignore.sum()) == 1
        assert case.ignore[0, 0]
        assert not (case.ignore & case.truth).any()


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"labels": None}, DataError, "needs 'labels'"),
        ({"labels": {"a": "b"}}, DataError, "label values and names"),
        ({"labels": {"1": "a", "2": "a"}}, DataError, "one name to two values"),
        ({"labels": {"a": "x", "b": 1}}, DataError, "must be a label value"),
        ({"training": [{"image": "a"}]}, DataError, "needs 'image' and 'label'"),
        ({"training": [{"image": "../a.nii.gz", "label": "b.nii.gz"}]}, DataError, "refused"),
        ({"training": [{"image": "/etc/a.nii.gz", "label": "b.nii.gz"}]}, DataError, "refused"),
        ({"training": None, "file_ending": ".png"}, ConfigError, "not NIfTI"),
    ],
)
def test_wrong_dataset_json(tmp_path, change, error, reason):
    root = decathlon(tmp_path, {**MSD, **change})
    with pytest.raises(error, match=reason) as caught:
        Nifti(root)
    assert "dataset.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_listed_volume_that_is_missing(tmp_path):
    root = decathlon(tmp_path)
    (root / "imagesTr/liver_1.nii.gz").unlink()
    with pytest.raises(DataError, match=r"liver_1\.nii\.gz does not exist"):
        Nifti(root).references()
    dataset = Nifti(root, skip_invalid=True)
    assert {c.group for c in dataset} == {"liver_0"}
    assert [s.what for s in dataset.skipped] == ["labelsTr/liver_1.nii.gz"]


# --- faults -----------------------------------------------------------------------------------------


def test_labels_must_lie_on_the_grid_of_the_image(tmp_path):
    with pytest.raises(DataError, match=r"seg\.nii\.gz: does not lie on the grid .* shape \[6, 8, 9\]"):
        list(Nifti(**pair(tmp_path / "a", label=LABELS[..., :9])))
    moved = AFFINE.copy()
    moved[2, 3] = 3
    with pytest.raises(DataError, match="corners lie up to 3 mm apart"):
        list(Nifti(**pair(tmp_path / "b", label_affine=moved)))


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        (LABELS + np.float32(0.5), "whole numbers"),
        (np.where(LABELS == 1, np.nan, LABELS).astype(np.float32), "whole numbers"),
        (LABELS.astype(np.int16) - 1, "from -1 to 1"),
        (LABELS.astype(np.int32) * 70000, "0 to 65535"),
    ],
)
def test_label_values(tmp_path, label, reason):
    with pytest.raises(DataError, match=reason) as caught:
        Nifti(**pair(tmp_path, label=label)).references()
    assert str(caught.value).startswith(f"{tmp_path / 'seg.nii.gz'}: ")


def test_an_image_given_as_labels(tmp_path):
    image = np.arange(20 * 20 * 20).reshape(20, 20, 20).astype(np.int16)
    with pytest.raises(DataError, match="8,000 different values: is it the image"):
        Nifti(**pair(tmp_path, image, image)).references()


def test_whole_floats_are_labels(tmp_path):
    assert ids(Nifti(**pair(tmp_path, label=LABELS.astype(np.float32)))) == [
        "ct_axial002_value-2",
        "ct_axial003_value-1",
    ]


def test_an_empty_label_volume_is_listed(tmp_path):
    dataset = Nifti(**pair(tmp_path, label=np.zeros(SHAPE, np.uint8)))
    assert len(dataset) == 0
    assert "empty" in dataset.skipped[0].why


def test_a_truncated_image_is_found_on_loading(tmp_path):
    options = pair(tmp_path)
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])
    dataset = Nifti(**options)
    with pytest.raises(DataError, match=r"ct\.nii\.gz: "):
        list(dataset)
    assert list(Nifti(**options, skip_invalid=True)) == []


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"images": None, "labels": None}, "no dataset.json"),
        ({"labels": None}, "both"),
        ({"labels": "none.nii.gz"}, "no such file"),
        ({"images": "*_@", "labels": "*_seg"}, "'@'"),
        ({"axis": "x"}, "choices: auto, axial, coronal, sagittal"),
        ({"slices": "some"}, "choices: all, every, largest"),
        ({"every": 0}, "at least 1"),
        ({"min_area": 0}, "at least 1"),
        ({"channel": -1}, "at least 0"),
        ({"window": [5, 5]}, "low < high"),
        ({"window": 5}, "two numbers"),
        ({"names": {"a": -1}}, "dataset.names.a"),
        ({"names": {"a": []}}, "dataset.names.a"),
        ({"title": ""}, "must be a name"),
    ],
)
def test_wrong_options(tmp_path, options, reason):
    with pytest.raises(ConfigError) as caught:
        Nifti(**{**pair(tmp_path), **options})
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


# --- sharing ----------------------------------------------------------------------------------------


def test_volumes_are_read_once_and_do_not_travel(tmp_path, monkeypatch):
    from simclick.datasets import nifti

    read = []
    real = nifti.read_volume
    monkeypatch.setattr(nifti, "read_volume", lambda path, *rest: read.append(path.name) or real(path, *rest))
    dataset = Nifti(**pair(tmp_path), slices="all")
    cases = list(dataset)
    assert sorted(read) == ["ct.nii.gz", "seg.nii.gz"]
    packed = pickle.dumps(dataset)
    assert len(packed) < 5000
    copy = pickle.loads(packed)
    assert [c.sha256() for c in copy] == [c.sha256() for c in cases]
    assert str(dataset.references()[0]) == "ct_axial000_value-1 (seg.nii.gz)"


# --- real volumes -----------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(
    ("image", "label", "affine_sign"),
    [("example_ct_sm", "example_seg", 1), ("example_mr_sm", "example_seg_mr", -1)],
)
def test_real_volumes(image, label, affine_sign):
    root = shared("totalsegmentator_tests") / "tests/reference_files"
    names = {"liver": 5, "spleen": 1}
    dataset = Nifti(root, images=f"{image}.nii.gz", labels=f"{label}.nii.gz", names=names)
    cases = {case.target: (reference, case) for reference, case in dataset.items()}
    assert set(cases) == {"liver", "spleen"}
    stored = np.asanyarray(nibabel.load(root / f"{label}.nii.gz").dataobj)
    for target, (reference, case) in cases.items():
        areas = (stored == names[target]).sum(axis=(0, 1))
        assert reference.index == int(areas.argmax())
        assert int(case.truth.sum()) == int(areas.max())
        assert case.spacing == (3.0, 3.0)
        # Stored to the right and anterior (CT) it is flipped twice; stored to the left and
        # posterior (MR) it lies as a radiologist sees it.
        cut = stored[..., reference.index] == names[target]
        np.testing.assert_array_equal(case.truth, cut[::-affine_sign, ::-affine_sign].T)
    columns = {target: np.argwhere(case.truth)[:, 1].mean() for target, (_, case) in cases.items()}
    assert columns["liver"] < columns["spleen"]  # the liver is on the right, at the viewer's left
    assert len(Nifti(root, images=f"{image}.nii.gz", labels=f"{label}.nii.gz", slices="all")) > 200
