"""SAM-Med2D's layout: one mask file per object, and JSON files that say whose it is."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from simclick.datasets import options
from simclick.datasets.base import DatasetInfo
from simclick.datasets.disk import MaskFiles, Reference, group_of, read_json, safe_id
from simclick.datasets.images import read_raster
from simclick.datasets.masks import Selector
from simclick.errors import ConfigError, DataError

__all__ = ["SamMed2D"]

_JSONS = {"test": "label2image_test.json", "train": "image2label_train.json"}
_INFO = DatasetInfo(
    name="sam_med2d",
    licence="Apache-2.0 (the demonstration data); else each original data set's own",
    source="SAM-Med2D layout: Cheng et al. 2023, arXiv:2308.16184",
)


class SamMed2D(MaskFiles):
    """Images with one binary mask per object, listed by SAM-Med2D's JSON files.

    ``label2image_test.json`` maps each mask to its image, ``image2label_train.json`` each image to
    its masks; both lie in the root or in ``root/data_demo``. Only what they list is read: an image
    in neither is no case. Their paths are relative to SAM-Med2D's own working folder; here a path
    is looked for under the JSON's folder, first as it stands, then without its first part
    (``data_demo/images/a.png`` as ``images/a.png``), so the folder may be renamed. Absolute paths
    and ``..`` are refused.

    From the name of a mask, ``IMAGE_TARGET_NUMBER.png``, come the target and which of its instances
    this is (``amos_0004_75_liver_000``: target ``liver`` in image ``amos_0004_75``); each instance
    is a case. The group is the patient: the image's name without the last ``_NUMBER`` (the slice).
    Masks are read as foreground: every value but 0. There is no spacing.

    Order: by image path, then mask path (code points), so masks of one image are neighbours; a mask
    in both files is one case. Ids are the masks' names. Empty masks are listed in `skipped`.

    Args:
        root: See above.
        split: ``test``, ``train`` or ``all`` (both, as far as they are there).
        recipe: How images become UInt8[H, W, 3].
        modality: Of all images; the demonstration slices are CT.
        group: Regular expression found in the image's name, its first capture group is the group;
            None: the patient, see above.
        skip_invalid: Whether bad files are listed instead of refused.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        split: str = "all",
        recipe: str = "simclick",
        modality: str = "ct",
        group: str | None = None,
        skip_invalid: bool = False,
    ) -> None:
        super().__init__(root, _INFO, recipe, skip_invalid)
        self.split = options.choice("split", split, ("test", "train", "all"))
        self.modality = str(modality)
        self.group = options.pattern_with_group("group", group)
        self._jsons = self._find_jsons()

    def _find_jsons(self) -> tuple[Path, ...]:
        names = list(_JSONS.values()) if self.split == "all" else [_JSONS[self.split]]
        for folder in (self.root, self.root / "data_demo"):
            found = tuple(folder / name for name in names if (folder / name).is_file())
            if found:
                return found
        raise ConfigError(
            f"dataset 'sam_med2d': no {' or '.join(names)} in {self.root} or its folder data_demo"
        )

    def _list(self) -> Iterator[Reference]:
        masks_of: dict[str, set[str]] = defaultdict(set)
        for path in self._jsons:
            for image, mask in _listed(path):
                pair = self._pair(path, image, mask)
                if pair is not None:
                    masks_of[pair[0]].add(pair[1])
        for image in sorted(masks_of):
            for mask in sorted(masks_of[image]):
                yield from self._object(image, mask)

    def _pair(self, path: Path, image: str, mask: str) -> tuple[str, str] | None:
        what = path.relative_to(self.root).as_posix()
        return self._attempt(what, lambda: (self._resolve(path, image), self._resolve(path, mask)))

    def _resolve(self, json_path: Path, listed: str) -> str:
        """Return a listed path relative to the root; always below the JSON's folder."""
        parts = PurePosixPath(listed).parts
        if not parts or ".." in parts or re.search(r"^/|[\\:\0]", listed):
            raise DataError(f"the path {listed!r} leads out of the data set: refused")
        for relative in (Path(*parts), Path(*parts[1:])):
            path = json_path.parent / relative
            if path.is_file():
                return path.relative_to(self.root).as_posix()
        raise DataError(f"lists {listed!r}, and there is no such file under {json_path.parent}")

    def _object(self, image: str, mask: str) -> Iterator[Reference]:
        name, mask_name = PurePosixPath(image).stem, PurePosixPath(mask).stem
        selector = Selector("foreground")
        group = self._attempt(image, lambda: self._group_of(name))
        target = self._attempt(mask, lambda: _target(name, mask_name))
        present = self._attempt(mask, lambda: bool(selector.select(read_raster(self.root / mask)).any()))
        if group is None or target is None or present is None:
            return
        if present:
            yield Reference(safe_id(mask_name), image, mask, selector, group, self.modality, target)
        else:
            self._skip(mask, "the mask is empty: it holds no object")

    def _group_of(self, name: str) -> str:
        return re.sub(r"_\d+$", "", name) if self.group is None else group_of(self.group, name)


def _target(image: str, mask: str) -> str:
    """Return the object in a mask's name: what is left without the image's name and the number."""
    match = re.fullmatch(rf"{re.escape(image)}[_-]+(.+?)(?:_\d+)?", mask)
    if match is None:
        raise DataError(f"the mask's name does not begin with its image's, {image!r}")
    return match[1]


def _listed(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (image, mask) of a JSON file, in its own order."""
    content = read_json(path)
    if path.name == _JSONS["test"]:
        entries = [(image, mask) for mask, image in content.items()]
    elif all(isinstance(masks, list) for masks in content.values()):
        entries = [(image, mask) for image, masks in content.items() for mask in masks]
    else:
        raise DataError(f"{path}: must map each image to a list of masks")
    if not all(isinstance(text, str) for entry in entries for text in entry):
        raise DataError(f"{path}: must map masks and images, all of them text")
    yield from entries
