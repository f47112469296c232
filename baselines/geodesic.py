"""Geodesic segmentation: each pixel belongs to the markers that are nearer along flat grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simclick.agent import AgentInfo
from simclick.baselines.options import cpu_only, number, whole
from simclick.baselines.region import BACKGROUND, OBJECT, RegionAgent, gradient

__all__ = ["Geodesic"]


class Geodesic(RegionAgent):
    """Compares geodesic distances to object and background markers (scikit-image's ``MCP_Geometric``).

    A step costs ``1 + contrast × gradient / mean gradient``; a pixel as near to both is background.
    Source: Bai and Sapiro, A Geodesic Framework for Fast Interactive Image and Video Segmentation and
    Matting, ICCV 2007.

    Args:
        contrast: Weight of the gradient.
        resolution: Longest side of the working grid, in pixels.
        device: ``auto`` or ``cpu``.
    """

    def __init__(self, contrast: float = 20.0, resolution: int = 128, device: str = "auto") -> None:
        cpu_only("geodesic", device)
        self.contrast = number("contrast", contrast, 0.0)
        self.resolution = whole("resolution", resolution, 8)
        self.info = AgentInfo(
            "geodesic",
            version="2",
            accepts=frozenset({"click", "box"}),
            settings={"contrast": self.contrast, "resolution": self.resolution},
            parameters=0,
            family="classical",
            licence="BSD-3-Clause (scikit-image)",
            uses_previous=True,
            source="Bai and Sapiro, ICCV 2007",
        )

    def solve(self, image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
        """Return how much farther the background is than the object."""
        from skimage.graph import MCP_Geometric

        cost = 1 + self.contrast * gradient(image)
        to_object, _ = MCP_Geometric(cost).find_costs(np.argwhere(markers == OBJECT))
        to_background, _ = MCP_Geometric(cost).find_costs(np.argwhere(markers == BACKGROUND))
        return np.asarray(to_background - to_object, dtype=np.float32)
