import io
import pickle

import numpy as np
import pytest
from PIL import Image
from reader_files import disc, picture, write_png

from simclick.datasets import images as images_module
from simclick.datasets.folder import Folder
from simclick.errors import ConfigError, DataError

DISC = disc()
LABELS = np.where(DISC, 3, 0).astype(np.uint8)
LABELS[0, :5] = 1
EMPTY = np.zeros_like(LABELS)


def folder(root, masks, images=None):
    """Write images (random grey unless given) and masks {relative path: samples}."""
    for name in images or sorted({"images/" + path.split("/")[-1] for path in masks}):
        write_png(root / name, picture(seed=sum(name.encode())))
    for path, samples in masks.items():
        write_png(root / path, samples)
    return root


def summary(dataset):
    return [(case.case_id, case.target, int(case.truth.sum())) for case in dataset]


# --- what a mask holds ------------------------------------------------------------------------------


def test_binary(tmp_path):
    root = folder(tmp_path, {"masks/a.png": DISC * np.uint8(255), "masks/b.png": DISC * np.uint8(1)})
    dataset = Folder(root, modality="us", spacing=[0.5, 0.25], target="cyst", title="cysts")
    assert summary(dataset) == [("a", "cyst", DISC.sum()), ("b", "cyst", DISC.sum())]
    case = next(iter(dataset))
    np.testing.assert_array_equal(case.truth, DISC)
    np.testing.assert_array_equal(case.image[..., 2], picture(seed=sum(b"images/a.png")))
    assert (case.dataset, case.group, case.modality, case.spacing) == ("cysts", "a", "us", (0.5, 0.25))
    assert not dataset.skipped
    assert len(dataset) == 2


def test_label_map_by_every_value_found(tmp_path):
    root = folder(tmp_path, {"masks/a.png": LABELS, "masks/b.png": (LABELS > 1).astype(np.uint16) * 700})
    assert summary(Folder(root, targets="value")) == [
        ("a_value-1", "value-1", 5),
        ("a_value-3", "value-3", DISC.sum()),
        ("b_value-700", "value-700", DISC.sum()),
    ]


def test_label_map_by_name_lists_what_is_absent(tmp_path):
    root = folder(tmp_path, {"masks/a.png": LABELS, "masks/b.png": (LABELS == 1).astype(np.uint8)})
    dataset = Folder(root, targets="value", names={"liver": 3, "tip": 1, "both": [1, 3]})
    assert summary(dataset) == [
        ("a_liver", "liver", DISC.sum()),
        ("a_tip", "tip", 5),
        ("a_both", "both", DISC.sum() + 5),
        ("b_tip", "tip", 5),
        ("b_both", "both", 5),
    ]
    assert [(s.what, s.why) for s in dataset.skipped] == [("masks/b.png", "no pixel of liver")]
    dataset = Folder(root, targets="value", names={"liver": 3}, keep_empty=True)
    assert summary(dataset) == [("a_liver", "liver", DISC.sum()), ("b_liver", "liver", 0)]
    assert not dataset.skipped


def test_label_map_by_palette_index(tmp_path):
    palette = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 0, 0]])
    folder(tmp_path, {"masks/a.png": LABELS})
    write_png(tmp_path / "masks/a.png", LABELS, palette=palette)
    assert [s[1:] for s in summary(Folder(tmp_path, targets="value"))] == [
        ("value-1", 5),
        ("value-3", DISC.sum()),
    ]
    assert summary(Folder(tmp_path, targets="colour")) == [
        ("a_colour-800000", "colour-800000", DISC.sum() + 5)
    ]
    assert summary(Folder(tmp_path)) == [("a", "object", DISC.sum() + 5)]


def test_colours(tmp_path):
    mask = np.zeros((*DISC.shape, 3), np.uint8)
    mask[DISC] = 255, 0, 10
    mask[0, 0] = 0, 0, 1
    root = folder(tmp_path, {"masks/a.png": mask})
    assert summary(Folder(root, targets="colour")) == [
        ("a_colour-000001", "colour-000001", 1),
        ("a_colour-ff000a", "colour-ff000a", DISC.sum()),
    ]
    names = {"polyp": [255, 0, 10], "none": [1, 1, 1]}
    dataset = Folder(root, targets="colour", names=names)
    assert summary(dataset) == [("a_polyp", "polyp", DISC.sum())]
    assert "none" in dataset.skipped[0].why


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        (None, ["masks/p_1_liver.png", "masks/p_1_left_kidney.png"]),
        ("masks/*/@", ["masks/p_1/liver.png", "masks/p_1/left_kidney.png"]),
        ("@/*", ["liver/p_1.png", "left_kidney/p_1.png"]),
    ],
)
def test_one_file_per_object(tmp_path, pattern, paths):
    samples = [DISC * np.uint8(255), np.roll(DISC, 1, axis=0) * np.uint8(255)]
    masks = dict(zip(paths, samples, strict=True))
    root = folder(tmp_path, masks, ["images/p_1.png"])
    dataset = Folder(root, targets="objects", masks=pattern)
    assert [(c.case_id, c.target) for c in dataset] == [
        ("p_1_left_kidney", "left_kidney"),
        ("p_1_liver", "liver"),
    ]
    left, liver = dataset
    np.testing.assert_array_equal(liver.truth, DISC)
    np.testing.assert_array_equal(left.truth, np.roll(DISC, 1, axis=0))


