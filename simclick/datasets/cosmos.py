"""COSMOS 1050K's layout: images/, labels/ and a JSON file of names and grey values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.datasets import options
from simclick.datasets.base import DatasetInfo
from simclick.datasets.disk import MaskFiles, Reference, group_of, read_json, safe_id
from simclick.datasets.images import SUFFIXES, Raster, read_raster
from simclick.datasets.masks import Selector
from simclick.datasets.pairing import Pair, PathPattern, pair_files
from simclick.errors import ConfigError, DataError

__all__ = ["Cosmos"]

_MODALITIES = {"22_Heart": "mr", "6_Pancreas": "ct"}
_INFO = DatasetInfo(
    name="cosmos",
    licence="each original data set's own",
    source="COSMOS 1050K layout: Huang et al., Medical Image Analysis 92 (2024) 103061",
)


@dataclass(frozen=True, slots=True)
class _Set:
    """One of COSMOS's data sets: where it lies, and its objects' grey values by name."""

    name: str
    folder: str
    values: dict[str, int]


class Cosmos(MaskFiles):
    """2D slices with grey-value label maps, as COSMOS 1050K publishes them.

    The root is the repository's folder, with ``data/test_data/SET/images``, ``…/labels`` and
    ``data_infor_json/SET.json``, or a folder that holds ``images/``, ``labels/`` and one JSON file,
    which then gives the set's name. The JSON's ``info`` gives each object's name and its ``color``
    the grey value in the labels (of a colour label the first channel counts, as in COSMOS). Images
    and labels are paired by equal names; a label that holds another grey value than 0 and those
    listed is an error.

    An object may be absent from a slice; that is normal and no skip for each slice, but one line
    per set and object in `skipped` says from how many labels it is absent. A slice without any
    object, and an object smaller than ``min_area``, are listed one by one. Targets are named as the
    JSON names them: in the published labels of ``6_Pancreas`` only the value 255 occurs, which its
    JSON calls ``PancreaticMass``, though many of them look like the outline of the whole gland.

    The group is the patient: the set's name and the number after it in the file name
    (``6_Pancreas_20_52_0`` is of group ``6_Pancreas_20``). Modality is known for ``22_Heart`` (mr)
    and ``6_Pancreas`` (ct), else ``unknown``. There is no spacing.

    Order: by set, then file name (code points), then grey value. Ids are the file's name and the
    object's, joined by ``_``.

    Args:
        root: See above.
        recipe: How images become UInt8[H, W, 3]; ``cosmos`` for COSMOS's own intensity clipping.
        min_area: The smallest object, in pixels, that is a case. COSMOS itself drops objects of 50
            pixels and less: 51 does the same.
        group: Regular expression found in the file's name, its first capture group is the group;
            None: the patient, see above.
        skip_invalid: Whether bad files are listed instead of refused.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        recipe: str = "simclick",
        min_area: int = 1,
        group: str | None = None,
        skip_invalid: bool = False,
    ) -> None:
        super().__init__(root, _INFO, recipe, skip_invalid)
        self.min_area = options.whole("min_area", min_area, 1)
        self.group = options.pattern_with_group("group", group)
        self._sets = tuple(_find_sets(self.root))

    def _list(self) -> Iterator[Reference]:
        for one in self._sets:
            images = PathPattern(self.root, f"{one.folder}images/*", "root", SUFFIXES)
            labels = PathPattern(self.root, f"{one.folder}labels/*", "root", SUFFIXES)
            areas_of: dict[str, dict[str, int]] = {}
            for pair in pair_files(images, labels, self._fault, self._skip):
                yield from self._objects(one, pair, areas_of)
            for name in one.values:
                absent = sum(1 for areas in areas_of.values() if not areas[name])
                if absent:
                    self._skip(f"{one.name}: {name}", f"absent from {absent} of {len(areas_of)} labels")

    def _objects(self, one: _Set, pair: Pair, areas_of: dict[str, dict[str, int]]) -> Iterator[Reference]:
        """Yield the references of one slice; remember in `areas_of` what its label holds."""
        path = pair.masks[0][1]
        areas = self._attempt(path, lambda: self._areas(one, path))
        group = self._attempt(pair.image, lambda: self._group_of(one, pair.name))
        if areas is None or group is None:
            return
        areas_of[path] = areas
        if not any(areas.values()):
            self._skip(path, "the label is empty: it holds no object")
        modality = _MODALITIES.get(one.name, "unknown")
        for name, area in areas.items():
            if area >= self.min_area:
                selector = Selector("value", (one.values[name],))
                case_id = safe_id(pair.name, name)
                yield Reference(case_id, pair.image, path, selector, group, modality, name)
            elif area:
                self._skip(f"{path}: {name}", f"{area} pixels, min_area is {self.min_area}")

    def _areas(self, one: _Set, path: str) -> dict[str, int]:
        """Return {object: pixels} of a label file, in the order of grey values."""
        values = _first_channel(read_raster(self.root / path))
        found, counts = np.unique(values, return_counts=True)
        areas = {int(value): int(count) for value, count in zip(found, counts, strict=True)}
        unknown = sorted(set(areas) - set(one.values.values()) - {0})
        if unknown:
            raise DataError(f"holds grey value {unknown[0]}, which {one.name}'s JSON does not name")
        return {name: areas.get(value, 0) for name, value in one.values.items()}

    def _group_of(self, one: _Set, name: str) -> str:
        if self.group is not None:
            return group_of(self.group, name)
        match = re.match(rf"{re.escape(one.name)}_\d+(?=_|$)", name)
        if match is None:
            raise DataError(
                f"its name does not begin with {one.name}_PATIENT: say by dataset.group=REGEX which "
                "part of a name is the patient"
            )
        return match[0]

    def _truth(self, raster: Raster, selector: Selector) -> NDArray[np.bool_]:
        return np.asarray(_first_channel(raster) == selector.codes[0])


