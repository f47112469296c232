"""Training of pocket-sam, after Segment Anything (Kirillov et al. 2023, appendix A).

A first prompt (a jittered box or a point of the object, each half of the time) is followed by corrective
points out of the error region, with the low-resolution logits of the answer before fed back. The loss is
Dice, balanced cross entropy (the paper: focal) and the squared error of the predicted IoU. A single point is
ambiguous: of its three masks only the best is taught.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
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
from simclick.baselines.pocket.implants import implanted
from simclick.baselines.pocket.networks import pocket_sam, resized_state
from simclick.baselines.pocket.pictures import STORED, Pictures
from simclick.baselines.pocket.sam_losses import balanced_entropy, soft_iou
from simclick.baselines.pocket.samples import (
    augmented,
    correction,
    crop_of,
    first_click,
    jittered_box,
    recoloured,
    zoomed,
)

__all__ = ["SamTask", "decode_many"]

_HEAVIEST, _HEAVIEST_LAST = 15.0, 3.0
"""Most that an object pixel weighs in the cross entropy, at small and at full input size. Where small objects
weigh less from the start, and with the focal loss of the paper, so small a network was seen to stay with
empty masks; where they weigh as much to the end, masks are too large."""
_CROPPED = 0.3
"""Share of samples that are a crop of their picture, and so larger objects."""
_CROPPED_SMALL = 0.75
"""The same where the input side is less than the pictures': then crops keep small objects visible."""

_IMPLANTED = 0.35
"""Share of pictures with a region laid into them."""


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
class Drawn:
    """The samples of a step, N = B · prompts, in the encoder's frame.

    Attributes:
        images: UInt8[B, 3, S, S], padded at right and bottom.
        sizes: Height and width of each picture without padding.
        truths: Bool[N, S, S]; sample n belongs to picture n // prompts.
        boxes: The first prompt of each sample where it is a box, else None.
        points: The points of each sample.
        labels: Whether each point is positive.
    """

    images: Tensor
    sizes: list[tuple[int, int]]
    truths: Tensor
    boxes: list[tuple[int, int, int, int] | None]
    points: list[list[tuple[int, int]]]
    labels: list[list[bool]]


