"""Every measure of an episode, by name: one row per episode, or one per case."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.errors import ConfigError
from simclick.statistics.clicks import Timeline, area, noc, timeline

__all__ = [
    "CELL",
    "COSTS",
    "SECONDS",
    "THRESHOLDS",
    "Measure",
    "budget_of",
    "by_protocol",
    "case_table",
    "episode_table",
    "measures",
]

CELL = ("agent", "agent_digest", "protocol", "protocol_digest", "noise", "level")
"""What makes one line of a table: an agent under one protocol at one noise level."""

THRESHOLDS = (0.80, 0.85, 0.90, 0.95)
"""Dice targets of NoC."""

COSTS = (1, 3, 5, 10, 20)
"""Costs, in clicks, at which Dice and surfaces are shown."""

SECONDS = ("seconds_per_step", "seconds_encode")
"""Timings: they tell of a machine, not of cases, and get no interval."""

_STATISTICS = (
    *("noc", "nof", "dice", "oracle_dice", "area", "final_dice", "failed"),
    *("hd95", "hd95_undefined", "nsd", *SECONDS),
)
_BY_MEDIAN = ("hd95", *SECONDS)
_CASE = ("dataset", "case_id", "group", "modality", "target")


@dataclass(frozen=True)
class Measure:
    """One number per episode.

    Attributes:
        statistic: ``noc``, ``nof`` (the target was never reached), ``dice``, ``oracle_dice``,
            ``area``, ``final_dice``, ``failed``, ``hd95``, ``hd95_undefined`` (infinite), ``nsd``,
            ``seconds_per_step``, ``seconds_encode``.
        at: The Dice threshold (``noc``, ``nof``) or the cost (``dice``, ``hd95``, …), else None.
        unit: ``clicks``, ``share``, ``dice``, ``distance`` (mm or px, as the case has it) or ``s``.
        bounds: Smallest and largest value that it can take.
        average: How cases are averaged: ``mean`` or ``median``.
    """

    statistic: str
    at: float | None
    unit: str
    bounds: tuple[float, float]
    average: str = "mean"

    @property
    def name(self) -> str:
        """Name of its column: ``noc@0.80``, ``dice@5``, ``area``."""
        if self.at is None:
            return self.statistic
        short = f"{self.at:.2f}"
        if self.statistic not in ("noc", "nof") or float(short) != self.at:
            short = f"{self.at:g}"
        return f"{self.statistic}@{short}"


def measures(
    budget: int, thresholds: Sequence[float], costs: Sequence[int], surface_costs: Sequence[int]
) -> list[Measure]:
    """Return the measures of a protocol, in the order of tables.

    Args:
        budget: The protocol's budget; costs past it are left out.
        thresholds: Dice targets.
        costs: Costs at which Dice is shown.
        surface_costs: Costs at which surfaces were measured.
    """
    share, infinite = (0.0, 1.0), (0.0, math.inf)
    out = [Measure("noc", tau, "clicks", (0.0, float(budget))) for tau in thresholds]
    out += [Measure("nof", tau, "share", share) for tau in thresholds]
    for statistic in ("dice", "oracle_dice"):
        out += [Measure(statistic, cost, "dice", share) for cost in costs if cost <= budget]
    out += [Measure("area", None, "dice", share), Measure("final_dice", None, "dice", share)]
    out += [Measure("failed", None, "share", share)]
    for cost in surface_costs:
        if cost <= budget:
            out += [
                Measure("hd95", cost, "distance", infinite, "median"),
                Measure("hd95_undefined", cost, "share", share),
                Measure("nsd", cost, "share", share, "median"),
            ]
    return [*out, *(Measure(name, None, "s", infinite, "median") for name in SECONDS)]


def budget_of(budget: int | Mapping[str, int], protocol: str) -> int:
    """Return the budget of a protocol.

    Raises:
        ConfigError: When a mapping lacks the protocol.
    """
    if not isinstance(budget, Mapping):
        return int(budget)
    if protocol not in budget:
        raise ConfigError(f"no budget is given for protocol {protocol!r}")
    return int(budget[protocol])


def episode_table(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    thresholds: Sequence[float] = THRESHOLDS,
    costs: Sequence[int] = COSTS,
) -> pd.DataFrame:
    """Return the episodes with one column per measure, named by `Measure.name`.

    Args:
        episodes: Rows of ``episodes`` tables.
        steps: Rows of ``steps`` tables.
        budget: The budget, or one per protocol id.
        thresholds: Dice targets of ``noc`` and ``nof``.
        costs: Costs of ``dice``, ``oracle_dice`` and, where they were measured, surfaces.

    Returns:
        The episodes' own columns and the measures, NaN where a protocol has no such measure or
        nothing was measured; sorted by protocol, then as given.

    Raises:
        StoreError: When the tables do not fit each other.
        ConfigError: When a protocol has no budget.
    """
    tables = [table for _, _, table in by_protocol(episodes, steps, budget, thresholds, costs)]
    return pd.concat(tables, ignore_index=True) if tables else episodes.copy()


def by_protocol(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    thresholds: Sequence[float],
    costs: Sequence[int],
) -> Iterator[tuple[Timeline, list[Measure], pd.DataFrame]]:
    """Yield each protocol's timeline, measures and episode table; arguments as of `episode_table`."""
    for protocol in sorted(episodes["protocol"].unique()):
        limit = budget_of(budget, protocol)
        mine = steps[steps["protocol"] == protocol]
        laid = timeline(mine, episodes[episodes["protocol"] == protocol], limit)
        measured = mine[mine["hd95"].notna()]
        exact = set(measured["cost"])
        # A cost that no step has (a box jumps over it) counts where every episode holds a measured mask.
        surface = [
            c
            for c in costs
            if c <= limit and (c in exact or (len(measured) and not np.isnan(laid.surface("hd95", c)).any()))
        ]
        wanted = measures(limit, thresholds, costs, surface)
        curves = {value: laid.curve(value) for value in ("dice", "oracle_dice")}
        columns = pd.DataFrame({m.name: _values(laid, curves, m) for m in wanted})
        own = laid.episodes.drop(columns=columns.columns, errors="ignore")
        yield laid, wanted, pd.concat([own, columns], axis=1)


