"""Bounds on a message before anything is made of it.

A few bytes of msgpack may announce lists of lists as long as the message: decoding them takes hundreds of
times its size. `measure` goes over the bytes once, makes nothing, and refuses what no answer has.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DEEPEST", "LONGEST_LIST", "LONGEST_MAP", "LONGEST_TEXT", "MOST_ITEMS", "measure"]

LONGEST_TEXT = 200_000
"""Bytes of a text: settings and errors. Masks and memories are bytes, which have bounds of their own."""
LONGEST_LIST = 4096
LONGEST_MAP = 1024
DEEPEST = 16
MOST_ITEMS = 1_000_000
"""Values in one message, each some tens of bytes once decoded."""

_FIXED: Mapping[int, int] = {
    **{0xC0: 0, 0xC2: 0, 0xC3: 0},  # nil, false, true
    **{0xCA: 4, 0xCB: 8},  # floats
    **{0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8},  # whole numbers
    **{0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8},
}
"""Bytes that follow the first, by kind."""
_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}
_TEXTS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_LISTS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}
_COUNTED = {**_BYTES, **_TEXTS, **_LISTS, **_MAPS}
"""Bytes of the length that follows the first, by kind."""


def measure(body: bytes | bytearray) -> None:
    """Go over one value of msgpack.

    Raises:
        ValueError: When it is cut short, is followed by more, nests deeper than `DEEPEST`, holds more than
            `MOST_ITEMS` values, or a list, map or text longer than allowed, or a type that has no place in an
            answer.
    """
    open_: list[int] = [1]
    at = items = 0
    while open_:
        if open_[-1] == 0:
            open_.pop()
            continue
        open_[-1] -= 1
        items += 1
        if items > MOST_ITEMS:
            raise ValueError(f"more than {MOST_ITEMS} values")
        at, inside = _value(body, at)
        if inside is not None:
            if len(open_) > DEEPEST:
                raise ValueError(f"nested deeper than {DEEPEST}")
            open_.append(inside)
    if at != len(body):
        raise ValueError(f"{len(body) - at} bytes after its end")


def _value(body: bytes | bytearray, at: int) -> tuple[int, int | None]:
    """Return where a value ends, or its contents begin, and of a list or map how many values it holds."""
    if at >= len(body):
        raise ValueError("cut short")
    kind = body[at]
    at += 1
    inside: int | None = None
    if kind < 0x80 or kind >= 0xE0:  # a small number
        return at, None
    if kind < 0xA0:  # a short map, a short list
        inside = (kind & 15) * (2 if kind < 0x90 else 1)
    elif kind < 0xC0:  # a short text
        at += kind & 31
    elif kind in _FIXED:
        at += _FIXED[kind]
    elif kind in _COUNTED:
        at, inside = _counted(kind, body, at)
    else:
        raise ValueError(f"type 0x{kind:02x} has no place in an answer")
    if at + (inside or 0) > len(body):  # a value takes one byte at least
        raise ValueError("cut short")
    return at, inside


def _counted(kind: int, body: bytes | bytearray, at: int) -> tuple[int, int | None]:
    """The same for a value whose length stands before it."""
    width = _COUNTED[kind]
    length = int.from_bytes(body[at : at + width], "big")
    at += width
    for kinds, most, what in (
        (_TEXTS, LONGEST_TEXT, "a text of {} bytes"),
        (_LISTS, LONGEST_LIST, "a list of {}"),
        (_MAPS, LONGEST_MAP, "a map of {}"),
    ):
        if kind in kinds and length > most:
            raise ValueError(f"{what.format(length)}, more than {most}")
    if kind in _LISTS:
        return at, length
    if kind in _MAPS:
        return at, 2 * length
    return at + length, None
