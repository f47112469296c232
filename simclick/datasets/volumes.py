"""Reading NIfTI volumes: checked, turned to one orientation, and cut into slices.

Every volume is turned to the closest canonical orientation (axes towards the patient's right,
anterior, superior: RAS+) by flips and permutations alone; nothing is resampled, so slices of an
oblique volume are cut along its own axes. All three kinds of slices are shown the way radiologists
look at them: axial with anterior up and the patient's right at the left, coronal with superior up
and the patient's right at the left, sagittal with superior up and anterior at the left. In one rule:
of the two axes in the plane, rows run along the later and columns along the earlier one, both from
high to low coordinates.

Refused, each with a `DataError` that names the file: what is no NIfTI-1 or -2 single file; a
header that declares more than `MAX_VOXELS`, before anything is decompressed; a file that is shorter
or much longer than its header says, or whose gzip checksum is wrong (gzip is read to its end for
that); complex or colour voxels; an affine or spacing that is not finite, zero, or in which affine
and header disagree by more than 1 %: a wrong spacing would silently make every distance wrong.
"""

from __future__ import annotations

import gzip
import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import nibabel.orientations
import numpy as np
from numpy.typing import NDArray

from simclick.errors import DataError

__all__ = ["AXES", "MAX_VOXELS", "Volume", "nearest_rank", "read_volume", "same_grid", "through_plane"]

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The axis of the canonical volume that each kind of slice is perpendicular to."""

MAX_VOXELS = 2**29
"""The largest volume that is read, all channels together: 512 x 512 x 2048."""

_nifti: Any = nibabel  # partly annotated: its own types do not hold under strict checks
_orientations: Any = nibabel.orientations
_SPARE_BYTES = 2**20
_TO_MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_SAME_SPACING = 0.01
_SAME_PLACE = 0.1


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume in canonical orientation.

    Attributes:
        values: [I, J, K], I towards the patient's right, J anterior, K superior.
        affine: Float64[4, 4], voxel index to millimetres.
    """

    values: NDArray[Any]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres per voxel along the three axes, rounded to nine decimals.

        Rounded because the last bits of a square root may differ between machines.
        """
        lengths = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        first, second, third = (round(float(length), 9) for length in lengths)
        return first, second, third

    def picture(self, axis: int, index: int) -> NDArray[Any]:
        """Return a slice as a picture, [rows, columns]; see the module for its orientation."""
        cut = self.values[(slice(None),) * axis + (index,)]
        return np.ascontiguousarray(cut[::-1, ::-1].T)

    def picture_spacing(self, axis: int) -> tuple[float, float]:
        """Return millimetres per row and per column of the slices along an axis."""
        columns, rows = (length for i, length in enumerate(self.spacing) if i != axis)
        return rows, columns


def read_volume(path: Path, channel: int | None = 0) -> Volume:
    """Read a NIfTI file (``.nii`` or ``.nii.gz``).

    Two-dimensional files become one slice; a fourth axis of length 1 is dropped. Stored values are
    scaled by the header's slope and intercept. Spacing of unknown unit counts as millimetres.

    Args:
        path: The file.
        channel: Which index of a fourth axis, where there is one; None: one longer than 1 is refused, as in
            a label volume.

    Raises:
        DataError: When it cannot be read; the message names the file and says why.
    """
    try:
        with _quiet():
            return _read(path, channel)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except Exception as error:  # nibabel and gzip raise many kinds on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read as NIfTI: {reason}") from None


@contextmanager
def _quiet() -> Iterator[None]:
    # nibabel writes to the terminal what it mends in a header. Its own way to stop that takes its
    # handlers away, and then Python's last resort writes instead.
    logger = logging.getLogger("nibabel.global")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _read(path: Path, channel: int | None) -> Volume:
    if not path.is_file():
        raise DataError("is a folder, not a volume" if path.is_dir() else "no such file")
    if path.stat().st_size == 0:
        raise DataError("the file is empty (0 bytes)")
    header = _nifti.load(path)  # reads no voxel yet
    if not isinstance(header, _nifti.Nifti1Image):
        raise DataError(f"is no single-file NIfTI but {type(header).__name__}")
    shape = header.shape
    if not 2 <= len(shape) <= 4 or 0 in shape:
        raise DataError(f"has the shape {list(shape)}; two to four axes, none empty, are expected")
    if math.prod(shape) > MAX_VOXELS:
        raise DataError(f"declares {math.prod(shape):,} voxels {list(shape)}, more than {MAX_VOXELS:,}")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise DataError(f"has voxels of type {dtype}; whole or floating-point numbers are expected")
    content = _content(path, int(header.dataobj.offset) + math.prod(shape) * dtype.itemsize)
    image = type(header).from_bytes(content)
    # nibabel mends a spacing of zero to one; what the file really says is in the unchecked header.
    stored = header.header_class.from_fileobj(io.BytesIO(content), check=False)
    affine = _checked_affine(image, np.abs(stored["pixdim"][1 : 1 + min(3, len(shape))].astype(np.float64)))
    values = np.asanyarray(image.dataobj)
    if values.ndim == 4:
        if channel is None:
            if values.shape[3] > 1:
                raise DataError(
                    f"has {values.shape[3]} channels, and a label volume has one (dataset.channel is of "
                    "images): save it as one label map, with a value for each target"
                )
            channel = 0
        if not 0 <= channel < values.shape[3]:
            raise DataError(f"has {values.shape[3]} channels; dataset.channel={channel} is none of them")
        values = values[..., channel]
    return _canonical(values.reshape(*values.shape, *[1] * (3 - values.ndim)), affine)


def _checked_affine(image: Any, zooms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine in millimetres; `zooms` are the header's sizes of a voxel."""
    affine = np.array(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or not np.isfinite(zooms).all():
        raise DataError("its affine or its spacing is not finite")
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if lengths.min() <= 0 or zooms.min() <= 0 or abs(np.linalg.det(affine[:3, :3])) < 1e-6 * lengths.prod():
        raise DataError(f"its spacing is zero or its affine is singular (spacing {zooms.tolist()})")
    if not np.allclose(lengths[: len(zooms)], zooms, rtol=_SAME_SPACING, atol=0):
        raise DataError(
            f"its header says {_numbers(zooms)} mm per voxel, its affine "
            f"{_numbers(lengths[: len(zooms)])}: correct one of them"
        )
    unit = image.header.get_xyzt_units()[0]
    affine[:3] *= _TO_MILLIMETRES.get(unit, 1.0)
    return affine


def _numbers(values: NDArray[np.float64]) -> str:
    return " x ".join(f"{value:g}" for value in values)


def _content(path: Path, expected: int) -> bytes:
    """Return the decompressed file, of at least `expected` bytes, having checked its end."""
    limit = expected + _SPARE_BYTES
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
        content = stream.read(limit)
        if stream.read(1):
            raise DataError(f"holds more than the {expected:,} bytes that its header declares")
    if len(content) < expected:
        raise DataError(f"is truncated: {len(content):,} bytes of {expected:,}")
    return content


def _canonical(values: NDArray[Any], affine: NDArray[np.float64]) -> Volume:
    orientation = _orientations.io_orientation(affine)
    turned = affine @ _orientations.inv_ornt_aff(orientation, values.shape)
    return Volume(_orientations.apply_orientation(values, orientation), turned)


def same_grid(first: Volume, second: Volume) -> str | None:
    """Return None when two volumes have one grid, else what differs.

    The grids are one when the shapes are equal and no corner lies more than a tenth of the
    smallest voxel edge from its counterpart.
    """
    if first.values.shape != second.values.shape:
        return f"shape {list(second.values.shape)} instead of {list(first.values.shape)}"
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in first.values.shape], [1])).reshape(4, -1)
    apart = np.sqrt((((first.affine - second.affine) @ corners)[:3] ** 2).sum(axis=0)).max()
    if apart > _SAME_PLACE * min(first.spacing):
        return f"its corners lie up to {apart:.3g} mm apart"
    return None


def through_plane(volume: Volume) -> int:
    """Return the axis that a volume was acquired along: slices are perpendicular to it.

    The only axis of length 1, if there is one; else the axis of the largest spacing. Spacings
    within 1 % of each other are equal, and of equal ones the last wins: axial before coronal
    before sagittal.
    """
    single = [axis for axis, length in enumerate(volume.values.shape) if length == 1]
    if len(single) == 1:
        return single[0]
    spacing = volume.spacing
    return max(axis for axis in range(3) if spacing[axis] >= (1 - _SAME_SPACING) * max(spacing))


def nearest_rank(values: NDArray[Any], per_mille: int) -> float:
    """Return a percentile without interpolation: the same on every machine.

    The element of rank ``floor(p * (n - 1) / 1000 + 1/2)`` in ascending order, counted from 0.

    Args:
        values: At least one finite number.
        per_mille: p, from 0 to 1000.
    """
    flat = values.reshape(-1)
    rank = (2 * per_mille * (flat.size - 1) + 1000) // 2000
    return float(np.partition(flat, rank)[rank])