def test_soft_masks_by_threshold(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (12, 1))
    root = folder(tmp_path, {"masks/a.png": ramp, "masks/b.png": ramp.astype(np.uint16) * 257})
    for threshold, columns in [(None, 15), (0.5, (ramp[0] >= 127.5).sum()), (1.0, 1)]:
        assert [n for _, _, n in summary(Folder(root, threshold=threshold))] == [12 * columns] * 2


def test_jpeg_masks(tmp_path):
    mask, out = disc(64, 64, 20.0), io.BytesIO()
    Image.fromarray(mask * np.uint8(255)).save(out, "JPEG", quality=60)
    write_png(tmp_path / "images/a.png", picture(64, 64))
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/a.jpg").write_bytes(out.getvalue())
    (case,) = Folder(tmp_path)
    assert (case.truth ^ mask).sum() < 0.02 * mask.sum()
    with pytest.raises(DataError, match=r"masks/a\.jpg: label values do not survive JPEG"):
        list(Folder(tmp_path, targets="value"))


def test_images_of_every_kind_become_rgb(tmp_path):
    samples = np.random.default_rng(0).integers(0, 65536, (12, 16, 4)).astype(np.uint16)
    kinds = {"a": samples[..., 0], "b": samples, "c": (samples >> 8).astype(np.uint8), "d": samples[..., :2]}
    for name, image in kinds.items():
        write_png(tmp_path / f"images/{name}.png", image)
        write_png(tmp_path / f"masks/{name}.png", DISC * np.uint8(255))
    a, b, c, d = (case.image for case in Folder(tmp_path))
    np.testing.assert_array_equal(a, images_module.to_rgb(samples[..., 0]))
    np.testing.assert_array_equal(b, images_module.to_rgb(samples[..., :3]))
    np.testing.assert_array_equal(c, (samples >> 8).astype(np.uint8)[..., :3])
    np.testing.assert_array_equal(d, a)
    clipped = [case.image for case in Folder(tmp_path, recipe="cosmos")]
    np.testing.assert_array_equal(clipped[2], images_module.to_rgb(c, "cosmos"))


# --- order, names, groups ---------------------------------------------------------------------------


def test_order_is_by_code_point_and_ids_are_safe(tmp_path):
    masks = {f"masks/{name}.png": DISC * np.uint8(1) for name in ("a 2 (left)", "a10", "Z", "_x")}
    dataset = Folder(folder(tmp_path, masks))
    assert [r.case_id for r in dataset.references()] == ["Z", "_x", "a_2__left_", "a10"]


def test_two_names_with_one_id_are_refused(tmp_path):
    root = folder(tmp_path, {"masks/a b.png": DISC * np.uint8(1), "masks/a_b.png": DISC * np.uint8(1)})
    for _ in range(2):  # also when asked again
        with pytest.raises(DataError, match="have the same id"):
            Folder(root, skip_invalid=True).references()


def test_groups_by_expression(tmp_path):
    names = ("p1_s1", "p1_s2", "p2_s1")
    root = folder(tmp_path, {f"masks/{name}.png": DISC * np.uint8(1) for name in names})
    assert [case.group for case in Folder(root, group="^(p[0-9]+)_")] == ["p1", "p1", "p2"]
    assert [case.group for case in Folder(root)] == list(names)
    with pytest.raises(DataError, match=r"p2_s1\.png: the name 'p2_s1' does not fit"):
        Folder(root, group="^(p1)").references()
    dataset = Folder(root, group="^(p1)", skip_invalid=True)
    assert [case.case_id for case in dataset] == ["p1_s1", "p1_s2"]
    assert [s.what for s in dataset.skipped] == ["images/p2_s1.png"]


def test_references_are_readable_and_travel(tmp_path):
    dataset = Folder(folder(tmp_path, {"masks/a.png": LABELS}), targets="value")
    first = dataset.references()[0]
    assert str(first) == "a_value-1 (masks/a.png)"
    case = dataset.load(first)
    copy = pickle.loads(pickle.dumps(dataset))
    assert len(pickle.dumps(dataset)) < 4000  # no image travels
    assert copy.load(pickle.loads(pickle.dumps(first))).sha256() == case.sha256()


