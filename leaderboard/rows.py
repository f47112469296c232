"""The tables of an accepted folder, read only as what they must be.

A folder comes with a pull request, so its tables are a stranger's. They are read like those of an archive:
the footer is held against what may be, and the pages against the footer, before any row is read; text columns
stay dictionaries until their entries were measured.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from simclick.harness.records import TIMINGS
from simclick.leaderboard.canonical import check_numbers
from simclick.leaderboard.footer import check_footer, open_parquet
from simclick.leaderboard.limits import TEXT_BYTES, RefusedError
from simclick.leaderboard.page_sizes import check_pages
from simclick.texts import stray

__all__ = ["EPISODES", "MAX_ROWS", "MAX_UNPACKED", "STEPS", "read_rows"]

EPISODES = pa.schema(
    [
        ("case_id", pa.string()),
        ("level", pa.float64()),
        ("repeat", pa.int32()),
        ("group", pa.string()),
        ("modality", pa.string()),
        ("target", pa.string()),
        ("status", pa.string()),
        ("error", pa.string()),
        ("steps", pa.int32()),
        ("final_dice", pa.float64()),
        ("seconds_encode", pa.float32()),
    ]
)
"""Columns kept of ``episodes``."""

STEPS = pa.schema(
    [
        ("case_id", pa.string()),
        ("level", pa.float64()),
        ("repeat", pa.int32()),
        ("step", pa.int32()),
        ("cost", pa.int32()),
        ("dice", pa.float64()),
        ("hd95", pa.float64()),
        ("nsd", pa.float64()),
        ("oracle_dice", pa.float64()),
        ("chosen", pa.int32()),
        ("n_candidates", pa.int32()),
        ("seconds_predict", pa.float32()),
    ]
)
"""Columns kept of ``steps``; IoU follows from Dice, the mask's hash is in the archive."""

MAX_ROWS = 200_000
"""Rows of one table: several times what fits into an accepted folder of honest rows."""
MAX_UNPACKED = 16 << 20
"""Bytes of one table, unpacked: what so many rows of numbers take."""
_ALL_TEXT = 32 << 20
"""Bytes that the entries of a text column take together, written out."""
_SECONDS = 1e7
_NULLABLE = frozenset({"error", "hd95", "nsd"})


def read_rows(data: bytes, schema: pa.Schema, where: str) -> pa.Table:
    """Return a table of an accepted folder, in the order of its file.

    Args:
        data: The bytes of the file.
        schema: `EPISODES` or `STEPS`.
        where: What to call it in an error.

    Raises:
        RefusedError: When it holds more than `MAX_ROWS` rows or unpacks to too much; other columns; nulls,
            NaN or times that may not be there; texts that are long, not UTF-8 or not printable.
    """
    texts = [field.name for field in schema if field.type == pa.string()]
    try:
        check_footer(data, schema, where, MAX_ROWS, 1)
        file = open_parquet(data, read_dictionary=texts)
        _check_unpacked(file.metadata, where)
        check_pages(data, file.metadata, where)
        found = file.read(use_threads=False)
        return _checked(found, schema, where)
    except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError, MemoryError) as error:
        raise RefusedError(f"{where}: {' '.join(str(error).split())[:200] or type(error).__name__}") from None


def _check_unpacked(about: pq.FileMetaData, where: str) -> None:
    """Refuse a table that unpacks to more than `MAX_UNPACKED` by its own footer; its pages keep to that."""
    groups = [about.row_group(i) for i in range(about.num_row_groups)]
    size = sum(g.column(j).total_uncompressed_size for g in groups for j in range(g.num_columns))
    if size > MAX_UNPACKED:
        raise RefusedError(f"{where}: its columns unpack to {size} bytes; at most {MAX_UNPACKED}")


def _checked(found: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    if found.num_rows > MAX_ROWS:
        raise RefusedError(f"{where}: {found.num_rows} rows; at most {MAX_ROWS}")
    columns = []
    for field in schema:
        column = found[field.name]
        if column.null_count and field.name not in _NULLABLE:
            raise RefusedError(f"{where}: {field.name} holds nulls")
        if field.type == pa.string():
            _check_texts(column, f"{where}: {field.name}")
        columns.append(column.cast(field.type))
    plain = pa.Table.from_arrays(columns, schema=schema)
    check_numbers(plain, where)
    for name in set(TIMINGS) & set(schema.names):
        seconds = plain[name].to_numpy()
        if not (np.isfinite(seconds).all() and (seconds >= 0).all() and (seconds < _SECONDS).all()):
            raise RefusedError(f"{where}: {name} holds numbers that are no times")
    return plain


def _check_texts(column: pa.ChunkedArray, where: str) -> None:
    """Refuse a dictionary of texts by its entries; each is looked at once, however many rows share it."""
    for chunk in column.chunks:
        if len(chunk.dictionary) > len(column):
            raise RefusedError(f"{where}: more texts than rows")
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        if longest > TEXT_BYTES or longest * len(column) > _ALL_TEXT:
            raise RefusedError(f"{where}: texts of up to {longest} bytes; that is too much")
        for text in chunk.dictionary.to_pylist():
            if text is not None and (odd := stray(text)) is not None:
                raise RefusedError(f"{where}: the character {odd} is not taken")
