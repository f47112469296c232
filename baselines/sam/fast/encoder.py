"""SAM's image encoder with the weights of an official one, fused.

Beside the attention (`simclick.baselines.sam.fast.attention`) three things differ from the official code,
none of them in what is computed: the projections run on the tokens of the grid alone, not on the padding of
the windows; patches are embedded by a matrix product; the neck keeps channels last. In single precision
features agree with the official ones to 1e-4 of their largest value.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Block
from torch import Tensor, nn
from torch.nn import functional as F

from simclick.baselines.sam.fast.attention import attend, best_attention, relative_table
from simclick.errors import ConfigError

__all__ = ["FastEncoder", "fast_encoder", "form_of"]


def _is_official(encoder: Any) -> bool:
    """Return whether an encoder is the official one to the block, and not, say, one with adapters."""
    return type(encoder) is ImageEncoderViT and all(type(block) is Block for block in encoder.blocks)


class _Block(nn.Module):
    """One transformer block on a grid of tokens, Float[B, H, W, C]."""

    table_h: Tensor
    table_w: Tensor
    outside: Tensor

    def __init__(self, block: Any, side: int, attention: str) -> None:
        super().__init__()
        own = block.attn
        self.attention = attention
        self.window = int(block.window_size) or side
        self.heads = int(own.num_heads)
        self.norm1: Any = block.norm1
        self.norm2: Any = block.norm2
        self.mlp: Any = block.mlp
        self.qkv: Any = own.qkv
        self.proj: Any = own.proj
        dim = own.qkv.in_features // self.heads
        none = own.qkv.weight.new_zeros(self.window, self.window, dim)
        used = bool(own.use_rel_pos)
        table_h = relative_table(own.rel_pos_h.detach(), self.window) if used else none
        table_w = relative_table(own.rel_pos_w.detach(), self.window) if used else none
        outside = own.qkv.weight.new_zeros(own.qkv.out_features)
        if own.qkv.bias is not None:
            outside = own.qkv.bias.detach().clone()
        self.register_buffer("table_h", table_h, persistent=False)
        self.register_buffer("table_w", table_w, persistent=False)
        self.register_buffer("outside", outside, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens after the block."""
        qkv = self.qkv(self.norm1(x))
        seen = attend(self.attention, qkv, self.heads, self.window, self.table_h, self.table_w, self.outside)
        x = x + self.proj(seen)
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class FastEncoder(nn.Module):
    """The official encoder's function, for inference.

    Args:
        encoder: An official encoder with its weights. Its modules are shared where its precision is the
            wanted one, else copied.
        attention: ``folded``, ``flex`` or ``triton``.
        dtype: Precision of weights and tokens; norms and softmax sum in single precision in any case.
        compile: Whether each block is compiled (once for all blocks of a kind and a batch size).
    """

    def __init__(
        self, encoder: ImageEncoderViT, attention: str, dtype: torch.dtype, compile: bool = False
    ) -> None:
        super().__init__()
        if encoder.patch_embed.proj.weight.dtype != dtype:
            encoder = copy.deepcopy(encoder).to(dtype)
        self.dtype = dtype
        self.embed: Any = encoder.patch_embed.proj
        self.place: Any = encoder.pos_embed
        side = encoder.img_size // self.embed.kernel_size[0]
        self.blocks = nn.ModuleList(_Block(block, side, attention) for block in encoder.blocks)
        self.neck: Any = encoder.neck
        self.requires_grad_(False).eval()
        if compile:
            for block in self.blocks:
                block.compile(dynamic=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return features, Float32[B, C, h, w].

        Args:
            images: Float[B, 3, S, S], preprocessed and padded as `Sam.preprocess` does.
        """
        # A caller's autocast would compute norms and sums in single precision, and convert at every step.
        with torch.autocast(images.device.type, enabled=False):
            return self._features(images.to(self.dtype))

    def _features(self, images: Tensor) -> Tensor:
        x = self._embedded(images)
        for block in self.blocks:
            x = block(x)
        narrow, norm1, wide, norm2 = self.neck
        x = F.linear(x, narrow.weight.flatten(1))
        x = _norm(x, norm1).permute(0, 3, 1, 2)
        x = F.conv2d(x, wide.weight, padding=wide.padding).permute(0, 2, 3, 1)
        return _norm(x, norm2).permute(0, 3, 1, 2).float().contiguous()

    def _embedded(self, images: Tensor) -> Tensor:
        patch = self.embed.kernel_size[0]
        batch, channels, height, width = images.shape
        x = images.reshape(batch, channels, height // patch, patch, width // patch, patch)
        x = x.permute(0, 2, 4, 1, 3, 5).flatten(3)
        x = F.linear(x, self.embed.weight.flatten(1), self.embed.bias)
        return x if self.place is None else x + self.place


def _norm(x: Tensor, norm: Any) -> Tensor:
    """Apply SAM's ``LayerNorm2d`` to channels that come last."""
    return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)


def form_of(encoder: Any, attention: str, device: str, dtype: torch.dtype) -> str:
    """Return the form of attention that an encoder runs with: ``auto`` is resolved.

    Args:
        encoder: The encoder. One that is not the official one to the block can only be ``plain``.
        attention: One of `simclick.baselines.sam.fast.attention.ATTENTIONS`.
        device: ``cpu`` or ``cuda``.
        dtype: The wanted precision.

    Raises:
        ConfigError: When the encoder cannot run in this form.
    """
    if not _is_official(encoder):
        if attention not in {"auto", "plain"}:
            raise ConfigError(f"agent.attention={attention}: this encoder runs with plain alone")
        return "plain"
    width = encoder.blocks[0].attn.qkv.in_features // encoder.blocks[0].attn.num_heads
    return best_attention(attention, device, dtype, int(width))


def fast_encoder(
    encoder: Any, attention: str, device: str, dtype: torch.dtype, compile: bool
) -> Callable[[Tensor], Tensor]:
    """Return the function of an encoder on its device, images to features.

    In the form ``plain`` it is the encoder itself, for the caller's autocast; see `form_of`.
    """
    form = form_of(encoder, attention, device, dtype)
    if form != "plain":
        return FastEncoder(encoder, form, dtype, compile)
    if compile:
        for block in encoder.blocks:
            block.compile(dynamic=False)
    return cast("Callable[[Tensor], Tensor]", encoder)
