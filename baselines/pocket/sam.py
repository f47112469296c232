"""`pocket-sam`: the official Segment Anything classes at pocket size, through the agent of `sam_vit_b`."""

from __future__ import annotations

from simclick.agent import AgentInfo
from simclick.baselines.pocket.files import read_weights
from simclick.baselines.pocket.networks import pocket_sam
from simclick.baselines.pocket.torch_weights import load_into
from simclick.baselines.sam.devices import resolve_device
from simclick.baselines.sam.everything import EverythingOptions
from simclick.baselines.sam.predictor import SamAgent, SamOptions

__all__ = ["PocketSam"]


class PocketSam(SamAgent):
    """pocket-sam on torch.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        checkpoint: A safetensors file of your own training, or None for the one in the wheel.
        multimask: See `SamOptions`.
        feed_logits: See `SamOptions`.
        points_per_side: See `EverythingOptions`, like the following ones.
        pred_iou_thresh: Least predicted IoU.
        stability_score_thresh: Least stability.

    Raises:
        ConfigError: On a bad option or a file that does not fit.
    """

    def __init__(
        self,
        device: str = "auto",
        checkpoint: str | None = None,
        multimask: str = "first-click",
        feed_logits: bool = True,
        points_per_side: int = 32,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
    ) -> None:
        everything = EverythingOptions(
            points_per_side, pred_iou_thresh=pred_iou_thresh, stability_score_thresh=stability_score_thresh
        )
        options = SamOptions(multimask, feed_logits, resolve_device(device), everything=everything)
        weights = read_weights("pocket-sam", checkpoint)
        model = pocket_sam()
        load_into(model, weights, checkpoint or "pocket-sam")
        info = AgentInfo(
            **weights.facts("pocket-sam"),
            version="1",
            accepts=frozenset({"click", "box", "everything"}),
            settings={
                "multimask": multimask,
                "feed_logits": feed_logits,
                "device": options.device,
                "everything": everything.settings(),
            },
            family="promptable",
            uses_previous=feed_logits,
            source="simclick; architecture of Kirillov et al., Segment Anything, ICCV 2023",
        )
        super().__init__(model, info, options)
