"""What pocket-sam's training measures of masks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["balanced_entropy", "soft_iou"]


def balanced_entropy(logits: Tensor, wanted: Tensor, valid: Tensor, heaviest: float) -> Tensor:
    """Return the cross entropy of each mask, object and background weighing the same (up to a bound)."""
    inside = (wanted * valid).sum(dim=(1, 2), keepdim=True)
    outside = ((1 - wanted) * valid).sum(dim=(1, 2), keepdim=True)
    heavy = (outside / inside.clamp(min=1.0)).clamp(1.0, heaviest)
    weight = torch.where(wanted > 0, heavy, torch.ones_like(heavy)) * valid
    loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * weight
    return loss.sum(dim=(1, 2)) / weight.sum(dim=(1, 2))


def soft_iou(logits: Tensor, wanted: Tensor, valid: Tensor) -> Tensor:
    """Return the IoU of masks Float[N, K, h, w] with soft targets Float[N, 1, h, w], Float[N, K]."""
    hard = (logits.detach() > 0) * valid
    both = torch.minimum(hard, wanted).sum(dim=(2, 3))
    return both / torch.maximum(hard, wanted).sum(dim=(2, 3)).clamp(min=1e-6)
