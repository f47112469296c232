"""`pocket-sam-onnx`: pocket-sam on onnxruntime, the same weights, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from simclick.agent import Agent, AgentInfo, Embedding, Prediction, Request
from simclick.baselines.options import cpu_only
from simclick.baselines.pocket.files import read_weights, shipped
from simclick.baselines.pocket.sessions import session
from simclick.errors import ConfigError

__all__ = ["PocketSamOnnx"]

SIDE = 256
_LOW = 128
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_STD = np.array([58.395, 57.12, 57.375], np.float32)
_MULTIMASK = ("first-click", "always", "never")


@dataclass(frozen=True, eq=False)
class _Features:
    features: NDArray[np.float32]
    input_size: tuple[int, int]


class PocketSamOnnx(Agent):
    """Answers as `PocketSam` does, from graphs; no Everything mode.

    Args:
        device: ``auto`` or ``cpu``.
        checkpoint: A safetensors file of your own training, or None for the one in the wheel.
        multimask: When three masks are predicted: ``first-click``, ``always`` or ``never``.
        feed_logits: Whether the chosen mask's low-resolution logits are fed back.

    Raises:
        ConfigError: On a bad option or a file that does not fit.
    """

    batch = 4

    def __init__(
        self,
        device: str = "auto",
        checkpoint: str | None = None,
        multimask: str = "first-click",
        feed_logits: bool = True,
    ) -> None:
        cpu_only("pocket-sam-onnx", device)
        if multimask not in _MULTIMASK:
            raise ConfigError(f"agent.multimask={multimask}: must be one of {', '.join(_MULTIMASK)}")
        if not isinstance(feed_logits, bool):
            raise ConfigError(f"agent.feed_logits={feed_logits}: must be true or false")
        self._multimask, self._feed = multimask, feed_logits
        weights = read_weights("pocket-sam", checkpoint)
        self._encoder = session(shipped("pocket-sam-encoder.onnx"), weights)
        self._decoder = session(shipped("pocket-sam-decoder.onnx"), weights)
        self.info = AgentInfo(
            **weights.facts("pocket-sam-onnx"),
            version="1",
            accepts=frozenset({"click", "box"}),
            settings={"multimask": multimask, "feed_logits": feed_logits},
            family="promptable",
            uses_previous=feed_logits,
            source="simclick; architecture of Kirillov et al., Segment Anything, ICCV 2023",
        )

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Embedding]:
        """Encode images one by one."""
        handles = []
        for image in images:
            scale = SIDE / max(image.shape[:2])
            height, width = (int(side * scale + 0.5) for side in image.shape[:2])
            # Pillow's filter, as the official code's: other bilinear filters give other pixels.
            small = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.zeros((1, 3, SIDE, SIDE), np.float32)
            values = (np.asarray(small, np.float32) - _MEAN) / _STD
            pixels[0, :, :height, :width] = values.transpose(2, 0, 1)
            features = self._encoder.run(["features"], {"pixels": pixels})[0]
            handles.append(Embedding(image, _Features(features, (height, width))))
        return handles

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        """Answer requests, those of one image and form together."""
        together: dict[tuple[int, int, bool, bool], list[int]] = {}
        for i, request in enumerate(requests):
            kinds = [prompt.kind for prompt in request.prompts]
            fed = self._feed and request.memory is not None
            form = (id(request.embedding), kinds.count("click"), "box" in kinds, fed)
            together.setdefault(form, []).append(i)
        answers: dict[int, Prediction] = {}
        for indices in together.values():
            for k in range(0, len(indices), self.batch):
                chunk = indices[k : k + self.batch]
                answers.update(zip(chunk, self._decode([requests[i] for i in chunk]), strict=True))
        return [answers[i] for i in range(len(requests))]

    def _decode(self, requests: Sequence[Request]) -> list[Prediction]:
        """Decode requests of one form on one image."""
        image: _Features = requests[0].embedding.data
        fed = self._feed and requests[0].memory is not None
        points, labels = zip(*(self._points(request, image.input_size) for request in requests), strict=True)
        mask = np.zeros((len(requests), 1, _LOW, _LOW), np.float32)
        if fed:
            mask[:, 0] = np.stack([request.memory for request in requests])
        low, iou = self._decoder.run(
            ["logits", "iou"],
            {
                "features": image.features,
                "points": np.stack(points),
                "labels": np.stack(labels),
                "mask": mask,
                "has_mask": np.full(len(requests), float(fed), np.float32),
            },
        )
        return [
            self._prediction(low[i], iou[i], image.input_size, request) for i, request in enumerate(requests)
        ]

    def _points(
        self, request: Request, input_size: tuple[int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return all clicks and the latest box's corners, in the encoder's frame, with labels."""
        boxes = [prompt for prompt in request.prompts if prompt.kind == "box"]
        places = [(p.landed, float(p.positive)) for p in request.prompts if p.kind == "click"]
        if boxes:
            x0, y0, x1, y1 = boxes[-1].landed
            places += [((x0, y0), 2.0), ((x1, y1), 3.0)]
        scale = np.array([input_size[1] / request.size[1], input_size[0] / request.size[0]])
        points = np.array([at for at, _ in places], np.float64) * scale
        labels = np.array([label for _, label in places])
        if not boxes:  # the official prompt encoder pads points without a box
            points = np.concatenate([points, np.full((1, 2), -0.5)])
            labels = np.append(labels, -1.0)
        return points.astype(np.float32), labels.astype(np.float32)

    def _prediction(
        self,
        low: NDArray[np.float32],
        iou: NDArray[np.float32],
        input_size: tuple[int, int],
        request: Request,
    ) -> Prediction:
        kinds = [prompt.kind for prompt in request.prompts]
        single = kinds == ["click"]
        three = self._multimask == "always" or (self._multimask == "first-click" and single)
        chosen = slice(1, 4) if three else slice(0, 1)
        masks = []
        for logits in low[chosen]:
            large = cv2.resize(logits, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
            inside = np.ascontiguousarray(large[: input_size[0], : input_size[1]])
            size = (request.size[1], request.size[0])
            masks.append(cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR) > 0)
        return Prediction(np.stack(masks), iou[chosen], list(low[chosen]))
