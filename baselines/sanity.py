"""Agents that segment nothing, or cheat openly: the floor and the ceiling of every table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simclick.agent import AgentInfo, Request, SimpleAgent
from simclick.baselines.options import cpu_only, number
from simclick.prompts import KINDS

__all__ = ["CopyPrevious", "Disc", "Empty", "Oracle"]

Mask = NDArray[np.bool_]


class Oracle(SimpleAgent):
    """Answers with the truth. Marked wherever it shows."""

    def __init__(self, device: str = "auto") -> None:
        cpu_only("oracle", device)
        self.info = AgentInfo("oracle", accepts=frozenset(KINDS), parameters=0, uses_truth=True)

    def segment(self, image: NDArray[np.uint8], request: Request) -> Mask:
        """Return the truth."""
        if request.truth is None:
            raise ValueError("the oracle was not given the truth")
        return request.truth.copy()


class Empty(SimpleAgent):
    """Answers with the empty mask."""

    def __init__(self, device: str = "auto") -> None:
        cpu_only("empty", device)
        self.info = AgentInfo("empty", accepts=frozenset(KINDS), parameters=0)

    def segment(self, image: NDArray[np.uint8], request: Request) -> Mask:
        """Return the empty mask."""
        return np.zeros(request.size, dtype=np.bool_)


class CopyPrevious(SimpleAgent):
    """Answers the first round with a full mask, and every later one with the previous mask.

    It never responds, and so shows what an annotator does with an agent that ignores it.
    """

    def __init__(self, device: str = "auto") -> None:
        cpu_only("copy-previous", device)
        self.info = AgentInfo("copy-previous", accepts=frozenset(KINDS), parameters=0, uses_previous=True)

    def segment(self, image: NDArray[np.uint8], request: Request) -> Mask:
        """Return the previous mask, or all ones at the first round."""
        if request.previous is None:
            return np.ones(request.size, dtype=np.bool_)
        return request.previous.copy()


class Disc(SimpleAgent):
    """Paints a disc at every click, later clicks over earlier ones; a box becomes its ellipse.

    It never looks at the image. A click alone gives the centre of the object away, and a box its size:
    this is how much.

    Args:
        radius: As a fraction of the image's shorter side.
        device: ``auto`` or ``cpu``.
    """

    def __init__(self, radius: float = 0.1, device: str = "auto") -> None:
        cpu_only("disc", device)
        self.radius = number("radius", radius, 0.0, 1.0)
        self.info = AgentInfo(
            "disc",
            accepts=frozenset({"click", "box"}),
            settings={"radius": self.radius},
            parameters=0,
            family="floor",
        )

    def segment(self, image: NDArray[np.uint8], request: Request) -> Mask:
        """Return the discs and ellipses painted so far."""
        mask = np.zeros(request.size, dtype=np.bool_)
        rows, columns = np.ogrid[: request.size[0], : request.size[1]]
        radius = max(1.0, self.radius * min(request.size))
        for prompt in request.prompts:
            if prompt.kind == "box":
                x0, y0, x1, y1 = prompt.landed
                a, b = (x1 - x0 + 1) / 2, (y1 - y0 + 1) / 2
                across = ((columns - (x0 + x1) / 2) / a) ** 2
                mask |= across + ((rows - (y0 + y1) / 2) / b) ** 2 <= 1
            else:
                x, y = prompt.landed
                mask[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = prompt.positive
        return mask
