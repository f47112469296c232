"""Boards: all numbers of one data set under one protocol, seed and noise level.

A `Board` is what a reader compares agents on. It says who may be ranked: only an agent that is
finished on every case, does not use the truth and has real weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.report.grid import Value
from simclick.report.rounds import Rounds
from simclick.report.runs import Entrant, Section
from simclick.statistics import case_table, compare, curve_table, dice_curves, episode_table, summarise

__all__ = [
    "CURVE_THRESHOLDS",
    "REACH",
    "THRESHOLDS",
    "Board",
    "Numbers",
    "Standing",
    "make_boards",
]

THRESHOLDS = (0.80, 0.85, 0.90, 0.95)
"""Dice thresholds of the tables."""
CURVE_THRESHOLDS = tuple(round(0.50 + 0.05 * i, 2) for i in range(10))
"""Dice thresholds of the figure of clicks against threshold."""
REACH = (0.85, 0.90)
"""Dice thresholds of the reach curves."""
SEED = 0
"""Seed of the resampling."""


class Numbers:
    """The numbers of `simclick.statistics.summarise`, by name."""

    def __init__(self, summary: pd.DataFrame) -> None:
        self.table = summary
        columns = ["agent", "subset", "subset_value", "average", "statistic", "at"]
        keys = zip(*(summary[c] for c in columns), strict=True)
        self._rows = {(*key[:-1], _at(key[-1])): row for row, key in enumerate(keys)}
        self._values = {
            c: summary[c].to_numpy() for c in ("value", "low", "high", "n_cases", "n_groups", "note")
        }

    def row(
        self,
        agent: str,
        statistic: str,
        at: float | None = None,
        subset: tuple[str, str] = ("all", ""),
        average: str = "micro",
    ) -> int | None:
        """Return the row of a number, or None where there is none."""
        return self._rows.get((agent, *subset, average, statistic, _at(at)))

    def value(self, agent: str, statistic: str, at: float | None = None, **where: Any) -> Value:
        """Return a number with its interval; NaN where there is none."""
        row = self.row(agent, statistic, at, **where)
        if row is None:
            return Value()
        value, low, high = (float(self._values[name][row]) for name in ("value", "low", "high"))
        return Value(value, low, high)

    def counts(self, agent: str, statistic: str, at: float | None = None, **where: Any) -> tuple[int, int]:
        """Return how many cases and groups a number rests on."""
        row = self.row(agent, statistic, at, **where)
        return (
            (0, 0) if row is None else (int(self._values["n_cases"][row]), int(self._values["n_groups"][row]))
        )

    def notes(
        self,
        measures: Sequence[tuple[str, float | None]],
        subset: str = "all",
        averages: Sequence[str] = ("micro",),
    ) -> list[str]:
        """Return why numbers have no interval, each reason once, with the agents if it is not all.

        Args:
            measures: The numbers that are shown: statistic, and threshold or cost.
            subset: The kind of subset that is shown.
            averages: The averages that are shown.
        """
        agents: dict[str, set[str]] = {}
        wanted = {(statistic, _at(at)) for statistic, at in measures}
        for (agent, kind, _, average, statistic, at), row in self._rows.items():
            note = str(self._values["note"][row])
            if note and kind == subset and average in averages and (statistic, at) in wanted:
                agents.setdefault(note, set()).add(agent)
        everyone = {key[0] for key in self._rows}
        return [n if who == everyone else f"{n} ({', '.join(sorted(who))})" for n, who in agents.items()]


def _at(at: float | None) -> float | None:
    return None if at is None or math.isnan(at) else round(float(at), 6)


@dataclass(frozen=True)
class Standing:
    """An agent on a board.

    Attributes:
        entrant: The agent.
        marks: What must be said beside its name.
        unranked: Why it is not ranked; "" for one that is.
        n_cases: Cases it did.
        n_groups: Their groups.
        n_episodes: Episodes it did.
        n_failed: Episodes that failed.
    """

    entrant: Entrant
    marks: tuple[str, ...]
    unranked: str
    n_cases: int
    n_groups: int
    n_episodes: int
    n_failed: int

    @property
    def label(self) -> str:
        """The agent's label."""
        return self.entrant.label

    @property
    def caution(self) -> str:
        """Why it is not ranked, in one word, for a figure; "" for one that is."""
        return {"uses the truth": "bound", "random weights": "random", "not all cases": "part"}.get(
            self.unranked, ""
        )

    @property
    def ranked(self) -> bool:
        """Whether it is ranked."""
        return not self.unranked

    @property
    def part(self) -> str:
        """Heading of the part of a table in which it stands."""
        return "" if self.ranked else "Not ranked"


