"""The boards of a suite: one per protocol, and the same again for each modality.

A `Board` holds every number that the site shows of it. Methods are ordered by one number, the board's
*outcome*, a mean over cases:

* without noise ``area``, the mean Dice of costs 1 to the budget; where the budget holds one prompt only (a
  box), the Dice after it;
* under noise the same, averaged over all levels above 0.

Entries whose masks were chosen with the truth (oracle selection) are computed, shown apart, and ranked with
nobody. Nothing here reads a clock or draws other than from seeds: the same entries give the same boards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.leaderboard.entries import Entry
from simclick.leaderboard.frames import CASE, failure_marks, failures, oracle_gap, pooled
from simclick.leaderboard.ranking import Pair, Place, bootstrap_ranks, places
from simclick.protocol import Protocol
from simclick.report.boards import Numbers
from simclick.report.grid import Value
from simclick.report.style import Look
from simclick.report.tables import slug as file_name
from simclick.statistics import compare, curve_table, episode_table, summarise
from simclick.statistics.robustness import robustness_table
from simclick.statistics.summary import group_codes

__all__ = ["COSTS", "FLOOR", "THRESHOLDS", "Board", "Method", "SuiteFacts", "make_board"]

FLOOR = "disc"
"""The agent that is the floor: it sees no image. What it reaches, the clicks alone give away."""
COSTS = (1, 3, 5, 10, 20)
THRESHOLDS = (0.85, 0.90)


@dataclass(frozen=True)
class SuiteFacts:
    """What the site says of a suite.

    Attributes:
        name: Its name with version, part of file names.
        title: Heading.
        description: A sentence or two.
        digest: SHA-256 of its definition.
        n_cases: Its cases.
        n_groups: Their groups.
        roles: The protocol of each role: ``clicks``, ``box``, ``click_noise``, ``box_noise``, ….
    """

    name: str
    title: str
    description: str
    digest: str
    n_cases: int
    n_groups: int
    roles: Mapping[str, Protocol]


@dataclass(frozen=True, eq=False)
class Method:
    """An entry as it shows on the site.

    Attributes:
        entry: What was accepted.
        label: Its name, unlike that of any other method of the suite.
        look: How it is drawn; the same on all pages.
        number: Its number on the whole site, for ids.
    """

    entry: Entry
    label: str
    look: Look
    number: int

    @property
    def slug(self) -> str:
        """Its part of file names."""
        return self.entry.slug

    @property
    def ranked(self) -> bool:
        """Whether it is ranked."""
        return not self.entry.oracle

    @property
    def floor(self) -> bool:
        """Whether it is the floor."""
        return self.entry.agent == FLOOR

    @property
    def marks(self) -> tuple[str, ...]:
        """What must be said beside its name."""
        floor = ("floor: sees no image",) if self.floor else ()
        return (*floor, *(() if self.ranked else ("uses the truth (oracle)",)), *self.trained)

    @property
    def trained(self) -> tuple[str, ...]:
        """What must be said of a method whose training data, by its card, overlap the suite's."""
        overlap = self.entry.card.overlap.get(self.entry.suite)
        return (f"training overlap: {overlap}",) if overlap in ("partial", "full") else ()


