import unicodedata

import pytest

from simclick.datasets.pairing import Pair, PathPattern, pair_files
from simclick.errors import ConfigError, DataError

SUFFIXES = (".png", ".jpg", ".nii", ".nii.gz")


def tree(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def pairs(root, images, masks, in_folder="*"):
    """Return pairs, faults and ignored files."""
    faults, ignored = [], []
    found = pair_files(
        PathPattern(root, images, "images", SUFFIXES),
        PathPattern(root, masks, "masks", SUFFIXES, in_folder),
        lambda what, why: faults.append((what, why)),
        lambda what, why: ignored.append(what),
    )
    return found, faults, ignored


def test_equal_stems_whatever_the_ending(tmp_path):
    tree(
        tmp_path, "images/b.JPG", "images/a.png", "images/C.png", "masks/a.png", "masks/b.png", "masks/C.png"
    )
    found, faults, ignored = pairs(tmp_path, "images", "masks")
    assert [(p.name, p.image, p.masks) for p in found] == [
        ("C", "images/C.png", (("", "masks/C.png"),)),
        ("a", "images/a.png", (("", "masks/a.png"),)),
        ("b", "images/b.JPG", (("", "masks/b.png"),)),
    ]
    assert not faults
    assert not ignored


def test_hidden_files_are_ignored_and_strange_ones_named(tmp_path):
    tree(tmp_path, "images/a.png", "images/.DS_Store", "images/._a.png", "images/notes.txt", "masks/a.png")
    tree(tmp_path, "masks/.a.png", "masks/a.png.bak")
    found, faults, ignored = pairs(tmp_path, "images", "masks")
    assert [p.name for p in found] == ["a"]
    assert not faults
    assert ignored == ["images/notes.txt", "masks/a.png.bak"]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("masks/*_mask", ["masks/a_mask.png", "masks/b_mask.png"]),
        ("masks/*_mask.png", ["masks/a_mask.png", "masks/b_mask.png"]),
        ("masks/seg-*-x", ["masks/seg-a-x.png", "masks/seg-b-x.png"]),
        ("*/mask", ["a/mask.png", "b/mask.png"]),
        ("*/*-seg", ["a/a-seg.nii.gz", "b/b-seg.nii.gz"]),
    ],
)
def test_patterns_of_one_mask(tmp_path, pattern, paths):
    tree(tmp_path, "images/a.png", "images/b.png", *paths)
    found, faults, _ = pairs(tmp_path, "images", pattern)
    assert [p.masks for p in found] == [(("", path),) for path in paths]
    assert not faults


@pytest.mark.parametrize(
    ("pattern", "path"),
    [("masks", "masks/{}_{}"), ("masks/*_@", "masks/{}_{}"), ("m/*/@", "m/{}/{}"), ("m/@/*", "m/{1}/{0}")],
)
def test_patterns_of_several_objects(tmp_path, pattern, path):
    expected = {"p_1": ["vena_cava", "liver"], "p_1_2": ["liver"], "q": ["x"]}
    for case, objects in expected.items():
        tree(tmp_path, f"images/{case}.png", *(path.format(case, o) + ".png" for o in objects))
    found, faults, _ = pairs(tmp_path, "images", pattern, "*_@")
    assert {p.name: [name for name, _ in p.masks] for p in found} == {
        case: sorted(objects) for case, objects in expected.items()
    }
    assert not faults


def test_the_longest_case_that_exists_wins(tmp_path):
    tree(tmp_path, "images/a.png", "images/a_b.png", "m/a_b_c.png", "m/a_x_y.png")
    found, _, _ = pairs(tmp_path, "images", "m/*_@")
    assert [p.masks for p in found] == [(("x_y", "m/a_x_y.png"),), (("c", "m/a_b_c.png"),)]


def test_images_and_masks_in_one_folder(tmp_path):
    tree(tmp_path, "a.png", "a_mask.png", "a_mask_1.png", "b.png", "b_mask.png")
    found, faults, _ = pairs(tmp_path, "*", "*_mask")
    assert [(p.name, p.masks) for p in found] == [("a", (("", "a_mask.png"),)), ("b", (("", "b_mask.png"),))]
    assert [what for what, _ in faults] == ["a_mask_1.png"]
    found, faults, _ = pairs(tmp_path, ".", "*_mask")
    assert [p.name for p in found] == ["a", "b"]


def test_unpaired_files_are_faults(tmp_path):
    tree(tmp_path, "images/a.png", "images/lonely.png", "masks/a.png", "masks/stray.png")
    found, faults, _ = pairs(tmp_path, "images", "masks")
    assert [p.name for p in found] == ["a"]
    assert [what for what, _ in faults] == ["masks/stray.png", "images/lonely.png"]
    assert "without an image" in faults[0][1]
    assert "no mask" in faults[1][1]


def test_two_files_of_one_name_are_faults(tmp_path):
    tree(
        tmp_path, "images/a.png", "images/a.jpg", "images/b.png", "masks/a.png", "masks/b.png", "masks/b.jpg"
    )
    found, faults, _ = pairs(tmp_path, "images", "masks")
    assert not found
    assert {what for what, _ in faults} == {"images/a.png", "masks/b.png"}


def test_a_pair_of_files(tmp_path):
    tree(tmp_path, "sub/ct.nii.gz", "seg.nii.gz")
    assert pairs(tmp_path, "sub/ct.nii.gz", "seg.nii.gz")[0] == [
        Pair("ct", "sub/ct.nii.gz", (("", "seg.nii.gz"),))
    ]


def test_names_are_compared_composed(tmp_path):
    tree(tmp_path, f"images/{unicodedata.normalize('NFD', 'é')}.png", f"masks/{'é'}.png")
    found, faults, _ = pairs(tmp_path, "images", "masks")
    assert [p.name for p in found] == [unicodedata.normalize("NFC", "é")]
    assert not faults


def test_folder_names_with_glob_characters(tmp_path):
    tree(tmp_path, "im[1]/a?.png", "masks/a?.png")
    assert [p.name for p in pairs(tmp_path, "im[1]", "masks")[0]] == ["a?"]


def test_a_file_where_a_folder_is_expected_and_nothing_at_all(tmp_path):
    tree(tmp_path, "images/note.txt", "masks/a.png")
    with pytest.raises(DataError, match="no image fits images/\\*"):
        pairs(tmp_path, "images", "masks")


@pytest.mark.parametrize(
    ("images", "masks", "reason"),
    [
        ("imges", "masks", "no such file or folder"),
        ("imges/*", "masks", "no such folder"),
        ("images", "../masks", "inside"),
        ("images", "/etc/*", "inside"),
        ("images", "masks/*@", "between"),
        ("images", "masks/@", "no '\\*'"),
        ("images", "", "path pattern"),
        ("images", "images/*", "does not go with"),
        ("images", "masks/a.png", "does not go with"),
    ],
)
def test_wrong_patterns(tmp_path, images, masks, reason):
    tree(tmp_path, "images/a.png", "masks/a.png")
    with pytest.raises(ConfigError, match=reason):
        pairs(tmp_path, images, masks)
