"""From regions of pixels to paths: skeletons, their longest path, a walk along all of one.

A *path* is Int[N, 2], rows of ``(x, y)``, in which every pixel is one of the eight neighbours of the
one before it. `vertices` leaves out those in the middle of straight runs; drawing straight lines
between what is left gives the same pixels again.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["Path", "joined", "longest_path", "longest_run", "skeleton", "vertices", "walk"]

Path = NDArray[np.int64]
Pixel = tuple[int, int]

# Those that share an edge first, so that paths go straight and walks do not cut corners.
_NEIGHBOURS = ((0, -1), (-1, 0), (1, 0), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1))


def skeleton(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the skeleton of a region, Bool[H, W], never empty where the region is not.

    The thinning of Zhang and Suen (1984) as scikit-image has it; pixels outside the image are
    outside the region. Where nothing remains (that thinning can erase a square of four pixels), the
    skeleton is the first pixel of the region in row-major order.
    """
    # Heavy, and needed by few.
    from skimage.morphology import skeletonize

    found = skeletonize(np.pad(region, 1), method="zhang")  # type: ignore[no-untyped-call]
    thin: NDArray[np.bool_] = np.array(found[1:-1, 1:-1], dtype=np.bool_)
    if not thin.any() and region.any():
        thin = np.zeros_like(region)
        thin.flat[np.flatnonzero(region)[0]] = True
    return thin


def longest_path(pixels: NDArray[np.bool_]) -> Path:
    """Return a longest shortest path through a connected set of pixels.

    From the set's first pixel in row-major order to the pixel with the most steps from there, and
    from that one (where the path begins) to the pixel with the most steps from it; a step goes to
    one of the eight neighbours; of equally far pixels the first in row-major order; of equally short
    ways the one that breadth-first search finds, neighbours that share an edge before those that share
    a corner, each in row-major order. For a tree this is a longest path of all; of a ring it is half.

    Args:
        pixels: Bool[H, W], at least one of them set; what is not connected to the first is left out.
    """
    places = _places(pixels)
    first = min(places, key=lambda place: (place[1], place[0]))
    start, _ = _farthest(places, first)
    end, came_from = _farthest(places, start)
    path = [end]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return np.array(path[::-1], dtype=np.int64)


def walk(pixels: NDArray[np.bool_]) -> Path:
    """Return a path that visits every pixel of a connected set, and no others.

    Depth first from the beginning of `longest_path`: to a neighbour that was not visited (those that
    share an edge before those that share a corner, each in row-major order), and back along the path
    where there is none; it ends at the pixel visited last. Along a line that does not branch it is
    that line; branches are walked there and back.

    Args:
        pixels: As for `longest_path`.
    """
    start = longest_path(pixels)[0]
    trail = [(int(start[0]), int(start[1]))]
    path, left = list(trail), _places(pixels) - set(trail)
    end = 1
    while trail:
        step = _step(trail[-1], left)
        if step is not None:
            trail.append(step)
            left.remove(step)
            path.append(step)
            end = len(path)
        else:
            trail.pop()
            path.extend(trail[-1:])
    return np.array(path[:end], dtype=np.int64)


def longest_run(keep: NDArray[np.bool_], closed: bool = False) -> NDArray[np.int64]:
    """Return the indices of the longest run of True, in order; of equally long ones the first.

    Args:
        keep: Bool[N].
        closed: Whether the first follows the last. Runs go on across the end then, the first is the
            one that begins first after the first False; where all are True (and N > 2) the run is
            all of them and ends where it began.

    Returns:
        Int64[M], empty where nothing is True.
    """
    n = keep.size
    indices = np.arange(n)
    if keep.all():
        return np.append(indices, 0) if closed and n > 2 else indices
    if closed:
        indices = np.roll(indices, -int(np.argmin(keep)))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep[indices], [False]]).astype(np.int8)))
    if edges.size == 0:
        return indices[:0]
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return indices[starts[longest] : ends[longest]]


def joined(points: NDArray[np.int64]) -> Path:
    """Return the path along straight lines (Bresenham's) between points, Int[N, 2] of ``(x, y)``."""
    from skimage.draw import line

    parts = [points[:1]]
    for (x0, y0), (x1, y1) in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        rows, columns = line(y0, x0, y1, x1)  # type: ignore[no-untyped-call]
        parts.append(np.stack([columns, rows], axis=1)[1:].astype(np.int64))
    return np.concatenate(parts)


def vertices(path: Path) -> list[Pixel]:
    """Return the ends of a path's straight runs: repeated pixels and middles of runs are left out."""
    steps = np.diff(path, axis=0)
    moved = np.append(True, steps.any(axis=1))
    path = path[moved]
    steps = np.diff(path, axis=0)
    turns = np.ones(len(path), dtype=np.bool_)
    turns[1:-1] = (steps[1:] != steps[:-1]).any(axis=1)
    return [(int(x), int(y)) for x, y in path[turns]]


def _places(pixels: NDArray[np.bool_]) -> set[Pixel]:
    rows, columns = np.nonzero(pixels)
    return set(zip(columns.tolist(), rows.tolist(), strict=True))


def _step(place: Pixel, left: set[Pixel]) -> Pixel | None:
    steps = ((place[0] + dx, place[1] + dy) for dx, dy in _NEIGHBOURS)
    return next((step for step in steps if step in left), None)


def _farthest(places: set[Pixel], start: Pixel) -> tuple[Pixel, dict[Pixel, Pixel]]:
    """Return the pixel with the most steps from `start`, and whence each pixel was reached."""
    steps, came_from, queue = {start: 0}, {start: start}, deque([start])
    while queue:
        x, y = queue.popleft()
        for dx, dy in _NEIGHBOURS:
            place = (x + dx, y + dy)
            if place in places and place not in steps:
                steps[place] = steps[x, y] + 1
                came_from[place] = (x, y)
                queue.append(place)
    farthest = min(steps, key=lambda place: (-steps[place], place[1], place[0]))
    return farthest, came_from
