"""SAM's mask decoder for many requests at once, of any images and any form.

They may differ in the number of clicks, and in whether there is a box and a previous mask.

The official decoder takes requests of one form on one image, as padding tokens would take part in its
attention. Here every request has the same number of tokens, and those it does not use are masked out of the
attention, so they change nothing (in exact arithmetic; sums are taken in another order). Tokens attend
without knowing their index, so their order is free.

Everything runs on tokens with channels last: up- and downscaling by 2 are matrix products, and pixels are put
in order once, in the masks. Logits agree with the official ones to 1e-4 of their largest value in single
precision.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["BOX_END", "BOX_START", "NEGATIVE", "PADDING", "POSITIVE", "UNUSED", "FastDecoder", "upscaled"]

UNUSED, PADDING, NEGATIVE, POSITIVE, BOX_START, BOX_END = range(-2, 4)
"""What a token is: nothing, SAM's padding point (it follows clicks where there is no box), or a prompt."""


class FastDecoder(nn.Module):
    """The official prompt encoder and mask decoder, for inference.

    Args:
        sam: A model with its weights; copied.
        dtype: Precision of weights and tokens. Positions are encoded in single precision in any case.
    """

    waves: Tensor
    kinds: Tensor
    no_mask: Tensor
    own: Tensor
    place: Tensor

    def __init__(self, sam: Sam, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        prompts, decoder = sam.prompt_encoder, copy.deepcopy(sam.mask_decoder).to(dtype)
        self.dtype = dtype
        self.side = float(prompts.input_image_size[0])
        self.grid: tuple[int, int] = prompts.image_embedding_size
        kinds = [prompts.not_a_point_embed, *prompts.point_embeddings]
        self.register_buffer("waves", prompts.pe_layer.positional_encoding_gaussian_matrix.float().clone())
        self.register_buffer("kinds", torch.cat([e.weight.detach() for e in kinds]).float())
        self.register_buffer("no_mask", prompts.no_mask_embed.weight.detach().to(dtype))
        self.register_buffer(
            "own", torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).detach()
        )
        place = prompts.get_dense_pe().flatten(2).transpose(1, 2).detach()
        self.register_buffer("place", place.to(dtype))  # [1, h w, C]
        self.down: Any = copy.deepcopy(prompts.mask_downscaling).to(dtype)
        self.transformer: Any = decoder.transformer
        self.up: Any = decoder.output_upscaling
        self.hyper: Any = decoder.output_hypernetworks_mlps
        self.quality: Any = decoder.iou_prediction_head
        self.requires_grad_(False).eval()
        self.layers = nn.ModuleList(_Layer(layer, self.place) for layer in self.transformer.layers)
        self.last = _ImageSide(self.transformer.final_attn_token_to_image, None, self.place)

    def images(self, features: Tensor) -> Tensor:
        """Return features as tokens, Float[I, h w, C], from Float[I, C, h, w]."""
        return features.flatten(2).transpose(1, 2).to(self.dtype).contiguous()

    def forward(
        self,
        images: Tensor,
        of: Tensor,
        points: Tensor,
        labels: Tensor,
        logits: Tensor | None = None,
        has_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return Float32[B, M, 4 h, 4 w], the single mask first, and Float32[B, M], predicted IoU.

        Args:
            images: Float[I, h w, C] from `images`.
            of: Int64[B], the image of each request.
            points: Float[B, N, 2], x and y in the encoder's frame.
            labels: Int64[B, N], one of the constants above for each point.
            logits: Float[B, 4 h, 4 w], the previous mask's logits, or None where no request has any.
            has_logits: Bool[B], which requests have logits; None: all.
        """
        tokens, used = self._tokens(points, labels)
        dense = self.no_mask if logits is None else self._dense(logits, has_logits)
        keys = images[of] + dense
        queries = tokens
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, used)
        k, v = self.last.project(keys)
        queries = queries + self.last.gather(queries + tokens, k, v)
        answers = self.transformer.norm_final_attn(queries)
        many = self.own.shape[0]
        weights = torch.stack([mlp(answers[:, 1 + i]) for i, mlp in enumerate(self.hyper)], dim=1)
        masks = self._fine(keys, weights)
        assert many == weights.shape[1] + 1
        return masks, self.quality(answers[:, 0]).float()

    def _tokens(self, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return Float[B, T, C], and Float[B, 1, 1, T]: -inf where a token does not count. T: 8, 16, …."""
        batch = points.shape[0]
        turns = (2 * ((points + 0.5) / self.side) - 1) @ self.waves * (2 * math.pi)
        encoded = torch.cat([turns.sin(), turns.cos()], dim=-1)
        encoded = encoded * (labels >= 0).unsqueeze(-1) + self.kinds[(labels + 1).clamp(min=0)]
        own = self.own.expand(batch, -1, -1)
        tokens = torch.cat([own, encoded.to(self.dtype)], dim=1)
        used = F.pad(labels > UNUSED, (own.shape[1], 0), value=True)
        spare = -tokens.shape[1] % 8
        tokens, used = F.pad(tokens, (0, 0, 0, spare)), F.pad(used, (0, spare), value=False)
        # A mask of numbers may stay narrow where one of truth values would be written out in full.
        counts = torch.zeros_like(used, dtype=self.dtype).masked_fill(~used, -math.inf)
        return tokens, counts[:, None, None]

    def _dense(self, logits: Tensor, has_logits: Tensor | None) -> Tensor:
        """Return Float[B, h w, C] of previous masks, as two steps of 2 x 2 pixels each."""
        first, norm1, act1, second, norm2, act2, last = self.down
        batch, (h, w) = logits.shape[0], self.grid
        x = logits.to(self.dtype).reshape(batch, h, 2, 2, w, 2, 2)  # y, a, a', x, b, b'
        x = x.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, h * w, 4, 4)  # (y x), (a b), (a' b')
        x = act1(_norm(F.linear(x, first.weight.flatten(1), first.bias), norm1))
        kernel = second.weight.flatten(2).transpose(1, 2).flatten(1)  # [out, (a b) in]
        x = act2(_norm(F.linear(x.flatten(2), kernel, second.bias), norm2))
        out: Tensor = F.linear(x, last.weight.flatten(1), last.bias)
        return out if has_logits is None else torch.where(has_logits[:, None, None], out, self.no_mask)

    def _fine(self, keys: Tensor, weights: Tensor) -> Tensor:
        """Return masks of image tokens scaled up twice by 2, Float32[B, M, 4 h, 4 w]."""
        first, norm, act1, second, act2 = self.up
        batch, (h, w) = keys.shape[0], self.grid
        x = act1(_norm(_doubled(keys, first), norm))
        x = act2(_doubled(x, second)).reshape(batch, h * w * 16, -1)
        masks: Tensor = (
            (weights @ x.transpose(1, 2)).float().reshape(batch, -1, h, w, 2, 2, 2, 2)
        )  # a b a' b'
        return masks.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(batch, -1, 4 * h, 4 * w)


