"""SAM's attention with decomposed relative positions, in forms that never hold the N x N scores.

SAM adds to the score of query (y, x) and key (j, i) of a window the bias ``q·Rh[y - j] + q·Rw[x - i]`` (Li et
al., MViTv2, CVPR 2022). The two terms depend on the query and on one coordinate of the key each, so they are
two narrow tensors: Float[B, H, W, heads, window]. Three forms use that; all compute the same function:

- ``folded``: the bias is part of the inner product. The two terms are appended to the query and the one-hot
  coordinates of the key to the key: ``[q, bh, bw]·[k, 1_j, 1_i] = q·k + bh[j] + bw[i]``. Any
  ``scaled_dot_product_attention`` serves; it pays with a wider head (64 becomes 96 or 192).
- ``flex``: FlexAttention, which adds the bias inside its compiled kernel.
- ``triton``: own kernel (`simclick.baselines.sam.fast.triton_attention`): a head is not widened, windows are
  read in place, and with a block of keys as wide as a row of the grid the bias costs one load per row.

A window that reaches over the edge of the grid is filled, as in the official code, with the projection of a
zero token: the bias of the projection. That is no waste to be skipped: SAM attends to it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["ATTENTIONS", "attend", "best_attention", "relative_table", "relative_terms"]

ATTENTIONS = ("auto", "plain", "folded", "flex", "triton")


def best_attention(wanted: str, device: str, dtype: torch.dtype, head_dim: int) -> str:
    """Return the form that ``auto`` stands for; any other name is returned as it is.

    In single precision and on a CPU that is ``plain``, the official code. In half precision on a GPU it
    is ``triton`` where that can run, else ``folded``.
    """
    if wanted != "auto":
        return wanted
    if device == "cpu" or dtype == torch.float32:
        return "plain"
    try:
        from simclick.baselines.sam.fast.triton_attention import head_parts
    except ImportError:
        return "folded"
    return "triton" if head_parts(head_dim) else "folded"


def relative_table(positions: Tensor, size: int) -> Tensor:
    """Return Float[size, size, d]: row q, column k holds the embedding of the offset q - k.

    Args:
        positions: Float[L, d], learned for L offsets; interpolated where L is not 2 size - 1, as in
            the official code.
        size: Side of the window.
    """
    many = 2 * size - 1
    if positions.shape[0] != many:
        positions = F.interpolate(positions.T[None].float(), size=many, mode="linear")[0].T.to(positions)
    at = torch.arange(size, device=positions.device)
    return positions[at[:, None] - at[None, :] + size - 1]


def relative_terms(qkv: Tensor, heads: int, table_h: Tensor, table_w: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two bias terms of every query, Float[B, H, W, heads, window] each, of any strides.

    Args:
        qkv: Float[B, H, W, 3 C], queries first.
        heads: Number of heads.
        table_h: Float[window, window, d] of `relative_table`.
        table_w: The same along x.
    """
    batch, height, width, _ = qkv.shape
    q = qkv.view(batch, height, width, 3, heads, -1)[:, :, :, 0]
    rows = torch.arange(height, device=qkv.device) % table_h.shape[0]
    columns = torch.arange(width, device=qkv.device) % table_w.shape[0]
    along_h = torch.einsum("byxnc,ykc->byxnk", q, table_h[rows])
    along_w = torch.einsum("byxnc,xkc->byxnk", q, table_w[columns])
    return along_h, along_w