class SamTask(Task):
    """Trains pocket-sam.

    Args:
        pictures: What to train on.
        rounds: Most prompts per sample, the first included; fewer are likelier (with 4: 40, 30, 20, 10 %).
        prompts: Samples per picture: each is encoded once, as SAM's were.
        threads: Threads that place corrections.
        half: Whether the network computes in bfloat16.
    """

    def __init__(
        self, pictures: Pictures, rounds: int = 4, prompts: int = 4, threads: int = 1, half: bool = False
    ) -> None:
        self.pictures = pictures
        self.rounds = rounds
        self.prompts = prompts
        self.threads = threads
        self.half = half
        self._dice = DiceLoss(sigmoid=True, reduction="none", smooth_nr=1.0, smooth_dr=1.0)

    def model(self, side: int) -> nn.Module:
        """Return a fresh pocket-sam."""
        model: nn.Module = pocket_sam(side)
        return model

    def carry(self, state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        """Interpolate positions."""
        return resized_state(state, model)

    def draw(self, rng: np.random.Generator, side: int, batch: int) -> Drawn:
        """Return so many pictures, and `prompts` targets of each with a first prompt."""
        drawn = Drawn(
            torch.zeros((batch, 3, side, side), dtype=torch.uint8),
            [],
            torch.zeros((batch * self.prompts, side, side), dtype=torch.bool),
            [],
            [],
            [],
        )
        for b in range(batch):
            image, masks = self._picture(rng, side)
            height, width = image.shape[:2]
            drawn.sizes.append((height, width))
            planes = np.ascontiguousarray(image.transpose(2, 0, 1))
            drawn.images[b, :, :height, :width] = torch.as_tensor(planes)
            first = int(rng.integers(len(masks)))
            for k in range(self.prompts):
                mask = masks[(first + k) % len(masks)]
                drawn.truths[b * self.prompts + k, :height, :width] = torch.as_tensor(mask)
                boxed = rng.random() < 0.5
                drawn.boxes.append(jittered_box(rng, mask) if boxed else None)
                drawn.points.append([] if boxed else [first_click(rng, mask)])
                drawn.labels.append([] if boxed else [True])
        return drawn

    def _picture(
        self, rng: np.random.Generator, side: int
    ) -> tuple[NDArray[np.uint8], list[NDArray[np.bool_]]]:
        """Return a picture whose longest side is the encoder's, and its masks."""
        image, masks = self.pictures.of(int(rng.integers(len(self.pictures.images))))
        if rng.random() < _IMPLANTED:  # first: what the picture shows is told by its black surroundings
            image, masks = implanted(rng, image, masks)
        image, masks = augmented(rng, image, masks)
        image = recoloured(rng, image)
        small = side < STORED
        if rng.random() < (_CROPPED_SMALL if small else _CROPPED):
            of = masks[int(rng.integers(len(masks)))]
            x0, y0, x1, y1 = crop_of(rng, of, 64, 3 * side // 2 if small else None)
            image, masks = image[y0:y1, x0:x1], [mask[y0:y1, x0:x1] for mask in masks]
            masks = [mask for mask in masks if mask.any()]
        scale = side / max(image.shape[:2])
        size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
        scaled, fitted = image, []
        for mask in masks:
            scaled, found = zoomed(image, mask, size)
            fitted.append(found)
        return scaled, fitted

    def loss(
        self, model: nn.Module, drawn: Drawn, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the mean loss over rounds, with the Dice after the last round, a box and a point."""
        sam = cast(Sam, model)
        side = drawn.images.shape[-1]
        truth = drawn.truths.to(device).float()
        inside = torch.zeros((len(drawn.sizes), side, side), device=device)
        for b, (height, width) in enumerate(drawn.sizes):
            inside[b, :height, :width] = 1
        images = (drawn.images.to(device).float() - sam.pixel_mean) / sam.pixel_std
        images = (images * inside[:, None]).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.half):
            features = sam.image_encoder(images).repeat_interleave(self.prompts, dim=0)
        inside = inside.repeat_interleave(self.prompts, dim=0)
        logits: Tensor | None = None
        losses, dices = [], []
        likely = np.arange(self.rounds, 0, -1)
        rounds = 1 + int(rng.choice(self.rounds, p=likely / likely.sum()))
        for number in range(rounds):
            with torch.autocast(device.type, torch.bfloat16, enabled=self.half):
                sparse, dense = _prompts(sam, drawn, logits, device)
                low, iou = decode_many(sam, features, sparse, dense)
            single = torch.tensor([number == 0 and box is None for box in drawn.boxes], device=device)
            loss, answer, full, dice = self._round(low.float(), iou.float(), truth, inside, single)
            losses.append(loss)
            dices.append(dice)
            logits = answer.detach()
            if number + 1 < rounds:
                self._correct(rng, drawn, (full.detach() > 0).cpu().numpy())
        boxed = torch.tensor([box is not None for box in drawn.boxes], device=device)
        shown = {"last": float(dices[-1].mean())}
        for name, which in (("box", boxed), ("point", ~boxed)):
            if bool(which.any()):
                shown[name] = float(dices[0][which].mean())
        return torch.stack(losses).mean(), shown

    def _correct(self, rng: np.random.Generator, drawn: Drawn, masks: NDArray[np.bool_]) -> None:
        """Add a corrective point to every sample; each has chance of its own, so threads change nothing."""
        truths = drawn.truths.numpy()

        def place(n: int, own: np.random.Generator) -> tuple[int, int, bool]:
            height, width = drawn.sizes[n // self.prompts]
            return correction(own, truths[n, :height, :width], masks[n, :height, :width], drawn.points[n])

        with ThreadPoolExecutor(self.threads) as pool:
            found = list(pool.map(place, range(len(masks)), rng.spawn(len(masks))))
        for n, (x, y, positive) in enumerate(found):
            drawn.points[n].append((x, y))
            drawn.labels[n].append(positive)

    def _round(
        self, low: Tensor, iou: Tensor, truth: Tensor, inside: Tensor, single: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the loss, the logits that are fed back, the answer at full size, and its Dice.

        Which of three masks is the best, and how good each is, is judged at the decoder's resolution; only
        masks that are taught are enlarged.
        """
        coarse = F.interpolate(torch.stack([truth, inside], 1), low.shape[-2:], mode="area")
        overlap = soft_iou(low, coarse[:, :1], coarse[:, 1:])
        best = 1 + overlap[:, 1:].detach().argmax(dim=1)
        chosen = torch.where(single, best, torch.zeros_like(best))
        rows = torch.arange(len(low), device=low.device)
        answer = low[rows, chosen]
        full = self._enlarged(answer, truth)
        loss = self._mask_loss(full, truth, inside) + (iou[rows, chosen] - overlap[rows, chosen]).square()
        if bool(single.any()):
            # All predicted IoUs learn, or the choice among three would rest on untaught numbers.
            points = single.nonzero()[:, 0]
            other = self._mask_loss(self._enlarged(low[points, 0], truth), truth[points], inside[points])
            apart = (iou - overlap)[points].square()
            loss = loss.index_add(0, points, apart[:, 1:].mean(dim=1) + 0.3 * (other + apart[:, 0]))
        hard = (full.detach() > 0) & (inside > 0)
        both = (hard & (truth > 0)).sum(dim=(1, 2)).float()
        dice = 2 * both / (hard.sum(dim=(1, 2)) + truth.sum(dim=(1, 2))).clamp(min=1.0)
        return loss.mean(), answer, full, dice

    @staticmethod
    def _enlarged(logits: Tensor, truth: Tensor) -> Tensor:
        return F.interpolate(logits[:, None], truth.shape[-2:], mode="bilinear", align_corners=False)[:, 0]

    def _mask_loss(self, logits: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
        """Return cross entropy and Dice loss of each mask, Float[N]."""
        heaviest = _HEAVIEST if truth.shape[-1] < STORED else _HEAVIEST_LAST
        # Padding is no part of the picture: a very low logit there costs Dice nothing.
        dice = self._dice(logits.masked_fill(inside == 0, -30.0)[:, None], truth[:, None])
        both: Tensor = balanced_entropy(logits, truth, inside, heaviest) + dice.flatten(1).mean(dim=1)
        return both


def _prompts(sam: Sam, drawn: Drawn, logits: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return prompt tokens and mask prompts of all samples.

    All have had the same number of rounds, so those with a box (two tokens) and those without (a point more,
    and SAM's padding point) have as many tokens.
    """
    boxed = [n for n, box in enumerate(drawn.boxes) if box is not None]
    others = [n for n, box in enumerate(drawn.boxes) if box is None]
    sparse = []
    for some in (boxed, others):
        if not some:
            continue
        boxes = points = None
        if some is boxed:
            boxes = torch.tensor([drawn.boxes[n] for n in some], dtype=torch.float32, device=device)
        if drawn.points[some[0]]:
            at = torch.tensor([drawn.points[n] for n in some], dtype=torch.float32, device=device)
            points = at, torch.tensor([drawn.labels[n] for n in some], dtype=torch.int, device=device)
        sparse.append(sam.prompt_encoder(points=points, boxes=boxes, masks=None)[0])
    order = torch.as_tensor(np.argsort(boxed + others), device=device)
    tokens = torch.cat(sparse)[order]
    if logits is None:
        grid = sam.prompt_encoder.image_embedding_size
        none = sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        return tokens, none.expand(len(tokens), -1, *grid)
    dense: Tensor = sam.prompt_encoder.mask_downscaling(logits[:, None])
    return tokens, dense