class _ImageSide(nn.Module):
    """Attention between tokens and image: all that is projected from the image in one product.

    Args:
        reads: Tokens read the image: keys with positions, values without.
        writes: The image reads the tokens: queries with positions; None where it does not.
        place: Float[1, h w, C], positions.
    """

    weight: Tensor
    shift: Tensor

    def __init__(self, reads: Any, writes: Any, place: Tensor) -> None:
        super().__init__()
        self.reads: Any = reads
        self.writes: Any = writes
        self.heads = int(reads.num_heads)
        moved = [reads.k_proj, *([] if writes is None else [writes.q_proj])]
        weights = [reads.k_proj.weight, reads.v_proj.weight]
        if writes is not None:
            weights.append(writes.q_proj.weight)
        # (keys + place) W = keys W + place W: the second term is known beforehand.
        with_place = [F.linear(place.float(), m.weight.float(), m.bias.float()) for m in moved]
        plain = reads.v_proj.bias.float().expand(*place.shape[:2], -1)
        shifts = [with_place[0], plain, *with_place[1:]]
        self.register_buffer("weight", torch.cat(weights).detach())
        self.register_buffer("shift", torch.cat(shifts, dim=-1).detach().to(place.dtype))
        self.widths = [w.shape[0] for w in weights]

    def project(self, keys: Tensor) -> tuple[Tensor, ...]:
        """Return keys, values and (where the image reads too) queries of the image."""
        return torch.split(F.linear(keys, self.weight) + self.shift, self.widths, dim=-1)

    def gather(self, queries: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return what tokens gather from the image."""
        out: Tensor = self.reads.out_proj(_attention(self.reads.q_proj(queries), k, v, self.heads, None))
        return out

    def spread(self, q: Tensor, tokens: Tensor, values: Tensor, used: Tensor) -> Tensor:
        """Return what the image gathers from tokens (`tokens` with positions, `values` without)."""
        assert self.writes is not None
        k, v = self.writes.k_proj(tokens), self.writes.v_proj(values)
        out: Tensor = self.writes.out_proj(_attention(q, k, v, self.heads, used))
        return out


class _Layer(nn.Module):
    """One two-way layer of the decoder."""

    def __init__(self, layer: Any, place: Tensor) -> None:
        super().__init__()
        self.layer: Any = layer
        self.first = bool(layer.skip_first_layer_pe)
        self.image = _ImageSide(layer.cross_attn_token_to_image, layer.cross_attn_image_to_token, place)

    def forward(self, queries: Tensor, keys: Tensor, places: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens and image after the layer."""
        own, layer = self.layer.self_attn, self.layer
        asking = queries if self.first else queries + places
        q, k, v = own.q_proj(asking), own.k_proj(asking), own.v_proj(queries)
        seen = own.out_proj(_attention(q, k, v, own.num_heads, used))
        queries = layer.norm1(seen if self.first else queries + seen)
        k, v, q = self.image.project(keys)
        queries = layer.norm2(queries + self.image.gather(queries + places, k, v))
        queries = layer.norm3(queries + layer.mlp(queries))
        keys = layer.norm4(keys + self.image.spread(q, queries + places, queries, used))
        return queries, keys


def upscaled(low: Tensor, side: int, input_size: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Return logits at the image's size, as the official ``postprocess_masks`` does.

    Args:
        low: Float[B, h, w], low-resolution logits.
        side: Side of the encoder's frame.
        input_size: Height and width of the image in that frame.
        size: Height and width of the image.
    """
    x = F.interpolate(low[:, None], (side, side), mode="bilinear", align_corners=False)
    x = x[..., : input_size[0], : input_size[1]]
    return F.interpolate(x, size, mode="bilinear", align_corners=False)[:, 0]


def _attention(q: Tensor, k: Tensor, v: Tensor, heads: int, used: Tensor | None) -> Tensor:
    q, k, v = (t.view(*t.shape[:2], heads, -1).transpose(1, 2) for t in (q, k, v))
    if used is not None:
        used = used.expand(-1, heads, q.shape[2], -1)
    out: Tensor = F.scaled_dot_product_attention(q, k, v, attn_mask=used)
    return out.transpose(1, 2).flatten(2)


def _doubled(x: Tensor, layer: Any) -> Tensor:
    """Apply a transposed convolution of kernel and stride 2: Float[…, in] to Float[…, 4, out]."""
    kernel = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # [(a b) out, in]
    x = F.linear(x, kernel, layer.bias.repeat(4))
    return x.reshape(*x.shape[:-1], 4, -1)


def _norm(x: Tensor, norm: Any) -> Tensor:
    """Apply SAM's ``LayerNorm2d`` to channels that come last."""
    return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
