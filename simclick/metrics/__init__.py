"""How good a mask is: overlap of areas and distance of borders."""

from __future__ import annotations

from simclick.metrics.overlap import dice, dice_from_counts, iou, iou_from_counts, overlap_counts
from simclick.metrics.surface import Surface, SurfaceTruth, border, measure_surface

__all__ = [
    "Surface",
    "SurfaceTruth",
    "border",
    "dice",
    "dice_from_counts",
    "iou",
    "iou_from_counts",
    "measure_surface",
    "overlap_counts",
]
