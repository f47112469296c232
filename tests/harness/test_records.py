from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from simclick.harness.records import KEY, SCHEMAS, Rows, mask_sha256

HEAD = ("agent", "p", "d", "café", "none", 0.5, 2)
ROWS = {
    "prompts": [
        (*HEAD, 1, 0, "click", True, np.bool_(False), (3, 4), (np.int64(3), 5), None, 1),
        (*HEAD, 1, 1, "mask", True, True, (), (), "liver", 0),
    ],
    "masks": [(*HEAD, 1, 0, np.array([5, 2, 9], np.uint32), 0.25), (*HEAD, 1, 1, [16], -1.0)],
    "steps": [
        (*HEAD, 1, 2, 0.5, 1 / 3, None, 1.0, 0.5, 0, 1, 0.1, 0.2, "ff", "g", "ct", "liver"),
        (*HEAD, 2, 3, 0.0, 0.0, 7.25, None, 0.0, -1, 0, 0.1, 0.2, None, "g", "ct", "liver"),
    ],
}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_table_holds_the_rows_column_by_column(name: str) -> None:
    rows, schema = Rows(), SCHEMAS[name]
    for row in ROWS.get(name, ()):
        rows.add(name, *row)
    columns = list(zip(*ROWS[name], strict=True)) if name in ROWS else [()] * len(schema)
    expected = [pa.array(list(c), type=field.type) for c, field in zip(columns, schema, strict=True)]
    table = rows.table(name)
    assert table.schema.equals(schema, check_metadata=True)
    assert table.equals(pa.Table.from_arrays(expected, schema=schema))
    assert table.column_names[: len(KEY)] == list(KEY)


def test_a_row_that_is_too_short_is_an_error() -> None:
    rows = Rows()
    rows.add("steps", *HEAD)
    with pytest.raises(pa.ArrowInvalid):
        rows.table("steps")


def test_the_hash_of_a_mask_is_of_its_size_and_bits() -> None:
    mask = np.zeros((3, 5), dtype=np.bool_)
    mask[0, 1] = mask[2, 4] = True
    # 01000 00000 00001, and one bit of padding
    assert mask_sha256(mask) == hashlib.sha256(b"3x5:" + bytes([0b01000000, 0b00000010])).hexdigest()
    assert mask_sha256(np.asfortranarray(mask)) == mask_sha256(mask)
    assert mask_sha256(mask.T.copy()) != mask_sha256(mask)
