"""What the environments show: their spaces, and how an episode fills them. One rule for both forms.

An observation holds what an agent may know and no more: the current mask, and the prompts as they
landed. Truth and meant places never enter it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from simclick.episode import Episode, Rules
from simclick.prompts import KINDS, Prompt

__all__ = ["SCRIBBLE_POINTS", "Layout", "as_masks", "prompt_row", "resample"]

SCRIBBLE_POINTS = 16
"""Number of points to which a scribble's polyline is resampled in an observation."""


class Layout:
    """The spaces of one protocol on images of one size.

    Attributes:
        size: ``(height, width)`` in pixels.
        shape: ``(rows, columns)`` of the table of prompts.
        action_space: ``MultiBinary((H, W))``: the mask.
        observation_space: ``Dict``: ``mask``, ``prompts``, ``count``.
    """

    def __init__(self, size: tuple[int, int], rules: Rules) -> None:
        self.size = size
        self.shape = _table_shape(rules)
        self.action_space = spaces.MultiBinary(size)
        self.observation_space = spaces.Dict(
            {
                "mask": spaces.MultiBinary(size),
                "prompts": _table_space(size, self.shape),
                "count": spaces.Discrete(self.shape[0] + 1),
            }
        )

    def observe(self, episodes: Sequence[Episode]) -> dict[str, NDArray[Any]]:
        """Return fresh arrays for a batch of N episodes.

        Returns:
            ``mask`` Int8[N, H, W], ``prompts`` Int32[N, rows, columns] and ``count`` Int64[N].
        """
        n, (rows, columns) = len(episodes), self.shape
        masks = np.empty((n, *self.size), dtype=np.int8)
        table = np.full((n, rows, columns), -1, dtype=np.int32)
        count = np.empty(n, dtype=np.int64)
        for i, episode in enumerate(episodes):
            masks[i] = episode.mask
            shown = [prompt for round_ in episode.rounds for prompt in round_.prompts][-rows:]
            count[i] = len(shown)
            for j, prompt in enumerate(shown):
                row = prompt_row(prompt)
                table[i, j, : len(row)] = row
        return {"mask": masks, "prompts": table, "count": count}


def prompt_row(prompt: Prompt) -> list[int]:
    """Return a prompt's row without its padding: kind, label, then its places ``x0, y0, x1, y1, …``.

    The kind is the index in `simclick.prompts.KINDS`; the label is 1 for positive and 0 for
    negative; a scribble is resampled to `SCRIBBLE_POINTS` points. Only what landed is used.
    """
    places = resample(prompt.landed, SCRIBBLE_POINTS) if prompt.kind == "scribble" else prompt.landed
    return [KINDS.index(prompt.kind), int(prompt.positive), *places]


def resample(polyline: Sequence[int], points: int) -> tuple[int, ...]:
    """Return a polyline resampled to points at equal distances along it, both ends kept.

    Args:
        polyline: ``(x0, y0, x1, y1, …)`` in pixels, at least one point.
        points: Number of points wanted, at least 2.

    Returns:
        ``(x0, y0, …)``, each coordinate rounded to the nearest pixel, halves to the even one. A
        polyline without length repeats its first point.
    """
    xy = np.asarray(polyline, dtype=np.float64).reshape(-1, 2)
    along = np.concatenate(([0.0], np.cumsum(np.sqrt((np.diff(xy, axis=0) ** 2).sum(axis=1)))))
    at = np.linspace(0.0, along[-1], points)
    # Nine decimals first, so that a platform's last bit never decides between two pixels.
    places = [np.rint(np.round(np.interp(at, along, xy[:, axis]), 9)) for axis in (0, 1)]
    return tuple(int(v) for point in zip(*places, strict=True) for v in point)


def as_masks(action: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return an action as a private Bool array of the given shape.

    Args:
        action: Bool, or whole numbers that are 0 or 1.
        shape: ``(H, W)`` or ``(N, H, W)``.

    Raises:
        ValueError: When the action has another shape, dtype or other values.
    """
    array = np.asarray(action)
    if array.shape != shape:
        raise ValueError(f"the action is a mask of shape {list(array.shape)}, not {list(shape)}")
    if array.dtype == np.bool_:
        return np.array(array, dtype=np.bool_)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"the action is {array.dtype}; give bool, or whole numbers 0 and 1 (threshold it)")
    if array.min() < 0 or array.max() > 1:
        raise ValueError(f"the action holds values from {array.min()} to {array.max()}, not only 0 and 1")
    return array.astype(np.bool_)


def _table_shape(rules: Rules) -> tuple[int, int]:
    kinds, costs = rules.annotator.kinds, rules.protocol.costs
    cheapest = min((max(1, costs[kind]) for kind in kinds), default=1)
    points = SCRIBBLE_POINTS if "scribble" in kinds else 2
    return max(1, rules.protocol.budget // cheapest), 2 + 2 * points


def _table_space(size: tuple[int, int], shape: tuple[int, int]) -> spaces.Box:
    height, width = size
    high = np.empty(shape, dtype=np.int32)
    high[:, 0] = len(KINDS) - 1
    high[:, 1] = 1
    high[:, 2::2] = width - 1
    high[:, 3::2] = height - 1
    return spaces.Box(low=np.full(shape, -1, dtype=np.int32), high=high, dtype=np.int32)
