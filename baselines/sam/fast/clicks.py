"""The next centre click of many episodes at once, on the device: pixel for pixel the library's own.

The rule is that of ``center-click`` (``simclick.annotators.clicks.CenterClick``): the wrong pixel with the
largest exact squared distance to the nearest pixel that is not wrong in the same way, outside the image
included; of equals a false positive before a false negative, then the first in row-major order; pixels under
an earlier click are passed over. All in integers, so that nothing depends on the device.

Two passes. Along each row: the distance g to the nearer end of a pixel's run of equal errors. Along each
column: the minimum over rows of (rows between)² + g², with g = 0 where a row's error is another one. On a
GPU both are Triton kernels (`simclick.baselines.sam.fast.triton_clicks`) that skip what cannot win;
`distances` is the plain form in torch, for any device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Clicks", "distances", "next_clicks", "overlap_counts", "packed"]


class Clicks(NamedTuple):
    """The next click of each of E episodes.

    Attributes:
        x: Int64[E]; 0 where there is no click.
        y: Int64[E].
        positive: Bool[E], whether the pixel is a false negative.
        distance: Int64[E], its squared distance; 0 where there is no click.
        found: Bool[E], whether any eligible pixel is wrong.
    """

    x: Tensor
    y: Tensor
    positive: Tensor
    distance: Tensor
    found: Tensor


def next_clicks(
    truths: Tensor,
    of: Tensor,
    masks: Tensor,
    clicked: Tensor,
    ignore: Tensor | None = None,
    triton: bool | None = None,
) -> Clicks:
    """Return the next click of every episode; nothing is copied to the host.

    Args:
        truths: Bool[I, H, W], the truth of each image; contiguous, as all masks here.
        of: Int64[E], the image of each episode.
        masks: Bool[E, H, W], the mask to correct in each episode.
        clicked: Bool[E, H, W], true under earlier clicks.
        ignore: Bool[I, H, W], pixels that are never wrong, or None.
        triton: Whether to use the kernels; None: where the masks are on a GPU.
    """
    if masks.is_cuda if triton is None else triton:
        from simclick.baselines.sam.fast.triton_clicks import winners

        best = winners(truths, of, masks, clicked, ignore)
    else:
        best = _winners(truths, of, masks, clicked, ignore)
    height, width = masks.shape[1:]
    area = height * width
    key, at = best // area, area - 1 - best % area
    found = key > 0
    at = torch.where(found, at, 0)
    return Clicks(at % width, at // width, found & (key % 2 == 0), torch.where(found, key // 2, 0), found)


def distances(truths: Tensor, of: Tensor, masks: Tensor, ignore: Tensor | None = None) -> Tensor:
    """Return squared distances, Int32[E, H, W]: positive in false negatives, negative in false positives.

    Right pixels have 0. For the arguments see `next_clicks`.
    """
    label = (truths[of].int() - masks.int()).clamp(-1, 1)
    if ignore is not None:
        label = label * ~ignore[of]
    width = label.shape[2]
    at = torch.arange(width, device=label.device, dtype=torch.int32)
    changes = F.pad(label[..., 1:] != label[..., :-1], (1, 0), value=True)
    start = torch.where(changes, at, 0).cummax(dim=2).values
    ends = F.pad(changes[..., 1:], (0, 1), value=True)
    end = torch.where(ends, at, width - 1).flip(2).cummin(dim=2).values.flip(2)
    along = (torch.minimum(at - start, end - at) + 1) * label
    best = along.square()
    # A pixel's squared distance is at most the square of its row's run: farther rows cannot matter.
    away, most = 1, int(best.max()) if best.numel() else 0
    while away * away < most:
        for rows in ((0, 0, away, 0), (0, 0, 0, away)):
            moved = F.pad(along, rows)
            moved = moved[:, :-away] if rows[2] else moved[:, away:]
            through = torch.where(moved * label > 0, moved.square(), 0) + away * away
            best = torch.minimum(best, through)
        away += 1
        if away % 8 == 0:
            most = int(torch.where(label != 0, best, 0).max())
    return best * label


def _winners(truths: Tensor, of: Tensor, masks: Tensor, clicked: Tensor, ignore: Tensor | None) -> Tensor:
    signed = distances(truths, of, masks, ignore)
    key = 2 * signed.abs() + (signed < 0)
    key = torch.where((signed != 0) & ~clicked, key, 0).flatten(1).long()
    area = key.shape[1]
    back = torch.arange(area - 1, -1, -1, device=key.device)
    return (key * area + back * (key > 0)).amax(dim=1)


def overlap_counts(
    truths: Tensor, of: Tensor, masks: Tensor, ignore: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return |mask and truth|, |mask| and |truth| per episode, Int64[E] each; ignored pixels left out."""
    truth = truths if ignore is None else truths & ~ignore
    if ignore is not None:
        masks = masks & ~ignore[of]
    areas = truth.sum(dim=(1, 2))
    return (masks & truth[of]).sum(dim=(1, 2)), masks.sum(dim=(1, 2)), areas[of]


def packed(masks: Tensor) -> Tensor:
    """Return masks with eight pixels per byte, the first highest, as ``numpy.packbits`` along rows does.

    Args:
        masks: Bool[E, H, W].

    Returns:
        UInt8[E, H, ceil(W / 8)].
    """
    bits = F.pad(masks, (0, -masks.shape[2] % 8)).view(torch.uint8)
    bits = bits.view(*bits.shape[:2], -1, 8)
    place = torch.arange(7, -1, -1, dtype=torch.uint8, device=masks.device)
    return torch.bitwise_left_shift(bits, place).sum(dim=3, dtype=torch.uint8)
