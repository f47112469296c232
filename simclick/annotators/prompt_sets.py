"""Prompt sets as SAM-Med2D writes and reads them (``{image_size}_prompt.json``), so that they travel.

One JSON object: the name of a mask file to ``boxes`` ([[x0, y0, x1, y1]], ends excluded), ``point_coords``
([[x, y], …]) and ``point_labels`` ([0 or 1, …]), all in the frame of the tool's input. Its evaluation
writes one point like that; several may stand one level deeper, which is read too. A file of a batch of
several masks mixes up their prompts under one name; it has several boxes there and is refused.

An image that is smaller than the input both ways is padded to it there, half of what is missing (cut off)
at the left and the top; any other is resized without keeping its aspect, by OpenCV's nearest neighbour, so
that a point of the frame is the pixel ``floor(x W / side)`` that fills it. Points in the padding move to the
nearest pixel of the image. A click is written as a point that is filled by its own pixel where there is one
(always where the image's side is at most the input's), else by one less than ``W / side`` pixels away.
Beside an edge the tool may then show such a click on the edge's other side; its label stays as given.
Boxes come back as they were.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simclick.annotators.peer_common import check_whole
from simclick.errors import DataError
from simclick.geometry import clip_box, clip_point
from simclick.prompts import Prompt, Round, box, click

__all__ = ["read_sam_med2d_prompts", "write_sam_med2d_prompts"]

Size = tuple[int, int]


def read_sam_med2d_prompts(
    path: str | Path, sizes: Mapping[str, Size], image_size: int = 256
) -> dict[str, tuple[Round, ...]]:
    """Return the prompts of each mask: a round with the box if there is one, then a round per point.

    SAM-Med2D's own files hold both; its evaluation uses one or the other.

    Args:
        path: The file.
        sizes: ``(height, width)`` of the image of each mask; masks not named here are left out.
        image_size: Side of the tool's input.

    Raises:
        DataError: When the file is no such file, or a mask of `sizes` is missing or malformed.
        ValueError: When `image_size` is not a whole number ≥ 1.
    """
    check_whole("image_size", image_size, 1)
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is no prompt file: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} is no prompt file: it holds a {type(content).__name__}, not an object")
    found = {}
    for name, size in sizes.items():
        if name not in content:
            raise DataError(f"{path} has no prompts for {name!r}")
        try:
            found[name] = _rounds(content[name], _Frame(size, image_size))
        except ValueError as error:
            raise DataError(f"{path}: the prompts of {name!r} are malformed: {error}") from None
    return found


def write_sam_med2d_prompts(
    path: str | Path,
    rounds: Mapping[str, Sequence[Round]],
    sizes: Mapping[str, Size],
    image_size: int = 256,
) -> None:
    """Write the landed prompts of each mask: the latest box, and all clicks in order.

    Args:
        path: The file.
        rounds: By mask file name; a mask without a box gets the whole image's, as the tool wants one.
        sizes: ``(height, width)`` of the image of each mask.
        image_size: Side of the tool's input.

    Raises:
        DataError: When a round holds anything but boxes and clicks, a prompt lies outside its image, a mask
            has no size, or the file cannot be written.
        ValueError: When `image_size` is not a whole number ≥ 1.
    """
    check_whole("image_size", image_size, 1)
    content = {}
    for name, given in rounds.items():
        if name not in sizes:
            raise DataError(f"the image size of {name!r} is not given")
        frame = _Frame(sizes[name], image_size)
        height, width = sizes[name]
        prompts = [prompt for round_ in given for prompt in round_.prompts]
        for prompt in prompts:
            _check_writable(prompt, name, sizes[name])
        boxes = [p.landed for p in prompts if p.kind == "box"]
        x0, y0, x1, y1 = boxes[-1] if boxes else (0, 0, width - 1, height - 1)
        clicks = [p for p in prompts if p.kind == "click"]
        content[name] = {
            "boxes": [[*frame.edge(x0, y0), *frame.edge(x1 + 1, y1 + 1)]],
            "point_coords": [list(frame.point(p.landed[0], p.landed[1])) for p in clicks],
            "point_labels": [int(p.positive) for p in clicks],
        }
    try:
        Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from None


def _check_writable(prompt: Prompt, name: str, size: Size) -> None:
    if prompt.kind not in ("box", "click"):
        raise DataError(f"{name!r}: SAM-Med2D's prompt file holds boxes and clicks, not {prompt.kind}")
    corners = zip(prompt.landed[::2], prompt.landed[1::2], strict=True)
    if any(clip_point(x, y, size) != (x, y) for x, y in corners):
        at = f"a {prompt.kind} at {prompt.landed}"
        raise DataError(f"{name!r}: {at} lies outside the image of {size[1]}x{size[0]}")


class _Frame:
    """From an image's pixels to the tool's input and back.

    Attributes:
        size: ``(height, width)`` of the image.
    """

    def __init__(self, size: Size, side: int) -> None:
        self.size = size
        self._side = side
        self._lengths = size[1], size[0]
        padded = size[0] < side and size[1] < side
        self._padding = ((side - size[1]) // 2, (side - size[0]) // 2) if padded else None

    def edge(self, *at: int) -> tuple[float, ...]:
        """Return an edge between pixels, in the tool's frame."""
        if self._padding is not None:
            return tuple(float(v + shift) for v, shift in zip(at, self._padding, strict=True))
        return tuple(v * self._side / length for v, length in zip(at, self._lengths, strict=True))

    def point(self, *at: int) -> tuple[float, ...]:
        """Return a pixel of the tool's frame for a pixel of the image."""
        if self._padding is not None:
            return tuple(float(v + shift) for v, shift in zip(at, self._padding, strict=True))
        places = []
        for v, length in zip(at, self._lengths, strict=True):
            first = v * self._side // length
            near = range(first, min(first + 3, self._side))
            places.append(float(min(near, key=lambda x: abs(self._filled(x, length) - v))))
        return tuple(places)

    def edge_back(self, *at: float) -> tuple[int, ...]:
        """Return the edge of the image nearest to one of the frame."""
        if self._padding is not None:
            return tuple(math.floor(v - shift + 0.5) for v, shift in zip(at, self._padding, strict=True))
        return tuple(
            math.floor(v * length / self._side + 0.5) for v, length in zip(at, self._lengths, strict=True)
        )

    def point_back(self, *at: float) -> tuple[int, int]:
        """Return the pixel of the image that fills a point of the frame; the nearest in the padding."""
        if self._padding is not None:
            x, y = (math.floor(v) - shift for v, shift in zip(at, self._padding, strict=True))
        else:
            x, y = (self._filled(math.floor(v), length) for v, length in zip(at, self._lengths, strict=True))
        return clip_point(x, y, self.size)

    def _filled(self, x: int, length: int) -> int:
        """Return the pixel that OpenCV's nearest neighbour puts at x of the frame."""
        # Its own arithmetic: a multiplication by the inverse of the scale, not a division.
        return min(math.floor(x * (1.0 / (self._side / length))), length - 1)


