"""How much a ranking of agents hangs on annotator and noise.

A *condition* is a protocol, its noise and one level. Agents are ranked in it by a mean over the cases that
all agents have under all conditions (higher is better; equal means share a rank). Two rankings are compared
by Kendall's τ-b. Whole groups are resampled, the same ones for all agents and conditions:

* ``swap``: the share of resamples in which the second agent of a condition is before its first (ties half);
* the interval of τ-b: percentiles of the resamples. τ takes few values with few agents, so it is coarse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.statistics.bootstrap import percentile_interval
from simclick.statistics.measures import episode_table
from simclick.statistics.resampling import resampled_means
from simclick.statistics.summary import DECIMALS, group_codes

__all__ = ["CONDITION", "Sensitivity", "kendall_tau_b", "ranking_sensitivity"]

CONDITION = ("protocol", "noise", "level")
_CASE = ["dataset", "case_id", "group"]


@dataclass(frozen=True)
class Sensitivity:
    """How a ranking changes.

    Attributes:
        ranks: A row per condition and agent: ``value`` (the mean), ``rank`` (1 is best), ``n_cases
            n_groups``.
        swaps: A row per condition: ``first second swap n_cases n_groups``.
        pairs: A row per two conditions: ``tau low high swapped n_cases n_groups note``; ``swapped``: the
            share of resamples in which the two that lead the first condition stand the other way round in the
            second.
    """

    ranks: pd.DataFrame
    swaps: pd.DataFrame
    pairs: pd.DataFrame


def ranking_sensitivity(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    outcome: str = "area",
    *,
    seed: int = 0,
) -> Sensitivity | None:
    """Return how the ranking changes, or None with fewer than two agents or without a common case.

    Args:
        episodes: Rows of ``episodes`` tables.
        steps: Rows of ``steps`` tables.
        budget: The budget, or one per protocol id.
        outcome: ``area``, ``final_dice`` or ``dice@1``.
        seed: Seed of the resamples.
    """
    table = episode_table(episodes, steps, budget, (), (1,))
    wide = table.pivot_table(index=_CASE, columns=[*CONDITION, "agent"], values=outcome, aggfunc="mean")
    agents = sorted(table["agent"].unique())
    conditions = sorted(set(zip(*(table[c] for c in CONDITION), strict=True)))
    conditions = [c for c in conditions if all((*c, agent) in wide.columns for agent in agents)]
    wide = wide[[(*c, agent) for c in conditions for agent in agents]].dropna()
    if len(agents) < 2 or not conditions or wide.empty:
        return None
    codes = group_codes(wide.reset_index()[_CASE].droplevel([1, 2, 3], axis=1) if wide.columns.nlevels > 1
                        else wide.reset_index())  # fmt: skip
    values = wide.to_numpy(dtype=np.float64).reshape(len(wide), len(conditions), len(agents))
    means, resampled = _resampled(values, codes, seed)
    n = {"n_cases": len(wide), "n_groups": int(codes.max()) + 1}
    return Sensitivity(
        _ranks(means, conditions, agents, n),
        _swaps(means, resampled, conditions, agents, n),
        _pairs(means, resampled, conditions, n),
    )


def kendall_tau_b(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Kendall's τ-b of each two rows.

    Args:
        a: Float64[B, n].
        b: Float64[B, n].

    Returns:
        Float64[B]; NaN where all values of a row are equal.
    """
    i, j = np.triu_indices(a.shape[1], 1)
    x, y = np.sign(a[:, i] - a[:, j]), np.sign(b[:, i] - b[:, j])
    untied = np.sqrt(np.abs(x).sum(axis=1) * np.abs(y).sum(axis=1))
    out = np.full(len(a), np.nan)
    np.divide((x * y).sum(axis=1), untied, out=out, where=untied > 0)
    return out


def _resampled(
    values: NDArray[np.float64], codes: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means Float64[C, A], and Float64[B, C, A] in each resample of groups."""
    # Rounded, so that means that are equal but for rounding tie.
    return values.mean(axis=0).round(12), resampled_means(values, codes, seed=seed).round(12)


def _ranks(
    means: NDArray[np.float64],
    conditions: Sequence[tuple[object, ...]],
    agents: Sequence[str],
    n: dict[str, int],
) -> pd.DataFrame:
    rows = []
    for condition, line in zip(conditions, means, strict=True):
        where = dict(zip(CONDITION, condition, strict=True))
        for agent, value in zip(agents, line, strict=True):
            better, equal = int((line > value).sum()), int((line == value).sum())
            rank = better + (equal + 1) / 2
            rows.append({**where, "agent": agent, "value": round(float(value), DECIMALS), "rank": rank, **n})
    return pd.DataFrame(rows)


def _leaders(line: NDArray[np.float64]) -> tuple[int, int]:
    order = np.argsort(-line, kind="stable")
    return int(order[0]), int(order[1])


def _before(resampled: NDArray[np.float64], a: int, b: int) -> float:
    """Return the share of resamples in which agent a is before agent b; ties count half."""
    ahead = resampled[:, a] - resampled[:, b]
    return float(np.mean((ahead > 0) + 0.5 * (ahead == 0)))


def _swaps(
    means: NDArray[np.float64],
    resampled: NDArray[np.float64],
    conditions: Sequence[tuple[object, ...]],
    agents: Sequence[str],
    n: dict[str, int],
) -> pd.DataFrame:
    rows = []
    for k, condition in enumerate(conditions):
        first, second = _leaders(means[k])
        swap = _before(resampled[:, k], second, first)
        where = dict(zip(CONDITION, condition, strict=True))
        rows.append({**where, "first": agents[first], "second": agents[second], "swap": swap, **n})
    return pd.DataFrame(rows)


def _pairs(
    means: NDArray[np.float64],
    resampled: NDArray[np.float64],
    conditions: Sequence[tuple[object, ...]],
    n: dict[str, int],
) -> pd.DataFrame:
    rows = []
    for a, b in combinations(range(len(conditions)), 2):
        value = float(kendall_tau_b(means[a][None], means[b][None])[0])
        found = percentile_interval(
            value, kendall_tau_b(resampled[:, a], resampled[:, b]), n["n_cases"], n["n_groups"]
        )
        first, second = _leaders(means[a])
        named = {f"{name}_a": v for name, v in zip(CONDITION, conditions[a], strict=True)}
        named |= {f"{name}_b": v for name, v in zip(CONDITION, conditions[b], strict=True)}
        swapped = _before(resampled[:, b], second, first)
        rows.append(
            {**named, "tau": found.value, "low": found.low, "high": found.high, "swapped": swapped,
             **n, "note": found.note}
        )  # fmt: skip
    columns = [f"{name}_{s}" for s in "ab" for name in CONDITION]
    return pd.DataFrame(rows, columns=[*columns, "tau", "low", "high", "swapped", *n, "note"])
