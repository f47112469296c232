"""MedSAM (Ma et al., Nature Communications 15:654, 2024) with its official checkpoint: a box, one mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor
from torch.nn import functional

from simclick.agent import AgentInfo
from simclick.baselines.checkpoints import read_state
from simclick.baselines.chosen import choose
from simclick.baselines.fit import fit_state
from simclick.baselines.sam.devices import resolve_device
from simclick.baselines.sam.official import sam_model
from simclick.baselines.sam.predictor import SamAgent, SamOptions, batch_settings
from simclick.citations import bibtex

__all__ = ["MedSam", "MedSamAgent", "MedSamModel"]

_RANDOM_SEED = 0
_TRAINING = (
    "SA-1B, then 1,570,263 medical image-mask pairs of public sets, with boxes 0 to 20 pixels too large"
)
_OVERLAP = {
    "phantoms": "none: the images are generated",
    "cosmos": "likely: its training data and COSMOS 1050K gather many of the same public sets",
    "sam_med2d": "likely: its training data and SA-Med2D-20M gather many of the same public sets",
    "medscribble": "likely: made of public sets",
    "mni152": "unknown",
}


class MedSamModel(Sam):  # type: ignore[misc]
    """A `Sam` whose images come scaled to [0, 1], and whose masks are probabilities scaled to the image."""

    mask_threshold = 0.5

    @classmethod
    def of(cls, sam: Sam) -> MedSamModel:
        """Return a model that shares the parts of another."""
        model = cls(sam.image_encoder, sam.prompt_encoder, sam.mask_decoder)
        model.eval()
        return model

    def preprocess(self, x: Tensor) -> Tensor:
        """Return a prepared image as it is: SAM's mean and standard deviation play no part."""
        return x.float()

    def postprocess_masks(
        self, masks: Tensor, input_size: tuple[int, ...], original_size: tuple[int, ...]
    ) -> Tensor:
        """Return probabilities at the image's size."""
        size = (original_size[0], original_size[1])
        return functional.interpolate(torch.sigmoid(masks), size, mode="bilinear", align_corners=False)


class _Frame:
    """Images and coordinates in the encoder's frame (in place of SAM's ``ResizeLongestSide``)."""

    def __init__(self, side: int) -> None:
        self.side = side

    def apply_image(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return Float32[side, side, 3]: stretched by cubic splines, its own range mapped to [0, 1]."""
        from skimage.transform import resize

        shape = (self.side, self.side)
        stretch: Any = resize
        large = stretch(image, shape, order=3, preserve_range=True, anti_aliasing=True).astype(np.uint8)
        low, high = large.min(), large.max()
        return np.asarray((large - low) / max(float(high - low), 1e-8), np.float32)

    def apply_coords(self, points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
        """Return points ``(x, y)`` in the frame."""
        return np.asarray(points / np.array([size[1], size[0]]) * self.side)

    def apply_boxes(self, boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
        """Return boxes ``(x0, y0, x1, y1)`` in the frame."""
        return self.apply_coords(boxes.reshape(-1, 2), size).reshape(-1, 4)


class MedSamAgent(SamAgent):
    """A MedSAM model as an agent: the latest box gives one mask; nothing is fed back.

    Args:
        model: The model, weights loaded.
        info: What it is; `AgentInfo.accepts` holds ``box`` alone.
        options: Device, precision and images per encode.
    """

    def __init__(self, model: MedSamModel, info: AgentInfo, options: SamOptions) -> None:
        super().__init__(model, info, options)
        self._resize = _Frame(model.image_encoder.img_size)


class MedSam(MedSamAgent):
    """MedSAM with its official checkpoint.

    Args:
        checkpoint: A file; None takes the official one from the cache; ``random`` gives seeded random
            weights, which check the code path and prove no quality.
        fetch: Fetch the official checkpoint where the cache lacks it.
        device: ``auto``, ``cpu`` or ``cuda``.
        dtype: See `SamOptions`.
        encoder_batch: See `SamOptions`.

    Raises:
        ConfigError: On a bad option, or a checkpoint that is missing or does not fit.
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        fetch: bool = False,
        device: str = "auto",
        dtype: str = "fp32",
        encoder_batch: int = 1,
    ) -> None:
        options = SamOptions(
            multimask="never",
            feed_logits=False,
            device=resolve_device(device),
            dtype=dtype,
            encoder_batch=encoder_batch,
        )
        chosen = choose("medsam", checkpoint, fetch)
        state = None if chosen.path is None else read_state(chosen.path)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_RANDOM_SEED)
            model = MedSamModel.of(sam_model("vit_b"))
        if state is not None and chosen.path is not None:
            fit_state(model, state, chosen.path, "medsam")
        side = model.image_encoder.img_size
        info = AgentInfo(
            **chosen.facts(
                "medsam",
                training_data=_TRAINING,
                overlap=_OVERLAP,
                licence="Apache-2.0",
                source="Ma et al., Segment anything in medical images, Nature Communications 15:654, 2024",
            ),
            accepts=frozenset({"box"}),
            settings={
                "dtype": dtype,
                "device": options.device,
                "image_size": side,
                **batch_settings(encoder_batch),
            },
            parameters=sum(p.numel() for p in model.parameters()),
            image_size=side,
            family="promptable",
            citation=bibtex("ma2024medsam", "kirillov2023sam"),
        )
        super().__init__(model, info, options)
