"""Objects out of mask files: by foreground, by label value, by colour.

What a mask's palette means depends on the question. A *label map* is read by palette index (the
convention of VOC, DAVIS and of annotation tools: the index is the label, the colours are for the
eye). *Foreground* and *colours* are read as a viewer shows them. Grey of 2 and 4 bits is scaled to
8 bits, as the PNG standard says (a 2-bit 3 is 255); 1 bit is 0 and 1. Alpha is dropped; a mask
that has its object only there is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simclick.datasets.images import Raster
from simclick.errors import DataError

__all__ = [
    "MAX_LABELS",
    "Selector",
    "colour_codes",
    "distinct",
    "foreground",
    "label_values",
    "several_values",
]

MAX_LABELS = 512
"""More distinct values than this are noise, or an image taken for a mask."""

_HALF = 0.5


@dataclass(frozen=True, slots=True)
class Selector:
    """Which pixels of a mask file are the object.

    Attributes:
        by: ``"foreground"``, ``"value"`` (label values) or ``"colour"`` (packed RGB colours).
        codes: The label values, or colours as ``r << 16 | g << 8 | b``; none for foreground.
        threshold: For foreground: see `foreground`.
    """

    by: Literal["foreground", "value", "colour"]
    codes: tuple[int, ...] = ()
    threshold: float | None = None

    def select(self, raster: Raster) -> NDArray[np.bool_]:
        """Return the object's mask, Bool[H, W].

        Raises:
            DataError: When the file cannot be read in this way; says why, without the file's name.
        """
        if self.by == "foreground":
            return foreground(raster, self.threshold)
        codes = label_values(raster) if self.by == "value" else colour_codes(raster)
        if len(self.codes) == 1:
            return np.asarray(codes == self.codes[0])
        return np.isin(codes, self.codes)


def foreground(raster: Raster, threshold: float | None = None) -> NDArray[np.bool_]:
    """Return the object of a binary or soft mask, Bool[H, W].

    Of several channels the largest counts.

    Args:
        raster: The mask file.
        threshold: None: every value but 0 is object, in a JPEG every value of at least half the
            range (compression leaves noise around 0). A fraction in (0, 1]: object is where
            ``value >= threshold * range``; the range is that of the data type (255, 65535), 1 for
            1-bit and for float masks, which must then lie in [0, 1].

    Raises:
        DataError: When the object is only in the alpha channel, or the range is unknown.
    """
    _refuse_alpha_mask(raster)
    values = raster.colours()
    if values.ndim == 3:
        values = values.max(axis=2)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError("the mask has non-finite values")
    if threshold is None and raster.lossy:
        threshold = _HALF
    if threshold is None:
        return np.asarray(values != 0)
    return np.asarray(values >= threshold * _range(values))


def several_values(raster: Raster) -> bool:
    """Return whether a mask that is read as one object, by no threshold, has two values or more beside 0.

    A label map has, a soft mask and a picture of several colours; a JPEG is cut at half its range anyway.
    """
    if raster.lossy:
        return False
    values = raster.colours()
    if values.ndim == 3:
        values = values.reshape(-1, values.shape[2])
        held = values[values.any(axis=1)]
    else:
        held = values[values != 0]
    return bool(len(held) and (held != held[0]).any())


def _range(values: NDArray[Any]) -> float:
    if values.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(values.dtype).max)
    if values.dtype == np.bool_:
        return 1.0
    if values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1:
        return 1.0
    raise DataError(
        f"a threshold needs a mask of 8 or 16 bits, or of floats from 0 to 1; this one is {values.dtype} "
        f"from {values.min()} to {values.max()}"
    )


def label_values(raster: Raster) -> NDArray[Any]:
    """Return the label values of a label map, integer [H, W]; palette indices where it has a palette.

    Raises:
        DataError: When it is a colour picture, compressed with loss, or has fractions.
    """
    _refuse_lossy(raster, "label values")
    values = raster.samples if raster.palette is not None else raster.colours()
    if values.ndim == 3:
        if not ((values[..., 0] == values[..., 1]) & (values[..., 0] == values[..., 2])).all():
            raise DataError("is a colour picture, not a label map: use dataset.targets=colour")
        values = values[..., 0]
    if values.dtype.kind == "f":
        if not (np.isfinite(values).all() and (values == np.rint(values)).all()):
            raise DataError("has label values that are not whole numbers")
        return values.astype(np.int64)
    return values.astype(np.uint8) if values.dtype == np.bool_ else values


def colour_codes(raster: Raster) -> NDArray[np.uint32]:
    """Return each pixel's colour as ``r << 16 | g << 8 | b``, UInt32[H, W].

    Raises:
        DataError: When it has more than 8 bits per channel, or is compressed with loss.
    """
    _refuse_lossy(raster, "colours")
    colours = raster.colours()
    if colours.dtype == np.bool_:
        colours = colours.astype(np.uint8) * np.uint8(255)
    if colours.dtype != np.uint8:
        raise DataError(f"objects are told apart by colours of 8 bits, not {colours.dtype}")
    if colours.ndim == 2:
        colours = np.repeat(colours[..., None], 3, axis=2)
    red, green, blue = (colours[..., i].astype(np.uint32) for i in range(3))
    return np.asarray(red << np.uint32(16) | green << np.uint32(8) | blue)


def distinct(codes: NDArray[Any], background: int = 0) -> Sequence[int]:
    """Return the distinct values but the background, in ascending order.

    Raises:
        DataError: When there are more than `MAX_LABELS`.
    """
    found = [int(code) for code in np.unique(codes) if code != background]
    if len(found) > MAX_LABELS:
        raise DataError(
            f"has {len(found):,} distinct values: not a label map, or one with blended edges "
            "(name the objects in dataset.names)"
        )
    return found


def _refuse_lossy(raster: Raster, what: str) -> None:
    if raster.lossy:
        raise DataError(f"{what} do not survive JPEG compression: save the mask as PNG")


def _refuse_alpha_mask(raster: Raster) -> None:
    alpha = raster.alpha()
    if alpha is None or (alpha == alpha.flat[0]).all():
        return
    colours = raster.colours()
    if (colours == colours[0, 0]).all():
        raise DataError("the mask is only in the alpha channel, which is dropped: save it as grey")