def attend(
    attention: str,
    qkv: Tensor,
    heads: int,
    window: int,
    table_h: Tensor,
    table_w: Tensor,
    outside: Tensor,
) -> Tensor:
    """Return what every token of a grid gathers from its window, Float[B, H, W, C], before projection.

    Args:
        attention: ``folded``, ``flex`` or ``triton``.
        qkv: Float[B, H, W, 3 C], contiguous: queries, keys, values, each [heads, d].
        heads: Number of heads.
        window: Side of the windows, from the top left; the side of the grid for global attention.
        table_h: Float[window, window, d], `relative_table` along y.
        table_w: Along x.
        outside: Float[3 C], queries, keys and values of a token outside the grid.
    """
    along_h, along_w = relative_terms(qkv, heads, table_h, table_w)
    if attention == "triton":
        from simclick.baselines.sam.fast.triton_attention import attend_windows

        seen: Tensor = attend_windows(qkv, along_h, along_w, outside, heads, window)
        return seen
    batch, height, width, _ = qkv.shape
    q, k, v = (
        _windows(qkv, window, outside)
        .reshape(-1, window, window, 3, heads, qkv.shape[3] // 3 // heads)
        .permute(3, 0, 4, 1, 2, 5)
    )
    # The terms of queries outside are never read back; anything finite will do.
    nothing = qkv.new_zeros(heads * window)
    bias_h, bias_w = (
        _windows(term.flatten(3), window, nothing)
        .reshape(-1, window, window, heads, window)
        .permute(0, 3, 1, 2, 4)
        for term in (along_h, along_w)
    )
    form = _folded if attention == "folded" else _flex
    out = form(q, k, v, bias_h, bias_w)  # [B * windows, heads, window, window, d]
    return _whole(out.permute(0, 2, 3, 1, 4).flatten(3), batch, height, width)


def _folded(q: Tensor, k: Tensor, v: Tensor, bias_h: Tensor, bias_w: Tensor) -> Tensor:
    window, dim = q.shape[2], q.shape[-1]
    scale = dim**-0.5
    one = torch.eye(window, device=q.device, dtype=q.dtype)
    one_h = one[:, None].expand(*k.shape[:4], window)
    one_w = one[None, :].expand(*k.shape[:4], window)
    asked, known = torch.cat([q * scale, bias_h, bias_w], dim=-1), torch.cat([k, one_h, one_w], dim=-1)
    full = -(-(dim + 2 * window) // 32) * 32  # kernels want equal, round widths
    asked, known, v = (F.pad(t.flatten(2, 3), (0, full - t.shape[-1])) for t in (asked, known, v))
    out = F.scaled_dot_product_attention(asked, known, v, scale=1.0)
    return out[..., :dim].reshape(q.shape)


_compiled_flex: Callable[..., Tensor] | None = None


def _flex(q: Tensor, k: Tensor, v: Tensor, bias_h: Tensor, bias_w: Tensor) -> Tensor:
    from torch.nn.attention.flex_attention import flex_attention

    global _compiled_flex
    window = q.shape[2]
    flat_h, flat_w = bias_h.flatten(2, 3).contiguous(), bias_w.flatten(2, 3).contiguous()

    def with_bias(score: Tensor, b: Tensor, h: Tensor, at: Tensor, key: Tensor) -> Tensor:
        return score + flat_h[b, h, at, key // window] + flat_w[b, h, at, key % window]

    call: Callable[..., Tensor] = flex_attention
    if q.is_cuda and not torch.compiler.is_compiling():
        if _compiled_flex is None:
            _compiled_flex = torch.compile(flex_attention, dynamic=False)
        call = _compiled_flex
    flat = [t.flatten(2, 3).contiguous() for t in (q, k, v)]
    return call(*flat, score_mod=with_bias).reshape(q.shape)


def _windows(x: Tensor, window: int, outside: Tensor) -> Tensor:
    """Return Float[B * windows, window, window, C]; tokens outside the grid are `outside`."""
    batch, height, width, channels = x.shape
    down, across = -(-height // window), -(-width // window)
    if (down * window, across * window) != (height, width):
        padded = outside.expand(batch, down * window, across * window, channels).clone()
        padded[:, :height, :width] = x
        x = padded
    x = x.reshape(batch, down, window, across, window, channels)
    return x.transpose(2, 3).reshape(-1, window, window, channels)


def _whole(windows: Tensor, batch: int, height: int, width: int) -> Tensor:
    """Undo `_windows`."""
    window, channels = windows.shape[1], windows.shape[-1]
    down, across = -(-height // window), -(-width // window)
    x = windows.reshape(batch, down, across, window, window, channels).transpose(2, 3)
    return x.reshape(batch, down * window, across * window, channels)[:, :height, :width]
