"""Agents against each other, on the cases and repeats that both have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.seeding import words_of
from simclick.statistics.bootstrap import Interval, mean_intervals
from simclick.statistics.measures import COSTS, THRESHOLDS, Measure, by_protocol
from simclick.statistics.summary import DECIMALS, group_codes

__all__ = ["compare", "corrected", "holm", "sign_flip"]

EXACT_GROUPS = 12
"""Up to this many groups all sign patterns are tried."""

FLIPS = 9999
"""Random sign patterns for more groups."""

_COMPARED = ("noc", "nof", "dice", "area", "final_dice")
_FAMILY = ("protocol", "protocol_digest", "noise", "level", "subset", "subset_value", "statistic", "at")
_COLUMNS = (
    *_FAMILY,
    *("unit", "agent_a", "agent_digest_a", "agent_b", "agent_digest_b"),
    *("value_a", "value_b", "difference", "low", "high", "p", "p_holm", "n_cases", "n_groups", "note"),
)
_BOARD = ["protocol_digest", "noise", "level"]
_ALPHA = 0.05
_BLOCK = 2**20  # entries of a block of sign patterns: 8 MiB


def compare(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    thresholds: Sequence[float] = THRESHOLDS,
    costs: Sequence[int] = COSTS,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the paired differences between all pairs of agents.

    Two agents meet under one protocol digest, noise and level, on the cases and repeats that both
    have (also where an episode failed). Differences are averaged over repeats within a case, then
    over cases. The interval is the symmetric studentised bootstrap over groups; the test flips the
    signs of whole groups (`sign_flip`), corrected over all pairs of agents of one measure and
    subset (`holm`).

    Args:
        episodes: Rows of ``episodes`` tables.
        steps: Rows of ``steps`` tables.
        budget: The budget, or one per protocol id.
        thresholds: Dice targets of ``noc`` and ``nof``.
        costs: Costs of ``dice``.
        seed: Seed of resamples and sign patterns.

    Returns:
        Columns: ``protocol protocol_digest noise level``; ``subset`` (``all``, or ``dataset`` for each
        where there are several) and ``subset_value``; ``statistic at unit``; ``agent_a agent_digest_a
        agent_b agent_digest_b`` (a before b in the alphabet); ``value_a value_b`` on the common
        cases; ``difference`` (a - b) with ``low high``; ``p p_holm``; ``n_cases n_groups note``. A note
        says why an interval is missing, and where the groups are too few for any ``p_holm`` under
        0.05. A pair without a common case has no row.

    Raises:
        StoreError: When the tables do not fit each other.
        ConfigError: When a protocol has no budget.
    """
    rows: list[dict[str, Any]] = []
    for laid, wanted, table in by_protocol(episodes, steps, budget, thresholds, costs):
        compared = [m for m in wanted if m.statistic in _COMPARED]
        protocol = {"protocol": laid.episodes["protocol"].iloc[0]}
        for values, board in table.groupby(_BOARD, sort=True, dropna=False):
            where = protocol | dict(zip(_BOARD, values, strict=True))
            for subset, value, part in _parts(board):
                place = {**where, "subset": subset, "subset_value": value}
                rows += [{**place, **row} for row in _pairs(part, compared, seed)]
    return corrected(pd.DataFrame(rows, columns=list(_COLUMNS)), _FAMILY)


