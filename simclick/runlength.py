"""Run lengths of masks: COCO's uncompressed form, with a strict reader.

A mask is read column by column (column-major); the counts alternate zeros, ones, zeros, …, and
begin with zeros (so the first may be 0). Compressed COCO strings are never read: their common
parser was seen to corrupt memory on malformed input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["RunLengths", "decode", "encode"]


@dataclass(frozen=True, slots=True, eq=False)
class RunLengths:
    """A mask as run lengths.

    Attributes:
        size: ``(height, width)``.
        counts: UInt32[n], column-major, zeros first.
    """

    size: tuple[int, int]
    counts: NDArray[np.uint32]


def encode(mask: NDArray[np.bool_]) -> RunLengths:
    """Return the run lengths of a mask.

    Args:
        mask: Bool[H, W].
    """
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate(([0], edges, [flat.size]))
    counts = np.diff(bounds)
    if flat.size and flat[0]:
        counts = np.concatenate(([0], counts))
    return RunLengths((mask.shape[0], mask.shape[1]), counts.astype(np.uint32))


def decode(counts: Sequence[int] | NDArray[np.integer], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask that run lengths describe, Bool[H, W].

    Args:
        counts: Column-major run lengths, zeros first.
        size: ``(height, width)`` from a trusted source: nothing is allocated by what counts say.

    Raises:
        ValueError: When the counts are negative, not whole numbers, or do not add up to the size.
    """
    runs = np.asarray(counts)
    if runs.ndim != 1 or not np.issubdtype(runs.dtype, np.integer):
        raise ValueError("run lengths must be a flat list of whole numbers")
    height, width = size
    if runs.size > height * width + 1:
        raise ValueError(f"{runs.size} runs cannot fit {height}x{width} pixels")
    if runs.size and int(runs.min()) < 0:
        raise ValueError("run lengths must not be negative")
    total = sum(int(v) for v in runs.tolist())
    if total != height * width:
        raise ValueError(f"run lengths add up to {total}, not to {height}x{width} = {height * width}")
    values = (np.arange(runs.size) % 2).astype(np.bool_)
    mask: NDArray[np.bool_] = np.repeat(values, runs.astype(np.int64)).reshape(width, height).T
    return mask
