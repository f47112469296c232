import pickle
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from reader_files import picture, shared, write_json, write_png

from simclick.datasets.cosmos import Cosmos
from simclick.datasets.images import to_rgb
from simclick.errors import ConfigError, DataError

HEART = {"info": {"1": "LV", "2": "RV"}, "color": {"1": 85, "2": 255}}


def label(lv=6, rv=60):
    values = np.zeros(12 * 16, np.uint8)
    values[:lv] = 85
    values[100 : 100 + rv] = 255
    return values.reshape(12, 16)


def repository(root, labels, name="22_Heart", content=HEART):
    for stem, values in labels.items():
        write_png(root / f"data/test_data/{name}/images/{stem}.png", picture(seed=len(stem)))
        write_png(root / f"data/test_data/{name}/labels/{stem}.png", values)
    write_json(root / f"data_infor_json/{name}.json", content)
    return root


def test_objects_groups_and_order(tmp_path):
    root = repository(tmp_path, {"22_Heart_2_8": label(), "22_Heart_2_10": label(), "22_Heart_12_1": label()})
    cases = list(Cosmos(root))
    assert [(c.case_id, c.group, c.target, int(c.truth.sum())) for c in cases] == [
        ("22_Heart_12_1_LV", "22_Heart_12", "LV", 6),
        ("22_Heart_12_1_RV", "22_Heart_12", "RV", 60),
        ("22_Heart_2_10_LV", "22_Heart_2", "LV", 6),
        ("22_Heart_2_10_RV", "22_Heart_2", "RV", 60),
        ("22_Heart_2_8_LV", "22_Heart_2", "LV", 6),
        ("22_Heart_2_8_RV", "22_Heart_2", "RV", 60),
    ]
    np.testing.assert_array_equal(cases[0].truth, label() == 85)
    assert {c.modality for c in cases} == {"mr"}
    assert {c.dataset for c in cases} == {"cosmos"}
    assert cases[0].spacing is None
    assert np.shares_memory(cases[0].image, cases[1].image)


def test_several_sets_in_one_repository(tmp_path):
    repository(tmp_path, {"22_Heart_2_8": label()})
    repository(tmp_path, {"9_Lung_7_1_0": label(0)}, "9_Lung", {"info": {"1": "Lung"}, "color": {"1": 255}})
    cases = list(Cosmos(tmp_path))
    assert [(c.group, c.modality) for c in cases] == [("22_Heart_2", "mr")] * 2 + [("9_Lung_7", "unknown")]


def test_a_root_that_holds_images_and_labels(tmp_path):
    repository(tmp_path, {"22_Heart_2_8": label()})
    root = tmp_path / "data/test_data/22_Heart"
    write_json(root / "22_Heart.json", HEART)
    assert [c.sha256() for c in Cosmos(root)] == [c.sha256() for c in Cosmos(tmp_path)]


def test_absent_objects_are_counted_not_listed_one_by_one(tmp_path):
    labels = {f"22_Heart_1_{i}": label(rv=0 if i else 9) for i in range(3)}
    dataset = Cosmos(repository(tmp_path, labels))
    assert len(dataset) == 4
    assert [(s.what, s.why) for s in dataset.skipped] == [("22_Heart: RV", "absent from 2 of 3 labels")]


def test_empty_labels_and_small_objects_are_listed(tmp_path):
    root = repository(tmp_path, {"22_Heart_1_1": label(0, 0), "22_Heart_1_2": label(50, 51)})
    assert Cosmos(root).skipped == []  # nothing is read before it is asked for
    dataset = Cosmos(root, min_area=51)
    assert [r.target for r in dataset.references()] == ["RV"]
    assert [(s.what.rsplit("/")[-1], s.why) for s in dataset.skipped] == [
        ("22_Heart_1_1.png", "the label is empty: it holds no object"),
        ("22_Heart_1_2.png: LV", "50 pixels, min_area is 51"),
        ("22_Heart: LV", "absent from 1 of 2 labels"),
        ("22_Heart: RV", "absent from 1 of 2 labels"),
    ]


