"""Annotators that scribble: ScribblePrompt's three kinds, one scribble a round.

A round is one scribble in one wrong region (an 8-connected component of the false negatives, then it
is positive, or of the false positives, then it is negative). How it comes about:

1. the shape: a path inside the region (see each class);
2. ``breaks``: smooth noise hides about half of the image, and of the path the longest part that is
   not hidden is kept; the whole path where all of it is hidden;
3. ``warp``: the path is moved by a smooth random field;
4. the path is cut to the region: its longest part inside is kept. Where none of it is inside, the path
   as it was before step 3, or before step 2, is cut instead.

"Longest" is by number of pixels, and of equally long parts the first along the path. So a scribble is
one continuous line, all of its pixels inside the region; a region of one pixel gets a scribble of
that one vertex. Vertices in the middle of straight runs are left out. Earlier scribbles are not looked
at: an agent that does not answer gets scribbles in the same region again.

Smooth noise is *value noise*: numbers uniform in [-1, 1) on a square lattice with a random phase,
interpolated linearly in x and in y. Its lattice has a spacing uniform in 4 to 16 pixels of an image
whose longer side is 128, and the largest displacement of a warp is uniform in 1 to 6 such pixels: both
scale with the longer side.

Source: Wong, Rakic, Guttag and Dalca, "ScribblePrompt: Fast and Flexible Interactive Segmentation for
Any Biomedical Image" (2024), and the released code's line, centreline and contour scribbles, from
which the ranges 4 to 16 and 1 to 6 are taken. What differs: there a scribble is a mask, and all of its
parts are kept, in all components of an error; here it is one line, so that its cost is that of one
scribble. There the noise is Perlin's and a mask is warped with interpolation. There lines are cut to
the region but not broken (so here by default), contours come from a blurred mask and run around holes
too. The options there that limit the pixels of a scribble or thicken it are left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import History
from simclick.annotators.perception import errors, largest_error
from simclick.annotators.tracing import Path, joined, longest_path, longest_run, skeleton, vertices
from simclick.case import Case
from simclick.geometry import bounding_box, connected_components, largest_component, squared_distance
from simclick.prompts import Prompt, Round, scribble
from simclick.seeding import Draws, Words

__all__ = ["CenterlineScribble", "ContourScribble", "LineScribble", "Region"]

Mask = NDArray[np.bool_]
Region = Literal["largest", "random"]

_REFERENCE_SIDE = 128
_SPACING = (4.0, 16.0)
_SHIFT = (1.0, 6.0)


@dataclass(frozen=True)
class _Scribble(ABC):
    """One scribble in one wrong region.

    Attributes:
        region: ``"largest"``: the region with the most pixels (of equally large ones a false positive
            before a false negative, then the first in row-major order). ``"random"``: the one that
            holds a wrong pixel drawn uniformly, so each with a chance in proportion to its pixels.
        breaks: Whether smooth noise breaks the scribble.
        warp: Whether a smooth field bends it.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = True
    kinds = frozenset({"scribble"})

    region: Region = "largest"
    breaks: bool = True
    warp: bool = True

    def __post_init__(self) -> None:
        if self.region not in get_args(Region):
            raise ValueError(f"region={self.region!r} must be one of {', '.join(get_args(Region))}")
        for option in ("breaks", "warp"):
            if not isinstance(getattr(self, option), bool):
                raise ValueError(f"{option}={getattr(self, option)!r} must be true or false")

    def propose(
        self, case: Case, masks: Mask, histories: Sequence[History], draws: Sequence[Draws]
    ) -> list[Round | None]:
        """Return one scribble per episode, or None where nothing is wrong."""
        prompts = (
            self._scribble(case, mask, draw.stream("annotator"))
            for mask, draw in zip(masks, draws, strict=True)
        )
        return [None if prompt is None else Round((prompt,)) for prompt in prompts]

    def _scribble(self, case: Case, mask: Mask, words: Words) -> Prompt | None:
        missed, extra = errors(case, mask)
        if self.region == "random":
            chosen = _random_error(missed, extra, words)
        else:
            chosen = largest_error(missed, extra)
        box = None if chosen is None else bounding_box(chosen[0])
        if chosen is None or box is None:
            return None
        x0, y0, x1, y1 = box
        inside = np.ascontiguousarray(chosen[0][y0 : y1 + 1, x0 : x1 + 1])
        path = self._path(inside, words, max(case.size) / _REFERENCE_SIDE)
        return scribble(vertices(path + np.array([x0, y0])), positive=chosen[1])

    def _path(self, inside: Mask, words: Words, scale: float) -> Path:
        """Return the finished path inside a region, in the region's own coordinates."""
        path, closed = self.shape(inside, words)
        whole = np.concatenate([path, path[:1]]) if closed and len(path) > 2 else path
        tries = [whole]
        if self.breaks:
            kept = longest_run(_noise(words, scale, inside.shape, path) > 0, closed)
            tries.append(path[kept] if kept.size else whole)
        if self.warp:
            tries.append(_warped(words, scale, inside.shape, tries[-1]))
        clipped = (_clipped(path, inside) for path in reversed(tries))
        return next(path for path in clipped if len(path))

    @abstractmethod
    def shape(self, inside: Mask, words: Words) -> tuple[Path, bool]:
        """Return the path before it is broken and bent, and whether its end joins its beginning.

        At least one of its pixels is inside the region.

        Args:
            inside: Bool[H, W], the region, cut out to its box; one component, never empty.
            words: Where chance comes from.
        """


