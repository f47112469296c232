import numpy as np
import pytest
from PIL import Image
from reader_files import disc, picture, shared, write_json, write_png

from simclick.datasets.sam_med2d import SamMed2D
from simclick.errors import ConfigError, DataError

DISC = disc() * np.uint8(255)
TEST = {
    "data_demo/masks/p_2_7_vena_cava_000.png": "data_demo/images/p_2_7.png",
    "data_demo/masks/s1_3_hip_left_001.png": "data_demo/images/s1_3.png",
    "data_demo/masks/s1_3_hip_left_000.png": "data_demo/images/s1_3.png",
}
TRAIN = {"data_demo/images/p_2_7.png": ["data_demo/masks/p_2_7_liver_000.png"]}


def demo(root, folder="data_demo", test=TEST, train=TRAIN, empty=()):
    for mask, image in [*TEST.items(), *((m, i) for i, masks in TRAIN.items() for m in masks)]:
        image, mask = (path.replace("data_demo", folder) for path in (image, mask))
        write_png(root / image, np.stack([picture(seed=len(image))] * 3, axis=2))
        write_png(root / mask, DISC * np.uint8(mask.rsplit("/")[-1] not in empty))
    if test is not None:
        write_json(root / folder / "label2image_test.json", test)
    if train is not None:
        write_json(root / folder / "image2label_train.json", train)
    return root


EXPECTED = [
    ("p_2_7_liver_000", "p_2", "liver"),
    ("p_2_7_vena_cava_000", "p_2", "vena_cava"),
    ("s1_3_hip_left_000", "s1", "hip_left"),
    ("s1_3_hip_left_001", "s1", "hip_left"),
]


@pytest.mark.parametrize("folder", ["data_demo", "renamed"])
@pytest.mark.parametrize("inside", [True, False])
def test_names_from_masks_and_both_roots(tmp_path, folder, inside):
    root = demo(tmp_path, folder)
    if folder == "renamed" and not inside:
        with pytest.raises(ConfigError, match="label2image_test"):
            SamMed2D(root)
        return
    cases = list(SamMed2D(root / folder if inside else root))
    assert [(c.case_id, c.group, c.target) for c in cases] == EXPECTED
    assert {c.modality for c in cases} == {"ct"}
    np.testing.assert_array_equal(cases[0].truth, disc())
    assert np.shares_memory(cases[0].image, cases[1].image)


def test_splits(tmp_path):
    root = demo(tmp_path)
    assert [r.case_id for r in SamMed2D(root, split="test").references()] == [
        name for name, _, _ in EXPECTED if "liver" not in name
    ]
    assert [r.case_id for r in SamMed2D(root, split="train").references()] == ["p_2_7_liver_000"]
    assert len(SamMed2D(root)) == 4


def test_all_takes_what_is_there_and_counts_a_mask_once(tmp_path):
    assert len(SamMed2D(demo(tmp_path / "a", train=None))) == 3
    twice = {**TEST, "data_demo/masks/p_2_7_liver_000.png": "data_demo/images/p_2_7.png"}
    assert len(SamMed2D(demo(tmp_path / "b", test=twice))) == 4
    with pytest.raises(ConfigError, match="image2label_train"):
        SamMed2D(tmp_path / "a", split="train")
    with pytest.raises(ConfigError, match="split"):
        SamMed2D(tmp_path / "a", split="val")


def test_groups_by_expression(tmp_path):
    assert {c.group for c in SamMed2D(demo(tmp_path), group="_([0-9]+)$")} == {"7", "3"}


def test_empty_masks_are_listed(tmp_path):
    dataset = SamMed2D(demo(tmp_path, empty=["s1_3_hip_left_001.png"]))
    assert len(dataset) == 3
    assert [s.what for s in dataset.skipped] == ["data_demo/masks/s1_3_hip_left_001.png"]


@pytest.mark.parametrize(
    "path",
    [
        "../secret/masks/p_2_7_x_000.png",
        "data_demo/../../secret/p_2_7_x_000.png",
        "/etc/p_2_7_x_000.png",
        "C:\\secret\\p_2_7_x_000.png",
        "",
    ],
)
def test_paths_out_of_the_data_set_are_refused(tmp_path, path):
    write_png(tmp_path / "secret/masks/p_2_7_x_000.png", DISC)
    write_png(tmp_path / "secret/p_2_7_x_000.png", DISC)
    root = demo(tmp_path / "root", test={path: "data_demo/images/p_2_7.png"})
    with pytest.raises(DataError, match=r"label2image_test\.json: the path .* refused"):
        SamMed2D(root).references()
    dataset = SamMed2D(root, skip_invalid=True)
    assert [r.case_id for r in dataset.references()] == ["p_2_7_liver_000"]
    assert "refused" in dataset.skipped[0].why


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ({"data_demo/masks/none.png": "data_demo/images/p_2_7.png"}, "no such file"),
        ({"data_demo/masks/p_2_7_liver_000.png": "data_demo/images/s1_3.png"}, "does not begin with"),
        ({"data_demo/masks/p_2_7_liver_000.png": 3}, "all of them text"),
        (["data_demo/masks/p_2_7_liver_000.png"], "JSON object"),
        ("{not json", "not valid JSON"),
    ],
)
def test_wrong_json(tmp_path, test, reason):
    with pytest.raises(DataError, match=reason):
        SamMed2D(demo(tmp_path, test=test)).references()


def test_wrong_train_json(tmp_path):
    train = {"data_demo/images/p_2_7.png": "data_demo/masks/p_2_7_liver_000.png"}
    with pytest.raises(DataError, match="list of masks"):
        SamMed2D(demo(tmp_path, train=train)).references()


@pytest.mark.data
def test_the_demonstration_data():
    root = shared("sam_med2d_demo")
    cases = list(SamMed2D(root))
    assert len(cases) == 30
    assert [c.group for c in cases] == sorted(c.group for c in cases)
    assert len({c.image_sha256() for c in cases}) == 4
    assert {c.group for c in cases} == {"amos_0004", "amos_0006", "s0114", "s0619"}
    assert {"liver", "inferior_vena_cava", "rib_left_9", "vertebrae_T9", "hip_left"} <= {
        c.target for c in cases
    }
    for case in cases:
        stored = np.asarray(Image.open(root / f"data_demo/masks/{case.case_id}.png"))
        np.testing.assert_array_equal(case.truth, stored == 255)
    assert len(SamMed2D(root, split="train")) == 19
    inside = SamMed2D(root / "data_demo", split="test")
    assert len(inside) == 11
    assert [c.sha256() for c in inside] == [c.sha256() for c in SamMed2D(root, split="test")]
