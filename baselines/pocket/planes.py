"""What pocket-click sees: seven planes over a square crop. NumPy alone, so that it runs without torch.

Planes: the image (3, each crop brought to mean 0 and variance 1), discs around positive clicks, discs
around negative clicks, the filled box, and the previous mask's probability.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["DISC", "Marks", "planes_of"]

DISC = 3
"""Radius of a click's disc, in pixels of the crop."""


@dataclass(frozen=True)
class Marks:
    """Prompts in the crop's frame.

    Attributes:
        side: Side of the crop in pixels.
        clicks: ``(x, y, positive)``, oldest first.
        box: ``(x0, y0, x1, y1)``, last pixel included, or None.
    """

    side: int
    clicks: tuple[tuple[int, int, bool], ...] = ()
    box: tuple[int, int, int, int] | None = None

    @property
    def places(self) -> list[tuple[int, int]]:
        """Where the clicks are."""
        return [(x, y) for x, y, _ in self.clicks]

    def clicked(self, x: int, y: int, positive: bool) -> Marks:
        """Return these marks with one more click."""
        return replace(self, clicks=(*self.clicks, (int(x), int(y), bool(positive))))

    def boxed(self, box: tuple[int, int, int, int]) -> Marks:
        """Return these marks with a box in place of any other."""
        return replace(self, box=box)


def planes_of(image: NDArray[np.uint8], marks: Marks, previous: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the planes of a crop, Float32[7, S, S].

    Args:
        image: UInt8[S, S, 3].
        marks: The prompts.
        previous: Float32[S, S], the previous mask's probability; zeros before the first answer.
    """
    side = marks.side
    planes = np.zeros((7, side, side), np.float32)
    values = image.astype(np.float32)
    planes[:3] = ((values - values.mean()) / (values.std() + 1.0)).transpose(2, 0, 1)
    for x, y, positive in marks.clicks:
        cv2.circle(planes[3 if positive else 4], (x, y), DISC, 1.0, -1)
    if marks.box is not None:
        x0, y0, x1, y1 = np.clip(marks.box, 0, side - 1)
        planes[5, y0 : y1 + 1, x0 : x1 + 1] = 1.0
    planes[6] = previous
    return planes
