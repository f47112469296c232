"""The pictures that the pocket agents are trained on, all generated.

Most are phantoms (`simclick.datasets.phantoms`) of seeds from `FIRST_SEED` on and without the families in
`HELD_OUT`; the others are mosaics (`simclick.baselines.pocket.mosaics`). The benchmark suites use
phantoms of small seeds and of all families, so they share no case with the training pictures, and some
families of theirs were never seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby, islice
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simclick.baselines.pocket.mosaics import mosaic
from simclick.datasets.phantom import FAMILIES
from simclick.datasets.phantoms import Phantoms

__all__ = ["FIRST_SEED", "HELD_OUT", "Pictures", "make_pictures", "training_families"]

FIRST_SEED = 1_000_000
"""Training phantoms have this seed and the following ones."""
HELD_OUT = ("dermoscopy", "endoscopy")
"""Families that no training picture imitates."""
STORED = 256
"""Side of a stored picture; larger ones are scaled down."""
_PATIENTS = 10  # of one family and seed

Made = tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]
"""A picture and the masks of its targets."""
Mapping = Callable[..., Any]


def training_families() -> list[str]:
    """Return the phantom families that are trained on."""
    return [name for name in FAMILIES if name not in HELD_OUT]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Training pictures.

    Attributes:
        images: UInt8[N, 256, 256, 3], padded at right and bottom with zeros.
        sizes: Int64[N, 2], height and width without padding.
        masks: UInt8[M, 8192], bits of Bool[256, 256], packed row by row.
        owner: Int64[M], the picture of each mask.
        phantom: Bool[N], whether a picture is a phantom.
    """

    images: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    masks: NDArray[np.uint8]
    owner: NDArray[np.int64]
    phantom: NDArray[np.bool_]

    def of(self, picture: int) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]:
        """Return a picture without padding, and its masks."""
        height, width = self.sizes[picture]
        packed = self.masks[self.owner == picture]
        bits = np.unpackbits(packed, axis=1).reshape(-1, STORED, STORED)[:, :height, :width]
        return self.images[picture, :height, :width], list(bits.astype(bool))

    def save(self, path: Path) -> None:
        """Write one file, whole or not at all."""
        temporary = path.with_suffix(".part.npz")
        np.savez(temporary, **vars(self))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Pictures:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as content:
            return cls(**{name: content[name] for name in cls.__dataclass_fields__})


def make_pictures(
    phantoms: int,
    mosaics: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 0,
) -> Pictures:
    """Generate training pictures.

    Args:
        phantoms: How many pictures are phantoms.
        mosaics: How many are mosaics.
        seed: Added to `FIRST_SEED`, times a thousand; chooses the mosaics too.
        progress: Called with (pictures made, pictures in all).
        workers: Processes that make them; 0 makes them in this one. The pictures are the same.
    """
    images: list[NDArray[np.uint8]] = []
    sizes: list[tuple[int, ...]] = []
    masks: list[NDArray[np.uint8]] = []
    owner: list[int] = []
    with _mapping(workers) as mapping:
        made = chain(_phantoms(phantoms, seed, mapping), _mosaics(mosaics, seed, mapping))
        for image, targets in made:
            padded = np.zeros((STORED, STORED, 3), np.uint8)
            padded[: image.shape[0], : image.shape[1]] = image
            for target in targets:
                bits = np.zeros((STORED, STORED), bool)
                bits[: target.shape[0], : target.shape[1]] = target
                masks.append(np.packbits(bits))
                owner.append(len(images))
            images.append(padded)
            sizes.append(image.shape[:2])
            if progress is not None:
                progress(len(images), phantoms + mosaics)
    return Pictures(
        np.stack(images),
        np.array(sizes, dtype=np.int64),
        np.stack(masks),
        np.array(owner, dtype=np.int64),
        np.arange(len(images)) < phantoms,
    )


@contextmanager
def _mapping(workers: int) -> Iterator[Mapping]:
    """Give `map`, in order, over so many processes."""
    if workers == 0:
        yield map
        return
    with Pool(workers) as pool:
        yield pool.imap


def _phantoms(wanted: int, seed: int, mapping: Mapping) -> Iterator[Made]:
    if wanted == 0:
        return
    each = _PATIENTS * len(training_families())
    numbers = range(FIRST_SEED + 1000 * seed, FIRST_SEED + 1000 * seed + -(-wanted // each))
    # One by one here, seed by seed from another process, which can hand over no generator.
    some = _phantoms_of if mapping is map else _phantom_list
    yield from islice(chain.from_iterable(mapping(some, numbers)), wanted)


def _phantom_list(number: int) -> list[Made]:
    return list(_phantoms_of(number))


def _phantoms_of(number: int) -> Iterator[Made]:
    """Give all training phantoms of a seed."""
    source = Phantoms(number, STORED, _PATIENTS, 1, training_families())
    for _, references in groupby(source.references(), key=lambda r: (r.family, r.patient, r.slice)):
        cases = [source.load(reference) for reference in references]
        yield _fitted(cases[0].image, [case.truth for case in cases])


def _mosaics(wanted: int, seed: int, mapping: Mapping) -> Iterator[Made]:
    yield from mapping(_mosaic_of, [(seed, number) for number in range(wanted)])


def _mosaic_of(key: tuple[int, int]) -> Made:
    return mosaic(np.random.default_rng(list(key)), STORED)


def _fitted(image: NDArray[np.uint8], masks: list[NDArray[np.bool_]]) -> Made:
    """Scale a picture down to the stored side; masks that vanish are left out."""
    height, width = image.shape[:2]
    scale = min(1.0, STORED / max(height, width))
    size = (round(width * scale), round(height * scale))
    if scale < 1:
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        masks = [cv2.resize(m.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5 for m in masks]
    return image, [mask for mask in masks if mask.any()]