@dataclass(frozen=True)
class Board:
    """All numbers of one data set (or of all together) at one noise level.

    Attributes:
        section: Protocol and seed.
        dataset: The data set; "" for all together.
        level: The noise level.
        standings: The agents: ranked ones first, by `Rounds.outcome`, then the others by name.
        numbers: The numbers, over all cases and over subsets.
        curves: `curve_table` of this board.
        pairs: `compare` between agents that neither use the truth nor have random weights.
        episodes: `episode_table` of this board.
        cases: `case_table` of this board.
        paths: Dice at cost 0, 1, …, budget of every episode, by agent. Float64[E, budget + 1].
    """

    section: Section
    dataset: str
    level: float
    standings: tuple[Standing, ...]
    numbers: Numbers
    curves: pd.DataFrame
    pairs: pd.DataFrame
    episodes: pd.DataFrame
    cases: pd.DataFrame
    paths: Mapping[str, NDArray[np.float64]]

    @property
    def ranked(self) -> list[Standing]:
        """The agents that are ranked, best first."""
        return [standing for standing in self.standings if standing.ranked]

    @property
    def phrase(self) -> str:
        """The data set in words, with the level where there is noise; goes on a sentence."""
        name = self.dataset or "all data sets together"
        noise = self.section.protocol["noise"]
        return name if noise == "none" else f"{name}, {noise} at level {self.level:g}"

    @property
    def title(self) -> str:
        """The same as a heading."""
        return self.phrase if self.dataset else self.phrase[0].upper() + self.phrase[1:]

    @property
    def costs(self) -> list[int]:
        """The costs of tables within the budget, from the first at which there is a mask."""
        return self.rounds.costs

    @property
    def rounds(self) -> Rounds:
        """Where its numbers begin, and how costs are named."""
        return self.section.rounds

    @property
    def surface_costs(self) -> list[int]:
        """The costs of tables at which surfaces were measured."""
        return [cost for cost in self.costs if cost in self.section.protocol["surface_at"]]

    @property
    def unit(self) -> str:
        """Unit of distances."""
        if self.dataset:
            return self.section.units[self.dataset]
        units = set(self.section.units.values())
        return units.pop() if len(units) == 1 else "mixed"

    @cached_property
    def size(self) -> tuple[int, int]:
        """Number of cases and of groups, over all agents."""
        return len(self.cases[["dataset", "case_id"]].drop_duplicates()), len(
            self.cases[["dataset", "group"]].drop_duplicates()
        )

    def subsets(self, by: str) -> list[str]:
        """Return the values of ``dataset``, ``modality`` or ``target`` on this board, sorted."""
        return sorted(self.cases[by].unique())


def make_boards(section: Section) -> Iterator[Board]:
    """Compute a section's boards: each data set, then all together where there are several."""
    datasets = section.datasets
    if not datasets:
        return
    wholes = [*datasets, ""] if len(datasets) > 1 else datasets
    for dataset in wholes:
        yield from _boards(section, dataset)


