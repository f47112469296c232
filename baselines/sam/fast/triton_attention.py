# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped, untyped-decorator"
# What a kernel takes and returns is Triton's, which has no types for it.
"""Attention with SAM's relative positions in one Triton kernel.

Flash attention (Dao et al., NeurIPS 2022) over blocks of keys that are whole rows of the window, each
row padded to a power of two. Then the term along x is the same for every block and stays in registers,
and the term along y is one number per query and row. Windows are read where they lie in the grid;
tokens outside it take the given constant.

With ``TRITON_INTERPRET=1`` set before Triton is imported it runs on a CPU, for tests.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["LAUNCH", "attend_windows", "head_parts"]

LAUNCH: dict[str, dict[str, int]] = {
    "global": {"BLOCK_M": 128, "ROWS": 1, "num_warps": 8, "num_stages": 3},
    "window": {"BLOCK_M": 64, "ROWS": 4, "num_warps": 4, "num_stages": 2},
}
"""Block of queries, rows of keys per block, warps, and depth of the software pipeline."""


def head_parts(dim: int) -> tuple[int, int] | None:
    """Return a head's width as a sum of two powers of two from 16 (the second may be 0), or None."""
    first = 1 << (dim.bit_length() - 1) if dim else 0
    rest = dim - first
    fits = first >= 16 and (rest == 0 or (rest >= 16 and rest & (rest - 1) == 0))
    return (first, rest) if fits else None


