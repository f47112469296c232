"""Regions without a subject laid into other pictures, for training alone.

A network that has seen a kind of picture with few kinds of targets answers with those, whatever it is asked:
in anything red and round it looks for deposits. Where any shape may be a target in any picture, only the
prompt and the edge are left to go by. A shape differs from its surroundings in tone, in texture, in relief
(as if lit from one side), by an outline, or in several of these; shapes may be a scattered group.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from simclick.baselines.pocket.mosaics import shape, smooth, warped

__all__ = ["implanted"]

_LEAST, _MOST = 0.0005, 0.2
"""Share of the picture that an implant may cover."""
_FAINTEST = 0.03
"""Least mean change of brightness, of 1, inside or along the edge: fainter ones cannot be seen."""

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def implanted(rng: np.random.Generator, image: Image, masks: list[Mask]) -> tuple[Image, list[Mask]]:
    """Lay one region into a picture.

    Args:
        rng: Chance.
        image: UInt8[H, W, 3].
        masks: Bool[H, W] each, the targets there.

    Returns:
        The changed picture, and the targets that it leaves whole with the implant before them. Where no
        implant can be placed: what was given.
    """
    for _ in range(4):
        mask = _placed(rng, image)
        if mask is None:
            continue
        painted = _painted(rng, image.astype(np.float32) / np.float32(255), mask)
        changed = np.clip(painted * 255 + 0.5, 0, 255).astype(np.uint8)
        near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        if np.abs(changed.astype(np.float32) - image)[near].mean() < 255 * _FAINTEST:
            continue
        return changed, [mask, *(m for m in masks if not (m & near).any())]
    return image, masks


def _placed(rng: np.random.Generator, image: Image) -> Mask | None:
    """Return a region of fitting size that lies inside what the picture shows, or None."""
    height, width = image.shape[:2]
    side = max(height, width)
    mask = shape(rng, side)
    if rng.random() < 0.7:
        mask = warped(rng, mask)
    if rng.random() < 0.2:
        mask = _scattered(rng, mask)
    mask = mask[:height, :width]
    shown = image.max(axis=2) > 12
    if not _LEAST <= mask.mean() <= _MOST or shown[mask].mean() < 0.95:
        return None
    return np.ascontiguousarray(mask)


def _scattered(rng: np.random.Generator, mask: Mask) -> Mask:
    """Return a group of small spots where a shape was."""
    rows, columns = np.nonzero(mask)
    spots = np.zeros(mask.shape, np.uint8)
    if not len(rows):
        return mask
    y, x = float(rows.mean()), float(columns.mean())
    spread = max(6.0, float(np.sqrt(len(rows))) * 0.8)
    for _ in range(int(rng.integers(2, 10))):
        at = (np.array([x, y]) + rng.normal(0, spread, 2)).round().astype(int)
        axes = rng.uniform(1.0, max(2.0, spread / 5), 2)
        cv2.ellipse(spots, (at.tolist(), (2 * axes).tolist(), float(rng.uniform(0, 180))), 1, -1)
    return spots.astype(bool)


def _painted(rng: np.random.Generator, values: NDArray[np.float32], mask: Mask) -> NDArray[np.float32]:
    """Return the picture, Float32[H, W, 3] of 0 to 1, with the region in it."""
    height, width = mask.shape
    side = max(height, width)
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), float(rng.uniform(0.3, 1.6)))[..., None]
    inside = values
    ways = rng.random(4) < (0.6, 0.35, 0.4, 0.2)
    if not ways.any():
        ways[rng.integers(4)] = True
    if ways[1]:  # the texture of another place
        dy, dx = (int(d) for d in rng.integers(-side // 2, side // 2, 2))
        inside = np.roll(values, (dy, dx), axis=(0, 1))
        inside = inside + (values[mask].mean(axis=0) - inside[mask].mean(axis=0)) * rng.uniform(0.3, 1.0)
        inside = inside + (smooth(rng, side, 2.0 ** rng.uniform(3, 6.5))[:height, :width] * 0.05)[..., None]
    if ways[0]:
        grey = float(rng.choice([-1, 1]) * rng.uniform(0.04, 0.35))
        inside = inside + np.float32(grey) + rng.normal(0, 0.05, 3).astype(np.float32)
    if ways[2]:
        inside = inside * _relief(rng, mask)[..., None]
    if ways[3] or rng.random() < 0.15:
        edge = alpha * (1 - alpha) * 4
        inside = inside + edge * np.float32(rng.choice([-1, 1]) * rng.uniform(0.08, 0.4))
        alpha = np.maximum(alpha, 0.6 * edge)
    return np.asarray(values + (inside - values) * alpha, dtype=np.float32)


def _relief(rng: np.random.Generator, mask: Mask) -> NDArray[np.float32]:
    """Return how bright a bulge or a hollow of this outline is, lit from a random side, Float32[H, W]."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    reach = max(float(depth.max()) * float(rng.uniform(0.3, 1.0)), 1.0)
    rise = np.clip(depth / reach, 0, 1)
    height = cv2.GaussianBlur(np.sqrt(rise * (2 - rise)), (0, 0), float(rng.uniform(0.8, 2.5))) * reach
    turn = float(rng.uniform(0, 2 * np.pi))
    slope = np.gradient(height, axis=1) * np.cos(turn) + np.gradient(height, axis=0) * np.sin(turn)
    strength = float(rng.uniform(0.15, 0.6))
    top = float(rng.uniform(-0.1, 0.25)) * rise
    return np.asarray(np.clip(1 + strength * np.clip(slope, -1.5, 1.5) + top, 0.15, 2.0), dtype=np.float32)
