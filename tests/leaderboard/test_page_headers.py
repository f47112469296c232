"""Tables of an accepted folder cannot make their reader walk or unpack for long."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simclick.leaderboard import page_sizes
from simclick.leaderboard.limits import RefusedError
from simclick.leaderboard.parquet import parquet_bytes
from simclick.leaderboard.rows import EPISODES, MAX_UNPACKED, read_rows

I32, I64, BINARY, LIST, STRUCT, TRUE = 5, 6, 8, 9, 12, 1
PHYSICAL = {"string": (6, 0), "double": (5, None), "int32": (1, None), "float": (4, None)}
WRITER = b"parquet-cpp-arrow version 26.0.1"
Field = tuple[int, int, bytes]


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(value: int) -> bytes:
    return varint(value * 2)


def text(value: bytes) -> bytes:
    return varint(len(value)) + value


def items(kind: int, values: Sequence[bytes]) -> bytes:
    return bytes([0xF0 | kind]) + varint(len(values)) + b"".join(values)


def record(*fields: Field) -> bytes:
    out, last = b"", 0
    for i, kind, data in fields:
        out += bytes([(i - last) << 4 | kind]) + data
        last = i
    return out + b"\0"


def header(flags: int) -> bytes:
    """Return the header of an empty page, with a field that nobody knows: a list of so many flags."""
    sizes: list[Field] = [(i, I32, number(0)) for i in (1, 2, 3)]
    return record(*sizes, (9, LIST, items(TRUE, [b"\1"] * flags)))


def table(places: Sequence[tuple[int, int]], body: bytes, groups: int = 1, writer: bytes = WRITER) -> bytes:
    """Return a table of no rows, `EPISODES`, whose columns lie at these places, (begin, size), in turn."""
    elements = [record((4, BINARY, text(b"schema")), (5, I32, number(len(EPISODES))))]
    columns = []
    for field in EPISODES:
        kind, said = PHYSICAL[str(field.type)]
        converted: list[Field] = [] if said is None else [(6, I32, number(said))]
        name = text(field.name.encode())
        elements.append(record((1, I32, number(kind)), (3, I32, number(1)), (4, BINARY, name), *converted))
        columns.append((kind, name))
    made = []
    for i in range(groups):
        chunks = []
        for j, (kind, name) in enumerate(columns):
            begin, size = places[(i * len(columns) + j) % len(places)]
            about: list[Field] = [
                (1, I32, number(kind)), (2, LIST, items(I32, [number(0)])), (3, LIST, items(BINARY, [name])),
                (4, I32, number(6)), (5, I64, number(0)), (6, I64, number(0)), (7, I64, number(size)),
                (9, I64, number(begin)),
            ]  # fmt: skip
            chunks.append(record((2, I64, number(begin)), (3, STRUCT, record(*about))))
        made.append(record((1, LIST, items(STRUCT, chunks)), (2, I64, number(0)), (3, I64, number(0))))
    footer = record(
        (1, I32, number(2)), (2, LIST, items(STRUCT, elements)), (3, I64, number(0)),
        (4, LIST, items(STRUCT, made)), (6, BINARY, text(writer)),
    )  # fmt: skip
    return b"PAR1" + body + footer + struct.pack("<I", len(footer)) + b"PAR1"


def in_turn(head: bytes, groups: int = 1) -> tuple[list[tuple[int, int]], bytes]:
    n = groups * len(EPISODES)
    return [(4 + i * len(head), len(head)) for i in range(n)], head * n


def test_columns_that_lie_beside_each_other_are_walked() -> None:
    places, body = in_turn(header(3))
    data = table(places, body)
    page_sizes.check_pages(data, pq.ParquetFile(pa.BufferReader(data)).metadata, "x")


def test_columns_that_share_bytes_are_refused_before_any_is_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> tuple[int, int, int]:
        raise AssertionError("a header was walked")

    monkeypatch.setattr(page_sizes, "_page", never)
    head = header(1000)
    places, body = in_turn(head)
    for shared in ([(4, len(head))], [*places[:-1], (places[-1][0] - 1, len(head))]):
        with pytest.raises(RefusedError, match="two columns lie in one place"):
            read_rows(table(shared, body, groups=100 if len(shared) == 1 else 1), EPISODES, "x")


def test_columns_outside_the_pages_are_refused() -> None:
    places, body = in_turn(header(3))
    for odd in ((2, 6), (4 + len(body), 8), (1 << 40, 8)):
        with pytest.raises(RefusedError, match=r"outside the file|two columns"):
            read_rows(table([*places[:-1], odd], body), EPISODES, "x")


def test_headers_of_a_file_are_short_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = 0
    byte = page_sizes._Header._byte

    def counted(self: page_sizes._Header) -> int:
        nonlocal walked
        walked += 1
        return byte(self)

    monkeypatch.setattr(page_sizes._Header, "_byte", counted)
    for flags in (60_000, 400_000):  # none of the first is long by itself
        walked = 0
        places, body = in_turn(header(flags))
        with pytest.raises(RefusedError, match="the header of a page cannot be read"):
            read_rows(table(places, body), EPISODES, "x")
        assert walked <= page_sizes._HEADERS + 1


def test_another_writer_is_refused() -> None:
    places, body = in_turn(header(3))
    with pytest.raises(RefusedError, match="not written by pyarrow"):
        read_rows(table(places, body, writer=b"parquet-mr version 1.2.8"), EPISODES, "x")


def test_a_table_whose_footer_honestly_says_much_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    n, draws = 12_000, np.random.default_rng(0)
    columns = {field.name: pa.array(["x"] * n) for field in EPISODES if field.type == pa.string()}
    columns["error"] = pa.array([f"{i:06d}" + "e" * 1500 for i in range(n)])
    for field in EPISODES:
        if field.type != pa.string():
            columns[field.name] = pa.array(draws.random(n) if field.type == pa.float64() else np.zeros(n))
    whole = pa.Table.from_arrays([columns[f.name].cast(f.type) for f in EPISODES], schema=EPISODES)
    data = parquet_bytes(whole)
    group = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0)
    assert len(data) < 1 << 20
    assert sum(group.column(j).total_uncompressed_size for j in range(group.num_columns)) > MAX_UNPACKED

    def never(*_: object, **__: object) -> None:
        raise AssertionError("rows were read")

    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetFile, "read", never)
        with pytest.raises(RefusedError, match=f"unpack to [0-9]+ bytes; at most {MAX_UNPACKED}"):
            read_rows(data, EPISODES, "x")
    few = whole.slice(0, n // 2)
    assert read_rows(parquet_bytes(few), EPISODES, "x").num_rows == n // 2, "half of it is taken"
