"""Prompt sets as SAM-Med2D writes and reads them (``{image_size}_prompt.json``), so that they travel.

One JSON object: the name of a mask file to ``boxes`` ([[x0, y0, x1, y1]], ends excluded), ``point_coords``
([[[x, y], …]]) and ``point_labels`` ([[0 or 1, …]]), all in the frame of the tool's input. An image that is
smaller than the input both ways is padded to it about its middle there, any other is resized without keeping
its aspect; both are undone here. Points come back as the pixel that holds them; a box that was written comes
back equal where the image was padded, and within a pixel of the input's frame where it was resized.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simclick.errors import DataError
from simclick.geometry import clip_box, clip_point
from simclick.prompts import Round, box, click

__all__ = ["read_sam_med2d_prompts", "write_sam_med2d_prompts"]

Size = tuple[int, int]


def read_sam_med2d_prompts(
    path: str | Path, sizes: Mapping[str, Size], image_size: int = 256
) -> dict[str, tuple[Round, ...]]:
    """Return the prompts of each mask: a round per point, after a round with the box.

    SAM-Med2D's own files hold both; its evaluation uses one or the other.

    Args:
        path: The file.
        sizes: ``(height, width)`` of the image of each mask; masks not named here are left out.
        image_size: Side of the tool's input.

    Raises:
        DataError: When the file is no such file, or a mask of `sizes` is missing or malformed.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is no prompt file: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} is no prompt file: it holds a {type(content).__name__}, not an object")
    found = {}
    for name, size in sizes.items():
        if name not in content:
            raise DataError(f"{path} has no prompts for {name}")
        try:
            found[name] = _rounds(content[name], _Frame(size, image_size))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{path}: the prompts of {name} are malformed ({error})") from None
    return found


def write_sam_med2d_prompts(
    path: str | Path,
    rounds: Mapping[str, Sequence[Round]],
    sizes: Mapping[str, Size],
    image_size: int = 256,
) -> None:
    """Write the landed prompts of each mask; the latest box, and all clicks in order.

    Args:
        path: The file.
        rounds: By mask file name; a mask without a box gets the whole image's, as the tool wants one.
        sizes: ``(height, width)`` of the image of each mask.
        image_size: Side of the tool's input.

    Raises:
        DataError: When a round holds anything but boxes and clicks, or a mask has no size.
    """
    content = {}
    for name, given in rounds.items():
        if name not in sizes:
            raise DataError(f"the image size of {name} is not given")
        frame = _Frame(sizes[name], image_size)
        prompts = [prompt for round_ in given for prompt in round_.prompts]
        if other := sorted({p.kind for p in prompts} - {"box", "click"}):
            raise DataError(f"{name}: SAM-Med2D's prompt file holds boxes and clicks, not {', '.join(other)}")
        boxes = [p.landed for p in prompts if p.kind == "box"]
        height, width = sizes[name]
        x0, y0, x1, y1 = boxes[-1] if boxes else (0, 0, width - 1, height - 1)
        clicks = [p for p in prompts if p.kind == "click"]
        content[name] = {
            "boxes": [[*frame.forth(x0, y0), *frame.forth(x1 + 1, y1 + 1)]],
            "point_coords": [
                [list(frame.forth(p.landed[0] + 0.5, p.landed[1] + 0.5, whole=True)) for p in clicks]
            ],
            "point_labels": [[int(p.positive) for p in clicks]],
        }
    Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


class _Frame:
    """From an image's pixels to the tool's input and back."""

    def __init__(self, size: Size, side: int) -> None:
        self.size = size
        height, width = size
        padded = height < side and width < side
        self._scale = (1.0, 1.0) if padded else (side / width, side / height)
        # The tool pads with half of what is missing, cut off, at the left and the top.
        self._shift = ((side - width) // 2, (side - height) // 2) if padded else (0, 0)

    def forth(self, x: float, y: float, whole: bool = False) -> tuple[float, float]:
        """Return a place in the tool's frame; `whole`: the pixel that holds it."""
        at = (x * self._scale[0] + self._shift[0], y * self._scale[1] + self._shift[1])
        return (float(math.floor(at[0])), float(math.floor(at[1]))) if whole else at

    def back(self, x: Any, y: Any, pixel: bool) -> tuple[int, int]:
        """Return the pixel of the image (`pixel`), or the nearest edge between pixels."""
        values = []
        for value, shift, scale in zip((x, y), self._shift, self._scale, strict=True):
            value = float(value)
            if not math.isfinite(value):
                raise ValueError(f"{value} is no place")
            at = (value + (0.5 if pixel else 0.0) - shift) / scale
            values.append(math.floor(at) if pixel else math.floor(at + 0.5))
        return values[0], values[1]


def _rounds(content: Mapping[str, Any], frame: _Frame) -> tuple[Round, ...]:
    rounds = []
    boxes = list(content["boxes"])
    if boxes:
        if len(boxes[0]) != 4:
            raise ValueError("a box has four numbers")
        x0, y0 = frame.back(boxes[0][0], boxes[0][1], pixel=False)
        x1, y1 = frame.back(boxes[0][2], boxes[0][3], pixel=False)
        if x1 < x0 or y1 < y0:
            raise ValueError("a box's corners are in the wrong order")
        rounds.append(Round((box(*clip_box((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), frame.size)),)))
    points, labels = content["point_coords"], content["point_labels"]
    points, labels = (points[0], labels[0]) if points else ([], [])
    for (x, y), label in zip(points, labels, strict=True):
        if label not in (0, 1):
            raise ValueError(f"{label!r} is no label")
        at = clip_point(*frame.back(x, y, pixel=True), frame.size)
        rounds.append(Round((click(*at, bool(label)),)))
    return tuple(rounds)