@dataclass(frozen=True)
class LineScribble(_Scribble):
    """Scribble a straight line between two pixels of the region, bent and cut to the region.

    The two pixels are drawn uniformly, each on its own (they may be the same); the line is
    Bresenham's. It may leave a region that is not convex: the longest part inside is kept. Not broken
    unless `breaks` is set.
    """

    name: ClassVar[str] = "line-scribble"

    breaks: bool = False

    def shape(self, inside: Mask, words: Words) -> tuple[Path, bool]:
        """Return the line."""
        rows, columns = np.nonzero(inside)
        ends = [words.integer(rows.size) for _ in range(2)]
        return joined(np.stack([columns[ends], rows[ends]], axis=1)), False


@dataclass(frozen=True)
class CenterlineScribble(_Scribble):
    """Scribble along the middle of the region: the longest path of its skeleton, broken and bent.

    The skeleton is Zhang and Suen's; its longest path goes between the two pixels that are the most
    steps apart (`simclick.annotators.tracing.longest_path`). Without breaks and warp, in the largest
    region, nothing is left to chance.
    """

    name: ClassVar[str] = "centerline-scribble"

    def __post_init__(self) -> None:
        super().__post_init__()
        # A property of the options here: an episode without chance need not be repeated.
        chance = self.breaks or self.warp or self.region == "random"
        object.__setattr__(self, "draws_chance", chance)

    def shape(self, inside: Mask, words: Words) -> tuple[Path, bool]:
        """Return the longest path of the skeleton."""
        return longest_path(skeleton(inside)), False


@dataclass(frozen=True)
class ContourScribble(_Scribble):
    """Scribble along the contour of the region after it was shrunken, broken and bent.

    Shrunken: pixels whose Euclidean distance to the nearest pixel outside the region (outside the
    image is outside) is at least t, uniform between 1 (the whole region) and the largest distance
    (its middle); of what falls apart the component with the most pixels. The contour is the ring of
    its outermost pixels, holes filled (where it is one pixel wide, along it and back).
    """

    name: ClassVar[str] = "contour-scribble"

    def shape(self, inside: Mask, words: Words) -> tuple[Path, bool]:
        """Return the contour."""
        import cv2

        depth = squared_distance(inside)
        least = 1.0 + float(words.uniform(1)[0]) * (float(np.sqrt(depth.max())) - 1.0)
        shrunken = largest_component(inside & (depth >= min(least * least, depth.max())))
        found, _ = cv2.findContours(shrunken.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        return found[0].reshape(-1, 2).astype(np.int64), True


def _random_error(missed: Mask, extra: Mask, words: Words) -> tuple[Mask, bool] | None:
    """Return the wrong region that holds a wrong pixel drawn uniformly, as `largest_error` does."""
    places = np.flatnonzero(missed | extra)
    if places.size == 0:
        return None
    place = places[words.integer(places.size)]
    positive = bool(missed.flat[place])
    labels, _ = connected_components(missed if positive else extra)
    return np.asarray(labels == labels.flat[place]), positive


def _noise(words: Words, scale: float, size: tuple[int, ...], path: Path) -> NDArray[np.float64]:
    """Return value noise in [-1, 1) at the pixels of a path. Draws: spacing, phases, lattice."""
    low, high = _SPACING
    spacing, *phase = (float(u) for u in words.uniform(3))
    spacing = scale * (low + (high - low) * spacing)
    shape = tuple(int((n - 1) / spacing + 1.0) + 2 for n in size)
    lattice = 2.0 * words.uniform(shape[0] * shape[1]).reshape(shape) - 1.0
    x, y = path[:, 0] / spacing + phase[0], path[:, 1] / spacing + phase[1]
    column, row = x.astype(np.int64), y.astype(np.int64)
    x, y = x - column, y - row
    above = lattice[row, column] * (1 - x) + lattice[row, column + 1] * x
    below = lattice[row + 1, column] * (1 - x) + lattice[row + 1, column + 1] * x
    return np.asarray(above * (1 - y) + below * y, dtype=np.float64)


def _warped(words: Words, scale: float, size: tuple[int, ...], path: Path) -> Path:
    """Return the path moved by a smooth field, rounded to pixels and joined by straight lines."""
    low, high = _SHIFT
    furthest = scale * (low + (high - low) * float(words.uniform(1)[0]))
    moves = np.stack([_noise(words, scale, size, path) for _ in range(2)], axis=1)
    return joined(path + np.floor(furthest * moves + 0.5).astype(np.int64))


def _clipped(path: Path, inside: Mask) -> Path:
    """Return the longest part of a path inside a region, empty where there is none."""
    height, width = inside.shape
    x, y = path[:, 0], path[:, 1]
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    within[within] = inside[y[within], x[within]]
    return path[longest_run(within)]
