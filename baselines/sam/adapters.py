"""SAM-Med2D's adapters: blocks of Segment Anything's encoder with a second path beside the MLP.

Written from the description in Cheng et al., SAM-Med2D (arXiv 2308.16184), with the names of the official
checkpoint's keys; the tests compare the outputs with the official code on the same random weights.
"""

from __future__ import annotations

import torch
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Block, window_partition, window_unpartition
from torch import Tensor, nn

__all__ = ["Adapter", "AdapterBlock", "add_adapters"]


class Adapter(nn.Module):
    """Channels weighed by a gate, space seen at half resolution, added to the input, normalised.

    Args:
        channels: Channels of a token.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = channels // 4
        self.norm = nn.LayerNorm(channels)
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False),
            nn.ReLU(),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return Float[B, H, W, C] for tokens Float[B, H, W, C]; H and W even."""
        planes = tokens.permute(0, 3, 1, 2)
        gate: Tensor = self.channel(planes.mean(dim=(2, 3)))
        seen = planes + self.spatial(gate[:, :, None, None] * planes)
        normed: Tensor = self.norm(seen.permute(0, 2, 3, 1))
        return normed


class AdapterBlock(Block):  # type: ignore[misc]
    """An official block with an adapter beside its MLP, on the same normalised tokens.

    Args:
        block: The official block; its modules are taken over.
    """

    def __init__(self, block: Block) -> None:
        nn.Module.__init__(self)
        self.norm1, self.attn = block.norm1, block.attn
        self.norm2, self.mlp = block.norm2, block.mlp
        self.window_size: int = block.window_size
        # The official checkpoint's keys have the capital.
        self.Adapter = Adapter(block.norm2.normalized_shape[0])

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens Float[B, H, W, C]."""
        x = x + self._attend(self.norm1(x))
        normed = self.norm2(x)
        out: Tensor = x + self.mlp(normed) + self.Adapter(normed)
        return out

    def _attend(self, x: Tensor) -> Tensor:
        if self.window_size == 0:
            whole: Tensor = self.attn(x)
            return whole
        windows, padded = window_partition(x, self.window_size)
        size = (x.shape[1], x.shape[2])
        joined: Tensor = window_unpartition(self.attn(windows), self.window_size, padded, size)
        return joined


def add_adapters(encoder: ImageEncoderViT) -> None:
    """Put an adapter, randomly initialised, into every block of an encoder."""
    encoder.blocks = nn.ModuleList(AdapterBlock(block) for block in encoder.blocks)
    for module in encoder.blocks.modules():
        if isinstance(module, Adapter):
            _initialise(module)


def _initialise(adapter: Adapter) -> None:
    with torch.no_grad():
        for module in adapter.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
