"""Training samples: a picture with one target, augmented; and training prompts from our own annotators."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from simclick.annotators.kernels import best_click
from simclick.baselines.pocket.pictures import Pictures
from simclick.geometry import bounding_box

__all__ = [
    "augmented",
    "correction",
    "crop_of",
    "draw_sample",
    "first_click",
    "jittered_box",
    "recoloured",
    "zoomed",
]

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def draw_sample(rng: np.random.Generator, pictures: Pictures) -> tuple[Image, Mask]:
    """Return a random picture and one of its targets, augmented; the target is not empty."""
    image, masks = pictures.of(int(rng.integers(len(pictures.images))))
    image, (mask,) = augmented(rng, image, [masks[int(rng.integers(len(masks)))]])
    return image, mask


def augmented(rng: np.random.Generator, image: Image, masks: list[Mask]) -> tuple[Image, list[Mask]]:
    """Flip and turn image and masks; change brightness, contrast and colour of the image."""
    if rng.random() < 0.5:
        image, masks = image[:, ::-1], [mask[:, ::-1] for mask in masks]
    if rng.random() < 0.5:
        image, masks = image[::-1], [mask[::-1] for mask in masks]
    if rng.random() < 0.5:
        image, masks = image.transpose(1, 0, 2), [mask.T for mask in masks]
    values = image.astype(np.float32) / 255
    if rng.random() < 0.2:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.15:
        values = 1 - values
    values = np.clip(values, 0, 1) ** np.float32(2.0 ** rng.uniform(-0.8, 0.8))
    values = values * np.float32(rng.uniform(0.6, 1.2)) + np.float32(rng.uniform(-0.1, 0.15))
    if rng.random() < 0.3:
        grain = rng.standard_normal((*image.shape[:2], 1)).astype(np.float32)
        values = values + grain * np.float32(rng.uniform(0, 0.06))
    changed = np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)
    return changed, [np.ascontiguousarray(mask) for mask in masks]


def recoloured(rng: np.random.Generator, image: Image) -> Image:
    """Exchange or weigh the colours of three in ten pictures, so that none stands for a kind of picture."""
    if rng.random() < 0.15:
        image = np.ascontiguousarray(image[..., rng.permutation(3)])
    if rng.random() < 0.2:
        weighed = image * rng.uniform(0.6, 1.3, 3).astype(np.float32)
        image = np.clip(weighed + 0.5, 0, 255).astype(np.uint8)
    return image


def crop_of(
    rng: np.random.Generator, mask: Mask, least: int, most: int | None = None
) -> tuple[int, int, int, int]:
    """Return a random crop ``(x0, y0, x1, y1)``, ends excluded, that holds some of the mask.

    Args:
        rng: Chance.
        mask: Bool[H, W], not empty.
        least: The shortest side of a crop, where the picture has so many pixels.
        most: The longest; None: the picture's.
    """
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    k = int(rng.integers(len(rows)))
    sides = []
    for size in (height, width):
        high = size if most is None else min(most, size)
        sides.append(int(rng.integers(min(least, high), high + 1)))
    y0 = int(np.clip(rows[k] - rng.integers(sides[0]), 0, height - sides[0]))
    x0 = int(np.clip(columns[k] - rng.integers(sides[1]), 0, width - sides[1]))
    return x0, y0, x0 + sides[1], y0 + sides[0]


def zoomed(image: Image, mask: Mask, size: tuple[int, int]) -> tuple[Image, Mask]:
    """Scale image and mask to ``(height, width)``; a mask that would vanish keeps its middle pixel."""
    height, width = size
    shrinks = height < mask.shape[0] or width < mask.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled = np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)
    soft = cv2.resize(mask.astype(np.float32), (width, height), interpolation=how)
    found = soft > 0.5
    if not found.any() and soft.any():
        found.flat[int(np.argmax(soft))] = True
    return scaled, np.asarray(found, dtype=bool)


def jittered_box(rng: np.random.Generator, mask: Mask) -> tuple[int, int, int, int]:
    """Return the tight box, each edge moved by a normal tenth of its side, at most 20 pixels (SAM's).

    A quarter of the boxes stay tight.
    """
    found = bounding_box(mask)
    assert found is not None
    x0, y0, x1, y1 = found
    height, width = mask.shape
    across, down = x1 - x0 + 1, y1 - y0 + 1
    dx0, dy0, dx1, dy1 = (
        float(np.clip(rng.normal(0, 0.1 * side), -20, 20)) for side in (across, down, across, down)
    )
    if rng.random() < 0.25:
        dx0 = dy0 = dx1 = dy1 = 0.0
    left, top = np.clip([x0 + dx0, y0 + dy0], 0, [width - 1, height - 1]).round().astype(int)
    right, bottom = np.clip([x1 + dx1, y1 + dy1], 0, [width - 1, height - 1]).round().astype(int)
    return min(left, right), min(top, bottom), max(left, right), max(top, bottom)


def first_click(rng: np.random.Generator, mask: Mask) -> tuple[int, int]:
    """Return a point of the object: `center-click`'s in half of the cases, else any pixel."""
    if rng.random() < 0.5:
        found = best_click(mask, np.zeros_like(mask), None, [], 0, False)
        assert found is not None
        return found[0], found[1]
    rows, columns = np.nonzero(mask)
    k = int(rng.integers(len(rows)))
    return int(columns[k]), int(rows[k])


def correction(
    rng: np.random.Generator, truth: Mask, mask: Mask, clicked: list[tuple[int, int]]
) -> tuple[int, int, bool]:
    """Return the next click ``(x, y, positive)``: `center-click`'s in 7 of 10, else any wrong pixel.

    Without an error it is a pixel of the object (or of the background where there is no object).
    """
    wrong = truth != mask
    if wrong.any() and rng.random() < 0.7:
        found = best_click(truth, mask, None, clicked, 0, False)
        if found is not None:
            return found[0], found[1], bool(found[2])
    rows, columns = np.nonzero(wrong if wrong.any() else truth if truth.any() else ~truth)
    k = int(rng.integers(len(rows)))
    return int(columns[k]), int(rows[k]), bool(truth[rows[k], columns[k]])
