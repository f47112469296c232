"""The pictures of an accepted folder, read with care: their form, and whether they show the same."""

from __future__ import annotations

import io
import struct

from simclick.errors import ConfigError

__all__ = ["MAX_PICTURE", "check_picture", "same_picture"]

MAX_PICTURE = 96 << 10
"""Bytes of a picture."""
_SIZE = (1000, 500)
"""Most pixels across and down: a strip of few small pictures."""
_MAGIC = b"\x89PNG\r\n\x1a\n"
_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})


def check_picture(data: bytes, where: str) -> None:
    """Refuse what is not a plain PNG of a strip's size.

    It must have no other chunks than its pixels and colours, nothing behind its end, and decode.

    Raises:
        ConfigError: Saying why.
    """
    if len(data) > MAX_PICTURE:
        raise ConfigError(f"{where}: {len(data)} bytes; a picture has at most {MAX_PICTURE}")
    place = len(_MAGIC)
    kinds: list[bytes] = []
    while data.startswith(_MAGIC) and place + 12 <= len(data) and kinds[-1:] != [b"IEND"]:
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        kinds.append(kind)
        place += 12 + length
    if place != len(data) or kinds[:1] != [b"IHDR"] or kinds[-1:] != [b"IEND"] or not set(kinds) <= _CHUNKS:
        raise ConfigError(f"{where}: no plain PNG")
    width, height = struct.unpack(">II", data[16:24])
    if not (0 < width <= _SIZE[0] and 0 < height <= _SIZE[1]):
        raise ConfigError(f"{where}: {width} by {height} pixels; at most {_SIZE[0]} by {_SIZE[1]}")
    _pixels(data, where)


def same_picture(one: bytes, other: bytes) -> bool:
    """Whether two pictures that `check_picture` passed have the same pixels."""
    return _pixels(one, "a picture") == _pixels(other, "a picture")


def _pixels(data: bytes, where: str) -> tuple[tuple[int, int], bytes]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
            shown = picture.convert("RGB")
            return shown.size, shown.tobytes()
    except (OSError, ValueError, SyntaxError, struct.error) as error:
        raise ConfigError(f"{where}: no PNG that can be read ({str(error)[:80]})") from None
