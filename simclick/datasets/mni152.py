"""Slices of the MNI152 template brain that nilearn carries inside its wheel."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.datasets.disk import Latest
from simclick.datasets.volumes import AXES, Volume, read_volume
from simclick.errors import ConfigError, DataError

__all__ = ["MNI152", "SliceOfTemplate"]

_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
_MAPS = {"brain": "t1", "grey-matter": "gm", "white-matter": "wm"}
_PLACES = {"axial": (-16, 0, 16, 32, 48), "coronal": (-70, -30, 0, 30), "sagittal": (-40, -8, 24)}
_LETTERS = "xyz"


@dataclass(frozen=True, slots=True)
class SliceOfTemplate:
    """A case of the template: a plane, its place in millimetres, a target."""

    plane: str
    millimetres: int
    target: str

    @property
    def case_id(self) -> str:
        """For example ``axial_z+16_grey-matter``."""
        return f"{self.plane}_{_LETTERS[AXES[self.plane]]}{self.millimetres:+d}_{self.target}"

    def __str__(self) -> str:
        return self.case_id


class MNI152(Dataset):
    """Twelve slices of the MNI152 average brain, three targets each: 36 cases, real anatomy.

    The ICBM 2009a non-linear symmetric template at 1 mm (skull-stripped T1 and the maps of grey and
    white matter), read from the files inside nilearn's package as they are: 8-bit numbers, never
    resampled, so the cases are the same on every machine. Nothing is ever fetched.

    Slices, in MNI millimetres: axial z = -16, 0, 16, 32, 48; coronal y = -70, -30, 0, 30; sagittal
    x = -40, -8, 24 (the template is symmetric: no two at one distance from the midline). Order: as
    listed, the targets ``brain``, ``grey-matter``, ``white-matter`` of a slice next to each other.
    Oriented as `simclick.datasets.volumes` says; spacing 1 mm.

    Truth: ``grey-matter`` and ``white-matter`` where the map, of 255, is at least one half (128);
    ``brain`` where the T1 is more than a fifth of its maximum (51), nilearn's own rule for its
    brain mask. The image is the T1 as stored.

    All cases are one group: it is one brain, an average of 152, so no interval can be given.

    Args:
        skip_invalid: As everywhere; there is nothing to skip.

    Raises:
        ConfigError: When nilearn is not installed.
    """

    def __init__(self, skip_invalid: bool = False) -> None:
        super().__init__(skip_invalid)
        self.info = DatasetInfo(
            name="mni152",
            licence="ICBM: free use with its copyright notice (L. Collins, McConnell Brain Imaging Centre)",
            source="ICBM 2009a non-linear symmetric template, as shipped with nilearn",
            note="one brain, an average of 152: one group, so no interval can be given",
        )
        self._folder = _nilearn_data()
        self._maps = {kind: Latest() for kind in _MAPS.values()}

    def references(self) -> Sequence[SliceOfTemplate]:
        """Return the references of all cases, in stable order."""
        return [
            SliceOfTemplate(plane, place, target)
            for plane, places in _PLACES.items()
            for place in places
            for target in _MAPS
        ]

    def load(self, reference: SliceOfTemplate) -> Case:
        """Return the case of a reference.

        Raises:
            DataError: When nilearn does not carry the files, or other ones than are known.
        """
        axis = AXES[reference.plane]
        image = self._slice("t1", axis, reference.millimetres)
        values = self._slice(_MAPS[reference.target], axis, reference.millimetres)
        return Case(
            case_id=reference.case_id,
            dataset=self.info.name,
            image=np.repeat(image[..., None], 3, axis=2),
            truth=values > 51 if reference.target == "brain" else values >= 128,
            group="mni152",
            modality="mr",
            target=reference.target,
            spacing=self._volume("t1").picture_spacing(axis),
        )

    def _slice(self, kind: str, axis: int, millimetres: int) -> NDArray[np.uint8]:
        volume = self._volume(kind)
        return volume.picture(axis, round((millimetres - volume.affine[axis, 3]) / volume.spacing[axis]))

    def _volume(self, kind: str) -> Volume:
        volume: Volume = self._maps[kind].get(kind, lambda: _read_map(self._folder / _FILE.format(kind)))
        return volume


def _read_map(path: Path) -> Volume:
    volume = read_volume(path)
    if volume.values.dtype != np.uint8 or volume.values.max() != 255 or volume.spacing != (1.0, 1.0, 1.0):
        raise DataError(f"{path}: is not the template that is known (8 bits, 0 to 255, 1 mm)")
    return volume


def _nilearn_data() -> Path:
    spec = importlib.util.find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("dataset 'mni152' needs nilearn, not installed: pip install 'simclick[demo]'")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"
