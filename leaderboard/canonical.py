"""One content, one table: the form of rows, beyond their types.

Two versions of pyarrow may write the same rows as different bytes, so a reader cannot ask for bytes. It
asks for the one form of the *content*: rows in order of their key, no key twice, no NaN (a missing
number is a null) and no negative zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simclick.leaderboard.limits import RefusedError

__all__ = ["check_numbers", "check_order"]

_OWN = frozenset({"score"})
"""Numbers of the method's own, taken as they are: a score may be -0.0."""


def check_numbers(table: pa.Table, where: str) -> None:
    """Refuse NaN in any column, and −0.0 in all but the scores.

    Raises:
        RefusedError: Naming the column.
    """
    for name in table.column_names:
        column = table[name]
        if not pa.types.is_floating(column.type):
            continue
        values = column.drop_null().to_numpy()
        if np.isnan(values).any():
            raise RefusedError(f"{where}: {name} holds NaN; what is missing is a null")
        if name not in _OWN and (np.signbit(values) & (values == 0)).any():
            raise RefusedError(f"{where}: {name} holds -0.0; zero is 0.0")


def check_order(table: pa.Table, keys: Sequence[str], where: str) -> None:
    """Refuse rows that do not rise strictly by their keys: texts by their bytes, numbers by value.

    Args:
        table: The rows; no key is null.
        keys: The columns of the key, first the most significant; none: any order.
        where: What to call the table in an error.

    Raises:
        RefusedError: When a row does not come after the one before it; says which of the two it is.
    """
    if table.num_rows < 2 or not keys:
        return
    n = table.num_rows - 1
    equal, less = np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    for key in keys:
        column = table[key].combine_chunks()
        a, b = column.slice(0, n), column.slice(1)
        less |= equal & pc.less(a, b).to_numpy(zero_copy_only=False)
        equal &= pc.equal(a, b).to_numpy(zero_copy_only=False)
    if equal.any():
        raise RefusedError(f"{where}: row {int(np.argmax(equal)) + 1} has the key of the row before it")
    if not less.all():
        raise RefusedError(f"{where}: row {int(np.argmin(less)) + 1} is out of order ({', '.join(keys)})")
