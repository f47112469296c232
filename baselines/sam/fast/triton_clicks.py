# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped, untyped-decorator"
# What a kernel takes and returns is Triton's, which has no types for it.
"""The kernels of `simclick.baselines.sam.fast.clicks`.

Three launches. `_rows` writes g, positive in false negatives and negative in false positives, in 16 bits.
`_middles` finds the exact distance of the middle pixel of every tile. A distance changes by at most 1 from
a pixel to the next, so no pixel of a tile exceeds its middle's by more than the half diagonal; `_tiles`
looks only into tiles that may still beat the best middle, and leaves them when they cannot any more. What
is skipped is strictly worse, so ties are as they would be.

With ``TRITON_INTERPRET=1`` set before Triton is imported they run on a CPU, for tests.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["winners"]

_TILE = 16
_SLACK = 12.0
"""More than the distance from the middle of a tile to its farthest pixel, 8·√2, and all rounding."""


@triton.jit
def _label(truth, mask, ignore, x, width, HAS_IGNORE: tl.constexpr):
    """1 for a false negative, -1 for a false positive, 0 for a right pixel, 2 outside the row."""
    inside = (x >= 0) & (x < width)
    t = (tl.load(truth + x, mask=inside, other=0) != 0).to(tl.int32)
    m = (tl.load(mask + x, mask=inside, other=0) != 0).to(tl.int32)
    label = t - m
    if HAS_IGNORE:
        label = tl.where(tl.load(ignore + x, mask=inside, other=0) != 0, 0, label)
    return tl.where(inside, label, 2)


@triton.jit
def _larger(a, b):
    return tl.maximum(a, b)


@triton.jit
def _rows(truths, of, masks, ignores, out, height, width, HAS_IGNORE: tl.constexpr, BLOCK: tl.constexpr):
    y, episode = tl.program_id(0), tl.program_id(1).to(tl.int64)
    image = tl.load(of + episode)
    truth = truths + (image * height + y) * width
    ignore = ignores + (image * height + y) * width
    mask = masks + (episode * height + y) * width
    x = tl.arange(0, BLOCK)
    label = _label(truth, mask, ignore, x, width, HAS_IGNORE)
    starts = label != _label(truth, mask, ignore, x - 1, width, HAS_IGNORE)
    ends = label != _label(truth, mask, ignore, x + 1, width, HAS_IGNORE)
    start = tl.associative_scan(tl.where(starts, x, 0), 0, _larger)
    end = -tl.associative_scan(tl.where(ends, -x, -BLOCK), 0, _larger, reverse=True)
    along = (tl.minimum(x - start, end - x) + 1) * label
    tl.store(out + (episode * height + y) * width + x, along.to(tl.int16), mask=x < width)


@triton.jit
def _squared(rows, x, y, along, best, limit, floor, height, width):
    """Lower `best` to exact squared distances, as far as they exceed `floor`; `limit` is their maximum."""
    away = 1
    while (away * away < limit) & (limit >= floor):
        above, below = y - away, y + away
        u = tl.load(rows + above * width + x, mask=(above >= 0) & (x < width), other=0).to(tl.int32)
        v = tl.load(rows + below * width + x, mask=(below < height) & (x < width), other=0).to(tl.int32)
        best = tl.minimum(best, tl.where(u * along > 0, u * u, 0) + away * away)
        best = tl.minimum(best, tl.where(v * along > 0, v * v, 0) + away * away)
        limit = tl.max(best)
        away += 1
    return best, limit


@triton.jit
def _middles(
    alongs, clicked, bounds, floors, height, width, across, down, TILE: tl.constexpr, BLOCK: tl.constexpr
):
    """Squared distances of the middles of a row of tiles, and the largest of those that may be clicked."""
    episode = tl.program_id(1).to(tl.int64)
    rows = alongs + episode * height * width
    column = tl.arange(0, BLOCK)
    x = tl.minimum(column * TILE + TILE // 2, width - 1)
    y = tl.minimum(tl.program_id(0) * TILE + TILE // 2, height - 1)
    along = tl.load(rows + y * width + x, mask=column < across, other=0).to(tl.int32)
    best = along * along
    # The loop reads lanes beyond the last tile too: they hold its last column and count for nothing.
    best, _ = _squared(rows, x, y, along, best, tl.max(best), 0, height, width)
    tile = (episode * down + tl.program_id(0)) * across + column
    tl.store(bounds + tile, best, mask=column < across)
    taken = tl.load(clicked + episode * height * width + y * width + x, mask=column < across, other=1)
    open_ = tl.max(tl.where((taken == 0) & (along != 0), best, 0))
    tl.store(floors + episode * down + tl.program_id(0), open_)


@triton.jit
def _tiles(
    alongs, clicked, bounds, floors, out, height, width, across, down, TILE: tl.constexpr, SLACK: tl.constexpr
):
    """The best key and place of a tile as one number, 0 where none can win."""
    episode = tl.program_id(1).to(tl.int64)
    tile = episode * (across * down) + tl.program_id(0)
    floor = tl.load(floors + episode)
    bound = tl.sqrt(tl.load(bounds + tile).to(tl.float32)) + SLACK
    answer = tl.zeros([], tl.int64)
    if bound * bound >= floor.to(tl.float32):
        n = tl.arange(0, TILE * TILE)
        y = tl.program_id(0) // across * TILE + n // TILE
        x = tl.program_id(0) % across * TILE + n % TILE
        inside = (y < height) & (x < width)
        at = y * width + x
        rows = alongs + episode * height * width
        along = tl.load(rows + at, mask=inside, other=0).to(tl.int32)
        taken = tl.load(clicked + episode * height * width + at, mask=inside, other=1)
        eligible = (taken == 0) & (along != 0)
        best = tl.where(eligible, along * along, 0)
        best, _limit = _squared(rows, x, y, along, best, tl.max(best), floor, height, width)
        key = tl.where(eligible & (best >= floor), 2 * best + (along < 0).to(tl.int32), 0).to(tl.int64)
        area = height * width
        answer = tl.max(tl.where(key > 0, key * area + (area - 1 - at), 0))
    tl.store(out + tile, answer)


def winners(truths: Tensor, of: Tensor, masks: Tensor, clicked: Tensor, ignore: Tensor | None) -> Tensor:
    """Return Int64[E], key · H W + (H W - 1 - place): key is 2 · distance² + (false positive), 0 for none."""
    episodes, height, width = masks.shape
    if max(height, width) > 16384:
        raise ValueError(f"images of {height} x {width} are too large: at most 16384 pixels a side")
    truth, mask, taken = (t.contiguous().view(torch.uint8) for t in (truths, masks, clicked))
    skipped = truth if ignore is None else ignore.contiguous().view(torch.uint8)
    along = torch.empty(episodes, height, width, dtype=torch.int16, device=masks.device)
    _rows[(height, episodes)](
        truth,
        of,
        mask,
        skipped,
        along,
        height,
        width,
        HAS_IGNORE=ignore is not None,
        BLOCK=max(16, triton.next_power_of_2(width)),
        num_warps=4 if width > 512 else 2,
    )
    down, across = -(-height // _TILE), -(-width // _TILE)
    bounds = torch.empty(episodes, down, across, dtype=torch.int32, device=masks.device)
    floors = torch.empty(episodes, down, dtype=torch.int32, device=masks.device)
    block = max(16, triton.next_power_of_2(across))
    sizes = height, width, across, down
    _middles[(down, episodes)](along, taken, bounds, floors, *sizes, TILE=_TILE, BLOCK=block, num_warps=1)
    best = torch.empty(episodes, down * across, dtype=torch.int64, device=masks.device)
    floor = floors.amax(dim=1)
    _tiles[(down * across, episodes)](
        along, taken, bounds, floor, best, *sizes, TILE=_TILE, SLACK=_SLACK, num_warps=2
    )
    return best.amax(dim=1)