@dataclass(frozen=True, eq=False)
class Board:
    """All numbers of one protocol of a suite, over all cases or those of one modality.

    Attributes:
        suite: The suite.
        role: The role of the protocol.
        protocol: The protocol.
        modality: The modality; "" for all.
        methods: By slug: ranked ones first, best first; then those that are not ranked, by label.
        places: Their places, likewise; ranked ones only.
        statistic: Statistic of the outcome: ``area`` or ``final_dice``.
        numbers: Numbers over all cases, and over modalities and targets where `modality` is ""; under noise
            over all levels above 0. Agents are slugs.
        pairs: `compare` between all ranked methods, likewise.
        episodes: The episodes, of all levels.
        steps: Their steps.
        oracle_gap: Per slug, mean over cases of how much higher the area of each step's best candidate is.
    """

    suite: SuiteFacts
    role: str
    protocol: Protocol
    modality: str
    methods: Mapping[str, Method]
    places: tuple[Place, ...]
    statistic: str
    numbers: Numbers
    pairs: pd.DataFrame
    episodes: pd.DataFrame
    steps: pd.DataFrame
    oracle_gap: Mapping[str, Value] = field(default_factory=dict)

    @property
    def noisy(self) -> bool:
        """Whether the protocol has noise."""
        return self.protocol.noise != "none"

    @property
    def key(self) -> str:
        """Its part of file names and ids, unique on the site."""
        return file_name(self.suite.name, self.role.replace("_", "-"), self.modality).replace("_", "-")

    @property
    def costs(self) -> list[int]:
        """The costs of tables: those at which some method has a mask."""
        first = self.first_cost
        chosen = [cost for cost in COSTS if first <= cost <= self.protocol.budget]
        return chosen or [self.protocol.budget]

    @cached_property
    def first_cost(self) -> int:
        """Cost of the first prompt, in clicks."""
        return min(int(self.steps["cost"].min()), self.protocol.budget) if len(self.steps) else 1

    @cached_property
    def size(self) -> tuple[int, int]:
        """Number of cases and of groups."""
        return len(self.episodes[["dataset", "case_id"]].drop_duplicates()), len(
            self.episodes[["dataset", "group"]].drop_duplicates()
        )

    @property
    def place(self) -> dict[str, Place]:
        """The places by slug."""
        return {place.name: place for place in self.places}

    def marks(self, name: str) -> tuple[str, ...]:
        """Return what must be said beside a method's name here: the method's marks, and failed episodes."""
        return (*self.methods[name].marks, *failure_marks(*self.failed(name)))

    def failed(self, name: str, subset: tuple[str, str] = ("all", "")) -> tuple[int, int]:
        """Return how many of a method's episodes, of all levels, ended in an error, and how many there are.

        Args:
            name: Its slug.
            subset: Like that of `outcome`: ``("target", "liver")``, ``("modality", "ct")``, or all; here
                also ``("level", "5.0")``.
        """
        by = "" if subset[0] == "all" else subset[0]
        if by not in self._failures:
            self._failures[by] = failures(self.episodes, by)
        return self._failures[by].get((name, subset[1]), (0, 0))

    @cached_property
    def _failures(self) -> dict[str, dict[tuple[str, str], tuple[int, int]]]:
        return {}

    def outcome(self, name: str, **where: Any) -> Value:
        """Return a method's outcome with its interval."""
        return self.numbers.value(name, self.statistic, **where)

    @property
    def outcome_words(self) -> str:
        """The outcome as a column head."""
        single = f"Dice after {self.budget_words}"
        what = f"mean Dice of 1…{self.protocol.budget}" if self.statistic == "area" else single
        return f"{what}, over noise levels" if self.noisy else what

    @property
    def budget_words(self) -> str:
        """What the budget buys."""
        budget = self.protocol.budget
        if self.statistic == "final_dice" and "box" in self.role:
            return "the box"
        return f"{budget} click{'' if budget == 1 else 's'}"

    def level_text(self, level: float) -> str:
        """Return a noise level with its unit."""
        return f"{level:g} {self.protocol.noise_options.get('unit', 'px')}"

    def subsets(self, by: str) -> list[str]:
        """Return the values of ``modality`` or ``target``, sorted."""
        return sorted(str(v) for v in self.episodes[by].unique())

    def rank_shares(self) -> tuple[list[Method], NDArray[np.float64]]:
        """Return ranked methods, best first, and how often each has each rank over resamples of groups."""
        methods = [self.methods[place.name] for place in self.places]
        table = episode_table(*pooled(self.episodes, self.steps, self.noisy), self.protocol.budget, (), ())
        wide = table.pivot_table(index=CASE, columns="agent", values=self.statistic, aggfunc="mean")
        wide = wide[[m.slug for m in methods]].dropna()
        codes = group_codes(wide.reset_index()[CASE])
        return methods, bootstrap_ranks(wide.to_numpy(dtype=np.float64), codes)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """`curve_table` of the Dice over costs; under noise over all levels above 0."""
        table = curve_table(*pooled(self.episodes, self.steps, self.noisy), self.protocol.budget, (), ())
        chosen: pd.DataFrame = table[table["statistic"] == "dice"].reset_index(drop=True)
        return chosen

    @cached_property
    def robustness(self) -> pd.DataFrame:
        """`robustness_table` over all levels; empty without noise."""
        if not self.noisy:
            return pd.DataFrame(columns=["agent", "subset", "outcome", "statistic", "level"])
        table = robustness_table(self.episodes, self.steps, self.protocol.budget)
        chosen: pd.DataFrame = table[table["subset"] == "all"].reset_index(drop=True)
        return chosen

    def robust(self, name: str, statistic: str, level: float | None = None) -> Value:
        """Return a method's number of `robustness`, of the Dice at the budget; NaN where there is none."""
        return self._robust.get((name, statistic, level), Value())

    @cached_property
    def _robust(self) -> dict[tuple[str, str, float | None], Value]:
        table = self.robustness
        table = table[table["outcome"] == f"dice@{self.protocol.budget}"]
        return {
            (
                str(r["agent"]),
                str(r["statistic"]),
                None if np.isnan(r["level"]) else float(r["level"]),
            ): Value(float(r["value"]), float(r["low"]), float(r["high"]))
            for r in table.to_dict("records")
        }


