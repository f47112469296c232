"""SAM-Med2D (Cheng et al., arXiv 2308.16184) with its official checkpoint: ViT-B at 256 pixels, adapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import Tensor
from torch.nn import functional

from simclick.agent import AgentInfo, Request
from simclick.baselines.checkpoints import read_state
from simclick.baselines.chosen import choose
from simclick.baselines.fit import fit_state
from simclick.baselines.sam.adapters import add_adapters
from simclick.baselines.sam.devices import resolve_device
from simclick.baselines.sam.predictor import SamAgent, SamOptions, batch_settings
from simclick.citations import bibtex
from simclick.errors import ConfigError

__all__ = ["FEEDBACK", "RECIPES", "SIDE", "Med2dAgent", "Med2dSam", "SamMed2d", "med2d_model"]

SIDE = 256
RECIPES = ("predictor", "test")
FEEDBACK = ("sigmoid", "logits", "none")
_RANDOM_SEED = 0
_MEAN = np.array([123.675, 116.28, 103.53])
_STD = np.array([58.395, 57.12, 57.375])
_OVERLAP = {
    "phantoms": "none: the images are generated",
    "sam_med2d": "by design: the layout of its own training and test data",
    "cosmos": "likely: SA-Med2D-20M and COSMOS 1050K gather many of the same public sets",
    "mni152": "unknown",
    "medscribble": "likely: made of public sets, several of which SA-Med2D-20M holds",
}


class Med2dSam(Sam):  # type: ignore[misc]
    """A `Sam` that scales logits as SAM-Med2D does; images come normalised.

    Attributes:
        recipe: One of `RECIPES`; see `Med2dAgent`.
    """

    recipe = "predictor"

    def preprocess(self, x: Tensor) -> Tensor:
        """Return a prepared image as it is."""
        return x.float()

    def postprocess_masks(
        self, masks: Tensor, input_size: tuple[int, ...], original_size: tuple[int, ...]
    ) -> Tensor:
        """Return logits at the image's size: scaled to the encoder's frame, then cut or scaled."""
        side = self.image_encoder.img_size
        large = functional.interpolate(masks, (side, side), mode="bilinear", align_corners=False)
        height, width = original_size
        if _pads(self.recipe, (height, width), side):
            top, left = (side - height) // 2, (side - width) // 2
            return large[..., top : top + height, left : left + width]
        return functional.interpolate(large, (height, width), mode="bilinear", align_corners=False)


class _Frame:
    """Images and coordinates in the encoder's frame (in place of SAM's ``ResizeLongestSide``)."""

    def __init__(self, side: int, recipe: str) -> None:
        self.side, self.recipe = side, recipe

    def apply_image(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return Float32[side, side, 3], normalised."""
        if self.recipe == "predictor":
            pixels = _nearest(image, self.side).astype(np.float32)
            return np.asarray((pixels - np.float32(_MEAN)) / np.float32(_STD), np.float32)
        height, width = image.shape[:2]
        swapped = np.ascontiguousarray(image[..., ::-1])  # blue first, with the statistics of red first
        if not _pads(self.recipe, (height, width), self.side):
            return np.asarray((_nearest(swapped, self.side) - _MEAN) / _STD, np.float32)
        framed = np.zeros((self.side, self.side, 3), np.float32)
        top, left = (self.side - height) // 2, (self.side - width) // 2
        framed[top : top + height, left : left + width] = (swapped - _MEAN) / _STD
        return framed

    def apply_coords(self, points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
        """Return points ``(x, y)`` in the frame."""
        if _pads(self.recipe, size, self.side):
            shift = np.array([(self.side - size[1]) // 2, (self.side - size[0]) // 2])
            return np.asarray(points + shift)
        return np.asarray(points * [self.side / size[1], self.side / size[0]])

    def apply_boxes(self, boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
        """Return boxes ``(x0, y0, x1, y1)`` in the frame."""
        return self.apply_coords(boxes.reshape(-1, 2), size).reshape(-1, 4)


def _nearest(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return an image of nearest pixels, UInt8[side, side, 3]."""
    return np.asarray(cv2.resize(image, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8)


def _pads(recipe: str, size: tuple[int, int], side: int) -> bool:
    return recipe == "test" and max(size) < side


class Med2dAgent(SamAgent):
    """A SAM-Med2D model as an agent.

    The recipe ``predictor`` is that of the official predictor: red first, each side scaled to 256 by nearest
    pixels. The recipe ``test`` is that of the official test script, which made the published numbers: blue
    first with the statistics of red first, and an image whose sides are both below 256 is framed by zeros
    instead of scaled.

    Args:
        model: The model, weights loaded.
        info: What it is.
        options: How it answers; `SamOptions.everything` plays no part.
        recipe: ``predictor`` or ``test``.
        feedback: What of the chosen mask is fed back: its ``sigmoid`` (as the official test script does),
            ``logits`` (as Segment Anything expects) or ``none``.
    """

    def __init__(
        self,
        model: Med2dSam,
        info: AgentInfo,
        options: SamOptions,
        recipe: str = "predictor",
        feedback: str = "sigmoid",
    ) -> None:
        if recipe not in RECIPES:
            raise ConfigError(f"agent.recipe={recipe}: must be one of {', '.join(RECIPES)}")
        if feedback not in FEEDBACK:
            raise ConfigError(f"agent.feedback={feedback}: must be one of {', '.join(FEEDBACK)}")
        super().__init__(model, info, replace(options, feed_logits=feedback != "none"))
        model.recipe = recipe
        self._resize = _Frame(model.image_encoder.img_size, recipe)
        self._feedback = feedback

    def _question(self, request: Request) -> Any:
        question = super()._question(request)
        if question.logits is None or self._feedback != "sigmoid":
            return question
        return replace(question, logits=torch.sigmoid(question.logits))


def med2d_model(
    adapters: bool = True,
    image_size: int = SIDE,
    depth: int = 12,
    channels: int = 768,
    heads: int = 12,
    global_blocks: Sequence[int] = (2, 5, 8, 11),
) -> Med2dSam:
    """Return a SAM-Med2D with random weights; the defaults are the official ViT-B."""
    grid = image_size // 16
    encoder = ImageEncoderViT(
        depth=depth,
        embed_dim=channels,
        img_size=image_size,
        mlp_ratio=4,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=heads,
        patch_size=16,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=tuple(global_blocks),
        window_size=14,
        out_chans=256,
    )
    if adapters:
        add_adapters(encoder)
    prompts = PromptEncoder(256, (grid, grid), (image_size, image_size), mask_in_chans=16)
    transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    decoder = MaskDecoder(transformer_dim=256, transformer=transformer)
    model = Med2dSam(encoder, prompts, decoder)
    model.eval()
    return model


class SamMed2d(Med2dAgent):
    """SAM-Med2D with its official checkpoint.

    Args:
        checkpoint: A file; None takes the imported official one from the cache; ``random`` gives seeded
            random weights, which check the code path and prove no quality.
        device: ``auto``, ``cpu`` or ``cuda``.
        adapters: With the adapters, or without (those in the checkpoint are left out then, as in the
            published comparison).
        recipe: See `Med2dAgent`.
        multimask: See `SamOptions`; the official code always predicts three masks.
        feedback: See `Med2dAgent`.
        dtype: See `SamOptions`.
        encoder_batch: See `SamOptions`.

    Raises:
        ConfigError: On a bad option, or a checkpoint that is missing or does not fit.
    """

    def __init__(
        self,
        checkpoint: str | None = None,
        device: str = "auto",
        adapters: bool = True,
        recipe: str = "predictor",
        multimask: str = "always",
        feedback: str = "sigmoid",
        dtype: str = "fp32",
        encoder_batch: int = 1,
    ) -> None:
        if not isinstance(adapters, bool):
            raise ConfigError(f"agent.adapters={adapters}: must be true or false")
        options = SamOptions(
            multimask=multimask, device=resolve_device(device), dtype=dtype, encoder_batch=encoder_batch
        )
        chosen = choose("sam_med2d", checkpoint, fetch=False)
        state = None if chosen.path is None else _state(chosen.path, adapters)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_RANDOM_SEED)
            model = med2d_model(adapters)
        if state is not None and chosen.path is not None:
            fit_state(model, state, chosen.path, _title(adapters))
        info = AgentInfo(
            **chosen.facts(
                "sam_med2d",
                training_data="SA-1B, then SA-Med2D-20M (4.6 million medical images, 19.7 million masks)",
                overlap=_OVERLAP,
                licence="Apache-2.0",
                source="Cheng et al., SAM-Med2D, arXiv 2308.16184, 2023",
            ),
            accepts=frozenset({"click", "box"}),
            settings={
                "adapters": adapters,
                "recipe": recipe,
                "multimask": multimask,
                "feedback": feedback,
                "dtype": dtype,
                "device": options.device,
                "image_size": SIDE,
                **batch_settings(encoder_batch),
            },
            parameters=sum(p.numel() for p in model.parameters()),
            image_size=SIDE,
            family="promptable",
            uses_previous=feedback != "none",
            citation=bibtex("cheng2023sammed2d", "kirillov2023sam"),
        )
        super().__init__(model, info, options, recipe, feedback)


def load_med2d(model: Med2dSam, path: Path, adapters: bool) -> None:
    """Load a checkpoint strictly; without adapters, those in the file are left out.

    Raises:
        ConfigError: When it cannot be read or does not fit.
    """
    fit_state(model, _state(path, adapters), path, _title(adapters))


def _state(path: Path, adapters: bool) -> dict[str, Tensor]:
    state = read_state(path)
    return state if adapters else {key: value for key, value in state.items() if ".Adapter." not in key}


def _title(adapters: bool) -> str:
    return "sam_med2d" if adapters else "sam_med2d without adapters"
