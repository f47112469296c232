"""Slices of NIfTI volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.case import Case
from simclick.datasets import options
from simclick.datasets.base import DatasetInfo
from simclick.datasets.decathlon import read_task
from simclick.datasets.disk import DiskDataset, Latest, group_of, safe_id
from simclick.datasets.images import stretch
from simclick.datasets.masks import MAX_LABELS
from simclick.datasets.pairing import PathPattern, pair_files
from simclick.datasets.volumes import AXES, Volume, nearest_rank, read_volume, same_grid, through_plane
from simclick.errors import ConfigError, DataError

__all__ = ["Nifti", "SliceReference"]

_SUFFIXES = (".nii.gz", ".nii")
_MAX_VALUE = 65535


@dataclass(frozen=True, slots=True)
class SliceReference:
    """A case that is one target in one slice. Paths are relative to the root.

    Attributes:
        case_id: Volume, plane, index and target, joined by ``_``.
        image: The image volume.
        labels: The label volume.
        axis: Axis of the canonical volume that the slice is perpendicular to.
        index: Index along it in the canonical volume, from 0.
        values: The label values that are the target.
        target: Its name.
        group: The volume, or what ``group`` finds in its name.
    """

    case_id: str
    image: str
    labels: str
    axis: int
    index: int
    values: tuple[int, ...]
    target: str
    group: str

    def __str__(self) -> str:
        return f"{self.case_id} ({self.labels})"


class Nifti(DiskDataset):
    """2D slices of image volumes with label volumes (``.nii``, ``.nii.gz``).

    Two layouts: with ``images`` and ``labels``, path patterns of `simclick.datasets.pairing` (a
    pair of files, a pair of folders, ``*/ct.nii.gz`` with ``*/seg.nii.gz``); without them the root
    holds ``dataset.json``, ``imagesTr`` and ``labelsTr`` as the Medical Segmentation Decathlon and
    nnU-Net lay them out (see `simclick.datasets.decathlon`; test volumes have no labels and are not
    read). A label volume must lie on its image's grid; orientation may differ. Its values are whole
    numbers from 0 to 65535, 0 is background. Orientation of slices, refused files and checks:
    `simclick.datasets.volumes`.

    Which slices: of the plane's axis, for each volume and target,

    - ``largest``: the slice where the target has most pixels (of equal ones the lowest index);
    - ``every``: the slices 0, k, 2k, … with k = ``every``, counted in canonical orientation;
    - ``all``: all slices;

    and of these only slices where the target has at least ``min_area`` pixels. What a volume does
    not hold (a named target without any slice) is listed in `skipped`.

    Intensities: ``window`` [low, high] in the volume's own units (Hounsfield units for CT) becomes
    0–255, clipped, rounded half up. Without it low and high are the 0.5th and 99.5th percentile of
    the whole volume's finite voxels, of nearest rank, so all slices of a volume share one window.
    Voxels that are not finite count as the volume's smallest finite one.

    Order: by volume name (code points), then slice index, then target (``names`` in the order
    given, else label values ascending), so targets of one slice are neighbours. The group is the
    volume unless ``group`` says otherwise. Spacing is the slice's own, in mm.

    Args:
        root: The folder that all paths are relative to.
        images: Path pattern of the image volumes; None: read ``dataset.json``.
        labels: Path pattern of the label volumes.
        names: {target: value or [values]}. None: those of ``dataset.json``, else every value that
            a label volume holds, as ``value-3``.
        channel: Of images: index of the fourth axis, or number of the channel file (``_0000``). A label
            volume with several channels is refused.
        axis: ``axial``, ``coronal``, ``sagittal``, or ``auto``: perpendicular to the axis of the
            largest spacing; see `simclick.datasets.volumes.through_plane`.
        slices: ``largest``, ``every`` or ``all``.
        every: k of ``every``.
        min_area: Smallest target, in pixels of the slice, that is a case.
        window: [low, high], or None for percentiles.
        modality: Of all volumes; None: that of ``dataset.json``, else ``unknown``.
        group: Regular expression found in the volume's name; its first capture group is the group.
        title: The data set's name in every table.
        skip_invalid: Whether bad volumes are listed instead of refused.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        images: str | None = None,
        labels: str | None = None,
        names: Mapping[str, Any] | None = None,
        channel: int = 0,
        axis: str = "auto",
        slices: str = "largest",
        every: int = 5,
        min_area: int = 1,
        window: Any = None,
        modality: str | None = None,
        group: str | None = None,
        title: str = "nifti",
        skip_invalid: bool = False,
    ) -> None:
        info = DatasetInfo(options.plain_name("title", title), source=f"the folder {root}")
        super().__init__(root, info, skip_invalid)
        self.names = options.named_values("names", names)
        self.channel = options.whole("channel", channel, 0)
        self.axis = options.choice("axis", axis, ("auto", *AXES))
        self.slices = options.choice("slices", slices, ("largest", "every", "all"))
        self.every = options.whole("every", every, 1)
        self.min_area = options.whole("min_area", min_area, 1)
        self.window = None if window is None else options.number_pair("window", window)
        if self.window is not None and not self.window[0] < self.window[1]:
            raise options.wrong("window", window, "must be [low, high] with low < high")
        self.group = options.pattern_with_group("group", group)
        self.ignore: int | None = None
        self.modality = str(modality or "unknown")
        self._patterns: tuple[PathPattern, PathPattern] | None = None
        self._pairs: tuple[tuple[str, str, str], ...] = ()
        if images is None and labels is None and (self.root / "dataset.json").is_file():
            self._read_task(modality)
        else:
            self._patterns = self._given_patterns(images, labels)
        self._image_volume, self._label_volume = Latest(), Latest()

    def _given_patterns(self, images: str | None, labels: str | None) -> tuple[PathPattern, PathPattern]:
        if images is None or labels is None:
            raise ConfigError(
                f"dataset 'nifti': no dataset.json in {self.root}, so say where the volumes are: "
                "dataset.images=PATTERN and dataset.labels=PATTERN, both"
            )
        patterns = (
            PathPattern(self.root, images, "images", _SUFFIXES),
            PathPattern(self.root, labels, "labels", _SUFFIXES),
        )
        for pattern in patterns:
            if "@" in pattern.text:
                raise options.wrong(pattern.option, pattern.text, "'@' has no meaning for volumes")
        return patterns

    def _read_task(self, modality: str | None) -> None:
        task = read_task(self.root, self.channel)
        self.names = self.names or task.names
        self.ignore = task.ignore
        self.modality = str(modality or task.modality)
        self._pairs = task.pairs
        licence, source = task.licence or self.info.licence, task.name or self.info.source
        self.info = replace(self.info, licence=licence, source=source)

    def _list(self) -> Iterator[SliceReference]:
        pairs = self._pairs
        if self._patterns is not None:
            found = pair_files(*self._patterns, self._fault, self._skip)
            pairs = tuple((pair.name, pair.image, pair.masks[0][1]) for pair in found)
        for volume, image, labels in pairs:
            yield from self._attempt(labels, partial(self._cuts, volume, image, labels)) or ()

    def _cuts(self, volume: str, image: str, labels: str) -> list[SliceReference]:
        """Return the references of one volume."""
        group = group_of(self.group, volume)
        if not (self.root / image).is_file():
            raise DataError(f"its image {self.root / image} does not exist")
        grid: Volume = self._label_volume.get(labels, lambda: _read_labels(self.root / labels))
        axis = AXES[self.axis] if self.axis in AXES else through_plane(grid)
        plane = next(name for name, number in AXES.items() if number == axis)
        areas = _areas(grid.values, axis)
        names = self.names or {f"value-{v}": (v,) for v in areas if v not in (0, self.ignore)}
        cuts: list[tuple[int, int, str]] = []
        nothing = np.zeros(grid.values.shape[axis], np.int64)
        for rank, (target, values) in enumerate(names.items()):
            area = sum((areas.get(v, nothing) for v in set(values)), nothing)
            chosen = self._chosen(area)
            cuts += [(index, rank, target) for index in chosen]
            if not chosen:
                self._skip(labels, f"no slice has {self.min_area} pixels or more of {target}")
        if not names:
            self._skip(labels, "the label volume is empty: it holds no object")
        return [
            SliceReference(
                case_id=safe_id(volume, f"{plane}{index:03d}", target),
                image=image,
                labels=labels,
                axis=axis,
                index=index,
                values=names[target],
                target=target,
                group=group,
            )
            for index, _, target in sorted(cuts)
        ]

    def _chosen(self, area: NDArray[np.int64]) -> list[int]:
        """Return the indices of a target's slices, given its pixels in every slice."""
        if self.slices == "largest":
            candidates = [int(area.argmax())]
        else:
            candidates = list(range(0, len(area), self.every if self.slices == "every" else 1))
        return [index for index in candidates if area[index] >= self.min_area]

    def load(self, reference: SliceReference) -> Case:
        """Return the case of a reference.

        Raises:
            DataError: When a volume cannot be read, or the two do not lie on one grid.
        """
        image_path, labels_path = self.root / reference.image, self.root / reference.labels
        grid: Volume = self._label_volume.get(reference.labels, lambda: _read_labels(labels_path))
        image: Volume = self._image_volume.get(reference.image, lambda: self._read_image(image_path))
        if difference := same_grid(image, grid):
            raise DataError(f"{labels_path}: does not lie on the grid of {image_path}: {difference}")
        labels = grid.picture(reference.axis, reference.index)
        grey = image.picture(reference.axis, reference.index)
        return Case(
            case_id=reference.case_id,
            dataset=self.info.name,
            image=np.repeat(grey[..., None], 3, axis=2),
            truth=np.isin(labels, reference.values),
            group=reference.group,
            modality=self.modality,
            target=reference.target,
            spacing=grid.picture_spacing(reference.axis),
            ignore=None if self.ignore is None else labels == self.ignore,
        )

    def _read_image(self, path: Path) -> Volume:
        """Return an image volume, windowed to UInt8."""
        volume = read_volume(path, self.channel)
        values = volume.values
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if finite.size == 0:
            raise DataError(f"{path}: has no finite voxel")
        low, high = self.window or (nearest_rank(finite, 5), nearest_rank(finite, 995))
        # Infinities and NaN are below every window: they come out as the smallest finite voxel.
        smallest = finite.min()
        grey = np.empty(values.shape, np.uint8)
        for index in range(values.shape[2]):  # by slices: a whole volume in float64 would be large
            part = values[..., index]
            grey[..., index] = stretch(np.where(np.isfinite(part), part, smallest), low, high)
        return Volume(grey, volume.affine)


def _read_labels(path: Path) -> Volume:
    """Return a label volume, UInt16."""
    volume = read_volume(path, None)
    values = volume.values
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise DataError(f"{path}: holds label values that are not whole numbers")
    low, high = values.min(), values.max()
    if low < 0 or high > _MAX_VALUE:
        raise DataError(f"{path}: holds label values from {low} to {high}; 0 to {_MAX_VALUE} are expected")
    whole = values.astype(np.uint16)
    different = np.count_nonzero(np.bincount(whole.reshape(-1)))
    if different > MAX_LABELS:
        raise DataError(f"{path}: holds {different:,} different values: is it the image?")
    return Volume(whole, volume.affine)


def _areas(values: NDArray[np.uint16], axis: int) -> dict[int, NDArray[np.int64]]:
    """Return {label value: its pixels in every slice along an axis}, by ascending value."""
    present = np.flatnonzero(np.bincount(values.reshape(-1)))
    slices = np.moveaxis(values, axis, 0)
    counts = np.stack([np.bincount(s.reshape(-1), minlength=present[-1] + 1)[present] for s in slices])
    return {int(value): counts[:, column] for column, value in enumerate(present)}
