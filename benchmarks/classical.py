"""Each classical agent beside the plain form of its library, and beside faster forms that could stand in.

    python benchmarks/classical.py [--cases 8]

What is timed is `solve`: the agent's working grid (at most 96 or 128 pixels a side) and its markers in, the
side of each pixel out, at clicks 1, 2, 5 and 10 of episodes on the phantoms. *Plain* is the same library call
on the region at full resolution, with the markers scaled up: what a script would do without a working grid.
It answers another question (its pixels are finer), so the masks differ. The others are other calls on the
same grid, none of which the agent uses. Agreement is the Dice of
the two masks, the mean over all calls and the least.

No option replaces an agent's call: a mask that differs needs a new version of the agent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from timing import Result, arguments

from simclick.agent import Request
from simclick.baselines.region import OBJECT, RegionAgent, gradient, smoothed
from simclick.case import Case
from simclick.datasets.phantoms import Phantoms
from simclick.episode import Episode, Ground, Rules, ask
from simclick.metrics.overlap import dice
from simclick.protocol import load_protocol
from simclick.registry import agents

AT = (1, 2, 5, 10)
Mask = NDArray[np.bool_]
Solve = Callable[[NDArray[np.uint8], NDArray[np.uint8], int], NDArray[Any]]


@dataclass(frozen=True)
class Call:
    """What `solve` was given, and the same at full resolution."""

    image: NDArray[np.uint8]
    markers: NDArray[np.uint8]
    seed: int
    full: NDArray[np.uint8]


def recorded(agent: RegionAgent, cases: list[Case]) -> list[Call]:
    """Play episodes; return the calls of `solve` at the rounds of `AT`."""
    calls: list[Call] = []
    rules = Rules(load_protocol("noc-v1").with_overrides({"surface_at": [], "budget": max(AT)}), 0)
    solve, size = agent.solve, agent.resolution
    for case in cases:
        (embedding,) = agent.encode([case.image])
        episode, seen = Episode(Ground(case), rules), ()
        while episode.status == "running" and (round_ := ask([episode])[0]) is not None:
            seen += (round_.seen(),)
            held: list[tuple[Any, ...]] = []
            watched = lambda *given, held=held: (held.append(given), solve(*given))[1]  # noqa: E731
            agent.solve = watched  # type: ignore[method-assign]
            asked = Request(
                embedding, case.size, seen, episode.mask if episode.step > 1 else None,
                seed=episode.draws().agent_seed(),
            )  # fmt: skip
            (answer,) = agent.predict([asked])
            if held and episode.step in AT:
                calls.append(Call(*held[0], whole_region(agent, case, asked, held[0][0].shape)))
            episode.answer(np.asarray(answer.candidates)[0])
    agent.solve = solve  # type: ignore[method-assign]
    assert agent.resolution == size
    return calls


def whole_region(
    agent: RegionAgent, case: Case, asked: Request, working: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Return the region of a request at full resolution."""
    from simclick.baselines.region import _find_region

    region = _find_region(asked, agent.resolution, agent.margin)
    assert (region.height, region.width) == working[:2]
    return np.ascontiguousarray(case.image[region.top : region.bottom, region.left : region.right])


