"""RClicks' measures of what clicks of another sort cost, and the spread of repeated first clicks.

RClicks (Antonov et al. 2024; formulas as in its released notebook of metrics) takes ten trajectories G1 …
G10 whose clicks come from the tenths of a click map's probability mass, G1 from the least likely ones. Per
object, with NoC at one threshold:

=============  ===================================================================================
``delta_sb``   (mean over G of NoC - NoC of the base rule) / NoC of the base rule
``delta_gr``   (NoC of G1 - NoC of G10) / NoC of G10
``nsr``        standard deviation over G / mean over G
=============  ===================================================================================

then the mean over objects. For the area under the curve and for the share of targets not reached,
``delta_sb`` and ``delta_gr`` are plain differences. The source states no ``ddof`` for ``nsr``; the default
here is 0, that of NumPy. Its area is of IoU, ours of Dice; a target never reached counts as the budget.

Our G follow a parametric map (`simclick.annotators.people`), not RClicks' learned one: the formulas are
theirs, the numbers are not comparable with theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.errors import ConfigError
from simclick.statistics.bootstrap import mean_intervals
from simclick.statistics.measures import CELL, budget_of, episode_table
from simclick.statistics.robustness import places
from simclick.statistics.summary import DECIMALS, group_codes

__all__ = ["THRESHOLDS", "decile_of", "first_click_cases", "first_click_table", "rclicks_table"]

THRESHOLDS = (0.80, 0.85, 0.90)
"""Dice targets of NoC."""

_Float: TypeAlias = NDArray[np.float64]
_DECILES = range(1, 11)
_BASE = 0
_PROTOCOL = re.compile(r"rclicks-g(\d+)-v\d+\+?")
_CASE = ["dataset", "case_id", "group"]
_AGENT = ["agent", "agent_digest"]
_INTERVAL = ("value", "low", "high", "n_cases", "n_groups", "note")


def decile_of(protocol: str) -> int | None:
    """Return the number of a protocol ``rclicks-gN-vM`` (N from 1 to 10), or None for any other."""
    match = _PROTOCOL.fullmatch(protocol)
    return int(match[1]) if match and int(match[1]) in _DECILES else None


def rclicks_table(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    base: str = "noc-v1",
    deciles: Mapping[str, int] | None = None,
    *,
    ddof: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Return ΔSB, ΔGR and NSR of every agent that has runs under G1 … G10 and the base protocol.

    Args:
        episodes: Rows of ``episodes`` tables; those of other protocols are left out.
        steps: Rows of their ``steps`` tables.
        budget: The budget, or one per protocol id; the same for all that take part.
        base: Id of the base protocol.
        deciles: The trajectory, 1 to 10, of each protocol id; None: `decile_of`.
        ddof: Of the standard deviation.
        seed: Seed of the resamples.

    Returns:
        Columns: ``agent agent_digest subset subset_value`` (as in `robustness_table`); ``measure``
        (``noc@τ``; without ``nsr`` also ``nof@τ`` and ``area``); ``statistic``; ``unit`` (``ratio`` of NoC,
        else the measure's own); ``value low high n_cases n_groups note``. Repeats are averaged within a
        case first. Cases that lack a trajectory are left out; so are, of a ratio, those that it divides by
        0 (an empty truth takes no click). Empty where no agent has all eleven.

    Raises:
        StoreError: When the tables do not fit each other.
        ConfigError: When two protocols, digests, noises or levels claim one trajectory, budgets differ, or a
            protocol has none.
    """
    named = {str(name): decile_of(str(name)) for name in episodes["protocol"].unique()}
    place = {name: g for name, g in (deciles or named).items() if g is not None} | {base: _BASE}
    mine, their = (t[t["protocol"].isin(list(place))] for t in (episodes, steps))
    if mine.empty:
        return _tidy([])
    _check(mine, place, budget)
    table = episode_table(mine, their, budget, THRESHOLDS, (1,))
    table = table.assign(trajectory=table["protocol"].map(place))
    rows: list[dict[str, Any]] = []
    for where, part in places(table, _AGENT):
        rows += [{**where, **row} for row in _measures(part, ddof, seed)]
    return _tidy(rows)


def _check(episodes: pd.DataFrame, place: Mapping[str, int], budget: int | Mapping[str, int]) -> None:
    """Refuse trajectories that are not one each."""
    cells = episodes[["protocol", "protocol_digest", "noise", "level"]].drop_duplicates()
    double = cells[cells["protocol"].map(place).duplicated(keep=False)]
    if len(double):
        listed = ", ".join(sorted({f"{p} ({str(d)[:8]}, level {x:g})" for p, d, _, x in double.to_numpy()}))
        raise ConfigError(f"several runs claim one trajectory: {listed}; give one of each")
    budgets = {budget_of(budget, name) for name in cells["protocol"]}
    if len(budgets) > 1:
        raise ConfigError(f"trajectories have different budgets, {sorted(budgets)}: clicks do not compare")


