"""Reading one image file, and the one recipe that makes every image UInt8[H, W, 3].

Formats: PNG, JPEG, TIFF and BMP, told apart by content and never by the file's name; 1, 8, 16 and
32 bits; grey, RGB, palette, CMYK, each with or without alpha.

What is refused, each with a `DataError` that names the file: a file that is no image of these
formats; a truncated one, and one with a wrong checksum (Pillow and OpenCV can both return the
decoded part of a damaged PNG as if nothing had happened, so every chunk of a PNG is verified); one
that declares more than `MAX_PIXELS`, before anything is decoded; one that holds several pictures
(a TIFF stack is a volume: see the `nifti` reader). A flipped bit inside JPEG or uncompressed data
cannot be noticed by any decoder: the content hash of the cases is there for that.

Orientation tags: EXIF orientation is ignored, because a mask rarely carries the tag that its image
carries and both must be read alike. A TIFF whose own orientation tag is not 1 is refused.

Pillow decodes, except 16-bit colour, of which it keeps eight bits: there OpenCV does.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from simclick.errors import DataError

__all__ = [
    "MAX_PIXELS",
    "RECIPES",
    "SUFFIXES",
    "Raster",
    "read_image",
    "read_raster",
    "stretch",
    "to_rgb",
]

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
"""File name endings, in lower case, of the images that are looked for."""

MAX_PIXELS = 100_000_000
"""The largest image that is decoded: 10,000 pixels on each side, for example."""

_MAX_BYTES = 2**30
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_JPEG_IN_TIFF = {"jpeg", "tiff_jpeg"}
_ORIENTATION, _BITS, _PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 274, 258, 262, 284, 339


@dataclass(frozen=True, slots=True)
class Raster:
    """The samples of an image file as they are stored.

    Attributes:
        samples: [H, W] or [H, W, C] with C = 2 (grey, alpha), 3 (RGB) or 4 (RGB, alpha); bool
            (1 bit), uint8, uint16, int32, uint32 or float32. Palette indices where there is a palette.
        palette: UInt8[256, 3], the colour of each index (black where the file gives none), or None.
        lossy: Whether the file is compressed with loss (JPEG).
    """

    samples: NDArray[Any]
    palette: NDArray[np.uint8] | None = None
    lossy: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""
        return self.samples.shape[0], self.samples.shape[1]

    def colours(self) -> NDArray[Any]:
        """Return what a viewer shows, [H, W] or [H, W, 3]: palette looked up, alpha dropped."""
        return _without_alpha(self.samples if self.palette is None else self.palette[self.samples])

    def alpha(self) -> NDArray[Any] | None:
        """Return the alpha channel, [H, W], or None."""
        if self.samples.ndim == 3 and self.samples.shape[2] in (2, 4):
            return self.samples[..., -1]
        return None


def read_image(path: str | Path, recipe: str = "simclick") -> NDArray[np.uint8]:
    """Read an image file as UInt8[H, W, 3].

    Args:
        path: The file.
        recipe: How samples become bytes; a name from `RECIPES`.

    Raises:
        DataError: When the file cannot be read; the message names it and says why.
    """
    raster = read_raster(path)
    return to_rgb(raster.colours(), recipe)


def to_rgb(samples: NDArray[Any], recipe: str = "simclick") -> NDArray[np.uint8]:
    """Return samples as UInt8[H, W, 3] by a recipe.

    All recipes: alpha is dropped (not composited: what it hides is shown); grey is repeated to
    three channels; 1 bit becomes 0 and 255; non-finite samples count as the smallest finite one.

    ``simclick``: 8-bit samples stay as they are. All others (16 and 32 bits, float) are stretched
    from the image's own minimum and maximum, over all channels together, to 0–255 and rounded
    half up. The range of the data type would not do: 12-bit pictures in 16-bit files would come
    out nearly black. The price is that absolute intensities are lost between images; where they
    mean something (CT), read volumes with the `nifti` reader and a window.

    ``cosmos``: COSMOS's own (Huang et al. 2024, released code): clip at the percentiles 0.95 and
    99.5 (linear interpolation, over all channels, repeated ones included), stretch minimum and
    maximum to 0–255, set to 0 what was 0, and cut off decimals. 8-bit images are treated too.

    ``cosmos-0.5``: the same with the percentiles 0.5 and 99.5, which 0.95 was probably meant to be.

    A constant image has no range to stretch: it becomes 0 (``simclick`` leaves 8 bits alone).

    Args:
        samples: [H, W] or [H, W, C] with C from 1 to 4, any real dtype.
        recipe: A name from `RECIPES`.
    """
    colour = _without_alpha(samples)
    if colour.ndim == 2:
        colour = np.repeat(colour[..., None], 3, axis=2)
    if colour.dtype == np.bool_:
        colour = colour.astype(np.uint8) * np.uint8(255)
    return np.ascontiguousarray(_RECIPES[recipe](_finite(colour)))


def stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Return ``(v - low) / (high - low) * 255``, clipped to 0–255 and rounded half up. UInt8.

    Zeros where ``low == high``. Computed in float64, so it is exact for integers of up to 32 bits.
    """
    if not low < high:
        return np.zeros(values.shape, np.uint8)
    scaled = np.clip(values.astype(np.float64), low, high)
    scaled -= low
    scaled *= 255.0
    scaled /= high - low
    scaled += 0.5
    return np.asarray(scaled.astype(np.uint8))  # positive, so the cast is the floor


def _own_range(colour: NDArray[Any]) -> NDArray[np.uint8]:
    if colour.dtype == np.uint8:
        return colour
    return stretch(colour, float(colour.min()), float(colour.max()))


