"""Pictures of an episode, for people: the image, the truth, the mask, and the prompts in order.

Needs OpenCV and NumPy only. Colours are those of Okabe and Ito, which stay apart for colour-blind
readers, and nothing is told by colour alone:

* the mask is tinted and has a solid outline; the truth has a dashed outline;
* a positive prompt carries a plus sign, a negative one a minus sign;
* a number beside each prompt says in which round it was given, from 1;
* where noise moved a prompt, the place that was meant is drawn hollow; a click's is joined to the
  place where it landed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from simclick.envs.canvas import Canvas, Colour
from simclick.prompts import Prompt, Round

__all__ = ["COLOURS", "Box", "crop_around", "draw", "factor_for"]

Box: TypeAlias = tuple[int, int, int, int]
"""``(x0, y0, x1, y1)`` in pixels of the image, last pixel included."""

COLOURS: Mapping[str, Colour] = MappingProxyType(
    {
        "mask": (86, 180, 233),
        "truth": (240, 228, 66),
        "positive": (0, 158, 115),
        "negative": (213, 94, 0),
        "number": (255, 255, 255),
    }
)
"""The colour of each thing drawn, RGB; for legends and captions."""

TINT = 0.35
SIDE = 512


def factor_for(size: tuple[int, int]) -> int:
    """Return the factor by which `draw` enlarges an image: its longer side reaches 512 pixels.

    Args:
        size: ``(height, width)`` in pixels.

    Returns:
        The smallest whole number that does it; 1 for an image that is long enough.
    """
    return max(1, -(-SIDE // max(size)))


def crop_around(masks: Sequence[NDArray[np.bool_]], rounds: Sequence[Round] = (), margin: float = 0.5) -> Box:
    """Return the part of an image that shows its masks and prompts well: for small objects.

    The bounding box of all masks and all places where prompts landed, made square by its longer
    side, widened by `margin` of that side on every side, moved into the image, and cut to it.

    Args:
        masks: Bool[H, W] each, at least one: truth, mask, or both.
        rounds: The rounds whose prompts must be seen.
        margin: Fraction of the longer side; at least 16 pixels are added.

    Returns:
        The part; the whole image when there is nothing to see.
    """
    height, width = masks[0].shape
    rows = np.flatnonzero(np.logical_or.reduce([mask.any(axis=1) for mask in masks]))
    columns = np.flatnonzero(np.logical_or.reduce([mask.any(axis=0) for mask in masks]))
    landed = [prompt.landed for round_ in rounds for prompt in round_.prompts]
    xs = [int(x) for x in columns[[0, -1]]] if columns.size else []
    ys = [int(y) for y in rows[[0, -1]]] if rows.size else []
    xs += [x for places in landed for x in places[0::2]]
    ys += [y for places in landed for y in places[1::2]]
    if not xs:
        return 0, 0, width - 1, height - 1
    longer = max(max(xs) - min(xs), max(ys) - min(ys)) + 1
    side = longer + 2 * max(16, round(margin * longer))
    x0, x1 = _span(min(xs), max(xs), side, width)
    y0, y1 = _span(min(ys), max(ys), side, height)
    return x0, y0, x1, y1


def _span(low: int, high: int, side: int, limit: int) -> tuple[int, int]:
    """Return first and last of `side` pixels around [low, high], inside [0, limit)."""
    side = min(side, limit)
    start = min(max(0, (low + high + 1 - side) // 2), limit - side)
    return start, start + side - 1


def draw(
    image: NDArray[np.uint8],
    truth: NDArray[np.bool_] | None = None,
    mask: NDArray[np.bool_] | None = None,
    rounds: Sequence[Round] = (),
    *,
    crop: Box | None = None,
    factor: int | None = None,
    marks: float = 1.0,
) -> NDArray[np.uint8]:
    """Return a picture of an image with what is known about it.

    The image is enlarged smoothly (bicubic), masks exactly (each pixel becomes a square). Lines
    and marks grow with the picture beyond 512 pixels, so that a large picture can be shown small.

    Args:
        image: UInt8[H, W, 3], RGB.
        truth: Bool[H, W], or None for a picture that does not show it.
        mask: Bool[H, W], or None.
        rounds: The rounds so far, oldest first, numbered from 1. Meant places are drawn where a
            round holds them: give `Round.seen` rounds for a picture without.
        crop: The part of the image to show (see `crop_around`); all of it unless given. Prompts
            that landed outside are not marked.
        factor: Whole number by which to enlarge; `factor_for` the part shown unless given.
        marks: How many times larger than usual lines, marks and numbers are: for a picture that is
            shown much smaller.

    Returns:
        UInt8[h * factor, w * factor, 3] for a part of h x w pixels; a new array, RGB.

    Raises:
        ValueError: When an array has another shape or dtype, the crop leaves the image, or the
            factor is below 1.
    """
    _check(image, {"truth": truth, "mask": mask})
    x0, y0, x1, y1 = crop = _checked_crop(crop, image.shape[:2])
    factor = factor_for((y1 - y0 + 1, x1 - x0 + 1)) if factor is None else factor
    if factor < 1:
        raise ValueError(f"factor must be a whole number ≥ 1, not {factor}")
    picture = _enlarged(image[y0 : y1 + 1, x0 : x1 + 1], factor)
    if mask is not None:
        _tint(picture, _squares(mask[y0 : y1 + 1, x0 : x1 + 1], factor), COLOURS["mask"])
    canvas = Canvas(picture, factor, (x0, y0), marks)
    if mask is not None:
        canvas.outline(_with_border(mask, crop), COLOURS["mask"])
    if truth is not None:
        canvas.outline(_with_border(truth, crop), COLOURS["truth"], dashed=True)
    _prompts(canvas, rounds, crop)
    return canvas.picture()


def _check(image: NDArray[np.uint8], masks: Mapping[str, NDArray[np.bool_] | None]) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"the image must be UInt8[H, W, 3], not {image.dtype}{list(image.shape)}")
    for name, mask in masks.items():
        if mask is not None and (mask.dtype != np.bool_ or mask.shape != image.shape[:2]):
            raise ValueError(f"the {name} is {mask.dtype}{list(mask.shape)}, not bool{list(image.shape[:2])}")


def _checked_crop(crop: Box | None, size: tuple[int, int]) -> Box:
    height, width = size
    x0, y0, x1, y1 = (0, 0, width - 1, height - 1) if crop is None else crop
    if not (0 <= x0 <= x1 < width and 0 <= y0 <= y1 < height):
        raise ValueError(f"crop {crop} is not a part of an image {width} wide and {height} high")
    return x0, y0, x1, y1


def _with_border(mask: NDArray[np.bool_], crop: Box) -> NDArray[np.bool_]:
    """Return the part of a mask with one pixel more on every side; outside the image is empty."""
    x0, y0, x1, y1 = crop
    return np.pad(mask, 1)[y0 : y1 + 3, x0 : x1 + 3]


def _enlarged(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    if factor == 1:
        return np.array(image)
    height, width = image.shape[:2]
    size = (width * factor, height * factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _squares(mask: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    squares: NDArray[np.bool_] = mask.repeat(factor, axis=0).repeat(factor, axis=1)
    return squares


def _tint(picture: NDArray[np.uint8], mask: NDArray[np.bool_], colour: Colour) -> None:
    blend = picture[mask] * (1 - TINT) + np.array(colour) * TINT
    picture[mask] = np.rint(blend).astype(np.uint8)


def _colour(positive: bool) -> Colour:
    return COLOURS["positive" if positive else "negative"]


def _prompts(canvas: Canvas, rounds: Sequence[Round], crop: Box) -> None:
    """Draw all prompts: what is large first, so that it hides nothing, and the numbers last."""
    numbered = [(n, prompt) for n, round_ in enumerate(rounds, start=1) for prompt in round_.prompts]
    for _, prompt in numbered:
        if prompt.kind in ("box", "scribble"):
            _extended(canvas, prompt)
        elif prompt.kind == "click" and prompt.meant != prompt.landed:
            colour = _colour(prompt.meant_positive)
            canvas.link(prompt.meant, prompt.landed, colour)
            canvas.ring(prompt.meant, colour)
    marked = [(n, prompt) for n, prompt in numbered if _inside(prompt, crop)]
    for _, prompt in marked:
        canvas.badge(prompt.landed[:2], prompt.positive, _colour(prompt.positive))
    for number, prompt in marked:
        canvas.number(prompt.landed[:2], str(number), COLOURS["number"])


def _inside(prompt: Prompt, crop: Box) -> bool:
    """Whether a prompt's badge (at the first place where it landed) is in the picture."""
    if not prompt.landed:
        return False
    (x, y), (x0, y0, x1, y1) = prompt.landed[:2], crop
    return x0 <= x <= x1 and y0 <= y <= y1


def _extended(canvas: Canvas, prompt: Prompt) -> None:
    line = canvas.box if prompt.kind == "box" else canvas.stroke
    if prompt.meant != prompt.landed:
        line(prompt.meant, _colour(prompt.meant_positive), hollow=True)
    line(prompt.landed, _colour(prompt.positive), hollow=False)
