"""The networks of the pocket agents.

* `pocket_sam`: the official Segment Anything classes at pocket size: 256 pixels, patches of 8, six narrow
  blocks (window attention, two of them global), the standard prompt encoder and two-way mask decoder. One
  part is not theirs: the image encoder has a few convolutions on its way in and out (`HybridEncoder`).
* `ClickNet`: an iterative click network in RITM's spirit: a small U-Net that takes image, click discs, box
  and previous mask, and gives one mask.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["CLICK_SIDE", "SAM_SIDE", "ClickNet", "HybridEncoder", "pocket_sam", "resized_state"]

SAM_SIDE = 256
"""Longest side of pocket-sam's input, in pixels."""
CLICK_SIDE = 128
"""Side of pocket-click's square input, in pixels."""

_PATCH, _WIDTH, _DEPTH, _HEADS, _GLOBAL, _WINDOW = 8, 128, 6, 4, (2, 5), 8


def pocket_sam(side: int = SAM_SIDE) -> Sam:
    """Return pocket-sam with fresh weights.

    Args:
        side: Longest side of its input, a multiple of 64; smaller ones train faster (`resized_state`).
    """
    grid = side // _PATCH
    return Sam(
        image_encoder=HybridEncoder(
            img_size=side,
            patch_size=_PATCH,
            embed_dim=_WIDTH,
            depth=_DEPTH,
            num_heads=_HEADS,
            mlp_ratio=4,
            out_chans=_WIDTH,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=_WINDOW,
            global_attn_indexes=_GLOBAL,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=_WIDTH,
            image_embedding_size=(grid, grid),
            input_image_size=(side, side),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=_WIDTH, mlp_dim=512, num_heads=_HEADS),
            transformer_dim=_WIDTH,
            iou_head_depth=3,
            iou_head_hidden_dim=128,
        ),
    )


class HybridEncoder(ImageEncoderViT):  # type: ignore[misc]
    """SAM's image encoder with convolutions on its way in and out.

    A transformer learns slowly what an edge or a texture is, convolutions fast (Xiao et al. 2021), and an
    hour on a CPU is little time. On the way in, the convolutions of `ClickNet`'s way down add to the patch
    embedding; on the way out, the embedding is enlarged twice beside their finer levels, and what was found
    there is folded into it (a block of 4 x 4 fine pixels per token), so that thin structures survive patches
    of 8. Both sums begin as the official encoder alone.
    """

    def __init__(self, **official: Any) -> None:
        super().__init__(**official)
        widths = (16, 32, 64, 96)
        self.down = nn.ModuleList(_block(a, b) for a, b in zip((3, *widths[:-1]), widths, strict=True))
        self.project = _silent(nn.Conv2d(widths[-1], _WIDTH, 1))
        self.up = nn.ModuleList([_block(_WIDTH + widths[2], 48), _block(48 + widths[1], 24)])
        self.fold = nn.Sequential(nn.Conv2d(24, 8, 1), nn.PixelUnshuffle(4))
        self.detail = _silent(nn.Conv2d(8 * 16, _WIDTH, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings, Float[B, C, S / 8, S / 8], of images Float[B, 3, S, S]."""
        kept = []
        fine = x
        for level, block in enumerate(self.down):
            fine = block(fine if level == 0 else F.max_pool2d(fine, 2))
            kept.append(fine)
        tokens = self.patch_embed(x) + self.project(fine).permute(0, 2, 3, 1) + self.pos_embed
        for attention in self.blocks:
            tokens = attention(tokens)
        embedding: Tensor = self.neck(tokens.permute(0, 3, 1, 2))
        fine = embedding
        for block, skip in zip(self.up, (kept[2], kept[1]), strict=True):
            fine = F.interpolate(fine, scale_factor=2.0, mode="bilinear", align_corners=False)
            fine = block(torch.cat([fine, skip], dim=1))
        detail: Tensor = self.detail(self.fold(fine))
        return embedding + detail


def _silent(layer: nn.Conv2d) -> nn.Conv2d:
    """Return a layer that gives zeros until it is taught."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def resized_state(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return a state dict whose positions fit a model of another input size.

    Absolute positions are interpolated bicubically, relative ones linearly; all else is kept.
    """
    fitted = {}
    for key, wanted in model.state_dict().items():
        tensor = state[key]
        if tensor.shape != wanted.shape and key.endswith("pos_embed"):
            planes = tensor.permute(0, 3, 1, 2)
            planes = F.interpolate(planes, size=wanted.shape[1:3], mode="bicubic", align_corners=False)
            tensor = planes.permute(0, 2, 3, 1)
        elif tensor.shape != wanted.shape and "rel_pos" in key:
            rows = F.interpolate(tensor.T[None], size=wanted.shape[0], mode="linear", align_corners=False)
            tensor = rows[0].T
        fitted[key] = tensor.contiguous()
    return fitted


class ClickNet(nn.Module):
    """A small U-Net over seven planes.

    Planes: the image (3, zero mean and unit variance over the crop), positive and negative click discs,
    the filled box, and the previous mask's probability.

    Args:
        widths: Channels of each level, from full to lowest resolution.
    """

    planes = 7

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 96, 128)) -> None:
        super().__init__()
        self.widths = widths
        self.down = nn.ModuleList(
            _block(a, b) for a, b in zip((self.planes, *widths[:-1]), widths, strict=True)
        )
        self.up = nn.ModuleList(
            _block(low + high, high) for low, high in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, planes: Tensor) -> Tensor:
        """Return mask logits, Float[B, 1, S, S], for planes Float[B, 7, S, S] (S a multiple of 16)."""
        kept = []
        x = planes
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            kept.append(x)
        for block, skip in zip(self.up, kept[-2::-1], strict=True):
            x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], dim=1))
        logits: Tensor = self.head(x)
        return logits


def _block(inside: int, outside: int) -> nn.Module:
    def layer(a: int, b: int) -> list[Any]:
        return [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.GroupNorm(8, b), nn.ReLU(inplace=True)]

    return nn.Sequential(*layer(inside, outside), *layer(outside, outside))
