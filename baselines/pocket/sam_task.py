"""Training of pocket-sam, after Segment Anything (Kirillov et al. 2023, appendix A).

A first prompt (a jittered box or a point of the object, each half of the time) is followed by corrective
points out of the error region, with the low-resolution logits of the answer before fed back. The loss is
Dice, balanced cross entropy (the paper: focal) and the squared error of the predicted IoU. A single point is
ambiguous: of its three masks only the best is taught.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from monai.losses.dice import DiceLoss
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional as F

from simclick.baselines.pocket.fitting import Task
from simclick.baselines.pocket.networks import pocket_sam, resized_state
from simclick.baselines.pocket.pictures import Pictures
from simclick.baselines.pocket.samples import (
    augmented,
    correction,
    crop_of,
    first_click,
    jittered_box,
    zoomed,
)

__all__ = ["SamTask", "decode_many"]

_HEAVIEST = 15.0
"""Most that an object pixel weighs in the cross entropy. Where small objects weigh less, and with the focal
loss of the paper, so small a network was seen to stay with empty masks."""
_CROPPED = 0.4
"""Share of samples that are a crop of their picture, and so larger objects."""


def decode_many(sam: Sam, features: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
    """Decode B prompts on B images at once (SAM's own decoder takes B prompts on one image).

    Args:
        sam: The model.
        features: Float[B, C, h, w].
        sparse: Float[B, N, C], prompt tokens.
        dense: Float[B, C, h, w], mask prompts.

    Returns:
        Float[B, 4, 4h, 4w], logits of the single mask and of the three; Float[B, 4], predicted IoU.
    """
    decoder = sam.mask_decoder
    many = features.shape[0]
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(many, -1, -1), sparse], dim=1)
    place = sam.prompt_encoder.get_dense_pe().expand(many, -1, -1, -1)
    answered, image = decoder.transformer(features + dense, place, tokens)
    n = decoder.num_mask_tokens
    fine = decoder.output_upscaling(image.transpose(1, 2).reshape(features.shape))
    weights = torch.stack(
        [mlp(answered[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=1
    )
    masks = torch.einsum("bkc,bchw->bkhw", weights, fine)
    assert masks.shape[1] == n
    return masks, decoder.iou_prediction_head(answered[:, 0])


@dataclass
class _Sample:
    """One sample under way, in the encoder's frame."""

    truth: NDArray[np.bool_]
    box: tuple[int, int, int, int] | None
    points: list[tuple[int, int]]
    labels: list[int]


class SamTask(Task):
    """Trains pocket-sam.

    Args:
        pictures: What to train on.
        rounds: Prompts per sample, the first included.
        prompts: Samples per picture: each is encoded once, as SAM's were.
    """

    def __init__(self, pictures: Pictures, rounds: int = 3, prompts: int = 4) -> None:
        self.pictures = pictures
        self.rounds = rounds
        self.prompts = prompts
        self._dice = DiceLoss(sigmoid=True, reduction="none", smooth_nr=1.0, smooth_dr=1.0)

    def model(self, side: int) -> nn.Module:
        """Return a fresh pocket-sam."""
        model: nn.Module = pocket_sam(side)
        return model

    def carry(self, state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """Interpolate positions."""
        return resized_state(state, model)

    def loss(
        self, model: nn.Module, rng: np.random.Generator, side: int, batch: int, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the mean loss over rounds, with the Dice after the first and the last round."""
        sam = cast(Sam, model)
        drawn = [self._samples(rng, sam, side) for _ in range(batch)]
        samples = [sample for _, some in drawn for sample in some]
        truth = torch.as_tensor(np.stack([_padded(s.truth, side) for s in samples])).to(device, torch.float32)
        inside = torch.as_tensor(np.stack([_padded(np.ones_like(s.truth), side) for s in samples])).to(
            device, torch.float32
        )
        features = sam.image_encoder(torch.stack([image for image, _ in drawn]).to(device))
        features = features.repeat_interleave(self.prompts, dim=0)
        logits: Tensor | None = None
        losses, dices = [], []
        for number in range(self.rounds):
            sparse, dense = _prompts(sam, samples, logits, device)
            low, iou = decode_many(sam, features, sparse, dense)
            full = F.interpolate(low, (side, side), mode="bilinear", align_corners=False)
            single = torch.tensor([number == 0 and s.box is None for s in samples], device=device)
            each, chosen, dice = self._round(full, iou, truth, inside, single)
            losses.append(each.mean())
            dices.append(float(dice.mean()))
            rows = torch.arange(len(samples), device=device)
            logits = low[rows, chosen].detach()
            if number + 1 < self.rounds:
                masks = (full[rows, chosen].detach() > 0).cpu().numpy()
                for sample, mask in zip(samples, masks, strict=True):
                    h, w = sample.truth.shape
                    x, y, positive = correction(rng, sample.truth, mask[:h, :w], sample.points)
                    sample.points.append((x, y))
                    sample.labels.append(int(positive))
        return torch.stack(losses).mean(), {"first": dices[0], "last": dices[-1]}

    def _round(
        self, full: Tensor, iou: Tensor, truth: Tensor, inside: Tensor, single: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss, the mask that is fed back, and its Dice, per sample."""
        wanted = truth[:, None].expand_as(full)
        valid = inside[:, None]
        cross = _balanced(full, wanted, valid)
        # Padding is no part of the picture: a very low logit there costs Dice nothing.
        dice_loss = self._dice(full.masked_fill(valid == 0, -30.0), wanted).flatten(2).mean(dim=2)
        hard = (full.detach() > 0) & (valid > 0)
        both = (hard & (wanted > 0)).sum(dim=(2, 3)).float()
        areas = hard.sum(dim=(2, 3)).float(), wanted.sum(dim=(2, 3))
        real = both / (areas[0] + areas[1] - both).clamp(min=1.0)
        each = cross + dice_loss + (iou - real).square()
        best = 1 + (cross + dice_loss)[:, 1:].detach().argmin(dim=1)
        chosen = torch.where(single, best, torch.zeros_like(best))
        rows = torch.arange(len(full), device=full.device)
        loss = each[rows, chosen]
        # All predicted IoUs learn, or the choice among three would rest on untaught numbers.
        loss = loss + torch.where(single, (iou - real).square()[:, 1:].mean(dim=1) + 0.3 * each[:, 0], 0.0)
        return loss, chosen, 2 * both[rows, chosen] / (areas[0] + areas[1])[rows, chosen].clamp(min=1.0)

    def _samples(self, rng: np.random.Generator, sam: Sam, side: int) -> tuple[Tensor, list[_Sample]]:
        """Return a picture in the encoder's frame, and so many targets of it with a first prompt."""
        image, masks = self.pictures.of(int(rng.integers(len(self.pictures.images))))
        image, masks = augmented(rng, image, masks)
        if rng.random() < _CROPPED:
            x0, y0, x1, y1 = crop_of(rng, masks[int(rng.integers(len(masks)))], 64)
            image, masks = image[y0:y1, x0:x1], [mask[y0:y1, x0:x1] for mask in masks]
            masks = [mask for mask in masks if mask.any()]
        scale = side / max(image.shape[:2])
        size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
        small, fitted = image, []
        for mask in masks:
            small, found = zoomed(image, mask, size)
            fitted.append(found)
        pixels = torch.as_tensor(np.ascontiguousarray(small)).permute(2, 0, 1).float()
        samples = []
        for k in range(self.prompts):
            mask = fitted[(k + int(rng.integers(len(fitted)))) % len(fitted)]
            if rng.random() < 0.5:
                samples.append(_Sample(mask, jittered_box(rng, mask), [], []))
            else:
                samples.append(_Sample(mask, None, [first_click(rng, mask)], [1]))
        return sam.preprocess(pixels.to(sam.device)).cpu(), samples


def _balanced(logits: Tensor, wanted: Tensor, valid: Tensor) -> Tensor:
    """Return the cross entropy of each mask, object and background weighing the same (up to a bound)."""
    inside = (wanted * valid).sum(dim=(2, 3), keepdim=True)
    outside = ((1 - wanted) * valid).sum(dim=(2, 3), keepdim=True)
    heavy = (outside / inside.clamp(min=1.0)).clamp(1.0, _HEAVIEST)
    weight = torch.where(wanted > 0, heavy, torch.ones_like(heavy)) * valid
    loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weight
    return loss.sum(dim=(2, 3)) / weight.sum(dim=(2, 3))


def _padded(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    return np.pad(mask, ((0, side - mask.shape[0]), (0, side - mask.shape[1])))


def _prompts(
    sam: Sam, samples: list[_Sample], logits: Tensor | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return prompt tokens and mask prompts of all samples; all have had the same number of rounds."""
    sparse = []
    for sample in samples:
        points = boxes = None
        if sample.points:
            at = torch.tensor([sample.points], dtype=torch.float32, device=device)
            points = (at, torch.tensor([sample.labels], dtype=torch.int, device=device))
        if sample.box is not None:
            boxes = torch.tensor([sample.box], dtype=torch.float32, device=device)
        sparse.append(sam.prompt_encoder(points=points, boxes=boxes, masks=None)[0])
    if logits is None:
        grid = sam.prompt_encoder.image_embedding_size
        none = sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return torch.cat(sparse), none.expand(len(samples), -1, *grid)
    return torch.cat(sparse), sam.prompt_encoder.mask_downscaling(logits[:, None])