def test_an_image_is_read_once_for_all_its_objects(tmp_path, monkeypatch):
    dataset = Folder(folder(tmp_path, {"masks/a.png": LABELS}), targets="value")
    cases = list(dataset)
    assert len(cases) == 2
    assert np.shares_memory(cases[0].image, cases[1].image)


# --- faults -----------------------------------------------------------------------------------------


def test_empty_masks_are_listed(tmp_path):
    root = folder(tmp_path, {"masks/a.png": EMPTY, "masks/b.png": DISC * np.uint8(1)})
    for targets in ("binary", "value", "colour"):
        dataset = Folder(root, targets=targets)
        assert len(dataset) == 1
        assert len(dataset) == 1
        assert [s.what for s in dataset.skipped] == ["masks/a.png"]
        assert "empty" in dataset.skipped[0].why
    assert [n for _, _, n in summary(Folder(root, keep_empty=True))] == [0, DISC.sum()]


def test_a_mask_of_another_size(tmp_path):
    root = folder(tmp_path, {"masks/a.png": DISC[:10] * np.uint8(1), "masks/b.png": DISC * np.uint8(1)})
    with pytest.raises(
        DataError, match=r"a\.png: the mask has 16 x 10 pixels, its image images/a\.png 16 x 12"
    ):
        list(Folder(root))
    dataset = Folder(root, skip_invalid=True)
    assert [case.case_id for case in dataset] == ["b"]
    assert len(dataset.skipped) == 1


@pytest.mark.parametrize("which", ["images/a.png", "masks/a.png"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_bad_file_is_named_or_listed(tmp_path, which, damage):
    root = folder(tmp_path, {"masks/a.png": DISC * np.uint8(1), "masks/b.png": DISC * np.uint8(1)})
    data = (root / which).read_bytes()
    (root / which).write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(DataError) as caught:
        list(Folder(root))
    assert str(caught.value).startswith(f"{root / which}: ")
    assert str(caught.value).count(str(root / which)) == 1
    dataset = Folder(root, skip_invalid=True)
    assert [case.case_id for case in dataset] == ["b"]
    (skipped,) = dataset.skipped
    assert which in skipped.why


def test_unpaired_files(tmp_path):
    root = folder(tmp_path, {"masks/a.png": DISC * np.uint8(1), "masks/b.png": DISC * np.uint8(1)})
    (root / "images/b.png").unlink()
    with pytest.raises(DataError, match=r"masks/b\.png: is a mask without an image"):
        Folder(root).references()
    dataset = Folder(root, skip_invalid=True)
    assert [case.case_id for case in dataset] == ["a"]
    assert [s.what for s in dataset.skipped] == ["masks/b.png"]


def test_a_photograph_is_no_label_map(tmp_path):
    noise = np.random.default_rng(0).integers(0, 65535, (12, 16)).astype(np.uint16)
    noise = np.tile(noise, (5, 5)) + np.arange(60 * 80).reshape(60, 80).astype(np.uint16)
    write_png(tmp_path / "images/a.png", picture(60, 80))
    write_png(tmp_path / "masks/a.png", noise)
    with pytest.raises(DataError, match="distinct values"):
        Folder(tmp_path, targets="value").references()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"root": None}, "dataset.root=FOLDER"),
        ({"root": "/does/not/exist"}, "no such folder: /does/not/exist"),
        ({"targets": "binari"}, "did you mean 'binary'"),
        ({"recipe": "cosmo"}, "choices: cosmos, cosmos-0.5, simclick"),
        ({"images": "imgs"}, "dataset.images='imgs': no such"),
        ({"masks": "m"}, "dataset.masks='m': no such"),
        ({"masks": "masks/*_@"}, "targets=objects"),
        ({"targets": "objects", "masks": "masks/*"}, "targets=objects"),
        ({"names": {"a": 1}}, "targets=value or colour"),
        ({"targets": "value", "names": {"a": 0}}, "dataset.names.a"),
        ({"targets": "value", "names": ["a"]}, "must be {name: value"),
        ({"targets": "colour", "names": {"a": [0, 0, 256]}}, "from 0 to 255"),
        ({"threshold": 0}, "fraction"),
        ({"threshold": 0.5, "targets": "value"}, "targets=binary or objects"),
        ({"group": "("}, "no regular expression"),
        ({"group": "p[0-9]+"}, "capture group"),
        ({"spacing": 0}, "positive"),
        ({"spacing": [1, 2, 3]}, "two numbers"),
        ({"spacing": "1mm"}, "two numbers"),
        ({"title": "a/b"}, "must be a name"),
    ],
)
def test_wrong_options(tmp_path, options, reason):
    root = folder(tmp_path, {"masks/a.png": DISC * np.uint8(1)})
    with pytest.raises(ConfigError) as caught:
        Folder(**{"root": root, **options})
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