def _measures(table: pd.DataFrame, ddof: int, seed: int) -> Iterator[dict[str, Any]]:
    for tau in THRESHOLDS:
        own, g, groups = _trajectories(table, f"noc@{tau:.2f}")
        mean, spread = g.mean(axis=1), g.std(axis=1, ddof=ddof)
        values = {
            "delta_sb": _ratio(mean - own, own),
            "delta_gr": _ratio(g[:, 0] - g[:, -1], g[:, -1]),
            "nsr": _ratio(spread, mean),
        }
        yield from _rows(values, groups, f"noc@{tau:.2f}", "ratio", (-1.0, np.inf), seed)
    for name, unit in [*((f"nof@{tau:.2f}", "share") for tau in THRESHOLDS), ("area", "dice")]:
        own, g, groups = _trajectories(table, name)
        values = {"delta_sb": g.mean(axis=1) - own, "delta_gr": g[:, 0] - g[:, -1]}
        yield from _rows(values, groups, name, unit, (-1.0, 1.0), seed)


def _trajectories(table: pd.DataFrame, name: str) -> tuple[_Float, _Float, NDArray[np.int64]]:
    """Return a measure under the base, Float64[n], under G1 … G10, Float64[n, 10], and the groups' codes."""
    wide = table.pivot_table(index=_CASE, columns="trajectory", values=name, sort=True)
    wide = wide.reindex(columns=[_BASE, *_DECILES]).dropna()
    values = wide.to_numpy(dtype=np.float64)
    return values[:, 0], values[:, 1:], group_codes(wide.index.to_frame(index=False))


def _ratio(above: _Float, below: _Float) -> _Float:
    out = np.full(len(above), np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _rows(
    values: Mapping[str, _Float],
    groups: NDArray[np.int64],
    measure: str,
    unit: str,
    bounds: tuple[float, float],
    seed: int,
) -> Iterator[dict[str, Any]]:
    if not len(groups):
        return
    limits = [(0.0, np.inf) if name == "nsr" else bounds for name in values]
    stacked = np.stack(list(values.values()), axis=1)
    # Ratios are skewed, differences nearly symmetric.
    symmetric = unit != "ratio"
    found = mean_intervals(stacked, groups, bounds=limits, symmetric=symmetric, seed=seed)
    for statistic, interval in zip(values, found, strict=True):
        yield {"measure": measure, "statistic": statistic, "unit": unit, **vars(interval)}


def _tidy(rows: list[dict[str, Any]]) -> pd.DataFrame:
    columns = [*_AGENT, "subset", "subset_value", "measure", "statistic", "unit", *_INTERVAL]
    return _rounded(pd.DataFrame(rows, columns=columns), ["value", "low", "high"])


def _rounded(table: pd.DataFrame, numbers: list[str]) -> pd.DataFrame:
    table[numbers] = table[numbers].astype(np.float64).round(DECIMALS)
    return table


def first_click_cases(episodes: pd.DataFrame, steps: pd.DataFrame, *, at: int = 1) -> pd.DataFrame:
    """Return how Dice after the first click varies over the repeats of a case (after RClicks' User@1).

    RClicks gives mean and standard deviation of IoU over the first clicks of real people, per image; here
    it is Dice over the repeats of an annotator or noise that draws by chance.

    Args:
        episodes: Rows of ``episodes`` tables.
        steps: Rows of ``steps`` tables.
        at: What the first prompt costs; 2 for a box.

    Returns:
        One row per cell and case: the cell (`CELL`), ``dataset case_id group``; ``n_repeats``; ``mean``,
        ``sd`` (n - 1; NaN with one repeat), ``lowest`` and ``highest`` of D(at), Dice at that cost (0 for
        a prompt that costs more).
    """
    table = episode_table(episodes, steps, at, (), (at,))
    grouped = table.groupby([*CELL, *_CASE], sort=True, dropna=False)[f"dice@{at}"]
    numbers = {"mean": grouped.mean(), "sd": grouped.std(), "lowest": grouped.min(), "highest": grouped.max()}
    out = pd.DataFrame({"n_repeats": grouped.size(), **numbers}).reset_index()
    return _rounded(out, list(numbers))


def first_click_table(
    episodes: pd.DataFrame, steps: pd.DataFrame, *, at: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Return the means over cases of `first_click_cases`, with intervals over groups.

    Returns:
        Columns: the cell; ``subset subset_value``; ``statistic`` (``mean``, ``sd``, ``lowest``, ``highest``:
        of D(at) over repeats, then the mean over cases); ``unit`` (``dice``); ``value low high n_cases
        n_groups note``. Lowest and highest depend on the number of repeats.
    """
    cases = first_click_cases(episodes, steps, at=at)
    statistics = ["mean", "sd", "lowest", "highest"]
    rows: list[dict[str, Any]] = []
    for where, part in places(cases, CELL):
        numbers = part[statistics].to_numpy(dtype=np.float64)
        found = mean_intervals(numbers, group_codes(part), bounds=[(0.0, 1.0)] * 4, seed=seed)
        for statistic, interval in zip(statistics, found, strict=True):
            rows.append({**where, "statistic": statistic, "unit": "dice", **vars(interval)})
    columns = [*CELL, "subset", "subset_value", "statistic", "unit", *_INTERVAL]
    return _rounded(pd.DataFrame(rows, columns=columns), ["value", "low", "high"])