def scaled(markers: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return markers at another size, by nearest neighbour."""
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(markers, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def opencv_watershed(image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[Any]:
    """Flood by OpenCV's watershed, which works on the image's own colours; its ridges are background."""
    basins = markers.astype(np.int32)
    cv2.watershed(image, basins)
    return np.where(basins == OBJECT, 1.0, -1.0)


def plain_watershed(image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[Any]:
    """Flood without compactness."""
    from skimage.segmentation import watershed

    return np.where(watershed(gradient(image), markers.astype(np.int32)) == OBJECT, 1.0, -1.0)


def conjugate_walker(mode: str) -> Solve:
    """Return the random walker by another solver of scikit-image."""

    def solve(image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[Any]:
        from skimage.segmentation import random_walker

        grey = smoothed(image).mean(axis=2)
        both = random_walker(grey, markers.astype(np.int32), beta=130.0, mode=mode, return_full_prob=True)
        return np.asarray(both[0] - both[1])

    return solve


def walker_for_object_alone(image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[Any]:
    """Solve for labels alone: scikit-image then leaves out the normalisation of probabilities."""
    from skimage.segmentation import random_walker

    labels = random_walker(smoothed(image).mean(axis=2), markers.astype(np.int32), beta=130.0, mode="bf")
    return np.where(labels == OBJECT, 1.0, -1.0)


def one_front(image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[Any]:
    """Let both kinds of marker grow in one search, each pixel to the marker that reaches it first."""
    from skimage.graph import MCP_Geometric

    starts = np.argwhere(markers != 0)
    _, trace = (front := MCP_Geometric(1 + 20.0 * gradient(image))).find_costs(starts)
    steps = np.array(front.offsets)
    flat = np.arange(markers.size).reshape(markers.shape)
    rows, columns = np.divmod(flat, markers.shape[1])
    moved = trace >= 0
    parent = flat.copy()
    back = steps[trace[moved]]
    parent[moved] = (rows[moved] - back[:, 0]) * markers.shape[1] + columns[moved] - back[:, 1]
    root = parent.ravel()
    while not np.array_equal(up := root[root], root):
        root = up
    return np.where(markers.ravel()[root].reshape(markers.shape) == OBJECT, 1.0, -1.0)


def one_iteration(agent: Any) -> Solve:
    """Return GrabCut with one iteration."""
    return type(agent)(iterations=1).solve  # type: ignore[no-any-return]


def options_of(name: str, agent: Any) -> dict[str, Solve]:
    """Return the other calls that could take an agent's place."""
    if name == "grabcut":
        return {"1 iteration": one_iteration(agent)}
    if name == "watershed":
        return {"OpenCV": opencv_watershed, "no compactness": plain_watershed}
    if name == "random-walker":
        found = {"labels alone": walker_for_object_alone, "cg_j": conjugate_walker("cg_j")}
        try:
            import pyamg  # noqa: F401

            found["multigrid (cg_mg)"] = conjugate_walker("cg_mg")
        except ModuleNotFoundError:
            pass
        return found
    if name == "geodesic":
        return {"one front": one_front}
    return {"SciPy's cut": type(agent)(solver="scipy").solve}


def seconds_and_masks(solve: Solve, calls: list[Call], full: bool) -> tuple[list[float], list[Mask]]:
    """Return the seconds of every call, and its mask on the working grid."""
    seconds, masks = [], []
    for call in calls:
        image = call.full if full else call.image
        markers = scaled(call.markers, image.shape) if full else call.markers
        start = time.perf_counter()
        inside = solve(image, markers, call.seed)
        seconds.append(time.perf_counter() - start)
        working = cv2.resize(
            inside.astype(np.float32), call.markers.shape[::-1], interpolation=cv2.INTER_AREA
        )
        masks.append((working if full else inside) > 0)
    return seconds, masks


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--cases", type=int, default=8, help="phantoms to play (default: 8)")
    options = parser.parse_args()
    cases = [case for case in Phantoms() if case.truth.any()]
    cases = cases[:: max(1, len(cases) // options.cases)][: options.cases]
    result = Result("classical")
    table = result.table(
        "Classical agents: their call beside others, medians over calls",
        *("agent", "beside", "agent, ms", "other, ms", "other / agent", "Dice, mean", "Dice, least"),
        note=f"{len(cases)} phantoms, clicks {', '.join(map(str, AT))}. Above 1 in other / agent: the "
        "agent's call is faster.",
    )
    cv2.setNumThreads(1)
    for name in ("grabcut", "watershed", "random-walker", "geodesic", "graph-cut"):
        agent: Any = agents.load(name)()
        calls = recorded(agent, cases)
        seconds_and_masks(agent.solve, calls[:1], False)
        mine, masks = seconds_and_masks(agent.solve, calls, False)
        others = {"plain, full resolution": (agent.solve, True)}
        others |= {key: (solve, False) for key, solve in options_of(name, agent).items()}
        for other, (solve, full) in others.items():
            seconds, theirs = seconds_and_masks(solve, calls, full)
            ratio = median(b / a for a, b in zip(mine, seconds, strict=True))
            scores = [dice(a, b) for a, b in zip(masks, theirs, strict=True)]
            table.add(
                *(name, other, f"{1000 * median(mine):.2f}", f"{1000 * median(seconds):.2f}"),
                *(f"{ratio:.2f}x", f"{sum(scores) / len(scores):.4f}", f"{min(scores):.4f}"),
            )
    result.save(options.json)


if __name__ == "__main__":
    main()
