"""Who and what is imaged: the key of all chance in one picture, and what a picture holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simclick.datasets.phantom.exact import Field
from simclick.datasets.phantom.fields import Chance, Frame, smooth_between
from simclick.datasets.phantom.shapes import Mask

__all__ = ["Family", "Picture", "Study", "colour", "grey"]


@dataclass(frozen=True)
class Study:
    """One slice of one patient.

    Attributes:
        seed: The data set's seed.
        family: The kind of image.
        patient: Which patient of the family, from 0.
        slice: Which slice of the patient, from 0.
        size: The image's height in pixels.
        contrast: For each target the planted contrast, 0.25 to 1 of the family's full contrast.
        raggedness: For each target the planted raggedness of its edge, 0 to 1.
        noise: The planted noise, 0.25 to 1.5 of the family's usual noise.
    """

    seed: int
    family: str
    patient: int
    slice: int
    size: int
    contrast: Mapping[str, float]
    raggedness: Mapping[str, float]
    noise: float

    @property
    def depth(self) -> float:
        """The slice's place in the patient, in [0, 1); successive slices lie well apart."""
        place = 0.25 + 0.381966 * self.slice
        return place - int(place)

    def of_patient(self, *tag: object) -> Chance:
        """Return chance that all slices of the patient share."""
        return Chance(self.seed, self.family, self.patient, *tag)

    def of_slice(self, *tag: object) -> Chance:
        """Return chance of this slice alone."""
        return Chance(self.seed, self.family, self.patient, "slice", self.slice, *tag)

    def number(self, tag: str, low: float, high: float) -> float:
        """Return the patient's own number in [low, high)."""
        return self.of_patient("number", tag).between(low, high)

    def field(self, tag: str, frame: Frame, cells: float, octaves: int = 1, gain: float = 0.5) -> Field:
        """Return a smooth random field that changes from slice to slice as anatomy does."""
        parts = [
            (self.of_patient("field", tag, "near"), 1.0 - 0.6 * self.depth),
            (self.of_patient("field", tag, "far"), 0.6 * self.depth),
        ]
        return smooth_between(parts, frame, cells, octaves, gain)


@dataclass(frozen=True)
class Picture:
    """What a family draws: an image, a mask per target, the spacing in mm per row and column."""

    image: NDArray[np.uint8]
    masks: Mapping[str, Mask]
    spacing: tuple[float, float] | None


@dataclass(frozen=True)
class Family:
    """One kind of image.

    Attributes:
        name: Its name, the first part of every group's name.
        modality: The modality of its cases.
        targets: Names of the targets in every picture, in order, each with the words that name
            it in a text prompt.
        draw: What draws a study.
    """

    name: str
    modality: str
    targets: Mapping[str, str]
    draw: Callable[[Study], Picture]


def grey(field: Field) -> NDArray[np.uint8]:
    """Return a field of grey values, 0 to 1, as an RGB image of bytes."""
    plane = _bytes(field)
    return np.ascontiguousarray(np.repeat(plane[:, :, None], 3, axis=2))


def colour(red: Field, green: Field, blue: Field) -> NDArray[np.uint8]:
    """Return three fields, 0 to 1, as an RGB image of bytes."""
    return np.ascontiguousarray(np.stack([_bytes(red), _bytes(green), _bytes(blue)], axis=2))


def _bytes(field: Field) -> NDArray[np.uint8]:
    return np.floor(np.clip(field, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
