"""The tidy tables: every number of every board, one per row."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from simclick.report.boards import Board

__all__ = ["tidy_curves", "tidy_pairs", "tidy_summary"]


def tidy_summary(boards: Sequence[Board]) -> pd.DataFrame:
    """Return every number of every board, one per row; ``dataset`` and ``seed`` come first."""
    return _tidy(boards, [board.numbers.table for board in boards])


def tidy_curves(boards: Sequence[Board]) -> pd.DataFrame:
    """Return the points of every curve of every board, one per row."""
    return _tidy(boards, [board.curves for board in boards])


def tidy_pairs(boards: Sequence[Board]) -> pd.DataFrame:
    """Return every paired difference of every board, one per row."""
    return _tidy(boards, [board.pairs for board in boards])


def _tidy(boards: Sequence[Board], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    parts = []
    for board, table in zip(boards, tables, strict=True):
        part = table.copy()
        part.insert(0, "board", board.dataset or "(all)")
        part.insert(1, "seed", board.section.seed)
        parts.append(part)
    filled = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame()
    whole: pd.DataFrame = pd.concat(filled or parts, ignore_index=True)
    return whole
