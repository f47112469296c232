"""MedScribble's layout: a folder per example, with scribbles of three people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.case import Case
from simclick.datasets import options
from simclick.datasets.base import DatasetInfo
from simclick.datasets.disk import DiskDataset, Latest, group_of, in_file, safe_id
from simclick.datasets.images import MAX_PIXELS, RECIPES, to_rgb
from simclick.errors import DataError

__all__ = ["MedScribble", "example_folders", "read_npy"]

_FOLDER = "MedScribble"
_INFO = DatasetInfo(
    name="medscribble",
    licence="each original data set's own; see the README that comes with the data",
    source="MedScribble: Wong et al. 2024, arXiv:2312.07381",
)
_MODALITIES = {
    "AbdominalUS": "us",
    "ACDC": "mr",
    "BTCV": "ct",
    "CAMUS": "us",
    "HipXRay": "xray",
    "OASIS": "mr",
    "OCTA500": "oct",
    "PanDental": "xray",
    "PAXRay": "xray",
    "SCD": "mr",
    "SpineWeb": "mr",
    "STARE": "fundus",
    "WBC": "microscopy",
}


@dataclass(frozen=True, slots=True)
class _Example:
    """One example. `folder` is relative to the root."""

    case_id: str
    folder: str
    group: str
    modality: str
    target: str

    def __str__(self) -> str:
        return f"{self.case_id} ({self.folder})"


class MedScribble(DiskDataset):
    """Images with a mask each, for which three people drew scribbles (ScribblePrompt's MedScribble).

    An example is a folder ``SOURCE/LABEL/NAME`` with ``img.npy`` (float [H, W], grey) and ``seg.npy``
    (float [H, W], from 0 to 1). The truth is where ``seg >= 0.5``: the masks were resized with blended
    edges. The scribbles, ``scribble_R.npy``, are no part of a case: the annotator ``recorded`` gives
    them. ``root`` is the folder ``MedScribble`` or the one above it.

    Order: by path (code points). Ids are the path's parts joined by ``_``. The target is LABEL; the
    modality follows from SOURCE, and is ``unknown`` where that does not say. The group is the patient:
    SOURCE and NAME without ``_axisN_midslice`` or ``_axisN_maxslice``, so two labels of one patient are
    in one group. There is no spacing. Empty masks are listed in `skipped`.

    Args:
        root: See above.
        recipe: How images become UInt8[H, W, 3]; ``simclick`` stretches each image's own range.
        modality: Of all images; None: from SOURCE, see above.
        group: Regular expression found in NAME, its first capture group is the group (after SOURCE);
            None: see above.
        skip_invalid: Whether bad files are listed instead of refused.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        recipe: str = "simclick",
        modality: str | None = None,
        group: str | None = None,
        skip_invalid: bool = False,
    ) -> None:
        super().__init__(root, _INFO, skip_invalid)
        self.recipe = options.choice("recipe", recipe, RECIPES)
        self.modality = None if modality is None else str(modality)
        self.group = options.pattern_with_group("group", group)
        self._latest = Latest()

    def _list(self) -> Iterator[_Example]:
        for case_id, path in example_folders(self.root):
            yield from self._example(case_id, path)

    def _example(self, case_id: str, path: Path) -> Iterator[_Example]:
        source, label, name = path.parts[-3:]
        folder = path.relative_to(self.root).as_posix()
        mask = f"{folder}/seg.npy"
        group = self._attempt(folder, lambda: self._group_of(source, name))
        truth = self._attempt(mask, lambda: _truth(path / "seg.npy"))
        if group is None or truth is None:
            return
        if truth.any():
            modality = _MODALITIES.get(source, "unknown") if self.modality is None else self.modality
            yield _Example(case_id, folder, group, modality, label)
        else:
            self._skip(mask, "the mask is empty: it holds no object")

    def load(self, reference: _Example) -> Case:
        """Return the case of a reference.

        Raises:
            DataError: When image or mask cannot be read, or their sizes differ.
        """
        folder = self.root / reference.folder
        image = self._latest.get(folder, lambda: to_rgb(read_npy(folder / "img.npy", 2), self.recipe))
        truth = in_file(folder / "seg.npy", lambda: _truth(folder / "seg.npy"))
        if truth.shape != image.shape[:2]:
            raise DataError(
                f"{folder / 'seg.npy'}: the mask has {truth.shape[1]} x {truth.shape[0]} pixels, its image "
                f"{image.shape[1]} x {image.shape[0]}"
            )
        return Case(
            case_id=reference.case_id,
            dataset=self.info.name,
            image=image,
            truth=truth,
            group=reference.group,
            modality=reference.modality,
            target=reference.target,
        )

    def _group_of(self, source: str, name: str) -> str:
        if self.group is None:
            return safe_id(source, re.sub(r"_axis\d+_(mid|max)slice$", "", name))
        return safe_id(source, group_of(self.group, name))


def example_folders(root: Path) -> list[tuple[str, Path]]:
    """Return the id and folder of every example under MedScribble's root or the folder above it.

    Sorted by path (code points). An example is a folder three levels down that holds ``seg.npy``.

    Raises:
        DataError: When there is none.
    """
    base = root / _FOLDER if (root / _FOLDER).is_dir() else root
    folders = sorted((path.parent for path in base.glob("*/*/*/seg.npy")), key=lambda folder: folder.parts)
    if not folders:
        raise DataError(f"{root}: holds no MedScribble example (SOURCE/LABEL/NAME/seg.npy)")
    return [(safe_id(*folder.relative_to(base).parts), folder) for folder in folders]


def read_npy(path: Path, dimensions: int) -> NDArray[Any]:
    """Return the real, finite array of a NumPy file. Nothing in it is executed (no pickles).

    Raises:
        DataError: When it cannot be read, or is no such array; the message names the file.
    """
    try:
        # Mapped first: a header that promises more than the file holds is refused, not allocated.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(mapped, np.ndarray) or mapped.dtype.kind not in "fiub":
        raise DataError(f"{path}: holds no array of real numbers")
    if mapped.ndim != dimensions or mapped.size == 0 or mapped.size > 4 * MAX_PIXELS:
        raise DataError(f"{path}: has the shape {list(mapped.shape)}; {dimensions} dimensions are expected")
    array = np.array(mapped)
    if not np.isfinite(array).all():
        raise DataError(f"{path}: has non-finite values")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _truth(path: Path) -> NDArray[np.bool_]:
    values = read_npy(path, 2)
    if values.min() < 0 or values.max() > 1:
        raise DataError(f"{path}: has values from {values.min()} to {values.max()}; 0 to 1 are expected")
    return np.asarray(values >= 0.5)
