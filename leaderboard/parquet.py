"""The tables of an archive: written in one way, and read only as what they must be.

A Parquet file of 200 kB can hold gigabytes, so rows, values and sizes are taken from its footer and
held against what the suite allows *before* anything is read; text columns stay dictionaries until
their entries were measured. What a footer may lie about is left to the worker's memory limit.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from simclick.harness.records import KEY, SCHEMAS, TIMINGS
from simclick.leaderboard.limits import (
    MAX_CANDIDATES,
    MAX_FILE,
    MAX_RATIO,
    MAX_RUNS_PER_MASK,
    RefusedError,
)

__all__ = ["CASES", "NULLABLE", "ORDER", "Bounds", "Masks", "parquet_bytes", "read_masks", "read_table"]

CASES = pa.schema(
    [
        ("case_id", pa.string()),
        ("group", pa.string()),
        ("modality", pa.string()),
        ("target", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("sha256", pa.string()),
    ]
)
"""Columns of ``cases.parquet`` in an archive, in the suite's order."""

ORDER: dict[str, tuple[str, ...]] = {
    "cases": (),
    "episodes": KEY,
    "steps": (*KEY, "step"),
    "prompts": (*KEY, "step", "index"),
    "masks": (*KEY, "step", "candidate"),
}
"""The columns by which a table is sorted; no two rows share them."""

NULLABLE: dict[str, frozenset[str]] = {
    "cases": frozenset(),
    "episodes": frozenset({"error"}),
    "steps": frozenset({"hd95", "nsd", "mask_sha256"}),
    "prompts": frozenset({"text"}),
    "masks": frozenset(),
}
"""Columns that may hold nulls."""

_TEXT = 600
_VALUES = 64 << 20
_SECONDS = 1e7
_FOOTER = 2 << 20
_GROUPS = 1000


@dataclass(frozen=True)
class Bounds:
    """How many rows the tables of one run may have.

    Attributes:
        cases: Cases of the suite.
        episodes: Episodes of the protocol over them.
        budget: The protocol's budget, which bounds the steps of an episode.
    """

    cases: int
    episodes: int
    budget: int

    def rows(self, table: str) -> int:
        """Return the most rows of a table."""
        steps = self.episodes * max(1, self.budget)
        return {
            "cases": self.cases,
            "episodes": self.episodes,
            "steps": steps,
            "prompts": steps * 16,
            "masks": steps * MAX_CANDIDATES,
        }[table]


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as Parquet: zstd, page checksums, one way only."""
    stream = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(None),
        stream,
        compression="zstd",
        write_page_checksum=True,
        store_schema=False,
        version="2.6",
    )
    return stream.getvalue()


def schema_of(table: str) -> pa.Schema:
    """Return the columns of a table of an archive."""
    return CASES if table == "cases" else SCHEMAS[table]


def read_table(data: bytes, table: str, where: str, bounds: Bounds) -> pd.DataFrame:
    """Return a table of an archive as a frame, in the order of its rows.

    Args:
        data: The bytes; their SHA-256 is the manifest's already.
        table: ``cases``, ``episodes``, ``steps`` or ``prompts``.
        where: What to call it in an error.
        bounds: How much it may hold.

    Raises:
        RefusedError: When it holds more, other columns, nulls or numbers that may not be there.
    """
    frame: pd.DataFrame = _arrow(data, table, where, bounds).to_pandas()
    for name in TIMINGS:
        if name in frame.columns:
            seconds = frame[name].to_numpy(dtype=np.float64)
            if not (np.isfinite(seconds).all() and (seconds >= 0).all() and (seconds < _SECONDS).all()):
                raise RefusedError(f"{where}: {name} holds numbers that are no times")
    return frame


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of one run, still as run lengths.

    Attributes:
        rows: The rows without their run lengths: key, step, candidate, score.
        counts: UInt32[n], the run lengths of all masks, one after the other.
        offsets: Int64[rows + 1], where those of each row begin and end in `counts`.
        totals: Int64[rows], pixels that they add up to.
        plain: Bool[rows]: whether they are in the one canonical form (no zero but the first).
    """

    rows: pd.DataFrame
    counts: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    totals: NDArray[np.int64]
    plain: NDArray[np.bool_]

    def runs(self, row: int) -> NDArray[np.uint32]:
        """Return the run lengths of a row."""
        return self.counts[self.offsets[row] : self.offsets[row + 1]]

    def mask(self, row: int, size: tuple[int, int]) -> NDArray[np.bool_] | None:
        """Return the mask of a row, Bool[H, W] in row-major order; None where it does not fit.

        Args:
            row: Which.
            size: ``(height, width)`` of the image, from the data.
        """
        height, width = size
        if not self.plain[row] or self.totals[row] != height * width:
            return None
        runs = self.runs(row)
        values = np.zeros(len(runs), dtype=np.bool_)
        values[1::2] = True
        flat = np.repeat(values, runs)
        return np.ascontiguousarray(flat.reshape(width, height).T)


