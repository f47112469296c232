"""How RITM looks at an image: its zoom and its flip, as options."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from simclick.baselines.options import number, whole
from simclick.errors import ConfigError

__all__ = ["ZoomOptions"]


@dataclass(frozen=True)
class ZoomOptions:
    """RITM's ``ZoomIn``; the defaults are those of its evaluator, which sets 600 for DAVIS alone.

    Attributes:
        target: Longer side of the crop after scaling, in pixels.
        square: Scale the crop to a square of that side (the evaluator's ``fixed`` mode).
        skip_clicks: Clicks without zoom; -1 zooms from the first one on (the ``fixed`` mode).
        expansion: By how much the object's box is enlarged.
        min_crop: Smallest side of the crop, in pixels of the image.
        recompute_iou: The crop is renewed when the object's box overlaps it less than this.
        threshold: Probability above which a pixel counts as object for the crop.
    """

    target: int = 400
    square: bool = False
    skip_clicks: int = 1
    expansion: float = 1.4
    min_crop: int = 200
    recompute_iou: float = 0.5
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.square, bool):
            raise ConfigError(f"agent.zoom_square={self.square}: must be true or false")
        for name, least in (("target", 1), ("skip_clicks", -1), ("min_crop", 1)):
            whole(f"zoom_{name}", getattr(self, name), least)
        for name, low, high in (
            ("expansion", 1.0, 100.0),
            ("recompute_iou", 0.0, 1.0),
            ("threshold", 0.0, 1.0),
        ):
            number(f"zoom_{name}", getattr(self, name), low, high)

    def make(self) -> Any:
        """Return a new ``ZoomIn``, without a crop yet."""
        from ritm_annotation.inference.transforms import ZoomIn

        return ZoomIn(
            target_size=(self.target, self.target) if self.square else self.target,
            skip_clicks=self.skip_clicks,
            expansion_ratio=self.expansion,
            min_crop_size=self.min_crop,
            recompute_thresh_iou=self.recompute_iou,
            prob_thresh=self.threshold,
        )

    def settings(self) -> dict[str, Any]:
        """Return what changes masks, for `AgentInfo.settings`."""
        return asdict(self)