def test_the_first_channel_of_a_colour_label_counts(tmp_path):
    colour = np.dstack([label(), np.full((12, 16), 7, np.uint8), label()])
    cases = list(Cosmos(repository(tmp_path, {"22_Heart_1_1": colour})))
    assert [int(c.truth.sum()) for c in cases] == [6, 60]


def test_recipe(tmp_path):
    root = repository(tmp_path, {"22_Heart_1_1": label()})
    grey = picture(seed=len("22_Heart_1_1"))
    np.testing.assert_array_equal(next(iter(Cosmos(root))).image, to_rgb(grey))
    np.testing.assert_array_equal(next(iter(Cosmos(root, recipe="cosmos"))).image, to_rgb(grey, "cosmos"))


def test_an_unnamed_grey_value_is_an_error(tmp_path):
    root = repository(tmp_path, {"22_Heart_1_1": label() + (label() == 0) * np.uint8(3)})
    with pytest.raises(DataError, match=r"22_Heart_1_1\.png: holds grey value 3"):
        Cosmos(root).references()
    dataset = Cosmos(root, skip_invalid=True)
    assert len(dataset) == 0
    assert "grey value 3" in dataset.skipped[0].why


def test_a_name_without_a_patient_needs_a_rule(tmp_path):
    root = repository(tmp_path, {"case-7": label()})
    with pytest.raises(DataError, match=r"dataset\.group"):
        Cosmos(root).references()
    assert {c.group for c in Cosmos(root, group="case-([0-9]+)")} == {"7"}


@pytest.mark.parametrize(
    "content",
    [
        {"info": {"1": "a"}},
        {"info": {"1": "a"}, "color": {"2": 85}},
        {"info": {}, "color": {}},
        {"info": {"1": "a"}, "color": {"1": 0}},
        {"info": {"1": "a"}, "color": {"1": "85"}},
        {"info": {"1": "a", "2": "a"}, "color": {"1": 1, "2": 2}},
        {"info": {"1": "a", "2": "b"}, "color": {"1": 1, "2": 1}},
    ],
)
def test_wrong_json(tmp_path, content):
    root = repository(tmp_path, {"22_Heart_1_1": label()}, content=content)
    with pytest.raises(DataError, match=r"22_Heart\.json: "):
        Cosmos(root)


def test_wrong_roots_and_options(tmp_path):
    with pytest.raises(ConfigError, match="neither images/"):
        Cosmos(tmp_path)
    root = repository(tmp_path, {"22_Heart_1_1": label()})
    with pytest.raises(ConfigError, match="min_area"):
        Cosmos(root, min_area=0)
    with pytest.raises(ConfigError, match="0 JSON files"):
        Cosmos(root / "data/test_data/22_Heart")
    (root / "data_infor_json/22_Heart.json").unlink()
    with pytest.raises(DataError, match=r"22_Heart\.json: cannot be read"):
        Cosmos(root)


@pytest.mark.data
def test_the_published_slices():
    root = shared("yuhoo0302_sam_medical")
    dataset = Cosmos(root)
    cases = list(dataset)
    assert len({c.image_sha256() for c in cases}) == 30
    assert Counter(c.target for c in cases) == {
        "LeftVentricle": 14,
        "LeftVentricularMyocardium": 14,
        "RightVentricle": 12,
        "PancreaticMass": 16,
    }
    assert {c.group for c in cases if c.modality == "mr"} == {f"22_Heart_{n}" for n in (2, 3, 4, 5)}
    assert len({c.group for c in cases if c.modality == "ct"}) == 8
    assert {(s.what, s.why) for s in dataset.skipped} == {
        ("22_Heart: RightVentricle", "absent from 2 of 14 labels"),
        ("6_Pancreas: Pancreas", "absent from 16 of 16 labels"),
    }
    for reference, case in dataset.items():
        stored = np.asarray(Image.open(root / reference.mask))
        value = {"LeftVentricle": 85, "LeftVentricularMyocardium": 170}.get(case.target, 255)
        np.testing.assert_array_equal(case.truth, stored == value)
    copy = pickle.loads(pickle.dumps(dataset))
    assert [c.sha256() for c in copy] == [c.sha256() for c in cases]
    assert len(list(Cosmos(root, recipe="cosmos", min_area=51))) == 56
