"""Distances between the borders of two masks: HD, HD95, ASSD and NSD.

The definition is **pixel borders, plainly counted**. The border of a mask is the set of its pixels
that have a 4-neighbour outside the mask; outside the image counts as outside the mask. Distances
run between centres of border pixels, and every border pixel counts once: it is not weighted by the
length of the contour that it stands for. (DeepMind's ``surface-distance`` weights by length and
gives other numbers; MONAI counts as we do.)

With A and B the two borders, ``d(a, B)`` the Euclidean distance from pixel ``a`` to the nearest
pixel of ``B``, in millimetres where a spacing is given, else in pixels:

- **HD** = max of all ``d(a, B)`` and ``d(b, A)``.
- **HD95** = the larger of the two directed 95th percentiles (as MONAI; not the percentile of both
  directions pooled), each with linear interpolation between order statistics.
- **ASSD** = sum of all ``d(a, B)`` and ``d(b, A)``, over ``|A| + |B|`` (pooled; not the mean of two
  means).
- **NSD** at a tolerance = share of the pixels of A and B that lie within the tolerance of the
  other border (Nikolov et al. 2018, arXiv 1809.04430, counted in pixels). A distance equal to the
  tolerance is within, up to a relative 1e-9, so that ``3 * 0.1`` is within 0.3.

Two empty masks have HD = HD95 = ASSD = 0 and NSD = 1. One empty mask of two has HD = HD95 = ASSD =
infinity and NSD = 0: never zero and never NaN, so summarise by medians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Surface", "SurfaceTruth", "border", "measure_surface"]

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=np.uint8)

_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class Surface:
    """Border distances of one mask to the truth; see the module for the definitions.

    Attributes:
        hd: Hausdorff distance, mm or px; infinite where one mask is empty.
        hd95: Larger of the two directed 95th percentiles, mm or px.
        assd: Average symmetric surface distance, mm or px.
        nsd: Normalised surface Dice, in [0, 1].
    """

    hd: float
    hd95: float
    assd: float
    nsd: float


@dataclass(frozen=True, slots=True)
class _Border:
    """Rows and columns of the border pixels of a mask."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)


