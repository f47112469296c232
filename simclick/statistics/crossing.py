"""After how many interactions one agent overtakes another.

For agents A and B, d(c) is the mean over common cases of D_A(c) - D_B(c), c from 1 to the budget. The one
that is ahead at the first cost at which they differ is the *leader*. The other overtakes at the smallest cost
from which on it is ahead up to the budget's end; a lead that is lost again is no overtaking. Where it never
is, the crossing is infinite (censored at the budget). The interval is that of the percentiles of the same
number in 1,999 resamples of whole groups, with the leader of the sample; ``never`` is the share of resamples
without an overtaking.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.statistics.bootstrap import Interval, mean_intervals, percentile_interval
from simclick.statistics.measures import by_protocol
from simclick.statistics.resampling import resampled_means
from simclick.statistics.summary import DECIMALS, group_codes

__all__ = ["crossing_interval", "crossing_table", "difference_curves", "overtaking"]

_BOARD = ["protocol", "protocol_digest", "noise", "level"]
_CASE = ["dataset", "case_id", "group"]


def overtaking(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cost from which on the difference stays negative, or infinity.

    Args:
        differences: Float64[B, budget], leader minus other at costs 1, 2, ….
    """
    behind = differences < 0
    # From the right: how many costs up to the end are all behind.
    run = np.cumprod(behind[:, ::-1], axis=1).sum(axis=1)
    return np.where(run > 0, differences.shape[1] - run + 1, np.inf)


def crossing_interval(
    differences: NDArray[np.float64], groups: NDArray[np.int64], *, seed: int = 0
) -> tuple[Interval, float]:
    """Return the crossing of two agents with its interval, and the share of resamples without one.

    Args:
        differences: Float64[n, budget], leader minus other of each case at costs 1, 2, ….
        groups: Int64[n], the number of each case's group, from 0 without gaps.
        seed: Seed of the resamples.
    """
    value = float(overtaking(differences.mean(axis=0)[None].round(12))[0])
    costs = overtaking(resampled_means(differences, groups, seed=seed).round(12))
    found = percentile_interval(value, costs, len(differences), int(groups.max()) + 1)
    return found, float(np.isinf(costs).mean()) if not found.note else np.nan


def crossing_table(
    episodes: pd.DataFrame, steps: pd.DataFrame, budget: int | Mapping[str, int], *, seed: int = 0
) -> pd.DataFrame:
    """Return one row per board and pair of agents.

    Returns:
        Columns: ``protocol protocol_digest noise level leader other value low high never n_cases n_groups
        note``; ``value`` is the crossing in clicks. Pairs that never differ have no row.
    """
    rows: list[dict[str, Any]] = []
    for where, a, b, table, codes in _pairs(episodes, steps, budget):
        difference = (a - b).round(12)
        mean = difference.mean(axis=0).round(12)
        apart = np.flatnonzero(mean[1:])
        if not len(apart):
            continue
        names = (table["agent_a"], table["agent_b"])
        if mean[1 + apart[0]] < 0:
            difference, mean, names = -difference, -mean, names[::-1]
        found, never = crossing_interval(difference[:, 1:], codes, seed=seed)
        rows.append(
            {**where, "leader": names[0], "other": names[1], **vars(found), "never": round(never, DECIMALS)}
        )
    columns = [*_BOARD, "leader", "other", "value", "low", "high", "never", "n_cases", "n_groups", "note"]
    return pd.DataFrame(rows, columns=columns)


def difference_curves(
    episodes: pd.DataFrame, steps: pd.DataFrame, budget: int | Mapping[str, int], *, seed: int = 0
) -> pd.DataFrame:
    """Return d(c) of every pair with its pointwise 95 % band: columns of the board, ``agent_a agent_b cost
    value low high n_cases n_groups note``; a before b in the alphabet.
    """
    rows: list[dict[str, Any]] = []
    for where, a, b, table, codes in _pairs(episodes, steps, budget):
        found = mean_intervals(a - b, codes, bounds=[(-1.0, 1.0)] * a.shape[1], symmetric=True, seed=seed)
        rows += [{**where, **table, "cost": cost, **vars(one)} for cost, one in enumerate(found)]
    columns = [*_BOARD, "agent_a", "agent_b", "cost", "value", "low", "high", "n_cases", "n_groups", "note"]
    out = pd.DataFrame(rows, columns=columns)
    out[["value", "low", "high"]] = out[["value", "low", "high"]].astype(np.float64).round(DECIMALS)
    return out


def _pairs(episodes: pd.DataFrame, steps: pd.DataFrame, budget: int | Mapping[str, int]) -> Any:
    """Yield each board's pairs of agents: where, curves Float64[cases, budget + 1] of both, names, groups."""
    for laid, _, _ in by_protocol(episodes, steps, budget, (), ()):
        curve = laid.curve("dice")
        values = pd.DataFrame(curve)
        keys = [laid.episodes[column] for column in (*_BOARD, "agent", *_CASE)]
        means = values.groupby(keys, sort=True, dropna=False).mean()
        for board, mine in means.groupby(level=list(range(4)), dropna=False):
            where = dict(zip(_BOARD, board, strict=True))
            mine = mine.droplevel(list(range(4)))
            agents = sorted(mine.index.get_level_values(0).unique())
            for one, other in combinations(agents, 2):
                a, b = mine.loc[one], mine.loc[other]
                common = a.index.intersection(b.index)
                if not len(common):
                    continue
                codes = group_codes(common.to_frame(index=False))
                names = {"agent_a": one, "agent_b": other}
                yield where, a.loc[common].to_numpy(), b.loc[common].to_numpy(), names, codes
