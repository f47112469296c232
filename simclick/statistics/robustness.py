"""What noise on prompts costs: per agent, noise and level, paired with the same cases at level 0.

Values of an episode (*outcomes*) are ``dice@F`` (F the cost of the first prompt: 1 for a click), ``dice@B``
(B the budget) and ``area`` (mean Dice of costs 1 to B). With x(c, r) the value of case c in repeat r at a
level, x(c) its mean over repeats, and x0(c) the mean at level 0 (which may have one repeat, since its draws
move nothing):

=================  ==========================================================================================
``mean``           mean over cases of x(c): Dice under noise, what one ranks on
``drop``           mean of x0(c) - x(c)
``retention``      mean of x(c) / x0(c) over cases with x0(c) ≥ 0.1: an agent that always fails is not robust
``not_retained``   share of cases with x0(c) < 0.1, which `retention` leaves out
``sd``             mean over cases of the standard deviation over repeats (n - 1); cases with one have none
``worst_repeat``   mean over cases of the smallest x(c, r); falls with the number of repeats
``worst_tenth``    mean of the worst tenth of all episodes, each case weighing the same:
                   q + mean(min(x - q, 0)) / 0.1 with q the value's 10 % quantile (Rockafellar & Uryasev
                   2000); for given q a mean over cases, and to first order q's own error does not matter
``large_loss``     mean over cases of the share of repeats that lose more than 0.1 against x0(c)
``noc_change@τ``   mean change of the clicks to Dice τ (a target never reached counts as the budget)
``failed``         share of episodes that failed, mean over cases
``dose_area``      mean of the area under the drop over levels 0 to the largest (trapezoids), divided by that
                   level: the average drop over doses
``passes@0.05``    the lowest level at which the mean drop reaches 0.05, linear between levels; infinite, and
                   the note says so, where it does not within the levels
=================  ==========================================================================================

Paired numbers rest on the cases that have both levels; ``dose_area`` and ``passes`` on those that have all.
Intervals are studentised bootstraps over groups (`simclick.statistics.bootstrap`), symmetric for differences,
equal-tailed else. That of ``passes`` is read off the drop's: from where its upper end reaches 0.05 to where
its lower end does, linear between levels. None under 8 groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.statistics.bootstrap import MIN_GROUPS, Interval, mean_intervals
from simclick.statistics.measures import CELL, budget_of, episode_table
from simclick.statistics.summary import DECIMALS, group_codes

__all__ = [
    "LARGE",
    "LEAST_BASE",
    "PASSED",
    "TAIL",
    "dose_area",
    "outcome_tables",
    "places",
    "robustness_table",
]

LEAST_BASE = 0.1
"""A case with less at level 0 has no retention."""
LARGE = 0.1
"""A loss of more than this is large."""
TAIL = 0.1
"""Share of the worst episodes."""
PASSED = 0.05
"""The drop whose level is sought."""
THRESHOLDS = (0.80, 0.85, 0.90)
"""Dice targets of the change of clicks."""

_AGENT = [column for column in CELL if column != "level"]
_CASE = ["dataset", "case_id", "group"]
_COLUMNS = (
    *CELL,
    *("subset", "subset_value", "outcome", "statistic", "unit", "value", "low", "high"),
    *("n_cases", "n_groups", "note"),
)
_SHARE = (0.0, 1.0)
_CHANGE = (-1.0, 1.0)
_ROUNDING = 1e-12

_Float: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class _Column:
    """A statistic that is a mean over cases.

    Attributes:
        name: Its name.
        unit: ``dice``, ``share`` or ``clicks``.
        values: Float64[n], one per case, NaN where a case has none.
        bounds: Smallest and largest value that the mean can take.
        symmetric: Whether its interval is.
    """

    name: str
    unit: str
    values: _Float
    bounds: tuple[float, float] = _SHARE
    symmetric: bool = False


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
        ``dataset`` where there are several) and ``subset_value``; ``outcome`` (``episode`` for ``failed`` and
        ``noc_change``); ``statistic``; ``unit`` (``dice``, ``share``, ``clicks``, ``level``); ``value low
        high n_cases n_groups note``. A noise without level 0 has no paired numbers; one level has no
        ``dose_area`` and no ``passes``.

    Raises:
        StoreError: When the tables do not fit each other.
        ConfigError: When a protocol has no budget.
    """
    rows: list[dict[str, Any]] = []
    for limit, outcomes, table in outcome_tables(episodes, steps, budget):
        for place, part in places(table, _AGENT):
            for outcome in outcomes:
                rows += [{**place, "outcome": outcome, **row} for row in _levels(part, outcome, seed)]
            rows += [{**place, "outcome": "episode", **row} for row in _episodes(part, limit, seed)]
    found = pd.DataFrame(rows, columns=list(_COLUMNS))
    numbers = ["value", "low", "high"]
    found[numbers] = found[numbers].astype(np.float64).round(DECIMALS)
    return found