def make_board(
    suite: SuiteFacts, role: str, methods: Sequence[Method], frames: tuple[pd.DataFrame, pd.DataFrame],
    modality: str = "",
) -> Board:  # fmt: skip
    """Compute a board.

    Args:
        suite: The suite.
        role: The role of the protocol.
        methods: The methods.
        frames: Their episodes and steps (`simclick.leaderboard.frames.suite_frames`).
        modality: Only cases of this modality; "" for all.
    """
    protocol = suite.roles[role]
    episodes, steps = (
        frame[frame["modality"] == modality].reset_index(drop=True) if modality else frame for frame in frames
    )
    statistic = "area" if _several(steps, protocol) else "final_dice"
    mine = pooled(episodes, steps, protocol.noise != "none")
    by = () if modality else ("modality", "target")
    numbers = Numbers(summarise(*mine, protocol.budget, by, THRESHOLDS, COSTS))
    ranked = [m.slug for m in methods if m.ranked]
    shown: tuple[Any, Any] = ((), ()) if modality else (THRESHOLDS, COSTS)
    fair_episodes, fair_steps = (t[t["agent"].isin(ranked)] for t in mine)
    pairs = compare(fair_episodes, fair_steps, protocol.budget, *shown)
    pairs = pairs[pairs["subset"] == "all"].reset_index(drop=True)
    tested = places(
        {slug: numbers.value(slug, statistic).value for slug in ranked}, list(_tests(pairs, statistic))
    )
    by_slug = {m.slug: m for m in methods}
    order = [place.name for place in tested]
    order += [m.slug for m in sorted(methods, key=lambda m: m.label) if not m.ranked]
    gap = {} if modality or protocol.noise != "none" else oracle_gap(episodes, steps, protocol)
    return Board(
        suite, role, protocol, modality, {slug: by_slug[slug] for slug in order}, tuple(tested), statistic,
        numbers, pairs, episodes, steps, gap,
    )  # fmt: skip


def _several(steps: pd.DataFrame, protocol: Protocol) -> bool:
    """Return whether the budget has room for more than one prompt."""
    return bool((steps["step"] > 1).any()) if len(steps) else protocol.budget > 1


def _tests(pairs: pd.DataFrame, statistic: str) -> Iterator[Pair]:
    rows = pairs[pairs["statistic"] == statistic]
    columns = (rows[name] for name in ("agent_a", "agent_b", "difference", "p_holm"))
    for a, b, difference, p in zip(*columns, strict=True):
        yield Pair(str(a), str(b), float(difference), float(p))