def _first_channel(raster: Raster) -> NDArray[Any]:
    values = raster.colours()
    return values if values.ndim == 2 else values[..., 0]


def _find_sets(root: Path) -> Iterator[_Set]:
    if (root / "images").is_dir() and (root / "labels").is_dir():
        found = sorted(root.glob("*.json"))
        if len(found) != 1:
            raise ConfigError(
                f"dataset 'cosmos': {root} has images/ and labels/ but {len(found)} JSON files; one is needed"
            )
        yield _Set(found[0].stem, "", _grey_values(found[0]))
        return
    folders = sorted(p for p in root.glob("data/test_data/*") if (p / "images").is_dir())
    if not folders:
        raise ConfigError(
            f"dataset 'cosmos': {root} has neither images/, labels/ and a JSON file, nor "
            "data/test_data/SET/images with data_infor_json/SET.json"
        )
    for folder in folders:
        values = _grey_values(root / "data_infor_json" / f"{folder.name}.json")
        yield _Set(folder.name, f"{folder.relative_to(root).as_posix()}/", values)


def _grey_values(path: Path) -> dict[str, int]:
    """Return {object: grey value}, in the order of grey values, from a set's JSON file."""
    content = read_json(path)
    info, colour = content.get("info"), content.get("color")
    if not isinstance(info, dict) or not isinstance(colour, dict) or not info or set(info) != set(colour):
        raise DataError(f"{path}: needs 'info' {{id: name}} and 'color' {{id: grey value}} with equal ids")
    if not all(isinstance(v, int) and 1 <= v <= 65535 for v in colour.values()):
        raise DataError(f"{path}: every grey value must be a whole number of at least 1")
    values = {str(info[key]): int(colour[key]) for key in sorted(colour, key=lambda key: colour[key])}
    if len(values) != len(info) or len(set(values.values())) != len(info):
        raise DataError(f"{path}: names and grey values must be different from each other")
    return values
