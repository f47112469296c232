"""The numbers of a report as tidy tables: a row per number, with its interval and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.statistics.bootstrap import Interval, mean_intervals, median_interval
from simclick.statistics.clicks import reach
from simclick.statistics.measures import (
    CELL,
    COSTS,
    SECONDS,
    THRESHOLDS,
    Measure,
    by_protocol,
    case_table,
)

__all__ = ["DECIMALS", "curve_table", "group_codes", "summarise"]

DECIMALS = 9
"""Numbers are rounded to this, so that the last bits of a platform's arithmetic never show."""

_SUBSETS = ("dataset", "modality", "target")
_INTERVAL = ("value", "low", "high", "n_cases", "n_groups")
_SUMMARY = (
    *CELL,
    *("subset", "subset_value", "average", "statistic", "at", "unit"),
    *(*_INTERVAL, "n_failed", "note"),
)
_CURVES = (*CELL, "subset", "subset_value", "statistic", "at", "cost", *_INTERVAL, "note")


def summarise(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    by: Sequence[str] = _SUBSETS,
    thresholds: Sequence[float] = THRESHOLDS,
    costs: Sequence[int] = COSTS,
    *,
    distance_units: Mapping[str, str] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row per cell, subset, average and statistic.

    Repeats are averaged within a case first. ``micro`` is then the average over cases; ``macro``, of
    means only and not within one target, is the mean over targets of their means over cases.

    Args:
        episodes: Rows of ``episodes`` tables.
        steps: Rows of ``steps`` tables.
        budget: The budget, or one per protocol id.
        by: Subsets beside ``all``: of ``dataset``, ``modality``, ``target``.
        thresholds: Dice targets of ``noc`` and ``nof``.
        costs: Costs of Dice and, where they were measured, of surfaces.
        distance_units: Unit of distances per data set: ``mm``, ``px`` or ``mixed``.
        seed: Seed of the resamples.

    Returns:
        Columns: the cell (`CELL`); ``subset`` (``all`` or one of `by`) and ``subset_value`` (empty
        for ``all``); ``average``; ``statistic``, ``at`` (NaN for none) and ``unit`` as in `Measure`
        (of distances the unit given, or ``mm or px``); ``value``, ``low``, ``high`` (NaN for none);
        ``n_cases`` and ``n_groups`` that have a value; ``n_failed`` episodes of the subset; ``note``,
        why a number or an interval is missing.

    Raises:
        StoreError: When the tables do not fit each other.
        ConfigError: When a protocol has no budget.
    """
    rows: list[dict[str, Any]] = []
    for _, wanted, table in by_protocol(episodes, steps, budget, thresholds, costs):
        for cell, cases in _cells(case_table(table)):
            known: dict[bytes, list[dict[str, Any]]] = {}
            for subset, value, inside in _subsets(cases, by):
                same = inside.tobytes()
                if same not in known:
                    known[same] = _numbers(cases[inside], wanted, distance_units, seed)
                where = {**cell, "subset": subset, "subset_value": value}
                rows += [
                    {**where, **number}
                    for number in known[same]
                    if subset != "target" or number["average"] == "micro"
                ]
    return _tidy(rows, _SUMMARY)


def curve_table(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    by: Sequence[str] = ("dataset",),
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Return curves with bands: one row per cell, subset, statistic, threshold and cost.

    The bands are pointwise: each holds its own cost's mean with 95 %, not the whole curve.

    Args:
        episodes: Rows of ``episodes`` tables.
        steps: Rows of ``steps`` tables.
        budget: The budget, or one per protocol id.
        by: Subsets beside ``all``.
        thresholds: Dice targets of the reach curves.
        seed: Seed of the resamples.

    Returns:
        Columns: the cell, ``subset``, ``subset_value``; ``statistic`` (``dice`` and ``oracle_dice``:
        mean D(c); ``reach``: P(NoC@at ≤ c)); ``at`` (the threshold of ``reach``, else NaN); ``cost`` (0
        to the budget); ``value low high n_cases n_groups note`` as in `summarise`. Averages are micro.

    Raises:
        StoreError: When the tables do not fit each other.
        ConfigError: When a protocol has no budget.
    """
    rows: list[dict[str, Any]] = []
    for laid, _, _ in by_protocol(episodes, steps, budget, (), ()):
        dice = laid.curve("dice")
        named = {("dice", math.nan): dice, ("oracle_dice", math.nan): laid.curve("oracle_dice")}
        named |= {("reach", tau): reach(dice, tau).astype(np.float64) for tau in thresholds}
        points = [(*name, cost) for name, curve in named.items() for cost in range(curve.shape[1])]
        values = pd.DataFrame(np.concatenate(list(named.values()), axis=1))
        key = [*CELL, "dataset", "case_id", "group", "modality", "target"]
        keys = [laid.episodes[column] for column in key]
        means = values.groupby(keys, sort=True, dropna=False).mean().reset_index()
        for cell, cases in _cells(means):
            for subset, value, inside in _subsets(cases, by):
                mine = cases[inside]
                found = mean_intervals(
                    mine[list(values.columns)].to_numpy(dtype=np.float64),
                    group_codes(mine),
                    bounds=[(0.0, 1.0)] * len(points),
                    seed=seed,
                )
                where = {**cell, "subset": subset, "subset_value": value}
                rows += [
                    {**where, "statistic": statistic, "at": at, "cost": cost, **vars(interval)}
                    for (statistic, at, cost), interval in zip(points, found, strict=True)
                ]
    return _tidy(rows, _CURVES)


def group_codes(cases: pd.DataFrame) -> NDArray[np.int64]:
    """Number the groups of cases, Int64[n]: a group is a name within one data set."""
    numbers = cases.groupby(["dataset", "group"], sort=True, dropna=False).ngroup()
    return np.asarray(numbers, dtype=np.int64)


def _cells(cases: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    for values, rows in cases.groupby(list(CELL), sort=True, dropna=False):
        yield dict(zip(CELL, values, strict=True)), rows.reset_index(drop=True)


def _subsets(cases: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    yield "all", "", np.ones(len(cases), dtype=bool)
    for column in by:
        values = cases[column].astype(str)
        for value in sorted(values.unique()):
            yield column, value, (values == value).to_numpy()


def _numbers(
    cases: pd.DataFrame, wanted: Sequence[Measure], units: Mapping[str, str] | None, seed: int
) -> list[dict[str, Any]]:
    """Return the numbers of one subset of one cell: means, medians, then means over targets."""
    groups = group_codes(cases)
    n_failed = int(cases["n_failed"].sum())
    unit = _unit(set(cases["dataset"]), units)
    means = [m for m in wanted if m.average == "mean"]
    values = cases[[m.name for m in means]].to_numpy(dtype=np.float64)
    bounds = [m.bounds for m in means]
    micro = mean_intervals(values, groups, bounds=bounds, seed=seed)
    macro = mean_intervals(
        values, groups, strata=cases["target"].astype(str).to_numpy(), bounds=bounds, seed=seed
    )
    found = [("micro", m, interval) for m, interval in zip(means, micro, strict=True)]
    found += [("micro", m, _median(cases, groups, m, unit, seed)) for m in wanted if m.average == "median"]
    found += [("macro", m, interval) for m, interval in zip(means, macro, strict=True)]
    return [
        {
            "average": average,
            "statistic": m.statistic,
            "at": math.nan if m.at is None else float(m.at),
            "unit": unit if m.unit == "distance" else m.unit,
            **vars(interval),
            "n_failed": n_failed,
        }
        for average, m, interval in found
    ]


def _median(cases: pd.DataFrame, groups: NDArray[np.int64], m: Measure, unit: str, seed: int) -> Interval:
    values = cases[m.name].to_numpy(dtype=np.float64)
    if m.statistic in SECONDS:
        known = ~np.isnan(values)
        middle = float(np.median(values[known])) if known.any() else math.nan
        n_groups = len(np.unique(groups[known]))
        return Interval(middle, math.nan, math.nan, int(known.sum()), n_groups, "timings have no interval")
    interval = median_interval(values, groups, bounds=m.bounds, seed=seed)
    if unit == "mixed":
        note = "millimetres and pixels are mixed: see each data set"
        return replace(interval, value=math.nan, low=math.nan, high=math.nan, note=note)
    return interval


def _unit(datasets: set[str], units: Mapping[str, str] | None) -> str:
    if units is None:
        return "mm or px"
    found = {units.get(name, "mm or px") for name in datasets}
    return found.pop() if len(found) == 1 else "mixed"


def _tidy(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    table: pd.DataFrame = pd.DataFrame(rows, columns=list(columns))
    numbers = ["value", "low", "high"]
    table[numbers] = table[numbers].astype(np.float64).round(DECIMALS)
    return table
