"""SAM's decoder as an ONNX graph: the official export's modules, run by onnxruntime.

The graph is made from the loaded weights when the agent is made, in memory: no file of it can be out of
date. It is ``segment_anything.utils.onnx.SamOnnxModel``'s computation up to the low-resolution logits of
all four masks; which of them are answered, and how they are scaled to the image, is decided as without ONNX.
"""

from __future__ import annotations

import io
import warnings
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from segment_anything.utils.onnx import SamOnnxModel
from torch import Tensor

from simclick.errors import ConfigError

__all__ = ["OnnxDecoder"]

_OPSET = 17
_INPUTS = ("features", "points", "labels", "mask", "has_mask")


class _LowResolution(SamOnnxModel):  # type: ignore[misc]
    """The official export's model without its last steps."""

    def forward(
        self, features: Tensor, points: Tensor, labels: Tensor, mask: Tensor, has_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return logits Float[1, 4, 4h, 4w] and predicted IoU Float[1, 4]."""
        masks, scores = self.model.mask_decoder.predict_masks(
            image_embeddings=features,
            image_pe=self.model.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=self._embed_points(points, labels),
            dense_prompt_embeddings=self._embed_masks(mask, has_mask),
        )
        return masks, scores


class OnnxDecoder:
    """Prompt encoder and mask decoder on onnxruntime, on CUDA where it offers that, else on the CPU.

    Args:
        sam: The model, weights loaded.
        device: ``cpu`` or ``cuda``.

    Raises:
        ConfigError: Where onnx or onnxruntime is not installed.
    """

    def __init__(self, sam: Sam, device: str = "cpu") -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"agent.decoder=onnx needs {error.name}: pip install 'simclick[onnx,train]'"
            ) from None
        self._side = 4 * sam.prompt_encoder.image_embedding_size[0]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        wanted = ["CUDAExecutionProvider"] if device == "cuda" else []
        offered = onnxruntime.get_available_providers()
        providers = [name for name in wanted if name in offered] + ["CPUExecutionProvider"]
        self._session: Any = onnxruntime.InferenceSession(_export(sam), options, providers=providers)

    def __call__(
        self,
        features: Tensor,
        points: NDArray[np.floating],
        labels: NDArray[np.integer],
        box: NDArray[np.floating] | None,
        logits: Tensor | None,
        multimask: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decode one question.

        Args:
            features: Float[1, C, h, w].
            points: Float[N, 2], ``(x, y)`` in the encoder's frame; N may be 0.
            labels: Int[N], 1 object, 0 background.
            box: Float[4] in the encoder's frame, or None.
            logits: Float[4h, 4w] of the previous mask, or None.
            multimask: Three masks rather than one.

        Returns:
            Float[K, 4h, 4w] and Float[K], on the device of the features.
        """
        # As in the official prompt encoder: a box is two points, and points without one are padded.
        corners = np.zeros((1, 2)) if box is None else box.reshape(2, 2)
        kinds = [-1] if box is None else [2, 3]
        mask = torch.zeros(self._side, self._side) if logits is None else logits
        given = {
            "features": features.float().cpu().numpy(),
            "points": np.concatenate([points.reshape(-1, 2), corners])[None].astype(np.float32),
            "labels": np.concatenate([labels, kinds])[None].astype(np.float32),
            "mask": mask.float().cpu().numpy()[None, None],
            "has_mask": np.array([float(logits is not None)], np.float32),
        }
        low, scores = self._session.run(["low", "scores"], given)
        kept = slice(1, None) if multimask else slice(0, 1)
        device = features.device
        return torch.as_tensor(low[0, kept], device=device), torch.as_tensor(scores[0, kept], device=device)


def _export(sam: Sam) -> bytes:
    channels = sam.prompt_encoder.embed_dim
    height, width = sam.prompt_encoder.image_embedding_size
    device = next(sam.parameters()).device
    inputs = (
        torch.zeros(1, channels, height, width, device=device),
        torch.zeros(1, 3, 2, device=device),
        torch.zeros(1, 3, device=device),
        torch.zeros(1, 1, 4 * height, 4 * width, device=device),
        torch.zeros(1, device=device),
    )
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing tells of every shape that it fixes
            torch.onnx.export(
                _LowResolution(sam, return_single_mask=False),
                inputs,
                cast(Any, buffer),
                input_names=list(_INPUTS),
                output_names=["low", "scores"],
                dynamic_axes={"points": {1: "count"}, "labels": {1: "count"}},
                opset_version=_OPSET,
                dynamo=False,
            )
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"agent.decoder=onnx needs {error.name}: pip install 'simclick[onnx,train]'"
        ) from None
    return buffer.getvalue()
