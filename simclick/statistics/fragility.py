"""Agents' losses to noise against each other, paired by case and by draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from simclick.statistics.bootstrap import mean_intervals
from simclick.statistics.comparison import corrected, sign_flip
from simclick.statistics.robustness import dose_area, outcome_tables, places
from simclick.statistics.summary import group_codes

__all__ = ["fragility_pairs"]

_CASE = ["dataset", "case_id", "group"]
_BOARD = ["protocol", "protocol_digest", "noise"]
_FAMILY = (*_BOARD, "level", "subset", "subset_value", "outcome", "statistic")
_COLUMNS = (
    *_FAMILY,
    *("unit", "agent_a", "agent_digest_a", "agent_b", "agent_digest_b"),
    *("value_a", "value_b", "difference", "low", "high", "p", "p_holm", "n_cases", "n_groups", "note"),
)


def fragility_pairs(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Return, for all pairs of agents, how much more one loses to noise than the other.

    Two agents meet under one protocol digest and noise on the cases that both have at all levels, and on the
    repeats that both have: these are the same draws. ``statistic`` is ``mean`` (Dice under noise), ``drop``
    and ``dose_area`` as in `simclick.statistics.robustness`; ``difference`` is a's less b's, the mean over
    cases. Interval (symmetric), test (`sign_flip`) and Holm's correction are those of
    `simclick.statistics.compare`; a family are all pairs of one level, outcome and statistic.

    Args:
        episodes: Rows of ``episodes`` tables.
        steps: Rows of ``steps`` tables.
        budget: The budget, or one per protocol id.
        seed: Seed of resamples and sign patterns.

    Returns:
        Columns: ``protocol protocol_digest noise level`` (NaN for ``dose_area``); ``subset subset_value
        outcome statistic unit`` as in `robustness_table`; ``agent_a agent_digest_a agent_b agent_digest_b``
        (a before b in the alphabet); ``value_a value_b difference low high p p_holm n_cases n_groups note``.
        No rows without level 0 and another one, or without a common case.

    Raises:
        StoreError: When the tables do not fit each other.
        ConfigError: When a protocol has no budget.
    """
    rows: list[dict[str, Any]] = []
    for _, outcomes, table in outcome_tables(episodes, steps, budget):
        for place, part in places(table, _BOARD):
            for outcome in outcomes:
                rows += [{**place, "outcome": outcome, **row} for row in _pairs(part, outcome, seed)]
    return corrected(pd.DataFrame(rows, columns=list(_COLUMNS)), _FAMILY)


def _pairs(board: pd.DataFrame, outcome: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of all pairs of agents of one outcome."""
    wide = {
        agent: rows.pivot_table(index=_CASE, columns=["level", "repeat"], values=outcome, sort=True)
        for agent, rows in board.groupby(["agent", "agent_digest"], sort=True, dropna=False)
    }
    for (a, one), (b, two) in combinations(wide.items(), 2):
        cases, draws = one.index.intersection(two.index, sort=True), one.columns.intersection(two.columns)
        one, two = one.loc[cases, draws], two.loc[cases, draws]
        both = one.notna() & two.notna()
        mean_a, mean_b = (_means(values.where(both)) for values in (one, two))
        if mean_a.empty or 0.0 not in mean_a.columns or mean_a.shape[1] < 2:
            continue
        who = {"agent_a": a[0], "agent_digest_a": a[1], "agent_b": b[0], "agent_digest_b": b[1]}
        for row in _rows(mean_a, mean_b, seed):
            yield {**who, **row}


def _means(values: pd.DataFrame) -> pd.DataFrame:
    """Average over repeats: a column per level, the cases that have all levels."""
    return values.T.groupby(level="level").mean().T.dropna()


def _rows(mean_a: pd.DataFrame, mean_b: pd.DataFrame, seed: int) -> Iterator[dict[str, Any]]:
    levels = mean_a.columns.to_numpy(dtype=np.float64)
    a, b = mean_a.to_numpy(dtype=np.float64), mean_b.to_numpy(dtype=np.float64)
    drop_a, drop_b = a[:, :1] - a, b[:, :1] - b
    names = [("mean", level) for level in levels] + [("drop", level) for level in levels[1:]]
    names.append(("dose_area", np.nan))
    values_a = np.column_stack([a, drop_a[:, 1:], dose_area(drop_a, levels)])
    values_b = np.column_stack([b, drop_b[:, 1:], dose_area(drop_b, levels)])
    difference = values_a - values_b
    groups = group_codes(mean_a.index.to_frame(index=False))
    bounds = [(-1.0, 1.0) if name == "mean" else (-2.0, 2.0) for name, _ in names]
    intervals = mean_intervals(difference, groups, bounds=bounds, symmetric=True, seed=seed)
    sums = np.stack([np.bincount(groups, column) for column in difference.T], axis=1).astype(np.float64)
    p = sign_flip(sums, seed)
    for k, ((statistic, level), interval) in enumerate(zip(names, intervals, strict=True)):
        yield {
            "level": level,
            "statistic": statistic,
            "unit": "dice",
            "value_a": values_a[:, k].mean(),
            "value_b": values_b[:, k].mean(),
            "difference": interval.value,
            "low": interval.low,
            "high": interval.high,
            "p": float(p[k]),
            "n_cases": interval.n_cases,
            "n_groups": interval.n_groups,
            "note": interval.note,
        }
