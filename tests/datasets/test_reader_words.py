"""What the readers say: the way out of a bad file, the rule of patterns, masks merged into one object."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from reader_files import disc, picture, write_png

from simclick.datasets.folder import Folder
from simclick.datasets.nifti import Nifti
from simclick.errors import ConfigError, DataError

LABELS = np.where(disc(radius=5.0), np.where(disc(), 2, 1), 0).astype(np.uint8)
WAY_OUT = "; dataset.skip_invalid=true leaves such cases out"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_png(tmp_path / "images" / f"{name}.png", picture())
        write_png(tmp_path / "masks" / f"{name}.png", disc().astype(np.uint8) * 255)
    return tmp_path


def damaged(root: Path) -> None:
    file = root / "images" / "b.png"
    file.write_bytes(file.read_bytes()[:-30])


def other_size(root: Path) -> None:
    write_png(root / "masks" / "b.png", np.full((5, 5), 255, np.uint8))


def no_image(root: Path) -> None:
    (root / "images" / "b.png").unlink()


def no_mask(root: Path) -> None:
    (root / "masks" / "b.png").unlink()


def bad_mask(root: Path) -> None:
    (root / "masks" / "b.png").write_text("no picture")


@pytest.mark.parametrize("harm", [damaged, other_size, no_image, no_mask, bad_mask])
def test_a_bad_file_says_the_way_out_that_works(root: Path, harm) -> None:
    harm(root)
    with pytest.raises(DataError, match="b") as caught:
        list(Folder(root))
    assert str(caught.value).endswith(WAY_OUT)
    assert str(caught.value).count("skip_invalid") == 1
    assert [case.case_id for case in Folder(root, skip_invalid=True)] == ["a"]


def test_every_star_is_the_same_name_and_the_message_says_so(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        write_png(tmp_path / kind / "p1" / "1.png", picture())
    with pytest.raises(DataError, match=r"no image fits images/\*/\*: every \* is the same name"):
        list(Folder(tmp_path, images="images/*/*", masks="masks/*/*"))
    with pytest.raises(ConfigError, match=r"'\*\*' has no meaning; every \* is the same name"):
        Folder(tmp_path, images="images/**")


def test_files_of_another_kind_are_named_with_the_endings_that_are_read(tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "v1.nrrd").write_bytes(b"NRRD0004\n")
    with pytest.raises(DataError, match=r"files ending in \.nii, \.nii\.gz are read, not v1\.nrrd"):
        list(Nifti(tmp_path, images="images", labels="labels"))
    with pytest.raises(DataError, match=r"\.png, .*are read, not v1\.nrrd"):
        list(Folder(tmp_path, masks="labels"))


def test_label_maps_and_soft_masks_read_as_one_object_give_one_hint(root: Path) -> None:
    folder = Folder(root)
    assert len(folder) == 2
    assert folder.hints() == ()
    write_png(root / "masks" / "a.png", LABELS)
    folder = Folder(root)
    assert len(folder) == 2
    (hint,) = folder.hints()
    assert hint.startswith("1 mask file with several values or colours, read as one object (all but 0): ")
    assert "dataset.targets=value" in hint
    assert "dataset.threshold=0.5" in hint
    write_png(root / "masks" / "b.png", np.linspace(0, 255, 12 * 16).reshape(12, 16).astype(np.uint8))
    folder = Folder(root)
    assert len(folder) == 2
    assert folder.hints()[0].startswith("2 mask files")
    for options in ({"targets": "value"}, {"threshold": 0.5}):
        folder = Folder(root, **options)
        assert len(folder) > 0
        assert folder.hints() == ()


def test_colours_read_as_one_object_give_the_hint(root: Path) -> None:
    colours = np.zeros((12, 16, 3), np.uint8)
    colours[2:5, 2:5, 0] = 255
    write_png(root / "masks" / "a.png", colours)
    assert [len(f) and f.hints() for f in [Folder(root)]] == [()]  # one colour is one object
    colours[6:9, 6:9, 1] = 255
    write_png(root / "masks" / "a.png", colours)
    folder = Folder(root)
    assert len(folder) == 2
    assert "(or colour)" in folder.hints()[0]


@pytest.mark.parametrize(("channels", "refused"), [(2, True), (1, False)])
def test_a_label_volume_has_one_channel(tmp_path: Path, channels: int, refused: bool) -> None:
    labels = np.zeros((6, 7, 4, channels), np.uint8)
    labels[2:4, 2:5, 1, -1] = 1
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    for name, values in (("ct", np.arange(168).reshape(6, 7, 4)), ("seg", labels)):
        nib.save(nib.Nifti1Image(values.astype(np.int16), affine), tmp_path / f"{name}.nii.gz")
    data = Nifti(tmp_path, images="ct.nii.gz", labels="seg.nii.gz", channel=0)
    if not refused:
        assert len(list(data)) == 1
        return
    with pytest.raises(DataError, match=r"seg\.nii\.gz: has 2 channels.*save it as one label map") as caught:
        list(data)
    assert "\n" not in str(caught.value)
