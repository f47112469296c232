"""Does the order hold under other annotators and noise?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from simclick.leaderboard.charts import Chart, stability_chart
from simclick.leaderboard.standings import Standing
from simclick.report.grid import Column, Grid, Row, Value
from simclick.statistics.ranking import CONDITION, Sensitivity

__all__ = ["Stability", "stability_part"]


@dataclass(frozen=True)
class Stability:
    """How a suite's ranking changes over protocols and noise levels.

    Attributes:
        words: What it comes to, in sentences.
        chart: The ranks under each condition, with their table.
        grid: Kendall's tau between each two conditions.
    """

    words: tuple[str, ...]
    chart: Chart
    grid: Grid


def stability_part(standing: Standing) -> Stability | None:
    """Return the part of a suite's page, or None with too little to compare."""
    found = standing.stability
    if found is None:
        return None
    conditions = list(found.swaps[list(CONDITION)].itertuples(index=False, name=None))
    names = [_condition(*c) for c in conditions]
    ranks: dict[str, list[float]] = {}
    for row in found.ranks.to_dict("records"):
        ranks.setdefault(str(row["agent"]), []).append(float(row["rank"]))
    methods = [m for m in standing.methods if m.slug in ranks]
    methods.sort(key=lambda m: (ranks[m.slug][_main(conditions)], m.label))
    columns = tuple(Column(name, name, "clicks") for name in names)
    cells = {
        m.slug: {n: Value(r, text=f"{r:g}") for n, r in zip(names, ranks[m.slug], strict=True)}
        for m in methods
    }
    rows = tuple(Row(m.label, cells[m.slug], standing.marks(m)) for m in methods)
    suite = standing.suite.name
    title = f"Rank under each annotator and noise: {suite}"
    note = "Ranks by mean Dice over the clicks of each protocol (area); equal means share a rank."
    if any(standing.marks(m) != m.marks for m in methods):
        note += " Failed episodes are counted over all protocols of the suite."
    grid = Grid(f"{suite}-stability", title, "method", columns, rows, (note,))
    return Stability(
        tuple(_words(found)), stability_chart(suite, names, ranks, methods, grid), _taus(found, suite)
    )


def _main(conditions: Sequence[tuple[Any, ...]]) -> int:
    """Return the condition that gives the order of rows: the one without noise and with clicks."""
    return next((i for i, c in enumerate(conditions) if "noc" in str(c[0])), 0)


def _condition(protocol: object, noise: object, level: object) -> str:
    return str(protocol) if noise == "none" else f"{protocol} at {float(str(level)):g}"


def _of(row: Mapping[Any, Any] | pd.Series[Any], suffix: str) -> str:
    return _condition(*(row[f"{name}{suffix}"] for name in CONDITION))


def _words(found: Sensitivity) -> list[str]:
    low = found.pairs.sort_values("tau", kind="stable").iloc[0]
    said = [
        f"The two most different orders are those of {_of(low, '_a')} and {_of(low, '_b')}: Kendall's "
        f"τ = {low['tau']:.2f}."
    ]
    leaders = found.swaps.groupby("first").size()
    if len(leaders) > 1:
        said.append(f"{len(leaders)} methods lead under one condition or another, of {len(found.swaps)}.")
    else:
        said.append(f"One method leads under all {len(found.swaps)} conditions.")
    return said


def _taus(found: Sensitivity, suite: str) -> Grid:
    rows = []
    for r in found.pairs.to_dict("records"):
        tau = Value(float(r["tau"]), float(r["low"]), float(r["high"]))
        cells = {"tau": tau, "swap": Value(float(r["swapped"]))}
        rows.append(Row(f"{_of(r, '_a')} | {_of(r, '_b')}", cells))
    columns = (Column("tau", "Kendall's τ", "difference"), Column("swap", "leaders swap", "share"))
    note = (
        "τ = 1: the same order; 0: no relation. Brackets: percentiles over resamples of groups. Leaders "
        "swap: the share of resamples in which the two that lead the first condition stand the other way "
        "round in the second."
    )
    title = f"How alike the orders are: {suite}"
    return Grid(f"{suite}-tau", title, "conditions", columns, tuple(rows), (note,))
