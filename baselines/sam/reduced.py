"""SAM's official classes at a reduced size, with random weights: for tests and timing.

Random weights prove a code path, never a Dice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

__all__ = ["reduced_sam"]


def reduced_sam(
    side: int = 128,
    *,
    depth: int = 2,
    width: int = 48,
    heads: int = 4,
    window: int = 4,
    global_at: Sequence[int] = (1,),
    channels: int = 32,
    decoder_width: int = 64,
    decoder_heads: int = 4,
    seed: int = 0,
) -> Sam:
    """Return a Segment Anything model, for evaluation.

    Args:
        side: Longest side of its input in pixels, a multiple of 16.
        depth: Blocks of the image encoder.
        width: Their channels, a multiple of `heads`.
        heads: Their attention heads.
        window: Side of their attention windows, in patches.
        global_at: The blocks that attend to the whole image.
        channels: Of the embedding.
        decoder_width: Of the decoder's hidden layers.
        decoder_heads: Its attention heads.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    grid = side // 16
    encoder = ImageEncoderViT(
        depth=depth,
        embed_dim=width,
        img_size=side,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=heads,
        use_rel_pos=True,
        global_attn_indexes=tuple(global_at),
        window_size=window,
        out_chans=channels,
    )
    prompts = PromptEncoder(channels, (grid, grid), (side, side), 16)
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=channels, mlp_dim=decoder_width, num_heads=decoder_heads
    )
    decoder = MaskDecoder(transformer_dim=channels, transformer=transformer, iou_head_hidden_dim=channels)
    return Sam(encoder, prompts, decoder).eval()
