"""What the readers of files share: faults or skips, groups, ids, and one decode per image."""

from __future__ import annotations

import json
import re
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo, Skipped, existing_folder
from simclick.datasets.images import RECIPES, Raster, read_image, read_raster
from simclick.datasets.masks import Selector
from simclick.datasets.options import choice
from simclick.errors import DataError

__all__ = ["DiskDataset", "Latest", "MaskFiles", "Reference", "group_of", "in_file", "read_json", "safe_id"]

_MAX_JSON_BYTES = 2**28

T = TypeVar("T")


def safe_id(*parts: str) -> str:
    """Return parts joined by ``_`` as an id that is safe as a file name.

    Letters and digits of any script, ``.``, ``_``, ``+`` and ``-`` stay; every other character
    becomes ``_``; a dot in front is dropped. Unicode is composed (NFC).
    """
    text = unicodedata.normalize("NFC", "_".join(part for part in parts if part))
    return re.sub(r"[^\w.+-]", "_", text).lstrip(".") or "_"


def group_of(pattern: re.Pattern[str] | None, name: str) -> str:
    """Return the first capture group of a pattern found in a name, or the name without a pattern.

    Raises:
        DataError: When the pattern is not found; groups are never guessed, since every interval
            hangs on them.
    """
    if pattern is None:
        return name
    match = pattern.search(name)
    if match is None or not match[1]:
        raise DataError(f"the name {name!r} does not fit the pattern of groups {pattern.pattern!r}")
    return match[1]


def in_file(path: Path, compute: Callable[[], T]) -> T:
    """Return what `compute` returns; a `DataError` out of it names the file, if it did not yet."""
    try:
        return compute()
    except DataError as error:
        text = str(error)
        raise DataError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from None


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        DataError: When it cannot be read or holds anything but an object.
    """
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise DataError(f"{path}: has more than {_MAX_JSON_BYTES:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: must hold a JSON object, not a {type(content).__name__}")
    return content


class Latest:
    """Remembers the last thing that was read, so that neighbouring cases share one read.

    What it holds is not pickled: a worker process reads for itself.
    """

    def __init__(self) -> None:
        self._key: Hashable = None
        self._value: Any = None

    def get(self, key: Hashable, read: Callable[[], Any]) -> Any:
        """Return what `read` returns, calling it only when the key is not the last one."""
        if self._value is None or key != self._key:
            self._value = None  # the old one can go before the new one comes
            self._value, self._key = read(), key
        return self._value

    def __getstate__(self) -> dict[str, Any]:
        return {"_key": None, "_value": None}


class DiskDataset(Dataset):
    """A data set under a root folder.

    Subclasses list their references in `_list`; they report a bad file by `_fault`, which raises,
    or lists it where `skip_invalid` is set, and what is rightly left out by `_skip`.
    """

    def __init__(self, root: str | Path | None, info: DatasetInfo, skip_invalid: bool) -> None:
        super().__init__(skip_invalid)
        self.info = info
        self.root = existing_folder(root, info.name)
        self._references: tuple[Any, ...] | None = None

    def references(self) -> Sequence[Any]:
        """Return the references of all cases, in stable order; read once, then remembered."""
        if self._references is None:
            before = len(self.skipped)
            try:
                references = tuple(self._list())
                self._refuse_equal_ids(references)
            except BaseException:
                del self.skipped[before:]
                raise
            self._references = references
        return self._references

    @abstractmethod
    def _list(self) -> Iterable[Any]:
        """Yield the references, in stable order; each has a ``case_id``."""

    def _fault(self, what: str, why: str) -> None:
        if not self.skip_invalid:
            raise self._refused(DataError(f"{self.root / what}: {why}"))
        self._skip(what, why)

    def _attempt(self, what: str, compute: Callable[[], T]) -> T | None:
        """Return what `compute` returns; its `DataError` is a fault of that file, and gives None."""
        try:
            return in_file(self.root / what, compute)
        except DataError as error:
            if not self.skip_invalid:
                raise self._refused(error) from None
            self._skip(what, str(error))
            return None

    def _refused(self, error: DataError) -> DataError:
        mark = "" if str(error).endswith("?") else ";"
        return DataError(f"{error}{mark} dataset.skip_invalid=true leaves such cases out")

    def _skip(self, what: str, why: str) -> None:
        self.skipped.append(Skipped(what, why))

    def _refuse_equal_ids(self, references: Iterable[Any]) -> None:
        seen: dict[str, Any] = {}
        for reference in references:
            other = seen.setdefault(reference.case_id, reference)
            if other is not reference:
                raise DataError(f"{self.root}: {other} and {reference} have the same id; rename one")


@dataclass(frozen=True, slots=True)
class Reference:
    """A case that is one object in one mask file. Paths are relative to the root."""

    case_id: str
    image: str
    mask: str
    selector: Selector
    group: str
    modality: str
    target: str

    def __str__(self) -> str:
        return f"{self.case_id} ({self.mask})"


class MaskFiles(DiskDataset):
    """A data set of image files with mask files of the same size."""

    spacing: tuple[float, float] | None = None

    def __init__(self, root: str | Path | None, info: DatasetInfo, recipe: str, skip_invalid: bool) -> None:
        super().__init__(root, info, skip_invalid)
        self.recipe = choice("recipe", recipe, RECIPES)
        self._image = Latest()
        self._mask = Latest()

    def load(self, reference: Reference) -> Case:
        """Return the case of a reference.

        Raises:
            DataError: When image or mask cannot be read, or their sizes differ.
        """
        image_path, mask_path = self.root / reference.image, self.root / reference.mask
        image = self._image.get(image_path, lambda: read_image(image_path, self.recipe))
        raster = self._mask.get(mask_path, lambda: read_raster(mask_path))
        if raster.size != image.shape[:2]:
            (height, width), (rows, columns) = raster.size, image.shape[:2]
            raise DataError(
                f"{mask_path}: the mask has {width} x {height} pixels, its image {reference.image} "
                f"{columns} x {rows}"
            )
        return Case(
            case_id=reference.case_id,
            dataset=self.info.name,
            image=image,
            truth=in_file(mask_path, lambda: self._truth(raster, reference.selector)),
            group=reference.group,
            modality=reference.modality,
            target=reference.target,
            spacing=self.spacing,
        )

    def _truth(self, raster: Raster, selector: Selector) -> NDArray[np.bool_]:
        """Return an object's mask; raises `DataError` without the file's name."""
        return selector.select(raster)