def read_masks(data: bytes, where: str, bounds: Bounds) -> Masks:
    """Return the masks of an archive; they are decoded one by one, later, against the image's size.

    Raises:
        RefusedError: As `read_table`; also for scores that are not finite.
    """
    table = _arrow(data, "masks", where, bounds)
    lists = (
        pa.concat_arrays(table["counts"].chunks) if table.num_rows else pa.array([], pa.list_(pa.uint32()))
    )
    counts = np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.uint32)
    lengths = np.asarray(pc.list_value_length(lists).to_numpy(zero_copy_only=False), dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    rows: pd.DataFrame = table.drop_columns(["counts"]).to_pandas()
    if not np.isfinite(rows["score"].to_numpy(dtype=np.float64)).all():
        raise RefusedError(f"{where}: score holds numbers that are not finite")
    sums = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    zero = np.concatenate(([0], np.cumsum(counts == 0)))
    begin, end = offsets[:-1], offsets[1:]
    after = np.minimum(begin + 1, end)
    plain = (lengths > 0) & (zero[end] - zero[after] == 0)
    return Masks(rows, counts, offsets, sums[end] - sums[begin], plain)


def _arrow(data: bytes, table: str, where: str, bounds: Bounds) -> pa.Table:
    schema = schema_of(table)
    texts = [field.name for field in schema if field.type == pa.string()]
    try:
        _check_footer(data, table, where, bounds)
        found = _open(data, read_dictionary=texts).read(use_threads=False)
        if found.num_rows > bounds.rows(table):
            raise RefusedError(f"{where}: {found.num_rows} rows; the suite allows {bounds.rows(table)}")
        return _checked(found, schema, table, where)
    except (pa.ArrowException, OSError, ValueError, OverflowError, KeyError, MemoryError) as error:
        raise RefusedError(f"{where}: {' '.join(str(error).split())[:200] or type(error).__name__}") from None


def _checked(found: pa.Table, schema: pa.Schema, table: str, where: str) -> pa.Table:
    """Return a table with plain text columns; refuse nulls, long texts and other types."""
    columns = []
    for field in schema:
        column = found[field.name]
        if field.type == pa.string():
            column = _plain_text(column, f"{where}: {field.name}", found.num_rows)
        if pa.types.is_list(field.type) and pc.list_flatten(column).null_count:
            raise RefusedError(f"{where}: {field.name} holds nulls")
        if column.null_count and field.name not in NULLABLE[table]:
            raise RefusedError(f"{where}: {field.name} holds nulls")
        columns.append(column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _open(data: bytes, **options: Any) -> pq.ParquetFile:
    return pq.ParquetFile(
        pa.BufferReader(data),
        pre_buffer=False,
        thrift_string_size_limit=1 << 16,
        thrift_container_size_limit=100_000,
        page_checksum_verification=True,
        **options,
    )


def _check_footer(data: bytes, table: str, where: str, bounds: Bounds) -> None:
    """Hold rows, values and sizes against the bounds, from the footer alone."""
    if len(data) < 12 or data[:4] != b"PAR1" or data[-4:] != b"PAR1":
        raise RefusedError(f"{where}: no Parquet file")
    if int.from_bytes(data[-8:-4], "little") > min(len(data), _FOOTER):
        raise RefusedError(f"{where}: its footer is too large")
    file = _open(data)
    about, schema = file.metadata, schema_of(table)
    if not file.schema_arrow.remove_metadata().equals(_as_read(schema)):
        raise RefusedError(f"{where}: its columns are not those of {table}")
    most = bounds.rows(table)
    if not 0 <= about.num_rows <= most or about.num_row_groups > _GROUPS:
        raise RefusedError(
            f"{where}: {about.num_rows} rows in {about.num_row_groups} groups; the suite allows {most}"
        )
    per_row = MAX_RUNS_PER_MASK if table == "masks" else 4096
    values = min(_VALUES, max(1, about.num_rows) * per_row)
    unpacked = rows = 0
    for i in range(about.num_row_groups):
        group = about.row_group(i)
        rows += group.num_rows
        for j in range(group.num_columns):
            column = group.column(j)
            unpacked += column.total_uncompressed_size
            if not 0 <= column.num_values <= values or column.total_uncompressed_size < 0:
                raise RefusedError(f"{where}: {column.num_values} values in a column; at most {values}")
    if rows != about.num_rows:
        raise RefusedError(f"{where}: its row groups hold {rows} rows, not {about.num_rows}")
    if unpacked > MAX_FILE or unpacked > (1 << 20) + MAX_RATIO * len(data):
        raise RefusedError(f"{where}: {len(data)} bytes unpack to {unpacked}; that is too much")


def _as_read(schema: pa.Schema) -> pa.Schema:
    """Return a schema as Parquet gives it back: items of lists are called ``element``."""
    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_list(kind):
            kind = pa.list_(pa.field("element", kind.value_type))
        fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def _plain_text(column: pa.ChunkedArray, where: str, rows: int) -> pa.ChunkedArray:
    """Return a text column in plain form, once no entry is long and all together are not large."""
    if not pa.types.is_dictionary(column.type):
        raise RefusedError(f"{where}: no text")
    for chunk in column.chunks:
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        if longest > _TEXT or longest * rows > MAX_FILE:
            raise RefusedError(f"{where}: a text of {longest} bytes; at most {_TEXT}")
    plain: pa.ChunkedArray = column.cast(pa.string())
    return plain
