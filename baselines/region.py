"""What the classical agents share: a working region, markers, and keeping what was not corrected.

1. *Region*: the bounding box of the positive clicks and of the previous mask, grown by `margin` of the
   image's shorter side (a box prompt by `BOX_GROWTH` of its own sides), clipped to the image. A click
   inside a grown box adds no room of its own: the box has said how large the object is. The object is
   not looked for outside; as clicks and mask grow, so does the region.
2. The region is scaled down so that its longer side has at most `resolution` pixels.
3. *Markers*: discs of `SEED` of the shorter side around clicks (at least the clicked pixel), later
   clicks over earlier ones; the region's edge is background where it lies inside the image (all of
   it where the region is the whole image and nothing else is background). The latest box marks an
   ellipse of half its size at its centre, under all clicks.
4. The method solves for a number per pixel, positive inside the object, which is scaled back.
5. Clicked pixels get their labels whatever the method says. From the second round on, only changes
   that touch the new click are taken over: a correction corrects where the annotator clicked.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from simclick.agent import Request, SimpleAgent
from simclick.geometry import connected_components
from simclick.prompts import Prompt

__all__ = ["BACKGROUND", "OBJECT", "RegionAgent", "gradient", "smoothed"]

OBJECT, BACKGROUND = 1, 2
BOX_GROWTH = 0.15
SEED = 0.02

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Region:
    """A rectangle of the image, last row and column excluded, and its working size."""

    top: int
    bottom: int
    left: int
    right: int
    height: int
    width: int

    def to_working(self, x: float, y: float) -> tuple[float, float]:
        """Return where an image point lies in the working grid."""
        u = (x - self.left + 0.5) * self.width / (self.right - self.left) - 0.5
        v = (y - self.top + 0.5) * self.height / (self.bottom - self.top) - 0.5
        return u, v


class RegionAgent(SimpleAgent):
    """A classical method that works on a region around prompts and previous mask.

    Attributes:
        resolution: Longest side of the working grid, in pixels.
        margin: How far the region reaches beyond clicks, as a fraction of the image's shorter side.
    """

    resolution: int
    margin: float = 0.15

    @abstractmethod
    def solve(self, image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
        """Return a number per pixel, positive inside the object: Float32[h, w].

        Args:
            image: UInt8[h, w, 3], the region at working size.
            markers: UInt8[h, w]: `OBJECT`, `BACKGROUND` or 0 for unknown; each kind occurs.
            seed: For a method that draws at random.
        """

    def segment(self, image: NDArray[np.uint8], request: Request) -> Mask:
        """Return the mask for a request."""
        region = _find_region(request, self.resolution, self.margin)
        crop = image[region.top : region.bottom, region.left : region.right]
        small = cv2.resize(crop, (region.width, region.height), interpolation=cv2.INTER_AREA)
        markers = _markers(request, region)
        mask = np.zeros(request.size, dtype=np.bool_)
        if (markers == OBJECT).any():
            inside = np.ones(markers.shape, np.float32)
            if (markers == BACKGROUND).any():
                inside = self.solve(np.ascontiguousarray(small), markers, request.seed)
            full = cv2.resize(inside, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            mask[region.top : region.bottom, region.left : region.right] = full > 0
        _obey(mask, request.prompts)
        if request.previous is not None:
            mask = _local_change(request.previous, mask, request.rounds[-1].prompts)
            _obey(mask, request.prompts)
        return mask


def smoothed(image: NDArray[np.uint8], sigma: float = 1.0) -> NDArray[np.float32]:
    """Return the image as Float32[h, w, 3], smoothed by a Gaussian."""
    return np.asarray(cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma), dtype=np.float32)


def gradient(image: NDArray[np.uint8], sigma: float = 1.0) -> NDArray[np.float64]:
    """Return the colour gradient's length over its own mean, Float64[h, w]; 0 on a flat image."""
    smooth = smoothed(image, sigma)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0).astype(np.float64)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1).astype(np.float64)
    length = np.sqrt((dx**2 + dy**2).sum(axis=2))
    mean = length.mean()
    relative: NDArray[np.float64] = length / mean if mean > 0 else length
    return relative


def _clicks(prompts: tuple[Prompt, ...]) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.kind == "click"]


