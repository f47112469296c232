"""Everything mode: the official mask generator on an image that is encoded already.

The generator is facebookresearch/segment-anything's own ``SamAutomaticMaskGenerator``; only its predictor is
told not to encode the whole image a second time, so its masks are those of the official code on the same
weights. Crops (``crop_layers`` > 0) are other images and are encoded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam

from simclick.agent import Prediction
from simclick.errors import ConfigError
from simclick.runlength import RunLengths

__all__ = ["EverythingOptions", "segment_everything"]


@dataclass(frozen=True)
class EverythingOptions:
    """Settings of Everything mode; the defaults are the official ones, which COSMOS kept.

    Attributes:
        points_per_side: Points of the grid along a side, 1 to 256 (COSMOS tries 8 to 256).
        points_per_batch: Points decoded at once; changes time and memory alone.
        pred_iou_thresh: Masks with a lower predicted IoU are dropped.
        stability_score_thresh: Masks that change more under another threshold are dropped.
        box_nms_thresh: Masks whose boxes overlap a better one's more than this are dropped.
        crop_layers: Layers of crops that are segmented beside the whole image.
        min_mask_region_area: Islands and holes with fewer pixels are removed.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    box_nms_thresh: float = 0.7
    crop_layers: int = 0
    min_mask_region_area: int = 0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("points_per_side", 1, 256),
            ("points_per_batch", 1, 65536),
            ("crop_layers", 0, 4),
            ("min_mask_region_area", 0, 2**31),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ConfigError(f"agent.{name}={value}: must be a whole number from {least} to {most}")
        for name in ("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ConfigError(f"agent.{name}={value}: must be a number from 0 to 1")

    def settings(self) -> dict[str, Any]:
        """Return what changes masks, for `AgentInfo.settings`."""
        return {name: value for name, value in asdict(self).items() if name != "points_per_batch"}


class _EncodedPredictor(SamPredictor):  # type: ignore[misc]
    """An official predictor that takes one image's features as they are."""

    def __init__(
        self, model: Sam, image: NDArray[np.uint8], features: torch.Tensor, input_size: tuple[int, int]
    ) -> None:
        super().__init__(model)
        self._whole = image
        self._known = features
        self._known_size = input_size

    def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
        """Set the image; the whole one is not encoded again."""
        if image.shape != self._whole.shape:
            super().set_image(image, image_format)
            return
        self.reset_image()
        self.original_size = image.shape[:2]
        self.input_size = self._known_size
        self.features = self._known
        self.is_image_set = True


def segment_everything(
    model: Sam,
    image: NDArray[np.uint8],
    features: torch.Tensor,
    input_size: tuple[int, int],
    options: EverythingOptions,
) -> Prediction:
    """Return all masks that the generator finds, with their predicted IoU; one empty mask if none.

    Args:
        model: The model.
        image: UInt8[H, W, 3].
        features: Float[1, C, h, w], the encoded image.
        input_size: Height and width in the encoder's frame, before padding.
        options: The generator's settings.
    """
    generator = SamAutomaticMaskGenerator(
        model,
        points_per_side=options.points_per_side,
        points_per_batch=options.points_per_batch,
        pred_iou_thresh=options.pred_iou_thresh,
        stability_score_thresh=options.stability_score_thresh,
        box_nms_thresh=options.box_nms_thresh,
        crop_n_layers=options.crop_layers,
        min_mask_region_area=options.min_mask_region_area,
        output_mode="uncompressed_rle",
    )
    generator.predictor = _EncodedPredictor(model, image, features, input_size)
    size = image.shape[0], image.shape[1]
    found = generator.generate(image)
    if not found:
        return Prediction([RunLengths(size, np.array([size[0] * size[1]], np.uint32))], [0.0])
    masks = [RunLengths(size, np.array(record["segmentation"]["counts"], np.uint32)) for record in found]
    return Prediction(masks, [float(record["predicted_iou"]) for record in found])
