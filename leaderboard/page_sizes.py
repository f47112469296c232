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
"""Pages of a file: an honest one has a page per column and 20 000 rows."""
_HEADERS = 256 << 10
"""Bytes of all headers of a file together: an honest one has some tens per page."""
_WRITER = "parquet-cpp-arrow "
"""Who wrote the file. The reader goes beyond the end of columns that some other writers made."""
_TAIL = 8
_DEPTH = 8
_BYTES = {3: 1, 7: 8}
"""Kinds of fixed size: a byte, a double."""
_TRUE_FALSE, _WHOLE, _TEXT, _LISTS, _STRUCT, _I32 = {1, 2}, {4, 5, 6}, 8, {9, 10}, 12, 5


def check_pages(data: bytes, about: pq.FileMetaData, where: str) -> None:
    """Refuse a file with a column whose pages unpack to more than its footer says.

    No two columns share a byte, so every header is walked once, and all headers together are short.

    Args:
        data: The file.
        about: Its footer.
        where: What to call it in an error.

    Raises:
        RefusedError: Also on columns that overlap or lie outside the file, headers that cannot be read, pages
            beyond their column, many thousand pages, long headers, and another writer than pyarrow.
    """
    if not str(about.created_by or "").startswith(_WRITER):
        raise RefusedError(f"{where}: not written by pyarrow")
    pages = headers = 0
    for begin, end, most in _columns(data, about, where):
        unpacked = 0
        while begin < end:
            size, packed, after = _page(data, begin, min(end, begin + _HEADERS - headers), where)
            headers += after - begin
            begin = after + packed
            unpacked += size
            pages += 1
            if pages > _PAGES or begin > end or unpacked > most:
                raise RefusedError(f"{where}: its pages are not those that its footer tells of")


def _columns(data: bytes, about: pq.FileMetaData, where: str) -> list[tuple[int, int, int]]:
    """Return where the columns of all row groups begin and end, and what each may unpack to, in order."""
    found = []
    for i in range(about.num_row_groups):
        group = about.row_group(i)
        for j in range(group.num_columns):
            column = group.column(j)
            begin = column.data_page_offset
            if column.has_dictionary_page:
                begin = min(begin, column.dictionary_page_offset)
            found.append((begin, begin + column.total_compressed_size, column.total_uncompressed_size))
    footer = len(data) - _TAIL - int.from_bytes(data[-_TAIL:-4], "little")
    free = 4  # behind the magic
    found.sort()
    for begin, end, _ in found:
        if not begin <= end <= footer or begin < 4:
            raise RefusedError(f"{where}: a column lies outside the file")
        if begin < free:
            raise RefusedError(f"{where}: two columns lie in one place")
        free = end
    return found


def _page(data: bytes, begin: int, end: int, where: str) -> tuple[int, int, int]:
    """Return the unpacked and packed size of the page at a place, and where its header ends, before `end`."""
    reader = _Header(data, begin, end)
    try:
        found = reader.struct(top=True)
        return found[2], found[3], reader.place
    except (IndexError, KeyError, ValueError):
        raise RefusedError(f"{where}: the header of a page cannot be read") from None


class _Header:
    """Reads a struct, and keeps the whole numbers of its fields 1 to 3: kind, unpacked and packed size."""

    def __init__(self, data: bytes, place: int, end: int) -> None:
        self._data = data
        self._end = end
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
            if self.place > self._end:
                raise ValueError("beyond the end")

    def _byte(self) -> int:
        if self.place >= self._end:
            raise ValueError("beyond the end")
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
