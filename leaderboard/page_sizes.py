"""What the pages of a Parquet file unpack to, by their own headers.

A footer may say that a column unpacks to little while its pages do to much; the reader believes the pages.
Outside the worker, where no memory limit stands behind the footer, the headers are walked first. They are
structs in Thrift's compact protocol: https://github.com/apache/thrift, doc/specs/thrift-compact-protocol.md.
The fields of ``PageHeader``: https://github.com/apache/parquet-format, src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import pyarrow.parquet as pq

from simclick.leaderboard.limits import RefusedError

__all__ = ["check_pages"]

_PAGES = 10_000
_DEPTH = 8
_BYTES = {3: 1, 7: 8}
"""Kinds of fixed size: a byte, a double."""
_TRUE_FALSE, _WHOLE, _TEXT, _LISTS, _STRUCT, _I32 = {1, 2}, {4, 5, 6}, 8, {9, 10}, 12, 5


def check_pages(data: bytes, about: pq.FileMetaData, where: str) -> None:
    """Refuse a file with a column whose pages unpack to more than its footer says.

    Args:
        data: The file.
        about: Its footer.
        where: What to call it in an error.

    Raises:
        RefusedError: Also on headers that cannot be read, pages beyond their column, and many thousand pages.
    """
    pages = 0
    for i in range(about.num_row_groups):
        group = about.row_group(i)
        for j in range(group.num_columns):
            column = group.column(j)
            begin = column.data_page_offset
            if column.has_dictionary_page:
                begin = min(begin, column.dictionary_page_offset)
            end, unpacked = begin + column.total_compressed_size, 0
            if not 4 <= begin <= end <= len(data):
                raise RefusedError(f"{where}: a column lies outside the file")
            while begin < end:
                size, packed, begin = _page(data, begin, where)
                begin += packed
                unpacked += size
                pages += 1
                if pages > _PAGES or begin > end or unpacked > column.total_uncompressed_size:
                    raise RefusedError(f"{where}: its pages are not those that its footer tells of")


def _page(data: bytes, begin: int, where: str) -> tuple[int, int, int]:
    """Return the unpacked and packed size of the page at a place, and where its header ends."""
    reader = _Header(data, begin)
    try:
        found = reader.struct(top=True)
        return found[2], found[3], reader.place
    except (IndexError, KeyError, ValueError):
        raise RefusedError(f"{where}: the header of a page cannot be read") from None


class _Header:
    """Reads a struct, and keeps the whole numbers of its fields 1 to 3: kind, unpacked and packed size."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data = data
        self.place = place

    def struct(self, *, top: bool = False, depth: int = 0) -> dict[int, int]:
        if depth > _DEPTH:
            raise ValueError("nested too deep")
        found: dict[int, int] = {}
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._signed()
            value = self._value(kind, depth)
            if top and 1 <= number <= 3:
                # The reader takes the last of two, passes over another kind and cuts to 32 bits: all refused.
                if number in found or kind != _I32 or not 0 <= value < 1 << 31:
                    raise ValueError("no size")
                found[number] = value
        return found

    def _value(self, kind: int, depth: int) -> int:
        if kind in _WHOLE:
            return self._signed()
        if kind in _BYTES:
            self.place += _BYTES[kind]
        elif kind == _TEXT:
            size = self._varint()  # moves the place itself
            self.place += size
        elif kind == _STRUCT:
            self.struct(depth=depth + 1)
        elif kind in _LISTS:
            self._list(depth)
        elif kind not in _TRUE_FALSE:
            raise ValueError("no kind")
        return 0

    def _list(self, depth: int) -> None:
        head = self._byte()
        kind, count = head & 15, head >> 4
        for _ in range(self._varint() if count == 15 else count):
            if kind in _TRUE_FALSE:
                self._byte()
            elif kind in _LISTS:
                raise ValueError("a list of lists")
            else:
                self._value(kind, depth)
            if self.place > len(self._data):
                raise ValueError("beyond the end")

    def _byte(self) -> int:
        value = self._data[self.place]
        self.place += 1
        return value

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number without end")

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
