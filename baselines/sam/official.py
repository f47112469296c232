"""SAM ViT-B, ViT-L and ViT-H with their official checkpoints."""

from __future__ import annotations

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import Sam

from simclick.agent import AgentInfo
from simclick.baselines.checkpoints import read_state
from simclick.baselines.chosen import Chosen, choose
from simclick.baselines.fit import fit_state
from simclick.baselines.sam.devices import resolve_device
from simclick.baselines.sam.everything import EverythingOptions
from simclick.baselines.sam.predictor import SamAgent, SamOptions, encoder_settings
from simclick.citations import bibtex

__all__ = ["SamVitB", "SamVitH", "SamVitL", "sam_model"]

_RANDOM_SEED = 0
_OVERLAP = dict.fromkeys(
    ("phantoms", "mni152", "cosmos", "sam_med2d", "medscribble"),
    "none known: trained on natural photographs",
)


class _OfficialSam(SamAgent):
    """A SAM of one of the three official sizes.

    Args:
        checkpoint: A file; None takes the official one from the cache; ``random`` gives seeded
            random weights, which check the code path and prove no quality.
        fetch: Fetch the official checkpoint where the cache lacks it.
        device: ``auto``, ``cpu`` or ``cuda``.
        multimask: See `SamOptions`.
        feed_logits: See `SamOptions`.
        dtype: See `SamOptions`.
        encoder_batch: See `SamOptions`.
        points_per_side: See `EverythingOptions`, like the following ones.
        points_per_batch: Points decoded at once.
        pred_iou_thresh: Least predicted IoU.
        stability_score_thresh: Least stability.
        box_nms_thresh: Most overlap of boxes.
        crop_layers: Layers of crops.
        min_mask_region_area: Smallest island or hole, in pixels.
        decoder: See `SamOptions`.
        attention: See `SamOptions`.
        compile: See `SamOptions`.

    Raises:
        ConfigError: On a bad option, or a checkpoint that is missing or does not fit.
    """

    size: str

    def __init__(
        self,
        checkpoint: str | None = None,
        fetch: bool = False,
        device: str = "auto",
        multimask: str = "first-click",
        feed_logits: bool = True,
        dtype: str = "fp32",
        encoder_batch: int = 1,
        points_per_side: int = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        box_nms_thresh: float = 0.7,
        crop_layers: int = 0,
        min_mask_region_area: int = 0,
        decoder: str = "torch",
        attention: str = "auto",
        compile: bool = False,
    ) -> None:
        name = f"sam_{self.size}"
        everything = EverythingOptions(
            points_per_side,
            points_per_batch,
            pred_iou_thresh,
            stability_score_thresh,
            box_nms_thresh,
            crop_layers,
            min_mask_region_area,
        )
        options = SamOptions(
            multimask,
            feed_logits,
            resolve_device(device),
            dtype,
            encoder_batch,
            everything,
            decoder,
            attention,
            compile,
        )
        chosen = choose(name, checkpoint, fetch)
        model = self._model(chosen, name)
        info = AgentInfo(
            **chosen.facts(
                name,
                training_data="SA-1B (11 million natural images)",
                overlap=_OVERLAP,
                licence="Apache-2.0",
                source="Kirillov et al., Segment Anything, ICCV 2023",
            ),
            version="2",
            accepts=frozenset({"click", "box", "everything"}),
            settings={
                "multimask": multimask,
                "feed_logits": feed_logits,
                "dtype": dtype,
                "device": options.device,
                "image_size": model.image_encoder.img_size,
                "everything": everything.settings(),
                **({} if decoder == "torch" else {"decoder": decoder}),
                **encoder_settings(model.image_encoder, options),
            },
            parameters=sum(p.numel() for p in model.parameters()),
            image_size=model.image_encoder.img_size,
            family="promptable",
            uses_previous=feed_logits,
            citation=bibtex("kirillov2023sam"),
        )
        super().__init__(model, info, options)

    def _model(self, chosen: Chosen, name: str) -> Sam:
        state = None if chosen.path is None else read_state(chosen.path)  # first: it fails fast
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_RANDOM_SEED)
            model = sam_model(self.size)
        if state is not None and chosen.path is not None:
            fit_state(model, state, chosen.path, name)
        return model


def sam_model(size: str) -> Sam:
    """Return a SAM of an official size (``vit_b``, ``vit_l``, ``vit_h``) with random weights."""
    model: Sam = sam_model_registry[size]()
    return model


class SamVitB(_OfficialSam):
    """SAM with the ViT-B encoder."""

    size = "vit_b"


class SamVitL(_OfficialSam):
    """SAM with the ViT-L encoder."""

    size = "vit_l"


class SamVitH(_OfficialSam):
    """SAM with the ViT-H encoder."""

    size = "vit_h"