def outcome_tables(
    episodes: pd.DataFrame, steps: pd.DataFrame, budget: int | Mapping[str, int]
) -> Iterator[tuple[int, list[str], pd.DataFrame]]:
    """Yield each protocol's budget, outcomes and episode table (`episode_table`); arguments as above."""
    for protocol in sorted(episodes["protocol"].unique()):
        limit = budget_of(budget, protocol)
        mine = steps[steps["protocol"] == protocol]
        first = min(max(1, int(mine["cost"].min())), limit) if len(mine) else 1
        chosen = episodes[episodes["protocol"] == protocol]
        table = episode_table(chosen, mine, limit, THRESHOLDS, sorted({first, limit}))
        yield limit, [*dict.fromkeys([f"dice@{first}", f"dice@{limit}"]), "area"], table


def places(table: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield each group of a table by some columns, and its parts: where they belong, and their rows.

    The parts, in the columns ``subset`` and ``subset_value``: all rows, and each data set where the group has
    several.
    """
    for values, mine in table.groupby(list(by), sort=True, dropna=False):
        where = dict(zip(by, values, strict=True))
        yield {**where, "subset": "all", "subset_value": ""}, mine
        names = sorted(mine["dataset"].unique())
        for name in names if len(names) > 1 else ():
            part = mine[mine["dataset"] == name]
            yield {**where, "subset": "dataset", "subset_value": str(name)}, part


def dose_area(drops: _Float, levels: _Float) -> _Float:
    """Return the average drop over doses: trapezoids over the levels, divided by the largest one.

    Args:
        drops: Float64[n, L], drop of each case at each level.
        levels: Float64[L], ascending, the first one 0.

    Returns:
        Float64[n].
    """
    return np.asarray(np.trapezoid(drops, levels, axis=1) / levels[-1], dtype=np.float64)


def _wide(table: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """Return means over repeats, one row per case and one column per level, NaN where a case lacks it."""
    return table.pivot_table(index=_CASE, columns="level", values=outcome, aggfunc="mean", sort=True)


def _levels(table: pd.DataFrame, outcome: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of one agent, noise and outcome, over its levels."""
    means = _wide(table, outcome)
    groups = group_codes(means.reset_index())
    base = means[0.0].to_numpy(dtype=np.float64) if 0.0 in means.columns else None
    for level in means.columns:
        columns = _of_level(table[table["level"] == level], means[level], base, outcome)
        for row in _intervals(columns, groups, seed):
            yield {"level": level, **row}
    if base is not None and len(means.columns) > 1:
        yield from _doses(means, base, groups, seed)


def _intervals(columns: Sequence[_Column], groups: NDArray[np.int64], seed: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of statistics that are means over cases."""
    for symmetric in (False, True):
        mine = [column for column in columns if column.symmetric == symmetric]
        if not mine:
            continue
        values = np.stack([column.values for column in mine], axis=1)
        bounds = [column.bounds for column in mine]
        found = mean_intervals(values, groups, bounds=bounds, symmetric=symmetric, seed=seed)
        for column, interval in zip(mine, found, strict=True):
            yield {"statistic": column.name, "unit": column.unit, **vars(interval)}


def _of_level(at: pd.DataFrame, mean: pd.Series[Any], base: _Float | None, outcome: str) -> list[_Column]:
    """Return the statistics of one level, cases in the order of `mean`."""
    order = mean.index
    cases = [at[name] for name in _CASE]

    def per_case(values: pd.Series[Any], how: str) -> _Float:
        found = values.groupby(cases).agg(how).reindex(order)
        return np.asarray(found.to_numpy(dtype=np.float64))

    x, mine = mean.to_numpy(dtype=np.float64), at[outcome]
    weights = 1.0 / mine.groupby(cases).transform("size")
    q = float(np.quantile(mine, TAIL, weights=weights, method="inverted_cdf"))
    columns = [
        _Column("mean", "dice", x),
        _Column("sd", "dice", per_case(mine, "std")),
        _Column("worst_repeat", "dice", per_case(mine, "min")),
        _Column("worst_tenth", "dice", q + per_case((mine - q).clip(upper=0.0), "mean") / TAIL),
    ]
    if base is None:
        return columns
    known = pd.Series(base, index=order).reindex(pd.MultiIndex.from_frame(at[_CASE])).to_numpy()
    lost = pd.Series(known - mine.to_numpy(), index=at.index)
    large = (lost > LARGE + _ROUNDING).astype(np.float64).where(lost.notna())
    kept = base >= LEAST_BASE
    return [
        *columns,
        _Column("drop", "dice", base - x, _CHANGE, symmetric=True),
        _Column("retention", "share", _ratio(x, base, kept), (0.0, np.inf)),
        _Column("not_retained", "share", np.where(np.isnan(base) | np.isnan(x), np.nan, ~kept)),
        _Column("large_loss", "share", per_case(large, "mean")),
    ]


def _ratio(above: _Float, below: _Float, where: NDArray[np.bool_]) -> _Float:
    out = np.full(len(above), np.nan)
    np.divide(above, below, out=out, where=where)
    return out


def _doses(
    means: pd.DataFrame, base: _Float, groups: NDArray[np.int64], seed: int
) -> Iterator[dict[str, Any]]:
    """Yield what spans all levels: the area under the drop, and the level at which it passes."""
    levels = means.columns.to_numpy(dtype=np.float64)
    drops = base[:, None] - means.to_numpy(dtype=np.float64)
    whole = ~np.isnan(drops).any(axis=1)
    drops, groups = drops[whole], groups[whole]
    area = _Column("dose_area", "dice", dose_area(drops, levels), _CHANGE, symmetric=True)
    for row in _intervals([area], groups, seed):
        yield {"level": np.nan, **row}
    passes = _passing(drops, groups, levels, seed)
    yield {"level": np.nan, "statistic": f"passes@{PASSED:g}", "unit": "level", **vars(passes)}


def _passing(drops: _Float, groups: NDArray[np.int64], levels: _Float, seed: int) -> Interval:
    """Return the level at which the mean drop passes `PASSED`; its ends are where the drop's ends do."""
    found = mean_intervals(drops, groups, bounds=[_CHANGE] * len(levels), symmetric=True, seed=seed)
    n_cases, n_groups = found[-1].n_cases, found[-1].n_groups
    if not n_cases:
        return found[-1]
    mean = np.array([one.value for one in found])
    value = _level_of(mean, levels)
    never = "" if np.isfinite(value) else "not within the levels"
    if n_groups < MIN_GROUPS:
        note = "; ".join(filter(None, [never, found[-1].note]))
        return Interval(value, np.nan, np.nan, n_cases, n_groups, note)
    # A level at which all groups drop alike, as level 0, has no spread.
    low, high = (np.array([x.value if x.note else end(x) for x in found]) for end in (_low, _high))
    return Interval(value, _level_of(high, levels), _level_of(low, levels), n_cases, n_groups, never)


def _low(interval: Interval) -> float:
    return interval.low


def _high(interval: Interval) -> float:
    return interval.high


def _level_of(drops: _Float, levels: _Float) -> float:
    """Return the lowest level at which a drop reaches `PASSED`, linear between levels, or infinity.

    Args:
        drops: Float64[L]; the first one, at level 0, is 0.
        levels: Float64[L], ascending.
    """
    reached = np.flatnonzero(drops >= PASSED)
    if not len(reached):
        return float("inf")
    k = int(reached[0])
    share = (PASSED - drops[k - 1]) / (drops[k] - drops[k - 1])
    return float(levels[k - 1] + share * (levels[k] - levels[k - 1]))


def _episodes(table: pd.DataFrame, limit: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield the change of clicks to a Dice, and the share of failures, per level."""
    failed = _wide(table, "failed")
    clicks = {tau: _wide(table, f"noc@{tau:.2f}") for tau in THRESHOLDS}
    groups = group_codes(failed.reset_index())
    for level in failed.columns:
        columns = [_Column("failed", "share", failed[level].to_numpy(dtype=np.float64))]
        if 0.0 in failed.columns:
            columns += [
                _Column(
                    f"noc_change@{tau:.2f}",
                    "clicks",
                    (wide[level] - wide[0.0]).to_numpy(dtype=np.float64),
                    (-float(limit), float(limit)),
                    symmetric=True,
                )
                for tau, wide in clicks.items()
            ]
        for row in _intervals(columns, groups, seed):
            yield {"level": level, **row}
