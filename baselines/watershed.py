"""Watershed: the gradient is flooded from object and background markers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simclick.agent import AgentInfo
from simclick.baselines.options import cpu_only, number, whole
from simclick.baselines.region import OBJECT, RegionAgent, gradient

__all__ = ["Watershed"]


class Watershed(RegionAgent):
    """Floods the gradient from the markers (scikit-image's ``watershed``).

    Source: Meyer, Color image segmentation, 1992; compact form: Neubert and Protzel, ICPR 2014.

    Args:
        compactness: 0 for the plain watershed; higher values prefer compact regions.
        resolution: Longest side of the working grid, in pixels.
        device: ``auto`` or ``cpu``.
    """

    def __init__(self, compactness: float = 0.001, resolution: int = 128, device: str = "auto") -> None:
        cpu_only("watershed", device)
        self.compactness = number("compactness", compactness, 0.0)
        self.resolution = whole("resolution", resolution, 8)
        self.info = AgentInfo(
            "watershed",
            version="2",
            accepts=frozenset({"click", "box"}),
            settings={"compactness": self.compactness, "resolution": self.resolution},
            parameters=0,
            family="classical",
            licence="BSD-3-Clause (scikit-image)",
            uses_previous=True,
            source="Meyer 1992; Neubert and Protzel, ICPR 2014",
        )

    def solve(self, image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
        """Return 1 in the object's basin, -1 outside."""
        from skimage.segmentation import watershed

        flood: Callable[..., NDArray[np.int32]] = watershed
        basins = flood(gradient(image), markers.astype(np.int32), compactness=self.compactness)
        return np.where(basins == OBJECT, 1.0, -1.0).astype(np.float32)
