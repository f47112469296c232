"""A message is measured before anything is made of it."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from typing import Any

import pytest

msgpack = pytest.importorskip("msgpack")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from simclick.baselines.process import bounds, wire  # noqa: E402
from simclick.baselines.process.bounds import measure  # noqa: E402
from simclick.errors import AgentError  # noqa: E402

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(width=64)
    | st.floats(width=32)
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=30,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max((depth(inner) for inner in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth(inner) for inner in value), default=0)
    return 0


@settings(deadline=None, max_examples=150)
@given(VALUES)
def test_it_agrees_with_msgpack(value: Any) -> None:
    body = msgpack.packb(value)
    if depth(value) > bounds.DEEPEST:
        with pytest.raises(ValueError, match="nested deeper"):
            measure(body)
        return
    measure(body)
    with pytest.raises(ValueError, match="after its end"):
        measure(body + b"\xc0")
    for cut in {0, len(body) // 2, len(body) - 1}:
        with pytest.raises(ValueError, match="cut short"):
            measure(body[:cut])


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=60))
def test_what_it_lets_through_msgpack_can_read(body: bytes) -> None:
    try:
        measure(body)
    except ValueError:
        return
    with contextlib.suppress(UnicodeDecodeError, TypeError):  # a text that is not UTF-8; a list as a key
        msgpack.unpackb(body, strict_map_key=False)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (list(range(bounds.LONGEST_LIST + 1)), "a list of 4097, more than 4096"),
        ({str(i): 0 for i in range(bounds.LONGEST_MAP + 1)}, "a map of 1025, more than 1024"),
        ("x" * (bounds.LONGEST_TEXT + 1), "a text of 200001 bytes, more than 200000"),
        ([[0] * 4096] * 300, "more than 1000000 values"),
        (msgpack.ExtType(4, b"x"), "type 0xd4 has no place"),
        (msgpack.ExtType(4, b"x" * 100), "type 0xc7 has no place"),
        (msgpack.Timestamp(5), "type 0xd6 has no place"),
    ],
)
def test_what_is_too_much_is_named(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        measure(msgpack.packb(value))
    with pytest.raises(AgentError, match="not msgpack within its bounds"):
        wire.read_message(msgpack.packb({"n": 1, "x": value}), 1)


def test_at_the_bound_it_is_read() -> None:
    for value in (
        list(range(bounds.LONGEST_LIST)),
        {str(i): 0 for i in range(bounds.LONGEST_MAP)},
        "x" * bounds.LONGEST_TEXT,
        b"x" * 10_000_000,
    ):
        assert wire.read_message(msgpack.packb({"n": 1, "x": value}), 1)["x"] == value


def lists_of_lists(announced: int, deep: int, size: int) -> bytes:
    heads = b"".join(b"\xdd" + struct.pack(">I", announced) for _ in range(deep))
    return heads + b"\xc0" * (size - len(heads))


@pytest.mark.parametrize(
    "body",
    [
        lists_of_lists(100_000, 500, 100_000),
        lists_of_lists(4096, 500, 100_000),
        lists_of_lists(4096, 16, 100_000),
        lists_of_lists(2**32 - 1, 1, 100),
        b"\xdf\xff\xff\xff\xff" * 20_000,
        b"\x91" * 100_000,
        b"\xdc\x10\x00" + (b"\xdc\x10\x00" + b"\x90" * 4096) * 24,
        b"\xdb\xff\xff\xff\xff" + b"x" * 1000,
        b"\xc6\xff\xff\xff\xff" + b"x" * 1000,
    ],
)
def test_a_hostile_message_takes_little_memory(body: bytes) -> None:
    assert len(body) <= 100_500
    tracemalloc.start()
    try:
        with pytest.raises(AgentError):
            wire.read_message(body, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * len(body) + 200_000  # an empty list is some 60 bytes, and announced by one