def border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the border: mask pixels with a 4-neighbour that is outside the mask or the image.

    Args:
        mask: Bool[H, W].

    Returns:
        Bool[H, W]; empty for an empty mask.
    """
    out = np.zeros(mask.shape, dtype=bool)
    found = _border_pixels(mask)
    out[found.rows, found.columns] = True
    return out


def measure_surface(
    mask: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    tolerance: float,
    spacing: tuple[float, float] | None = None,
    ignore: NDArray[np.bool_] | None = None,
) -> Surface:
    """Return the border distances between two masks; symmetric in them.

    Args:
        mask: Bool[H, W].
        truth: Bool[H, W].
        tolerance: Of the NSD, in mm with a spacing, else in pixels; ≥ 0.
        spacing: Millimetres per row and per column, or None for pixels.
        ignore: Bool[H, W], pixels taken out of both masks, or None.

    Raises:
        ValueError: When shapes or dtypes are wrong, or a number is out of its range.
    """
    return SurfaceTruth(truth, spacing, ignore).measure(mask, tolerance)


class SurfaceTruth:
    """The truth of one case, ready to measure many masks: its border and search tree are made once.

    Distances are exact: a search tree finds the nearest border pixel (no distance transform, of
    which OpenCV's has last bits that depend on memory alignment). With no spacing, or with equal
    spacing of rows and columns, squared distances are whole numbers of pixels. Results are rounded
    to nine decimals, so that the last bits of a platform's arithmetic never show.

    Args:
        truth: Bool[H, W].
        spacing: Millimetres per row and per column, or None for pixels.
        ignore: Bool[H, W], pixels taken out of the truth and of every mask, or None. A border
            along ignored pixels is then a border of both.

    Raises:
        ValueError: When a shape or dtype is wrong or a spacing is not positive.
    """

    def __init__(
        self,
        truth: NDArray[np.bool_],
        spacing: tuple[float, float] | None = None,
        ignore: NDArray[np.bool_] | None = None,
    ) -> None:
        sy, sx = (1.0, 1.0) if spacing is None else (float(spacing[0]), float(spacing[1]))
        if not (0 < sy < math.inf and 0 < sx < math.inf):
            raise ValueError(f"spacing must be two positive numbers, not {spacing}")
        if truth.ndim != 2:
            raise ValueError(f"the truth must be Bool[H, W], not {truth.dtype}{list(truth.shape)}")
        self._shape = truth.shape
        self._keep = None if ignore is None else ~self._checked(ignore)
        self._border = self._border_of(truth)
        # Equal spacing is a scale, applied last: squared distances stay whole numbers.
        self._scale, self._spacing = (sy, (1.0, 1.0)) if sy == sx else (1.0, (sy, sx))
        self._tree: Any = None

    def measure(self, mask: NDArray[np.bool_], tolerance: float) -> Surface:
        """Return the border distances of a mask.

        Args:
            mask: Bool[H, W], of the truth's size.
            tolerance: Of the NSD, in mm with a spacing, else in pixels; ≥ 0.

        Raises:
            ValueError: When the mask has another shape or dtype, or the tolerance is negative.
        """
        if not tolerance >= 0:
            raise ValueError(f"tolerance must be ≥ 0, not {tolerance}")
        other = self._border_of(mask)
        if not len(other) or not len(self._border):
            if len(other) == len(self._border):
                return Surface(0.0, 0.0, 0.0, 1.0)
            return Surface(math.inf, math.inf, math.inf, 0.0)
        if self._tree is None:
            self._tree = self._tree_of(self._border)
        to_truth = self._squares(other, self._border, self._tree)
        to_mask = self._squares(self._border, other, self._tree_of(other))
        return _summary(to_truth, to_mask, self._scale, tolerance)

    def _checked(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if mask.dtype != np.bool_ or mask.shape != self._shape:
            raise ValueError(f"a mask must be bool{list(self._shape)}, not {mask.dtype}{list(mask.shape)}")
        return mask

    def _border_of(self, mask: NDArray[np.bool_]) -> _Border:
        mask = self._checked(mask)
        return _border_pixels(mask if self._keep is None else mask & self._keep)

    def _points(self, pixels: _Border) -> NDArray[np.float64]:
        return np.column_stack([pixels.rows * self._spacing[0], pixels.columns * self._spacing[1]])

    def _tree_of(self, target: _Border) -> Any:
        from scipy.spatial import cKDTree  # slow to import, and many protocols measure no surface

        return cKDTree(self._points(target), compact_nodes=False, balanced_tree=False)

    def _squares(self, source: _Border, target: _Border, tree: Any) -> NDArray[np.float64]:
        """Return the squared distance of each pixel of `source` to `target`, Float64[len(source)]."""
        nearest = tree.query(self._points(source))[1]
        # From offsets in whole pixels: the tree's own distances carry the rounding of coordinates.
        dy = (source.rows - target.rows[nearest]) * self._spacing[0]
        dx = (source.columns - target.columns[nearest]) * self._spacing[1]
        return np.asarray(dy * dy + dx * dx, dtype=np.float64)


def _border_pixels(mask: NDArray[np.bool_]) -> _Border:
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    x, y, width, height = cv2.boundingRect(pixels)
    crop = pixels[y : y + height, x : x + width]
    if crop.size == 0:
        none = np.empty(0, dtype=np.intp)
        return _Border(none, none)
    inside = cv2.erode(crop, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    rows, columns = np.nonzero(crop != inside)
    return _Border(rows + y, columns + x)


def _summary(
    to_truth: NDArray[np.float64], to_mask: NDArray[np.float64], scale: float, tolerance: float
) -> Surface:
    """Summarise squared distances, given in units of ``scale`` squared."""
    both = (to_truth, to_mask)
    count = len(to_truth) + len(to_mask)
    limit = (tolerance / scale) ** 2 * (1 + 2e-9)
    within = sum(int(np.count_nonzero(squares <= limit)) for squares in both)
    total = sum(float(np.sqrt(squares).sum()) for squares in both)
    return Surface(
        hd=_rounded(scale * math.sqrt(max(squares.max() for squares in both))),
        hd95=_rounded(scale * max(_percentile_95(squares) for squares in both)),
        assd=_rounded(scale * total / count),
        nsd=within / count,
    )


def _percentile_95(squares: NDArray[np.float64]) -> float:
    """Return the 95th percentile of the square roots, interpolated linearly (NumPy's ``linear``)."""
    below, rest = divmod(19 * (len(squares) - 1), 20)
    above = min(below + 1, len(squares) - 1)
    ordered = np.partition(squares, (below, above))
    low, high = math.sqrt(float(ordered[below])), math.sqrt(float(ordered[above]))
    return low + (high - low) * (rest / 20)


def _rounded(value: float) -> float:
    return round(value, _DECIMALS)
