"""A case: one image with the ground truth that an annotator corrects towards."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.errors import DataError

__all__ = ["Case"]


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a contiguous read-only array: a copy only where one is needed."""
    array = np.ascontiguousarray(array)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Case:
    """One image and its ground truth. Arrays are read-only and indexed ``[row, column]``.

    Attributes:
        case_id: Unique within the data set and stable; never empty.
        dataset: Name of the data set, as it appears in every table.
        image: UInt8[H, W, 3], RGB.
        truth: Bool[H, W], the object (the consensus where there are several raters).
        group: Patient, volume or other unit of dependence; statistics resample groups.
        modality: For example ``"ct"``.
        target: Name of the object, for example ``"liver"``.
        spacing: Millimetres per row and per column, or None where it is unknown (then distances
            are in pixels).
        truths: Bool[R, H, W], one mask per rater, or None.
        ignore: Bool[H, W], pixels that count in no metric and no error, or None.
        label: Text that names the object for a text prompt, or None.
        factors: Numbers recorded per case for factor analysis (contrast, noise, …).
        family: The kind of image that a generator imitates, or None.

    Raises:
        DataError: When an array has the wrong shape or dtype; the message names the case.
    """

    case_id: str
    dataset: str
    image: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    group: str
    modality: str
    target: str
    spacing: tuple[float, float] | None = None
    truths: NDArray[np.bool_] | None = None
    ignore: NDArray[np.bool_] | None = None
    label: str | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    family: str | None = None

    def __post_init__(self) -> None:
        image, truth = self.image, self.truth
        where = f"case {self.dataset}/{self.case_id}"
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise DataError(
                f"{where}: the image must be UInt8[H, W, 3], not {image.dtype}{list(image.shape)}"
            )
        if 0 in image.shape:
            raise DataError(f"{where}: the image has no pixels ({image.shape[1]}x{image.shape[0]})")
        if truth.dtype != np.bool_ or truth.shape != image.shape[:2]:
            raise DataError(
                f"{where}: the mask is {truth.dtype}{list(truth.shape)}, the image needs "
                f"bool{list(image.shape[:2])}"
            )
        for name in ("truths", "ignore"):
            array = getattr(self, name)
            if array is not None and (array.dtype != np.bool_ or array.shape[-2:] != truth.shape):
                raise DataError(f"{where}: {name} must be bool of size {list(truth.shape)}")
        if self.spacing is not None and not all(np.isfinite(s) and s > 0 for s in self.spacing):
            raise DataError(f"{where}: spacing must be two positive numbers, not {self.spacing}")
        for name in ("image", "truth", "truths", "ignore"):
            array = getattr(self, name)
            if array is not None:
                object.__setattr__(self, name, _frozen(array))
        object.__setattr__(self, "factors", MappingProxyType(dict(self.factors)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "factors": dict(self.factors)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, factors=MappingProxyType(state["factors"]))
        for name in ("image", "truth", "truths", "ignore"):
            if state[name] is not None:
                self.__dict__[name] = _frozen(state[name])

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""
        return self.truth.shape[0], self.truth.shape[1]

    @property
    def unit(self) -> str:
        """The unit of distances: ``"mm"`` where the spacing is known, else ``"px"``."""
        return "px" if self.spacing is None else "mm"

    def image_sha256(self) -> str:
        """Return the hash of the image alone: cases with equal images share one encode."""
        digest = hashlib.sha256(repr(self.image.shape).encode())
        digest.update(self.image.data)
        return digest.hexdigest()

    def sha256(self) -> str:
        """Return the content hash: of every array, the spacing, the group and the names.

        The same content gives the same hash on every machine. Arrays are hashed as their shape
        and their raw bytes in row-major order.
        """
        digest = hashlib.sha256()
        head = (self.case_id, self.group, self.modality, self.target, self.label)
        spacing = None if self.spacing is None else [float(s).hex() for s in self.spacing]
        digest.update(repr((head, spacing)).encode())
        for name in ("image", "truth", "truths", "ignore"):
            array = getattr(self, name)
            digest.update(repr((name, None if array is None else array.shape)).encode())
            if array is not None:
                digest.update(array.data)
        return digest.hexdigest()