def _boxes(prompts: tuple[Prompt, ...]) -> list[Prompt]:
    return [prompt for prompt in prompts if prompt.kind == "box"]


def _find_region(request: Request, resolution: int, reach: float) -> _Region:
    height, width = request.size
    clicks = _clicks(request.prompts)
    margin = max(2, round(reach * min(request.size)))
    boxes = [_grown(prompt) for prompt in _boxes(request.prompts)]
    positive = [p.landed for p in clicks if p.positive]
    points = positive or ([] if boxes else [p.landed for p in clicks])
    outside = [(x, y) for x, y in points if not any(a <= x <= c and b <= y <= d for a, b, c, d in boxes)]
    boxes += [(x - margin, y - margin, x + margin, y + margin) for x, y in outside]
    if request.previous is not None and request.previous.any():
        x, y, w, h = cv2.boundingRect(request.previous.astype(np.uint8))
        grow = max(2, margin // 3)
        boxes.append((x - grow, y - grow, x + w - 1 + grow, y + h - 1 + grow))
    lows, highs = np.min(boxes, axis=0), np.max(boxes, axis=0)
    left, top = max(0, int(lows[0])), max(0, int(lows[1]))
    right, bottom = min(width, int(highs[2]) + 1), min(height, int(highs[3]) + 1)
    scale = min(1.0, resolution / max(bottom - top, right - left))
    return _Region(
        top, bottom, left, right, max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))
    )


def _grown(prompt: Prompt) -> tuple[int, int, int, int]:
    """Return a box prompt grown by `BOX_GROWTH` of its own sides, at least 2 pixels each way."""
    x0, y0, x1, y1 = prompt.landed
    dx, dy = (max(2, round(BOX_GROWTH * (b - a + 1))) for a, b in ((x0, x1), (y0, y1)))
    return x0 - dx, y0 - dy, x1 + dx, y1 + dy


def _markers(request: Request, region: _Region) -> NDArray[np.uint8]:
    height, width = request.size
    markers = np.zeros((region.height, region.width), np.uint8)
    clicks = _clicks(request.prompts)
    inner = (region.top > 0, region.bottom < height, region.left > 0, region.right < width)
    if not any(inner) and all(p.positive for p in clicks):
        inner = (True,) * 4
    edges = (markers[:1], markers[-1:], markers[:, :1], markers[:, -1:])
    for edge, is_background in zip(edges, inner, strict=True):
        if is_background:
            edge[...] = BACKGROUND
    rows, columns = np.ogrid[: region.height, : region.width]
    for prompt in _boxes(request.prompts)[-1:]:
        x0, y0, x1, y1 = prompt.landed
        u, v = region.to_working((x0 + x1) / 2, (y0 + y1) / 2)
        a = max(0.5, (x1 - x0 + 1) / 4 * region.width / (region.right - region.left))
        b = max(0.5, (y1 - y0 + 1) / 4 * region.height / (region.bottom - region.top))
        markers[((columns - u) / a) ** 2 + ((rows - v) / b) ** 2 <= 1] = OBJECT
    scale = region.width / (region.right - region.left)
    radius = max(1.0, SEED * min(request.size)) * scale
    for prompt in clicks:
        u, v = region.to_working(*prompt.landed)
        seeds = (columns - u) ** 2 + (rows - v) ** 2 <= radius**2
        if -0.5 <= u < region.width - 0.5 and -0.5 <= v < region.height - 0.5:
            seeds[int(v + 0.5), int(u + 0.5)] = True
        markers[seeds] = OBJECT if prompt.positive else BACKGROUND
    return markers


def _obey(mask: Mask, prompts: tuple[Prompt, ...]) -> None:
    """Give each clicked pixel, and its neighbours, the label of the latest click there."""
    for prompt in _clicks(prompts):
        x, y = prompt.landed
        mask[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = prompt.positive


def _local_change(previous: Mask, mask: Mask, new: tuple[Prompt, ...]) -> Mask:
    """Return the previous mask with the changes that touch a new click; all of them after a box."""
    if _boxes(new):
        return mask
    labels, _ = connected_components(previous ^ mask)
    touched: set[int] = set()
    for prompt in _clicks(new):
        x, y = prompt.landed
        touched.update(np.unique(labels[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]).tolist())
    changed = np.isin(labels, sorted(touched - {0}))
    kept: Mask = previous ^ changed
    return kept
