"""Graph cut: the cheapest boundary between object and background markers."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from simclick.agent import AgentInfo
from simclick.baselines.options import cpu_only, number, whole
from simclick.baselines.region import BACKGROUND, OBJECT, RegionAgent, smoothed
from simclick.errors import ConfigError

__all__ = ["GraphCut"]

_BINS = 32
_UNIT = 100
_HARD = 10**6
_STEPS = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 2**-0.5), (1, -1, 2**-0.5))
Links = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]


class GraphCut(RegionAgent):
    """Minimum cut on the 8-connected grid, after Boykov and Jolly (ICCV 2001).

    A pixel's preference is a nearness term, ``(b - o) / (b + o)`` of its distances to background and
    object markers, plus `histogram` × the log-ratio of grey histograms (32 bins, smoothed) of the pixels
    near the object markers and of the rest. Neighbours are tied by
    ``smoothness × exp(-difference² / (2 × mean))``. Capacities are whole numbers, so every solver finds
    a cut of the same cost; of several minimum cuts SciPy's solver here takes the one with the largest
    object, PyMaxflow its own, so masks may differ in ties.

    Args:
        histogram: Weight of the grey histograms.
        smoothness: Weight of the boundary.
        solver: ``auto`` (PyMaxflow where it is installed, else SciPy), ``scipy`` or ``pymaxflow``.
        resolution: Longest side of the working grid, in pixels.
        device: ``auto`` or ``cpu``.
    """

    def __init__(
        self,
        histogram: float = 0.5,
        smoothness: float = 2.0,
        solver: str = "auto",
        resolution: int = 96,
        device: str = "auto",
    ) -> None:
        cpu_only("graph-cut", device)
        self.histogram = number("histogram", histogram, 0.0)
        self.smoothness = number("smoothness", smoothness, 0.0)
        self.resolution = whole("resolution", resolution, 8)
        self.solver = _solver(solver)
        self.info = AgentInfo(
            "graph-cut",
            version="2",
            accepts=frozenset({"click", "box"}),
            settings={
                "histogram": self.histogram,
                "smoothness": self.smoothness,
                "resolution": self.resolution,
                "solver": self.solver,
            },
            parameters=0,
            family="classical",
            licence="BSD-3-Clause (SciPy)" if self.solver == "scipy" else "GPL-3.0 (PyMaxflow)",
            uses_previous=True,
            source="Boykov and Jolly, ICCV 2001",
        )

    def solve(self, image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
        """Return 1 on the object's side of the cut, else -1."""
        smooth = smoothed(image)
        preference = _preference(smooth.mean(axis=2), markers, self.histogram)
        links = list(_links(smooth, self.smoothness))
        cut = _cut_scipy if self.solver == "scipy" else _cut_pymaxflow
        return np.where(cut(preference, links), 1.0, -1.0).astype(np.float32)


def _solver(name: str) -> str:
    installed = importlib.util.find_spec("maxflow") is not None
    if name == "auto":
        return "pymaxflow" if installed else "scipy"
    if name not in {"scipy", "pymaxflow"}:
        raise ConfigError(f"agent.solver={name}: must be auto, scipy or pymaxflow")
    if name == "pymaxflow" and not installed:
        raise ConfigError("agent.solver=pymaxflow: not installed: pip install 'simclick[gpl]'")
    return name


def _preference(
    grey: NDArray[np.floating], markers: NDArray[np.uint8], histogram: float
) -> NDArray[np.int64]:
    """Return each pixel's preference for the object in whole units, Int64[h, w]."""
    to_object = distance_transform_edt(markers != OBJECT)
    to_background = distance_transform_edt(markers != BACKGROUND)
    near = (to_background - to_object) / (to_background + to_object)
    bins = np.clip(grey * (_BINS / 256), 0, _BINS - 1).astype(np.intp)
    likely = to_object < 0.1 * to_background
    weights = likely + 5.0 * (markers == OBJECT), (~likely).astype(float)
    shares = []
    for weight in weights:
        counts = np.bincount(bins.ravel(), weight.ravel(), minlength=_BINS)
        counts = gaussian_filter1d(counts, 1.0, mode="nearest")
        shares.append((counts + 1 / _BINS) / (counts.sum() + 1))
    ratio = np.clip(np.log(shares[0]) - np.log(shares[1]), -4, 4)
    wanted = _UNIT * (near + histogram * ratio[bins])
    preference: NDArray[np.int64] = np.rint(wanted).astype(np.int64)
    preference[markers == OBJECT] = _HARD
    preference[markers == BACKGROUND] = -_HARD
    return preference


def _links(smooth: NDArray[np.float32], smoothness: float) -> Iterator[Links]:
    """Yield the ties between neighbours, per direction: pixel, neighbour, capacity both ways."""
    height, width = smooth.shape[:2]
    index = np.arange(height * width, dtype=np.int32).reshape(height, width)
    pairs = []
    for dy, dx, weight in _STEPS:
        here = np.s_[: height - dy, max(0, -dx) : width - max(0, dx)]
        there = np.s_[dy:, max(0, dx) : width - max(0, -dx)]
        squared = ((smooth[here] - smooth[there]) ** 2).sum(axis=2).astype(np.float64)
        pairs.append((index[here].ravel(), index[there].ravel(), squared.ravel(), weight))
    mean = np.concatenate([squared for _, _, squared, _ in pairs]).mean() if height * width > 1 else 0.0
    for a, b, squared, weight in pairs:
        tie = np.exp(-squared / (2 * mean)) if mean > 0 else np.ones_like(squared)
        yield a, b, np.rint(_UNIT * smoothness * weight * tie).astype(np.int32) + 1


def _cut_scipy(preference: NDArray[np.int64], links: list[Links]) -> NDArray[np.bool_]:
    """Return the object's side: what cannot reach the sink in the residual graph."""
    n = preference.size
    flat = preference.ravel()
    source, sink = np.flatnonzero(flat > 0), np.flatnonzero(flat < 0)
    rows: list[NDArray[Any]] = [np.full(source.size, n), sink]
    columns: list[NDArray[Any]] = [source, np.full(sink.size, n + 1)]
    values: list[NDArray[Any]] = [flat[source], -flat[sink]]
    for a, b, capacity in links:
        rows += [a, b]
        columns += [b, a]
        values += [capacity, capacity]
    joined = (np.concatenate(part).astype(np.int32) for part in (values, rows, columns))
    capacities, i, j = joined
    graph = coo_array((capacities, (i, j)), shape=(n + 2, n + 2)).tocsr()
    residual = graph - maximum_flow(graph, n, n + 1).flow
    residual.data[residual.data < 0] = 0
    residual.eliminate_zeros()
    reaches = breadth_first_order(residual.T.tocsr(), n + 1, return_predecessors=False)
    inside = np.ones(n + 2, dtype=np.bool_)
    inside[reaches] = False
    return inside[:n].reshape(preference.shape)


def _cut_pymaxflow(preference: NDArray[np.int64], links: list[Links]) -> NDArray[np.bool_]:
    """Return the object's side by PyMaxflow (extra ``gpl``)."""
    import maxflow

    graph = maxflow.GraphInt(preference.size, preference.size * len(_STEPS))
    nodes = graph.add_grid_nodes(preference.shape)
    graph.add_grid_tedges(nodes, np.maximum(preference, 0), np.maximum(-preference, 0))
    for a, b, capacity in links:
        graph.add_edges(a, b, capacity, capacity)
    graph.maxflow()
    outside: NDArray[np.bool_] = graph.get_grid_segments(nodes)
    return ~outside
