"""The tables of an archive: written in one way, and read only as what they must be.

The footer is held against what the suite allows *before* anything is read (`simclick.leaderboard.footer`);
text columns stay dictionaries until their entries were measured; then the rows must be in the one form
of their content (`simclick.leaderboard.canonical`).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from simclick.harness.records import KEY, SCHEMAS, TIMINGS
from simclick.leaderboard.canonical import check_numbers, check_order
from simclick.leaderboard.footer import check_footer, open_parquet
from simclick.leaderboard.limits import MAX_CANDIDATES, MAX_FILE, MAX_RUNS_PER_MASK, TEXT_BYTES, RefusedError

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

_SECONDS = 1e7
_PER_ROW = 4096
"""Values of one row in one column, at most: the places of a prompt."""


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
        RefusedError: When it holds more, other columns, nulls or numbers that may not be there, or rows
            that are not in order.
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
    totals, plain = _sums(counts, offsets)
    return Masks(rows, counts, offsets, totals, plain)


def _sums(
    counts: NDArray[np.uint32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return per row the sum of its run lengths, and whether only the first of them may be 0.

    Sums by row need no array as long as `counts`, which a hostile file makes as long as it may be.
    """
    filled = offsets[1:] > offsets[:-1]
    begin = offsets[:-1][filled]
    totals = np.zeros(len(filled), dtype=np.int64)
    plain = np.zeros(len(filled), dtype=np.bool_)
    if len(begin):
        zero = counts == 0
        totals[filled] = np.add.reduceat(counts, begin, dtype=np.int64)
        plain[filled] = np.add.reduceat(zero, begin, dtype=np.int64) == zero[begin]
    return totals, plain


def _arrow(data: bytes, table: str, where: str, bounds: Bounds) -> pa.Table:
    schema = schema_of(table)
    texts = [field.name for field in schema if field.type == pa.string()]
    try:
        per_row = MAX_RUNS_PER_MASK if table == "masks" else _PER_ROW
        check_footer(data, schema, where, bounds.rows(table), per_row)
        found = open_parquet(data, read_dictionary=texts).read(use_threads=False)
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
    plain = pa.Table.from_arrays(columns, schema=schema)
    check_numbers(plain, where)
    check_order(plain, ORDER[table], where)
    return plain


def _plain_text(column: pa.ChunkedArray, where: str, rows: int) -> pa.ChunkedArray:
    """Return a text column in plain form, once no entry is long and all together are not large."""
    if not pa.types.is_dictionary(column.type):
        raise RefusedError(f"{where}: no text")
    for chunk in column.chunks:
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        if longest > TEXT_BYTES:
            raise RefusedError(f"{where}: a text of {longest} bytes; at most {TEXT_BYTES}")
        if longest * rows > MAX_FILE:
            raise RefusedError(f"{where}: {rows} texts of up to {longest} bytes; together at most {MAX_FILE}")
    plain: pa.ChunkedArray = column.cast(pa.string())
    return plain
