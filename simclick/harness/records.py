"""The rows of a run and their Arrow schemas: a public contract, read by tools outside simclick.

Every table begins with the same key, ``agent protocol dataset case_id noise level repeat``.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["KEY", "SCHEMAS", "TABLES", "TIMINGS", "Rows", "mask_sha256"]

KEY = ("agent", "protocol", "dataset", "case_id", "noise", "level", "repeat")
TIMINGS = ("seconds_encode", "seconds_predict", "seconds_annotate")
"""Columns that differ between two equal runs."""

_KEY = [
    ("agent", pa.string()),
    ("protocol", pa.string()),
    ("dataset", pa.string()),
    ("case_id", pa.string()),
    ("noise", pa.string()),
    ("level", pa.float64()),
    ("repeat", pa.int32()),
]
_CASE = [("group", pa.string()), ("modality", pa.string()), ("target", pa.string())]
_PLACE = pa.list_(pa.int32())

SCHEMAS: dict[str, pa.Schema] = {
    "episodes": pa.schema(
        [
            *_KEY,
            *_CASE,
            ("status", pa.string()),  # ok | failed
            ("error", pa.string()),  # why it failed, else null
            ("steps", pa.int32()),  # rounds given
            ("final_dice", pa.float64()),
            ("seconds_encode", pa.float64()),  # of the image, shared by its episodes
            ("agent_digest", pa.string()),
            ("protocol_digest", pa.string()),
        ]
    ),
    "steps": pa.schema(
        [
            *_KEY,
            ("step", pa.int32()),  # from 1
            ("cost", pa.int32()),  # cumulative, in clicks
            ("dice", pa.float64()),
            ("iou", pa.float64()),
            ("hd95", pa.float64()),  # null where the protocol measures no surface
            ("nsd", pa.float64()),
            ("oracle_dice", pa.float64()),  # best of this step's candidates
            ("chosen", pa.int32()),  # index of the chosen candidate; -1 for a failure
            ("n_candidates", pa.int32()),
            ("seconds_predict", pa.float64()),  # a batch's time, shared equally
            ("seconds_annotate", pa.float64()),
            ("mask_sha256", pa.string()),
            *_CASE,
        ]
    ),
    "prompts": pa.schema(
        [
            *_KEY,
            ("step", pa.int32()),
            ("index", pa.int32()),  # within the round, from 0
            ("kind", pa.string()),
            ("positive", pa.bool_()),
            ("meant_positive", pa.bool_()),
            ("landed", _PLACE),  # [x, y], [x0, y0, x1, y1] or a polyline
            ("meant", _PLACE),
            ("text", pa.string()),
            ("cost", pa.int32()),
        ]
    ),
    "masks": pa.schema(
        [
            *_KEY,
            ("step", pa.int32()),
            ("candidate", pa.int32()),
            ("counts", pa.list_(pa.uint32())),  # column-major run lengths, zeros first
            ("score", pa.float64()),  # the agent's own
        ]
    ),
}

_STRUCTS = {name: pa.struct(list(schema)) for name, schema in SCHEMAS.items()}

TABLES = ("masks", "prompts", "steps", "episodes")
"""Order of writing: the `episodes` shard is the commit, and comes last."""


class Rows:
    """Rows of the four tables, gathered in order and turned into Arrow tables at once."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in SCHEMAS}

    def add(self, table: str, *values: object) -> None:
        """Add one row; the values follow the table's schema."""
        self._rows[table].append(values)

    def extend(self, other: Rows) -> None:
        """Add all rows of another."""
        for name, rows in other._rows.items():
            self._rows[name].extend(rows)

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        return len(self._rows[table])

    def values(self, table: str, column: str) -> list[Any]:
        """Return the values of one column of a table."""
        place = SCHEMAS[table].get_field_index(column)
        return [row[place] for row in self._rows[table]]

    def table(self, name: str) -> pa.Table:
        """Return one table."""
        # One array of structs: an array per column takes five times as long.
        structs = pa.array(self._rows[name], type=_STRUCTS[name])
        return pa.Table.from_batches([pa.RecordBatch.from_struct_array(structs)])


def mask_sha256(mask: NDArray[np.bool_]) -> str:
    """Return the hash of a mask: SHA-256 of ``"HxW:"`` and its bits, packed row by row.

    Bits are packed most significant first over the row-major mask; the last byte is padded with 0.
    """
    head = b"%dx%d:" % mask.shape
    return hashlib.sha256(head + np.packbits(mask).tobytes()).hexdigest()
