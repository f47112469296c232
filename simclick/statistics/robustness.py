"""What noise on prompts costs: per agent, noise and level, paired with the same cases at level 0.

Values of an episode are ``dice@1``, ``dice@B`` (B the budget) and ``area`` (mean Dice of costs 1 to B). With
x(c, r) the value of case c in repeat r at a level, x(c) its mean over repeats and x0(c) the mean at level 0:

=================  ==========================================================================================
``mean``           mean over cases of x(c): Dice under noise, what one ranks on
``drop``           mean of x0(c) - x(c)
``retention``      mean of x(c) / x0(c) over cases with x0(c) ≥ 0.1: an agent that always fails is not robust
``not_retained``   share of cases with x0(c) < 0.1, which `retention` leaves out
``sd``             mean over cases of the standard deviation over repeats (n - 1)
``worst_repeat``   mean over cases of the smallest x(c, r)
``worst_tenth``    mean of the worst tenth of all episodes: q + mean(min(x - q, 0)) / 0.1 with q the value's
                   10 % quantile (Rockafellar & Uryasev 2000), a mean over cases for given q
``large_loss``     share of episodes that lose more than 0.1 against x0(c)
``noc_change@τ``   mean change of the clicks to Dice τ (capped at the budget)
``failed``         share of episodes that failed
``dose_area``      mean of the area under the drop over levels 0 to the largest (trapezoids), divided by that
                   level: the average drop over doses
``passes@0.05``    the level at which the mean drop passes 0.05, linear between levels; infinite where it does
                   not within the levels
=================  ==========================================================================================

Intervals are studentised bootstraps over groups (`simclick.statistics.bootstrap`), of ``passes`` the
percentiles of the resampled level; none under 8 groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.statistics.bootstrap import (
    RESAMPLES,
    Interval,
    mean_intervals,
    percentile_interval,
    resampled_groups,
)
from simclick.statistics.measures import CELL, budget_of, episode_table
from simclick.statistics.summary import DECIMALS, group_codes

__all__ = ["LARGE", "LEAST_BASE", "PASSED", "TAIL", "robustness_table"]

LEAST_BASE = 0.1
"""A case with less at level 0 has no retention."""
LARGE = 0.1
"""A loss of more than this is large."""
TAIL = 0.1
"""Share of the worst episodes."""
PASSED = 0.05
"""The drop whose level is sought."""
THRESHOLDS = (0.80, 0.85, 0.90)

_AGENT = [column for column in CELL if column != "level"]
_CASE = ["dataset", "case_id", "group"]
_COLUMNS = (
    *CELL,
    *("subset", "subset_value", "outcome", "statistic", "unit", "value", "low", "high"),
    *("n_cases", "n_groups", "note"),
)
_SHARE = (0.0, 1.0)


def robustness_table(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row per cell, subset, outcome and statistic (see the module).

    Args:
        episodes: Rows of ``episodes`` tables.
        steps: Rows of ``steps`` tables.
        budget: The budget, or one per protocol id.
        seed: Seed of the resamples.

    Returns:
        Columns: the cell (``level`` is NaN for ``dose_area`` and ``passes``); ``subset`` (``all``, or
        ``dataset`` where there are several) and ``subset_value``; ``outcome``; ``statistic``; ``unit``;
        ``value low high n_cases n_groups note``. Cells of a noise without level 0 have no paired numbers;
        protocols with one level have the unpaired ones.

    Raises:
        StoreError: When the tables do not fit each other.
        ConfigError: When a protocol has no budget.
    """
    rows: list[dict[str, Any]] = []
    for protocol in sorted(episodes["protocol"].unique()):
        limit = budget_of(budget, protocol)
        table = episode_table(
            episodes[episodes["protocol"] == protocol],
            steps[steps["protocol"] == protocol],
            limit,
            THRESHOLDS,
            sorted({1, limit}),
        )
        outcomes = [*dict.fromkeys(["dice@1", f"dice@{limit}"]), "area"]
        for values, mine in table.groupby(_AGENT, sort=True, dropna=False):
            where = dict(zip(_AGENT, values, strict=True))
            for subset, name, part in _subsets(mine):
                place = {**where, "subset": subset, "subset_value": name}
                for outcome in outcomes:
                    rows += [{**place, "outcome": outcome, **row} for row in _levels(part, outcome, seed)]
                rows += [{**place, **row} for row in _unpaired(part, limit, seed)]
    found = pd.DataFrame(rows, columns=list(_COLUMNS))
    numbers = ["value", "low", "high"]
    found[numbers] = found[numbers].astype(np.float64).round(DECIMALS)
    return found