def sign_flip(sums: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Return the two-sided p of "no difference" by flipping the signs of whole groups.

    If neither agent is better, a group's sum of differences is as likely as its negative. p is the
    share of sign patterns whose total is at least as far from 0 as the one seen: of all ``2^G``
    patterns up to 12 groups, else of 9,999 random ones and the one seen.

    Args:
        sums: Float64[G, K], sum of the differences of each group, per measure.
        seed: Seed of the random patterns.

    Returns:
        Float64[K]; 1 where there is no difference at all.
    """
    seen = np.abs(sums.sum(axis=0))
    slack = 1e-9 * np.abs(sums).sum(axis=0)  # totals that are equal but for rounding count as equal
    as_far, tried = np.zeros(sums.shape[1]), 0
    for signs in _signs(len(sums), seed):
        as_far += np.count_nonzero(np.abs(signs @ sums) >= seen - slack, axis=0)
        tried += len(signs)
    return as_far / tried


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p values corrected for their number by Holm's step-down method (Holm 1979), Float64[m]."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(stepped, 1.0)
    return out


def _signs(g: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield blocks of sign patterns, Float64[b, g] of 1 and -1: one bit of a raw word per sign."""
    if g <= EXACT_GROUPS:
        yield np.where((np.arange(2**g)[:, None] >> np.arange(g)) & 1, -1.0, 1.0)
        return
    yield np.ones((1, g))
    words, per_pattern, step = words_of("sign flip", seed, g), -(-g // 64), max(1, _BLOCK // g)
    for start in range(0, FLIPS, step):
        b = min(step, FLIPS - start)
        raw = words.words(b * per_pattern).astype("<u8").view(np.uint8).reshape(b, -1)
        yield np.where(np.unpackbits(raw, axis=1, count=g, bitorder="little"), -1.0, 1.0)


def _parts(board: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    yield "all", "", board
    datasets = sorted(board["dataset"].unique())
    if len(datasets) > 1:
        for name in datasets:
            yield "dataset", str(name), board[board["dataset"] == name]


def _pairs(board: pd.DataFrame, compared: Sequence[Measure], seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row per pair of agents and measure."""
    names = [m.name for m in compared]
    by_agent = {
        agent: rows.set_index(["dataset", "case_id", "repeat"])
        for agent, rows in board.groupby(["agent", "agent_digest"], sort=True, dropna=False)
    }
    for (a, rows_a), (b, rows_b) in combinations(by_agent.items(), 2):
        common = rows_a.index.intersection(rows_b.index, sort=True)
        if len(common) == 0:
            continue
        one, two = rows_a.loc[common], rows_b.loc[common]
        case = ["dataset", "case_id"]
        mean_a = one[names].groupby(case, sort=True).mean()
        mean_b = two[names].groupby(case, sort=True).mean()
        difference = mean_a - mean_b
        first = one.groupby(case, sort=True)["group"].first().reset_index()
        groups = group_codes(first)
        spans = [m.bounds[1] - m.bounds[0] for m in compared]
        values = difference.to_numpy(dtype=np.float64)
        intervals = mean_intervals(
            values, groups, bounds=[(-span, span) for span in spans], symmetric=True, seed=seed
        )
        sums = np.stack([np.bincount(groups, column) for column in values.T], axis=1).astype(np.float64)
        who = {"agent_a": a[0], "agent_digest_a": a[1], "agent_b": b[0], "agent_digest_b": b[1]}
        for m, interval, p in zip(compared, intervals, sign_flip(sums, seed), strict=True):
            means = {"value_a": mean_a[m.name].mean(), "value_b": mean_b[m.name].mean()}
            yield {**_row(m, interval), **who, **means, "p": float(p)}


def _row(m: Measure, interval: Interval) -> dict[str, Any]:
    return {
        "statistic": m.statistic,
        "at": math.nan if m.at is None else float(m.at),
        "unit": m.unit,
        "difference": interval.value,
        "low": interval.low,
        "high": interval.high,
        "n_cases": interval.n_cases,
        "n_groups": interval.n_groups,
        "note": interval.note,
    }


def corrected(table: pd.DataFrame, family: Sequence[str]) -> pd.DataFrame:
    """Add Holm's correction, and say where no pair could have been significant.

    Args:
        table: Pairs of agents: ``value_a value_b difference low high p p_holm n_groups note``; changed in
            place.
        family: Columns that name a family: the pairs that are corrected for each other.

    Returns:
        The table, numbers rounded.
    """
    numbers = ["value_a", "value_b", "difference", "low", "high", "p", "p_holm"]
    table[numbers] = table[numbers].astype(np.float64)
    for _, rows in table.groupby(list(family), sort=False, dropna=False):
        table.loc[rows.index, "p_holm"] = holm(rows["p"].to_numpy())
        pairs = zip(rows["note"], rows["n_groups"].astype(int), strict=True)
        notes = [_note(str(note), n_groups, len(rows)) for note, n_groups in pairs]
        table.loc[rows.index, "note"] = notes
    table[numbers] = table[numbers].round(DECIMALS)
    return table


def _note(note: str, n_groups: int, pairs: int) -> str:
    """Add to a note that the smallest possible p, corrected, is not under 0.05, where that is so."""
    smallest = 0.5 ** (n_groups - 1) if n_groups <= EXACT_GROUPS else 1 / (FLIPS + 1)
    if pairs * smallest < _ALPHA:
        return note
    few = f"{n_groups} group{'s' * (n_groups != 1)} and {pairs} pair{'s' * (pairs != 1)} of agents"
    return "; ".join(filter(None, [note, f"{few}: no difference can be significant"]))