def _rounds(content: Any, frame: _Frame) -> tuple[Round, ...]:
    boxes, points, labels = (_list(content, key) for key in ("boxes", "point_coords", "point_labels"))
    rounds = []
    if len(boxes) > 1:
        raise ValueError(f"boxes holds {len(boxes)} boxes, as of a batch; one mask has one")
    if boxes:
        x0, y0, x1, y1 = _numbers(boxes[0], 4, "box")
        if x1 < x0 or y1 < y0:
            raise ValueError("a box's corners are in the wrong order")
        left, top = frame.edge_back(x0, y0)
        right, bottom = frame.edge_back(x1, y1)
        found = (left, top, max(left, right - 1), max(top, bottom - 1))
        rounds.append(Round((box(*clip_box(found, frame.size)),)))
    if labels and isinstance(labels[0], list):
        if max(len(points), len(labels)) > 1:
            raise ValueError("there are point sets of several masks, as of a batch")
        points, labels = (points[0] if points else []), labels[0]
    if not isinstance(points, list) or len(points) != len(labels):
        raise ValueError("point_coords and point_labels differ in length")
    for point, label in zip(points, labels, strict=True):
        x, y = _numbers(point, 2, "point")
        if isinstance(label, bool) or label not in (0, 1):
            raise ValueError(f"the label {_short(label)} is neither 0 nor 1")
        rounds.append(Round((click(*frame.point_back(x, y), bool(label)),)))
    return tuple(rounds)


def _list(content: Any, key: str) -> list[Any]:
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"{key} is missing, or no list")
    return found


def _numbers(values: Any, n: int, what: str) -> list[float]:
    """Return n finite numbers."""
    if not isinstance(values, list) or len(values) != n:
        raise ValueError(f"a {what} needs {n} numbers")
    found = []
    for value in values:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        # Far beyond any image, and short of what a float cannot hold.
        if not good or not abs(value) < 2**53:
            raise ValueError(f"a {what} needs {n} numbers, and one is none: {_short(value)}")
        found.append(float(value))
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
