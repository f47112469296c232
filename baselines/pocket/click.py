"""`pocket-click`: a small iterative click network in RITM's spirit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Prediction, Request
from simclick.baselines.options import cpu_only
from simclick.baselines.pocket.files import Weights, read_weights, shipped
from simclick.baselines.pocket.zoom import Crop, first_crop, next_crop

__all__ = ["ClickAgent", "PocketClick", "PocketClickOnnx"]

SIDE = 128
_SMALL = 0.6
"""A first answer on less than this share of the crop's area is looked at again."""


class ClickAgent(Agent):
    """What both forms of pocket-click share; they differ in how the network is computed.

    Takes clicks and boxes. The answer is one mask; its score is the mean probability inside it. The memory is
    the probability of every pixel, which comes back as the network's last plane (a previous mask that comes
    without one counts as certain).
    """

    batch = 8

    def __init__(self, name: str, weights: Weights, settings: dict[str, Any]) -> None:
        self.info = AgentInfo(
            **weights.facts(name),
            version="1",
            accepts=frozenset({"click", "box"}),
            settings=settings,
            family="iterative",
            uses_previous=True,
            source="simclick; after Sofiiuk et al., Reviving Iterative Training, ICIP 2022",
        )

    @abstractmethod
    def forward(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits Float32[B, S, S] for planes Float32[B, 7, S, S]."""

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        """Answer requests together, on a crop each."""
        soft = [_probability(request) for request in requests]
        crops = [
            first_crop(request) if known is None else next_crop(request, known > 0.5)
            for request, known in zip(requests, soft, strict=True)
        ]
        logits = self._look(requests, crops, soft)
        again = []
        for i, request in enumerate(requests):
            closer = next_crop(request, logits[i] > 0)
            if soft[i] is None and closer.area < _SMALL * crops[i].area:
                again.append(i)
                crops[i], soft[i] = closer, _sigmoid(logits[i])
        if again:
            chosen = [requests[i] for i in again], [crops[i] for i in again], [soft[i] for i in again]
            looked = self._look(*chosen)
            for i, better in zip(again, looked, strict=True):
                logits[i] = better
        return [_prediction(one) for one in logits]

    def _look(
        self,
        requests: Sequence[Request],
        crops: Sequence[Crop],
        soft: Sequence[NDArray[np.float32] | None],
    ) -> list[NDArray[np.float32]]:
        """Return logits of whole images, Float32[H, W] each."""
        planes = []
        for request, crop, known in zip(requests, crops, soft, strict=True):
            image = request.embedding.image
            if image is None:
                raise ValueError("the embedding was released before it was used")
            planes.append(crop.planes(image, request, known, SIDE))
        answers = self.forward(np.stack(planes))
        return [c.pasted(a, r.size) for c, a, r in zip(crops, answers, requests, strict=True)]


class PocketClick(ClickAgent):
    """pocket-click on torch.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        checkpoint: A safetensors file of your own training, or None for the one in the wheel.

    Raises:
        ConfigError: On a bad option or a file that does not fit.
    """

    def __init__(self, device: str = "auto", checkpoint: str | None = None) -> None:
        import torch

        from simclick.baselines.pocket.networks import ClickNet
        from simclick.baselines.pocket.torch_weights import load_into
        from simclick.baselines.sam.devices import resolve_device

        self.device = resolve_device(device)
        weights = read_weights("pocket-click", checkpoint)
        net = ClickNet()
        load_into(net, weights, checkpoint or "pocket-click")
        self._net = net.to(self.device).eval().requires_grad_(False)
        self._torch = torch
        super().__init__("pocket-click", weights, {"device": self.device})

    def forward(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits."""
        with self._torch.inference_mode():
            tensor = self._torch.as_tensor(planes, device=self.device)
            logits: NDArray[np.float32] = self._net(tensor)[:, 0].cpu().numpy()
        return logits


class PocketClickOnnx(ClickAgent):
    """pocket-click on onnxruntime: the same weights, no torch.

    Args:
        device: ``auto`` or ``cpu``.
        checkpoint: As for `PocketClick`.
    """

    def __init__(self, device: str = "auto", checkpoint: str | None = None) -> None:
        from simclick.baselines.pocket.sessions import session

        cpu_only("pocket-click-onnx", device)
        weights = read_weights("pocket-click", checkpoint)
        self._session = session(shipped("pocket-click.onnx"), weights)
        super().__init__("pocket-click-onnx", weights, {})

    def forward(self, planes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits."""
        logits: NDArray[np.float32] = self._session.run(["logits"], {"planes": planes})[0][:, 0]
        return logits


def _probability(request: Request) -> NDArray[np.float32] | None:
    if request.memory is not None:
        return np.asarray(request.memory, dtype=np.float32)
    return None if request.previous is None else request.previous.astype(np.float32)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), dtype=np.float32)


def _prediction(logits: NDArray[np.float32]) -> Prediction:
    soft = _sigmoid(logits)
    mask = logits > 0
    score = float(soft[mask].mean()) if mask.any() else 0.0
    return Prediction(mask[None], [score], [soft.astype(np.float16)])