def _values(laid: Timeline, curves: Mapping[str, NDArray[np.float64]], m: Measure) -> NDArray[np.float64]:
    """Return a measure of every episode, Float64[E]."""
    at = 0.0 if m.at is None else m.at
    if m.statistic == "noc":
        return noc(curves["dice"], at)[0]
    if m.statistic == "nof":
        return np.where(noc(curves["dice"], at)[1], 0.0, 1.0)
    if m.statistic in curves:
        return curves[m.statistic][:, int(at)]
    if m.statistic == "area":
        return area(curves["dice"])
    if m.statistic == "final_dice":
        return curves["dice"][:, -1]
    if m.statistic == "failed":
        return np.asarray(laid.episodes["status"] == "failed", dtype=np.float64)
    if m.statistic == "seconds_encode":
        return laid.episodes["seconds_encode"].to_numpy(dtype=np.float64)
    if m.statistic == "seconds_per_step":
        per_episode = laid.steps.groupby("episode")["seconds_predict"].median()
        return per_episode.reindex(range(len(laid.episodes))).to_numpy(dtype=np.float64)
    if m.statistic == "hd95_undefined":
        distance = laid.surface("hd95", int(at))
        return np.where(np.isnan(distance), np.nan, np.isinf(distance))
    return laid.surface(m.statistic, int(at))


def case_table(table: pd.DataFrame) -> pd.DataFrame:
    """Average an episode table over repeats: one row per cell and case.

    Repeats are averaged by the mean; distances and seconds by the median (the mean of a distance
    and an infinite one would say nothing). Repeats without a value are left out.

    Args:
        table: What `episode_table` returned, or rows of it.

    Returns:
        The cell (`CELL`), ``dataset case_id group modality target``, ``n_episodes``, ``n_failed``
        and the measures, sorted by cell, data set and case.
    """
    names = [str(c) for c in table.columns if str(c).partition("@")[0] in _STATISTICS]
    medians = [n for n in names if n.partition("@")[0] in _BY_MEDIAN]
    # A missing digest or modality is a value like any other here.
    grouped = table.groupby([*CELL, *_CASE], sort=True, dropna=False, observed=True)
    counts = pd.DataFrame(
        {"n_episodes": grouped.size(), "n_failed": grouped["failed"].sum().astype(np.int64)}
    )
    averages = [grouped[[n for n in names if n not in medians]].mean(), grouped[medians].median()]
    cases: pd.DataFrame = pd.concat([counts, *averages], axis=1)[[*counts.columns, *names]].reset_index()
    return cases