def _boards(section: Section, dataset: str) -> Iterator[Board]:
    episodes, steps = section.episodes, section.steps
    if dataset:
        episodes, steps = _only(episodes, "dataset", [dataset]), _only(steps, "dataset", [dataset])
    budget = section.budget
    costs = section.rounds.costs
    by = ("modality", "target") if dataset else ("dataset", "modality", "target")
    thresholds = sorted({*THRESHOLDS, *CURVE_THRESHOLDS})
    summary = summarise(
        episodes, steps, budget, by, thresholds, costs, distance_units=dict(section.units), seed=SEED
    )
    curves = curve_table(episodes, steps, budget, (), REACH, seed=SEED)
    fair = [e.label for e in section.entrants.values() if not (e.bound or e.random_weights)]
    pairs = compare(
        _only(episodes, "agent", fair), _only(steps, "agent", fair), budget, THRESHOLDS, costs, seed=SEED
    )
    pairs = _only(pairs, "subset", ["all"])
    table = episode_table(episodes, steps, budget, THRESHOLDS, costs)
    cases = case_table(table)
    paths = dice_curves(steps, episodes, budget)
    for level in section.levels:
        standings = _standings(
            section, dataset, _only(episodes, "level", [level]), _only(summary, "level", [level])
        )
        if standings:
            yield Board(
                section,
                dataset,
                level,
                standings,
                Numbers(_only(summary, "level", [level])),
                _only(curves, "level", [level]),
                _only(pairs, "level", [level]),
                _only(table, "level", [level]),
                _only(cases, "level", [level]),
                _by_agent(*paths, level),
            )


def _only(table: pd.DataFrame, column: str, values: Sequence[object]) -> pd.DataFrame:
    if not len(table):
        return table
    chosen: pd.DataFrame = table[table[column].isin(list(values))].reset_index(drop=True)
    return chosen


def _by_agent(
    episodes: pd.DataFrame, curves: NDArray[np.float64], level: float
) -> dict[str, NDArray[np.float64]]:
    chosen = (episodes["level"] == level).to_numpy()
    agents = episodes["agent"].to_numpy()
    return {str(agent): curves[chosen & (agents == agent)] for agent in pd.unique(agents[chosen])}


def _standings(
    section: Section, dataset: str, episodes: pd.DataFrame, summary: pd.DataFrame
) -> tuple[Standing, ...]:
    statistic, at = section.rounds.outcome
    numbers = Numbers(summary)
    found = []
    for agent, rows in episodes.groupby("agent"):
        label = str(agent)
        marks, unranked = _marks(section, section.entrants[label], dataset)
        found.append(
            Standing(
                section.entrants[label],
                marks,
                unranked,
                len(rows[["dataset", "case_id"]].drop_duplicates()),
                len(rows[["dataset", "group"]].drop_duplicates()),
                len(rows),
                int((rows["status"] == "failed").sum()),
            )
        )
    outcome = {s.label: numbers.value(s.label, statistic, at).value for s in found}
    return tuple(sorted(found, key=lambda s: (not s.ranked, -outcome[s.label] if s.ranked else 0.0, s.label)))


def _marks(section: Section, entrant: Entrant, dataset: str) -> tuple[tuple[str, ...], str]:
    """Return an agent's marks on a board, and why it is not ranked."""
    marks = list(
        dict.fromkeys(mark for label, run in section.runs if label == entrant.label for mark in run.marks)
    )
    datasets = [dataset] if dataset else section.datasets
    done = sum(section.covered[entrant.label, name] for name in datasets)
    planned = sum(len(section.planned[name]) for name in datasets)
    unsealed = any((entrant.label, name) in section.unsealed for name in datasets)
    if done < planned:
        marks.append(("incomplete: " if unsealed else "") + f"{done} of {planned} cases")
    elif unsealed:
        marks.append("incomplete: not sealed")
    if entrant.bound:
        return tuple(marks), "uses the truth"
    if entrant.random_weights:
        return tuple(marks), "random weights"
    return tuple(marks), "" if done == planned and not unsealed else "not all cases"
