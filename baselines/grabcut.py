"""GrabCut: Gaussian mixtures of object and background colours, and a graph cut between them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from simclick.agent import AgentInfo
from simclick.baselines.options import cpu_only, number, whole
from simclick.baselines.region import BACKGROUND, OBJECT, RegionAgent

__all__ = ["GrabCut"]


class GrabCut(RegionAgent):
    """Runs OpenCV's ``grabCut`` from marker discs.

    Unknown pixels start as probable object where they are nearer to an object marker than `reach` times
    their distance to a background marker, else as probable background. OpenCV's random state, which its
    mixtures start from, is seeded at every call from the request. Source: Rother, Kolmogorov and Blake,
    SIGGRAPH 2004.

    Args:
        iterations: Of mixtures and cut.
        margin: How far the working region reaches beyond clicks, as a fraction of the shorter side.
        reach: See above.
        resolution: Longest side of the working grid, in pixels.
        device: ``auto`` or ``cpu``.
    """

    def __init__(
        self,
        iterations: int = 2,
        reach: float = 0.5,
        margin: float = 0.22,
        resolution: int = 128,
        device: str = "auto",
    ) -> None:
        cpu_only("grabcut", device)
        self.iterations = whole("iterations", iterations, 1)
        self.reach = number("reach", reach, 0.0)
        self.margin = number("margin", margin, 0.01, 1.0)
        self.resolution = whole("resolution", resolution, 8)
        self.info = AgentInfo(
            "grabcut",
            version="2",
            accepts=frozenset({"click", "box"}),
            settings={
                "iterations": self.iterations,
                "reach": self.reach,
                "margin": self.margin,
                "resolution": self.resolution,
            },
            parameters=0,
            family="classical",
            licence="Apache-2.0 (OpenCV)",
            uses_previous=True,
            source="Rother et al., SIGGRAPH 2004",
        )

    def solve(self, image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
        """Return 1 where OpenCV says object or probable object, else -1."""
        to_object = distance_transform_edt(markers != OBJECT)
        to_background = distance_transform_edt(markers != BACKGROUND)
        labels = np.where(to_object < self.reach * to_background, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
        labels[markers == OBJECT] = cv2.GC_FGD
        labels[markers == BACKGROUND] = cv2.GC_BGD
        labels = labels.astype(np.uint8)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(seed)
        whole_image = (0, 0, image.shape[1], image.shape[0])  # not looked at in this mode
        cv2.grabCut(image, labels, whole_image, *models, self.iterations, cv2.GC_INIT_WITH_MASK)
        inside = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
        return np.where(inside, 1.0, -1.0).astype(np.float32)
