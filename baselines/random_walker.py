"""Random walker: each pixel belongs to the markers that a walk from it reaches first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simclick.agent import AgentInfo
from simclick.baselines.options import cpu_only, number, whole
from simclick.baselines.region import OBJECT, RegionAgent, smoothed

__all__ = ["RandomWalker"]


class RandomWalker(RegionAgent):
    """Solves the random walker (scikit-image's ``random_walker``, solved directly).

    A direct solver on purpose: on noisy images conjugate gradients stop far from the solution, whatever
    their tolerance, and then the solver draws the mask, not the method.
    Works on the mean of the colours, smoothed by a Gaussian of one working pixel. Source: Grady, Random
    Walks for Image Segmentation, TPAMI 2006.

    Args:
        beta: How strongly a difference in grey stops a walk.
        resolution: Longest side of the working grid, in pixels.
        device: ``auto`` or ``cpu``.
    """

    def __init__(self, beta: float = 130.0, resolution: int = 96, device: str = "auto") -> None:
        cpu_only("random-walker", device)
        self.beta = number("beta", beta, 0.0)
        self.resolution = whole("resolution", resolution, 8)
        self.info = AgentInfo(
            "random-walker",
            version="2",
            accepts=frozenset({"click", "box"}),
            settings={"beta": self.beta, "resolution": self.resolution},
            parameters=0,
            family="classical",
            licence="BSD-3-Clause (scikit-image)",
            uses_previous=True,
            source="Grady, TPAMI 2006",
        )

    def solve(self, image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
        """Return the probability of the object minus that of the background."""
        from skimage.segmentation import random_walker

        if (markers != 0).all():
            return np.where(markers == OBJECT, 1.0, -1.0).astype(np.float32)
        grey = smoothed(image).mean(axis=2)
        both = random_walker(grey, markers.astype(np.int32), beta=self.beta, mode="bf", return_full_prob=True)
        return np.asarray(both[0] - both[1], dtype=np.float32)
