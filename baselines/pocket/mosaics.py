"""Pictures without a subject, for training alone: random regions of random brightness and texture.

A network that has seen only imitations of organs learns those; one that has also seen regions of every
size, shape and contrast learns to look for an edge around what is pointed at (the idea of Hoffmann et al.,
SynthMorph, 2022, and of Butoi et al., UniverSeg, 2023: synthetic label maps, synthetic intensities).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["mosaic", "shape", "smooth", "warped"]

_LEAST, _MOST = 0.0008, 0.5
"""Share of the picture that a target may cover."""
_TARGETS = 4


def mosaic(rng: np.random.Generator, side: int) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]:
    """Return one picture, UInt8[side, side, 3], and one to four targets, Bool[side, side] each."""
    while True:
        labels = _regions(rng, side)
        masks = _targets(rng, labels)
        if masks:
            return _painted(rng, labels), masks


def smooth(rng: np.random.Generator, side: int, cells: float) -> NDArray[np.float32]:
    """Return a smooth random field with so many bumps along a side, Float32[side, side]."""
    n = max(2, round(cells))
    field = rng.standard_normal((n, n)).astype(np.float32)
    return np.asarray(cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _regions(rng: np.random.Generator, side: int) -> NDArray[np.int32]:
    """Return a label map: the strongest of some smooth fields, with shapes laid over it."""
    kinds = int(rng.integers(2, 7))
    cells = 2.0 ** rng.uniform(1.0, 4.5, kinds)
    fields = np.stack([smooth(rng, side, c) + rng.normal(0, 0.4) for c in cells])
    labels = fields.argmax(axis=0).astype(np.int32)
    for _ in range(int(rng.integers(1, 7))):
        one = shape(rng, side)
        if rng.random() < 0.6:
            one = warped(rng, one)
        labels[one] = labels.max() + 1
    return np.asarray(labels, dtype=np.int32)


def shape(rng: np.random.Generator, side: int) -> NDArray[np.bool_]:
    """Return an ellipse, a polygon or a winding tube of random size, Bool[side, side]."""
    canvas = np.zeros((side, side), np.uint8)
    centre = rng.uniform(0.1, 0.9, 2) * side
    radius = side * 2.0 ** rng.uniform(-6.0, -1.7)
    kind = rng.integers(3)
    if kind == 0:
        axes = radius * np.array([1.0, rng.uniform(0.35, 1.0)])
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(canvas, (centre.tolist(), (2 * axes).tolist(), angle), 1, -1)
    elif kind == 1:
        n = int(rng.integers(3, 12))
        angles = np.sort(rng.uniform(0, 2 * np.pi, n))
        reach = radius * rng.uniform(0.4, 1.2, n)
        corners = centre + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(canvas, [corners.round().astype(np.int32)], 1)
    else:
        steps = int(rng.integers(10, 60))
        turns = np.cumsum(rng.normal(0, 0.35, steps)) + rng.uniform(0, 2 * np.pi)
        path = centre + np.cumsum(np.stack([np.cos(turns), np.sin(turns)], axis=1), axis=0) * side / 60
        width = max(2, round(float(radius) / 5))
        cv2.polylines(canvas, [path.round().astype(np.int32)], False, 1, width)
    return canvas.astype(bool)


def warped(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a square mask with its outline bent."""
    side = len(mask)
    cells, reach = 2.0 ** rng.uniform(1.5, 4.5), side * rng.uniform(0.005, 0.05)
    rows, columns = np.mgrid[:side, :side].astype(np.float32)
    dx, dy = (smooth(rng, side, cells) * np.float32(reach) for _ in range(2))
    moved = cv2.remap(mask.astype(np.uint8), columns + dx, rows + dy, cv2.INTER_NEAREST)
    return np.asarray(moved, dtype=bool)


def _targets(rng: np.random.Generator, labels: NDArray[np.int32]) -> list[NDArray[np.bool_]]:
    """Return some labels, whole or as one of their components."""
    found: list[NDArray[np.bool_]] = []
    for label in rng.permutation(int(labels.max()) + 1):
        mask = labels == label
        if rng.random() < 0.7:
            n, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
            if n > 1:
                areas = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
                mask = parts == 1 + rng.choice(n - 1, p=areas / areas.sum())
        if _LEAST <= mask.mean() <= _MOST:
            found.append(mask)
        if len(found) == _TARGETS:
            break
    return found


def _painted(rng: np.random.Generator, labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return a picture of the regions: brightness, texture, blur, shading, noise."""
    side, n = len(labels), int(labels.max()) + 1
    channels = 3 if rng.random() < 0.35 else 1
    tone = rng.uniform(0.08, 0.92, (n, channels))
    if rng.random() < 0.3:  # faint differences
        tone = tone.mean(axis=0) + (tone - tone.mean(axis=0)) * rng.uniform(0.25, 0.7)
    picture = tone[labels].astype(np.float32)
    strength = rng.uniform(0, 0.12, n).astype(np.float32)
    texture = smooth(rng, side, 2.0 ** rng.uniform(3.5, 7.0))
    picture += (texture * strength[labels])[..., None]
    if rng.random() < 0.6:
        blurred = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 2.5)))
        picture = np.asarray(blurred, dtype=np.float32).reshape(side, side, -1)
    picture += (smooth(rng, side, 2) * np.float32(rng.uniform(0, 0.12)))[..., None]
    grain = rng.standard_normal((side, side, channels)).astype(np.float32) * np.float32(rng.uniform(0, 0.1))
    picture = picture * (1 + grain) if rng.random() < 0.3 else picture + grain
    grey = np.clip(picture * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey, 3, axis=2) if channels == 1 else grey)
