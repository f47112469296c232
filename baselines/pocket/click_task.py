"""Training of pocket-click, after RITM (Sofiiuk et al. 2022): clicks from our own annotators in the loop.

A sample meets a first prompt and a random number of corrections of the network's own masks, without
gradients; the answer after the last of them is taught. Loss: Dice and focal.
"""

from __future__ import annotations

import numpy as np
import torch
from monai.losses.dice import DiceLoss
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from simclick.baselines.pocket.fitting import Task
from simclick.baselines.pocket.networks import ClickNet
from simclick.baselines.pocket.pictures import Pictures
from simclick.baselines.pocket.planes import Marks, planes_of
from simclick.baselines.pocket.samples import (
    correction,
    crop_of,
    draw_sample,
    first_click,
    jittered_box,
    zoomed,
)
from simclick.geometry import bounding_box

__all__ = ["ClickTask"]

_CORRECTIONS = (0.4, 0.2, 0.15, 0.1, 0.08, 0.07)
"""How often a sample meets 0, 1, 2 … corrections before the one that is taught."""


Sample = tuple[NDArray[np.uint8], NDArray[np.bool_], Marks]
"""An image, its truth and the first prompt."""


class ClickTask(Task):
    """Trains pocket-click on crops like those that the agent makes."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self._dice = DiceLoss(sigmoid=True, reduction="none", smooth_nr=1.0, smooth_dr=1.0)

    def model(self, side: int) -> nn.Module:
        """Return a fresh network."""
        model: nn.Module = ClickNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def carry(self, state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """Return the state: the network is convolutional."""
        return state

    def draw(self, rng: np.random.Generator, side: int, batch: int) -> list[Sample]:
        """Return so many samples."""
        return [self._sample(rng, side) for _ in range(batch)]

    def loss(
        self, model: nn.Module, drawn: list[Sample], rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of the last answers, with the Dice of one-prompt and of corrected ones."""
        batch = len(drawn)
        images, truths, marks = [d[0] for d in drawn], [d[1] for d in drawn], [d[2] for d in drawn]
        rounds = rng.choice(len(_CORRECTIONS), size=batch, p=_CORRECTIONS)
        previous = [np.zeros(t.shape, np.float32) for t in truths]
        for done in range(int(rounds.max())):
            active = [i for i in range(batch) if rounds[i] > done]
            stack = np.stack([planes_of(images[i], marks[i], previous[i]) for i in active])
            with torch.no_grad():
                soft = model(_tensor(stack, device)).sigmoid()[:, 0].cpu().numpy()
            for i, answer in zip(active, soft, strict=True):
                previous[i] = answer
                x, y, positive = correction(rng, truths[i], answer > 0.5, marks[i].places)
                marks[i] = marks[i].clicked(x, y, positive)
        stack = np.stack([planes_of(*one) for one in zip(images, marks, previous, strict=True)])
        logits = model(_tensor(stack, device))
        truth = torch.as_tensor(np.stack(truths)).to(device, torch.float32)[:, None]
        focal = sigmoid_focal_loss(logits, truth, alpha=0.5, reduction="none").mean(dim=(1, 2, 3))
        dice = self._dice(logits, truth).flatten(1).mean(dim=1)
        hard = logits.detach() > 0
        both = (hard & (truth > 0)).sum(dim=(1, 2, 3)).float()
        score = (2 * both / (hard.sum(dim=(1, 2, 3)) + truth.sum(dim=(1, 2, 3))).clamp(min=1)).cpu().numpy()
        shown = {}
        for name, rows in (("first", rounds == 0), ("later", rounds > 0)):
            if rows.any():
                shown[name] = float(score[rows].mean())
        return (dice + 20.0 * focal).mean(), shown

    def _sample(self, rng: np.random.Generator, side: int) -> Sample:
        """Return an image, its truth and the first prompt, on a crop as the agent would make it."""
        while True:
            image, mask = draw_sample(rng, self.pictures)
            box = jittered_box(rng, mask) if rng.random() < 0.35 else None
            x0, y0, x1, y1 = self._crop(rng, mask, box)
            if not mask[y0:y1, x0:x1].any():
                continue
            small, truth = zoomed(image[y0:y1, x0:x1], mask[y0:y1, x0:x1], (side, side))
            if not truth.any():
                continue
            across, down = side / (x1 - x0), side / (y1 - y0)
            if box is None:
                return small, truth, Marks(side).clicked(*first_click(rng, truth), True)
            scaled = (
                int((box[0] - x0) * across),
                int((box[1] - y0) * down),
                int((box[2] + 1 - x0) * across) - 1,
                int((box[3] + 1 - y0) * down) - 1,
            )
            return small, truth, Marks(side).boxed(scaled)

    @staticmethod
    def _crop(
        rng: np.random.Generator, mask: NDArray[np.bool_], box: tuple[int, int, int, int] | None
    ) -> tuple[int, int, int, int]:
        """Return a crop: the whole picture, any part of it, or what a zoom onto the object leaves."""
        height, width = mask.shape
        kind = rng.random()
        if kind < 0.3 and box is None:
            return 0, 0, width, height
        if kind < 0.55 and box is None:
            return crop_of(rng, mask, 32)
        found = box if box is not None else bounding_box(mask)
        assert found is not None
        grown = []
        for low, high, end in ((found[0], found[2], width), (found[1], found[3], height)):
            margin = max(8.0, rng.uniform(0.1, 0.7) * (high - low + 1))
            shift = rng.uniform(-0.1, 0.1) * (high - low + 1)
            grown.append((max(0, int(low + shift - margin)), min(end, int(high + shift + margin) + 1)))
        return grown[0][0], grown[1][0], grown[0][1], grown[1][1]


def _tensor(planes: NDArray[np.float32], device: torch.device) -> Tensor:
    return torch.as_tensor(planes).to(device, memory_format=torch.channels_last)