def _subsets(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    yield "all", "", table
    names = sorted(table["dataset"].unique())
    if len(names) > 1:
        for name in names:
            yield "dataset", name, table[table["dataset"] == name]


def _wide(table: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Return case means per level, NaN where a case lacks a level; columns are levels, ascending."""
    return table.pivot_table(index=_CASE, columns="level", values=outcome, aggfunc="mean", sort=True)


def _levels(table: pd.DataFrame, outcome: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of one agent, noise and outcome, over its levels."""
    means = _wide(table, outcome)
    groups = group_codes(means.reset_index())
    base = means[0.0].to_numpy() if 0.0 in means.columns else None
    for level in means.columns:
        at = table[table["level"] == level]
        columns = _of_level(at, means[level], base, outcome)
        names = list(columns)
        values = np.stack([columns[name][0] for name in names], axis=1)
        plain = mean_intervals(values, groups, bounds=[columns[n][2] for n in names], seed=seed)
        even = mean_intervals(
            values, groups, bounds=[columns[n][2] for n in names], symmetric=True, seed=seed
        )
        for name, one, other in zip(names, plain, even, strict=True):
            # Paired differences are nearly symmetric and have heavy tails.
            found = other if name == "drop" else one
            yield {"level": level, "statistic": name, "unit": columns[name][1], **vars(found)}
    if base is not None and len(means.columns) > 1:
        yield from _doses(means, base, groups, seed)


def _of_level(
    at: pd.DataFrame, mean: pd.Series[Any], base: NDArray[np.float64] | None, outcome: str
) -> dict[str, tuple[NDArray[np.float64], str, tuple[float, float]]]:
    """Return a value per case of each statistic of one level, with unit and bounds."""
    order = mean.index
    grouped = at.groupby(_CASE)[outcome]
    x = mean.to_numpy(dtype=np.float64)
    worst = grouped.min().reindex(order).to_numpy(dtype=np.float64)
    spread = grouped.std(ddof=1).reindex(order).to_numpy(dtype=np.float64)
    q = float(np.quantile(at[outcome], TAIL, method="inverted_cdf"))
    short = (at[outcome] - q).clip(upper=0.0).groupby([at[c] for c in _CASE]).mean().reindex(order)
    tail = q + short.to_numpy(dtype=np.float64) / TAIL
    columns = {
        "mean": (x, "dice", _SHARE),
        "sd": (spread, "dice", _SHARE),
        "worst_repeat": (worst, "dice", _SHARE),
        "worst_tenth": (tail, "dice", _SHARE),
    }
    if base is None:
        return columns
    kept = base >= LEAST_BASE
    known = pd.Series(base, index=order)
    lost = known.reindex(pd.MultiIndex.from_frame(at[_CASE])).to_numpy() - at[outcome].to_numpy()
    large = pd.Series(np.where(np.isnan(lost), np.nan, lost > LARGE), index=at.index)
    shares = large.groupby([at[c] for c in _CASE]).mean().reindex(order).to_numpy(dtype=np.float64)
    ratio = np.full(len(x), np.nan)
    ratio[kept] = x[kept] / base[kept]
    return {
        **columns,
        "drop": (base - x, "dice", (-1.0, 1.0)),
        "retention": (ratio, "share", (0.0, np.inf)),
        "not_retained": (np.where(np.isnan(base), np.nan, ~kept), "share", _SHARE),
        "large_loss": (shares, "share", _SHARE),
    }


def _doses(
    means: pd.DataFrame, base: NDArray[np.float64], groups: NDArray[np.int64], seed: int
) -> Iterator[dict[str, Any]]:
    """Yield what spans all levels: the area under the drop, and the level at which it passes."""
    levels = means.columns.to_numpy(dtype=np.float64)
    drops = base[:, None] - means.to_numpy(dtype=np.float64)
    whole = ~np.isnan(drops).any(axis=1)
    drops, groups = drops[whole], groups[whole]
    area = np.trapezoid(drops, levels, axis=1) / levels[-1]
    (found,) = mean_intervals(area[:, None], groups, bounds=[(-1.0, 1.0)], symmetric=True, seed=seed)
    yield {"level": np.nan, "statistic": "dose_area", "unit": "dice", **vars(found)}
    passes = _passing(drops, groups, levels, seed)
    yield {"level": np.nan, "statistic": f"passes@{PASSED:g}", "unit": "level", **vars(passes)}


def _passing(
    drops: NDArray[np.float64], groups: NDArray[np.int64], levels: NDArray[np.float64], seed: int
) -> Interval:
    """Return the level at which the mean drop passes `PASSED`, with the percentiles of its resamples."""
    if not len(drops):
        return Interval(np.nan, np.nan, np.nan, 0, 0, "no cases")
    _, codes = np.unique(groups, return_inverse=True)
    g = int(codes.max()) + 1
    sums = np.stack([np.bincount(codes, drops[:, k], g) for k in range(drops.shape[1])], axis=1)
    counts = np.bincount(codes, minlength=g).astype(np.float64)
    value = _level_of(drops.mean(axis=0)[None], levels)[0]
    blocks = [
        _level_of((weights @ sums) / (weights @ counts)[:, None], levels)
        for weights in resampled_groups(g, RESAMPLES, seed)
    ]
    return percentile_interval(float(value), np.concatenate(blocks), len(drops), g)


def _level_of(drops: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each row of mean drops the first level at which it reaches `PASSED`, or infinity."""
    out = np.full(len(drops), np.inf)
    for row, values in enumerate(drops):
        above = np.flatnonzero(values >= PASSED)
        if not len(above):
            continue
        k = int(above[0])
        if k == 0:
            out[row] = levels[0]
            continue
        share = (PASSED - values[k - 1]) / (values[k] - values[k - 1])
        out[row] = levels[k - 1] + share * (levels[k] - levels[k - 1])
    return out


def _unpaired(table: pd.DataFrame, limit: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the change of clicks to a Dice, and the share of failures, per level."""
    names: Sequence[str] = [f"noc@{tau:.2f}" for tau in THRESHOLDS]
    wide = {name: _wide(table, name) for name in (*names, "failed")}
    groups = group_codes(wide["failed"].reset_index())
    for level in wide["failed"].columns:
        columns, bounds, said = [wide["failed"][level].to_numpy()], [_SHARE], [("failed", "share")]
        for name in names:
            if 0.0 in wide[name].columns:
                columns.append((wide[name][level] - wide[name][0.0]).to_numpy())
                bounds.append((-float(limit), float(limit)))
                said.append((name.replace("noc", "noc_change"), "clicks"))
        values = np.stack(columns, axis=1).astype(np.float64)
        for (statistic, unit), found in zip(
            said, mean_intervals(values, groups, bounds=bounds, symmetric=True, seed=seed), strict=True
        ):
            yield {"level": level, "outcome": "episode", "statistic": statistic, "unit": unit, **vars(found)}
