"""The numbers behind the charts of a board."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simclick.leaderboard.boards import Board, Method
from simclick.leaderboard.charts import front
from simclick.leaderboard.tables import BRACKETS, DECLARED, board_title, meta_cells
from simclick.report.grid import Column, Grid, Row, Value

__all__ = ["front_grid", "shares_grid"]


def front_grid(board: Board) -> Grid:
    """Return quality beside declared cost, and which methods no other beats in both."""
    columns = (
        Column("outcome", board.outcome_words, "dice"),
        Column("seconds", "s per prompt", "seconds", marks=(DECLARED,)),
        Column("parameters", "parameters, 10⁶", "clicks", marks=(DECLARED,)),
        Column("front", "on the front", "text"),
    )
    cells = [
        {"outcome": board.outcome(p.name), **meta_cells(board, board.methods[p.name])} for p in board.places
    ]
    on = set(front([(row["seconds"].value, row["outcome"].value) for row in cells]))
    rows = []
    for i, (place, row) in enumerate(zip(board.places, cells, strict=True)):
        kept = {key: row[key] for key in ("outcome", "seconds", "parameters")}
        kept["front"] = Value(text="yes" if i in on else "no")
        method = board.methods[place.name]
        rows.append(Row(method.label, kept, board.marks(place.name)))
    title = f"Quality against cost: {board_title(board)}"
    return Grid(f"{board.key}-cost", title, "method", columns, tuple(rows), (BRACKETS,))


def shares_grid(board: Board, methods: Sequence[Method], shares: NDArray[np.float64]) -> Grid:
    """Return how often each method has each rank when groups are drawn anew."""
    ranks = range(1, len(methods) + 1)
    over = "share of resamples with rank …"
    columns = (
        Column("interval", "rank interval", "text"),
        *(Column(f"rank@{r}", str(r), "share", over) for r in ranks),
    )
    rows = []
    for method, line in zip(methods, shares, strict=True):
        cells = {f"rank@{r}": Value(float(line[r - 1])) for r in ranks}
        cells["interval"] = Value(text=board.place[method.slug].text)
        rows.append(Row(method.label, cells, board.marks(method.slug)))
    title = f"Ranks when groups are drawn anew: {board_title(board)}"
    note = "1,999 resamples of groups. A picture of chance, not a test: ranks come from the tests alone."
    return Grid(f"{board.key}-ranks", title, "method", columns, tuple(rows), (note,))
