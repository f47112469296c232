"""Where pocket-click looks: a crop around what is known of the object. NumPy and OpenCV alone.

1. Before there is a mask: the whole image, or where a box was given the box grown by `GROWTH` of its sides.
2. With a mask: the box that holds the mask, all positive clicks, the latest click and the latest box, grown
by
   `GROWTH` of its sides, at least `LEAST` pixels each way, inside the image.

A first answer that shows the object to be small is looked at once more, on the crop of rule 2, in the same
round. Outside the crop there is no object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simclick.agent import Request
from simclick.baselines.pocket.planes import Marks, planes_of
from simclick.geometry import bounding_box

__all__ = ["GROWTH", "LEAST", "Crop", "first_crop", "next_crop"]

GROWTH = 0.35
LEAST = 32


@dataclass(frozen=True)
class Crop:
    """A part of an image: ``x0 ≤ x < x1``, ``y0 ≤ y < y1``."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def area(self) -> int:
        """Pixels in it."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def planes(
        self, image: NDArray[np.uint8], request: Request, soft: NDArray[np.float32] | None, side: int
    ) -> NDArray[np.float32]:
        """Return the network's input, Float32[7, side, side].

        Args:
            image: UInt8[H, W, 3].
            request: Its prompts are drawn.
            soft: Float32[H, W], the previous mask's probability, or None.
            side: Side of the network's input.
        """
        part = _scaled(image[self.y0 : self.y1, self.x0 : self.x1], side)
        previous = np.zeros((side, side), np.float32)
        if soft is not None:
            previous = _scaled(soft[self.y0 : self.y1, self.x0 : self.x1], side)
        return planes_of(part, self._marks(request, side), previous)

    def _marks(self, request: Request, side: int) -> Marks:
        across, down = side / (self.x1 - self.x0), side / (self.y1 - self.y0)
        marks = Marks(side)
        for prompt in request.prompts:
            if prompt.kind == "box":
                x0, y0, x1, y1 = prompt.landed
                left, top = int((x0 - self.x0) * across), int((y0 - self.y0) * down)
                right, bottom = int((x1 + 1 - self.x0) * across) - 1, int((y1 + 1 - self.y0) * down) - 1
                marks = marks.boxed((left, top, max(left, right), max(top, bottom)))
            elif self.x0 <= prompt.landed[0] < self.x1 and self.y0 <= prompt.landed[1] < self.y1:
                x = int((prompt.landed[0] - self.x0 + 0.5) * across)
                y = int((prompt.landed[1] - self.y0 + 0.5) * down)
                marks = marks.clicked(x, y, prompt.positive)
        return marks

    def pasted(self, logits: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """Return logits Float32[side, side] at their place in an image; -20 outside the crop."""
        full = np.full(size, -20.0, np.float32)
        part = full[self.y0 : self.y1, self.x0 : self.x1]
        part[...] = cv2.resize(logits, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_LINEAR)
        return full


def first_crop(request: Request) -> Crop:
    """Return where to look before there is a mask."""
    height, width = request.size
    boxes = [prompt.landed for prompt in request.prompts if prompt.kind == "box"]
    if not boxes:
        return Crop(0, 0, width, height)
    return _grown([boxes[-1], *_clicked(request)], request.size)


def next_crop(request: Request, mask: NDArray[np.bool_]) -> Crop:
    """Return where to look once there is a mask; where `first_crop` says if it is empty."""
    found = bounding_box(mask)
    if found is None:
        return first_crop(request)
    boxes = [prompt.landed for prompt in request.prompts if prompt.kind == "box"]
    return _grown([found, *boxes[-1:], *_clicked(request)], request.size)


def _clicked(request: Request) -> list[tuple[int, ...]]:
    """Return the positive clicks and the latest one, as boxes of one pixel."""
    clicks = [p for p in request.prompts if p.kind == "click"]
    wanted = [p for p in clicks if p.positive] + clicks[-1:]
    return [(*p.landed, *p.landed) for p in wanted]


def _grown(parts: list[tuple[int, ...]], size: tuple[int, int]) -> Crop:
    x0, y0 = (min(part[k] for part in parts) for k in (0, 1))
    x1, y1 = (max(part[k] for part in parts) + 1 for k in (2, 3))
    spans = []
    for low, high, end in ((x0, x1, size[1]), (y0, y1, size[0])):
        wanted = max(LEAST, round((high - low) * (1 + 2 * GROWTH)), high - low + 16)
        start = (low + high - wanted) // 2
        spans.append((max(0, start), min(end, start + wanted)))
    return Crop(spans[0][0], spans[1][0], spans[0][1], spans[1][1])


def _scaled(values: NDArray[Any], side: int) -> NDArray[Any]:
    shrinks = values.shape[0] > side or values.shape[1] > side
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(values), (side, side), interpolation=how))