def _cosmos(colour: NDArray[Any], low_percentile: float) -> NDArray[np.uint8]:
    values = colour.astype(np.float64)
    low, high = np.percentile(values, [low_percentile, 99.5])
    clipped = np.clip(values, low, high)
    low, high = clipped.min(), clipped.max()
    if not low < high:
        return np.zeros(colour.shape, np.uint8)
    scaled = (clipped - low) / (high - low) * 255.0
    scaled[values == 0] = 0
    return np.asarray(scaled.astype(np.uint8))


_RECIPES: dict[str, Callable[[NDArray[Any]], NDArray[np.uint8]]] = {
    "simclick": _own_range,
    "cosmos": lambda colour: _cosmos(colour, 0.95),
    "cosmos-0.5": lambda colour: _cosmos(colour, 0.5),
}
RECIPES = tuple(_RECIPES)
"""The names of the recipes; see `to_rgb`."""


def _without_alpha(samples: NDArray[Any]) -> NDArray[Any]:
    if samples.ndim == 2:
        return samples
    return samples[..., 0] if samples.shape[2] < 3 else samples[..., :3]


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "f":
        return values
    finite = np.isfinite(values)
    if finite.all():
        return values
    return np.where(finite, values, values[finite].min() if finite.any() else 0)


def read_raster(path: str | Path) -> Raster:
    """Read the stored samples of an image file.

    Raises:
        DataError: When the file cannot be read; the message names it and says why.
    """
    path = Path(path)
    try:
        data = _bytes(path)
        with warnings.catch_warnings(), _no_partial_images():
            warnings.simplefilter("ignore")
            return _decode(data)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: is no PNG, JPEG, TIFF or BMP image, or a damaged one") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: {_too_large()}") from None
    except Exception as error:  # a decoder may raise anything on a hostile file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be decoded: {reason}") from None


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        raise DataError("is a folder, not an image")
    if not path.is_file():
        raise DataError("no such file")
    size = path.stat().st_size
    if size == 0:
        raise DataError("the file is empty (0 bytes)")
    if size > _MAX_BYTES:
        raise DataError(f"the file has {size:,} bytes, more than {_MAX_BYTES:,}")
    return path.read_bytes()


@contextmanager
def _no_partial_images() -> Iterator[None]:
    # Some libraries switch this on for the whole process; then a truncated file reads as grey.
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _decode(data: bytes) -> Raster:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        _check_header(image)
        if image.format == "PNG":
            with Image.open(io.BytesIO(data), formats=("PNG",)) as copy:
                copy.verify()
        lossy = image.format in ("JPEG", "MPO") or image.info.get("compression") in _JPEG_IN_TIFF
        unsigned = image.format == "TIFF" and _tag(image, _SAMPLE_FORMAT, 1) == 1
        deep = _is_deep_colour(image, data)
        image.load()
        if deep:
            return Raster(_decode_deep_colour(data))
        if image.mode == "P":
            return Raster(np.asarray(image), _palette(image), lossy)
        if image.mode in ("CMYK", "YCbCr"):
            return Raster(np.asarray(image.convert("RGB")), None, lossy)
        samples = np.asarray(image)
    if samples.dtype == np.int32 and unsigned:
        samples = samples.view(np.uint32)
    return Raster(samples.astype(samples.dtype.newbyteorder("="), copy=False), None, lossy)


def _palette(image: Image.Image) -> NDArray[np.uint8]:
    stored = np.asarray(image.getpalette("RGB") or [], np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    palette.reshape(-1)[: stored.size] = stored
    return palette


def _check_header(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(_too_large(image.size))
    if image.format in ("PNG", "TIFF") and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"holds {getattr(image, 'n_frames', 0)} pictures; one is expected")
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "F", "I") and not (
        image.mode.startswith("I;16")
    ):
        raise DataError(f"its colours ({image.mode}) are not supported: save it as grey or RGB")
    if image.format != "TIFF":
        return
    if _tag(image, _ORIENTATION, 1) != 1:
        raise DataError("has a TIFF orientation tag: turn the pixels and save it without")
    bits = max(_bits(image))
    if bits > 8 and _tag(image, _PHOTOMETRIC, 1) == 0:
        raise DataError("is stored with white as zero: save it with black as zero")
    if bits > 8 and len(_bits(image)) > 1 and _tag(image, _PLANAR, 1) != 1:
        raise DataError("stores 16-bit colours in separate planes: save them interleaved")
    if bits == 8 and _tag(image, _SAMPLE_FORMAT, 1) == 2:
        raise DataError("has signed 8-bit samples: save it as unsigned 8 or 16 bits")


def _too_large(size: tuple[int, int] | None = None) -> str:
    declared = f"{size[0]} x {size[1]} pixels," if size else "far"
    return f"declares {declared} more than the {MAX_PIXELS:,} that are read: cut it into tiles"


def _tag(image: Image.Image, tag: int, default: int) -> int:
    value = getattr(image, "tag_v2", {}).get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)


def _bits(image: Image.Image) -> tuple[int, ...]:
    value = getattr(image, "tag_v2", {}).get(_BITS, (1,))
    return tuple(int(v) for v in (value if isinstance(value, tuple) else (value,)))


def _is_deep_colour(image: Image.Image, data: bytes) -> bool:
    """Whether there are several channels of 16 bits."""
    if image.format == "PNG":
        bits, colour_type = data[24], data[25]
        return bits == 16 and colour_type in (2, 4, 6)
    return image.format == "TIFF" and len(_bits(image)) > 1 and max(_bits(image)) == 16


def _decode_deep_colour(data: bytes) -> NDArray[Any]:
    import cv2

    samples: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16:
        raise DataError("its 16-bit colours cannot be decoded: save it with 8 bits per channel")
    order = [2, 1, 0, 3][: samples.shape[2]] if samples.ndim == 3 else []
    return samples[..., order] if order else samples