@triton.jit
def _kernel(
    qkv,
    along_h,
    along_w,
    outside,
    out,
    scale,
    height,
    width,
    across,
    h_b,
    h_y,
    h_x,
    h_n,
    w_b,
    w_y,
    w_x,
    w_n,
    HEADS: tl.constexpr,
    D: tl.constexpr,
    D1: tl.constexpr,
    D2: tl.constexpr,
    WINDOW: tl.constexpr,
    PADDED: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    WHOLE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One block of queries of one window and head. `PADDED`: a row of keys, as a power of two."""
    LOG2E: tl.constexpr = 1.4426950408889634
    STEP: tl.constexpr = 3 * HEADS * D
    BLOCK_N: tl.constexpr = ROWS * PADDED
    head = tl.program_id(1) % HEADS
    place = tl.program_id(1) // HEADS
    batch = tl.program_id(2)
    top = (place // across) * WINDOW
    left = (place % across) * WINDOW

    m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    y, x = top + m // WINDOW, left + m % WINDOW
    asks = (m < WINDOW * WINDOW) & (y < height) & (x < width)
    image = qkv + (batch.to(tl.int64) * height * width) * STEP + head * D
    c1 = tl.arange(0, D1)
    query = image + ((y * width + x) * STEP)[:, None]
    q1 = tl.load(query + c1[None, :], mask=asks[:, None], other=0.0)
    if D2 > 0:
        c2 = D1 + tl.arange(0, D2)
        q2 = tl.load(query + c2[None, :], mask=asks[:, None], other=0.0)

    n = tl.arange(0, BLOCK_N)
    row, column = n // PADDED, n % PADDED
    term_w = along_w + batch.to(tl.int64) * w_b + head * w_n + (y * w_y + x * w_x)
    bias_w = tl.load(
        term_w[:, None] + column[None, :], mask=asks[:, None] & (column < WINDOW)[None, :], other=0.0
    )
    bias_w = bias_w.to(tl.float32) * LOG2E
    term_h = along_h + batch.to(tl.int64) * h_b + head * h_n + (y * h_y + x * h_x)

    best = tl.full([BLOCK_M], -1.0e30, tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    sum1 = tl.zeros([BLOCK_M, D1], tl.float32)
    if D2 > 0:
        sum2 = tl.zeros([BLOCK_M, D2], tl.float32)
    k_at, v_at = HEADS * D, 2 * HEADS * D
    for first in range(0, WINDOW, ROWS):
        ky, kx = top + first + row, left + column
        token = (ky * width + kx) * STEP
        counts = (first + row < WINDOW) & (column < WINDOW)
        inside = counts & (ky < height) & (kx < width)
        if WHOLE:
            k1 = tl.load(image + k_at + token[None, :] + c1[:, None])
            v1 = tl.load(image + v_at + token[:, None] + c1[None, :])
        else:
            k1 = tl.load(image + k_at + token[None, :] + c1[:, None], mask=inside[None, :], other=0.0)
            v1 = tl.load(image + v_at + token[:, None] + c1[None, :], mask=inside[:, None], other=0.0)
            pad_k = tl.load(outside + k_at + head * D + c1)
            pad_v = tl.load(outside + v_at + head * D + c1)
            k1 = tl.where(inside[None, :], k1, pad_k[:, None])
            v1 = tl.where(inside[:, None], v1, pad_v[None, :])
        score = tl.dot(q1, k1, input_precision=PRECISION)
        if D2 > 0:
            if WHOLE:
                k2 = tl.load(image + k_at + token[None, :] + c2[:, None])
                v2 = tl.load(image + v_at + token[:, None] + c2[None, :])
            else:
                k2 = tl.load(image + k_at + token[None, :] + c2[:, None], mask=inside[None, :], other=0.0)
                v2 = tl.load(image + v_at + token[:, None] + c2[None, :], mask=inside[:, None], other=0.0)
                k2 = tl.where(inside[None, :], k2, tl.load(outside + k_at + head * D + c2)[:, None])
                v2 = tl.where(inside[:, None], v2, tl.load(outside + v_at + head * D + c2)[None, :])
            score += tl.dot(q2, k2, input_precision=PRECISION)
        if ROWS == 1:
            bias_h = tl.load(term_h + first, mask=asks, other=0.0).to(tl.float32)[:, None]
        else:
            reach = asks[:, None] & (first + row < WINDOW)[None, :]
            bias_h = tl.load(term_h[:, None] + (first + row)[None, :], mask=reach, other=0.0).to(tl.float32)
        score = score * (scale * LOG2E) + bias_w + bias_h * LOG2E
        if not WHOLE:
            score = tl.where(counts[None, :], score, -1.0e30)
        higher = tl.maximum(best, tl.max(score, 1))
        weight = tl.exp2(score - higher[:, None])
        shrink = tl.exp2(best - higher)
        total = total * shrink + tl.sum(weight, 1)
        sum1 = sum1 * shrink[:, None]
        sum1 += tl.dot(weight.to(v1.dtype), v1, input_precision=PRECISION)
        if D2 > 0:
            sum2 = sum2 * shrink[:, None]
            sum2 += tl.dot(weight.to(v2.dtype), v2, input_precision=PRECISION)
        best = higher
    target = out + ((batch.to(tl.int64) * height * width) + y * width + x)[:, None] * (HEADS * D) + head * D
    tl.store(target + c1[None, :], (sum1 / total[:, None]).to(out.dtype.element_ty), mask=asks[:, None])
    if D2 > 0:
        tl.store(target + c2[None, :], (sum2 / total[:, None]).to(out.dtype.element_ty), mask=asks[:, None])


def _launch(
    qkv: Tensor, along_h: Tensor, along_w: Tensor, outside: Tensor, heads: int, window: int
) -> Tensor:
    batch, height, width, channels = qkv.shape
    dim = channels // 3 // heads
    parts = head_parts(dim)
    if parts is None:
        raise ValueError(f"heads of width {dim} do not fit this kernel")
    padded = max(16, triton.next_power_of_2(window))
    whole = window == padded and height % window == 0 and width % window == 0
    settings: dict[str, Any] = dict(LAUNCH["global" if padded >= 64 else "window"])
    if window % settings["ROWS"]:
        whole = False
    qkv, outside = qkv.contiguous(), outside.contiguous()
    along_h, along_w = (t if t.stride(-1) == 1 else t.contiguous() for t in (along_h, along_w))
    out = qkv.new_empty(batch, height, width, heads * dim)
    down, across = -(-height // window), -(-width // window)
    grid = (triton.cdiv(window * window, settings["BLOCK_M"]), down * across * heads, batch)
    _kernel[grid](
        qkv,
        along_h,
        along_w,
        outside,
        out,
        dim**-0.5,
        height,
        width,
        across,
        *along_h.stride()[:4],
        *along_w.stride()[:4],
        HEADS=heads,
        D=dim,
        D1=parts[0],
        D2=parts[1],
        WINDOW=window,
        PADDED=padded,
        WHOLE=whole,
        PRECISION="ieee" if qkv.dtype == torch.float32 else "tf32",
        **settings,
    )
    return out


@torch.library.custom_op("simclick_sam::attend_windows", mutates_args=())
def attend_windows(
    qkv: Tensor, along_h: Tensor, along_w: Tensor, outside: Tensor, heads: int, window: int
) -> Tensor:
    """Return what every token of a grid gathers from its window, Float[B, H, W, C].

    Args:
        qkv: Float[B, H, W, 3 C].
        along_h: Float[B, H, W, heads, window], the bias for each row of the window.
        along_w: The bias for each column.
        outside: Float[3 C], a token outside the grid.
        heads: Number of heads.
        window: Side of the windows.
    """
    return _launch(qkv, along_h, along_w, outside, heads, window)


@attend_windows.register_fake
def _(qkv: Tensor, along_h: Tensor, along_w: Tensor, outside: Tensor, heads: int, window: int) -> Tensor:
    return qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
