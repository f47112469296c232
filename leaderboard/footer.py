"""What a Parquet footer says, held against what may be, before any row is read.

A file of 200 kB can hold gigabytes. Rows, values, sizes, codec and encodings come from the footer
alone; what a footer may lie about is left to the worker's memory limit.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simclick.leaderboard.limits import MAX_FILE, MAX_RATIO, RefusedError

__all__ = ["check_footer", "open_parquet"]

_VALUES = 64 << 20
_FOOTER = 2 << 20
_GROUPS = 1000
_CODEC = "ZSTD"
_ENCODINGS = frozenset({"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY"})
"""What pyarrow writes unless told otherwise; the decoders of all others never see a stranger's bytes."""


def open_parquet(data: bytes, **options: Any) -> pq.ParquetFile:
    """Open Parquet bytes with tight limits on the footer, page checksums checked."""
    return pq.ParquetFile(
        pa.BufferReader(data),
        pre_buffer=False,
        thrift_string_size_limit=1 << 16,
        thrift_container_size_limit=100_000,
        page_checksum_verification=True,
        **options,
    )


def check_footer(data: bytes, schema: pa.Schema, where: str, rows: int, per_row: int) -> None:
    """Refuse a file by its footer.

    Args:
        data: The file.
        schema: The columns that it must have, in order.
        where: What to call it in an error.
        rows: The most rows.
        per_row: The most values of a row in one column.

    Raises:
        RefusedError: On other columns, more rows, values or bytes, another codec or encoding, or
            metadata of the writer's own.
    """
    if len(data) < 12 or data[:4] != b"PAR1" or data[-4:] != b"PAR1":
        raise RefusedError(f"{where}: no Parquet file")
    if int.from_bytes(data[-8:-4], "little") > min(len(data), _FOOTER):
        raise RefusedError(f"{where}: its footer is too large")
    file = open_parquet(data)
    about = file.metadata
    if not file.schema_arrow.remove_metadata().equals(_as_read(schema)):
        raise RefusedError(f"{where}: its columns are not {', '.join(schema.names)}"[:300])
    if about.metadata or file.schema_arrow.metadata:
        raise RefusedError(f"{where}: it holds metadata of its own")
    if not 0 <= about.num_rows <= rows or about.num_row_groups > _GROUPS:
        raise RefusedError(
            f"{where}: {about.num_rows} rows in {about.num_row_groups} groups; the suite allows {rows}"
        )
    _check_groups(about, where, min(_VALUES, max(1, about.num_rows) * per_row), len(data))


def _check_groups(about: pq.FileMetaData, where: str, values: int, size: int) -> None:
    unpacked = rows = 0
    for i in range(about.num_row_groups):
        group = about.row_group(i)
        rows += group.num_rows
        for j in range(group.num_columns):
            column = group.column(j)
            unpacked += column.total_uncompressed_size
            if not 0 <= column.num_values <= values or column.total_uncompressed_size < 0:
                raise RefusedError(f"{where}: {column.num_values} values in a column; at most {values}")
            if column.compression != _CODEC:
                raise RefusedError(
                    f"{where}: packed with {column.compression}; tables are packed with {_CODEC}"
                )
            if odd := set(column.encodings) - _ENCODINGS:
                raise RefusedError(f"{where}: the encoding {min(odd)} is not read")
    if rows != about.num_rows:
        raise RefusedError(f"{where}: its row groups hold {rows} rows, not {about.num_rows}")
    if unpacked > MAX_FILE or unpacked > (1 << 20) + MAX_RATIO * size:
        raise RefusedError(f"{where}: {size} bytes unpack to {unpacked}; that is too much")


def _as_read(schema: pa.Schema) -> pa.Schema:
    """Return a schema as Parquet gives it back: items of lists are called ``element``."""
    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_list(kind):
            kind = pa.list_(pa.field("element", kind.value_type))
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)
