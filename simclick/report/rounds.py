"""Where a report's numbers begin, and how costs are named.

No mask exists before the first round is paid for. A first round that costs more than one click (a box costs
two, five points at once five) leaves ``D(1)`` at 0 for every agent: such a number says nothing, so a report's
columns, curves and sentences begin at the least cost of a first round. Where a protocol asks one round only,
Dice after it is the one outcome: there are no clicks to count and no curve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from simclick.texts import listed

__all__ = ["CLICKS", "COSTS", "Rounds", "first_cost", "prompt_word", "single_round"]

COSTS = (1, 3, 5, 10, 20)
"""Costs of the tables, in clicks, from the first one on."""
LEAD_COSTS = (1, 3, 5, 20)
"""Costs at which the summary says who leads, from the first one on."""


@dataclass(frozen=True)
class Rounds:
    """The rounds of a section.

    Attributes:
        first: Least cost of a first round, from 1 to the budget.
        budget: The protocol's budget.
        single: Whether there is one round only.
        prompt: What the first round holds, in one word: ``click``, ``box``, ``clicks``, ``prompts``, ….
    """

    first: int
    budget: int
    single: bool = False
    prompt: str = "click"

    @property
    def costs(self) -> list[int]:
        """The costs of tables: where some agent can have a mask; of a single round the budget alone."""
        if self.single:
            return [self.budget]
        chosen = {self.first, *(cost for cost in COSTS if self.first <= cost <= self.budget)}
        # With a small budget, or a first round of several clicks, the end is no cost of the list.
        return sorted({*chosen, self.budget} if self.first > 1 or self.budget == 2 else chosen)

    @property
    def leads(self) -> list[int]:
        """The costs at which the summary says who leads."""
        if self.single:
            return [self.budget]
        chosen = {self.first, *(cost for cost in LEAD_COSTS if self.first <= cost <= self.budget)}
        return sorted({*chosen, self.budget} if self.first > 1 else chosen)

    @property
    def middle(self) -> int:
        """Cost 5, or the largest of the tables below it, else the first."""
        return max((cost for cost in self.costs if cost <= 5), default=self.costs[0])

    @property
    def outcome(self) -> tuple[str, float | None]:
        """Statistic, and cost, by which agents are ordered and episodes chosen."""
        return ("dice", float(self.budget)) if self.single else ("area", None)

    @property
    def mean(self) -> str:
        """What the mean of the curve (`simclick.statistics.clicks.area`) is taken over."""
        return f"1…{self.budget}" + (f", 0 before the {self.prompt}" if self.first > 1 else "")

    @property
    def outcome_words(self) -> str:
        """The outcome in words, as in a caption."""
        if self.single:
            return f"Dice after the {self.prompt}"
        return "mean Dice" if self.first == 1 else f"mean Dice of costs {self.mean}"

    def spent(self, cost: int) -> str:
        """Return a cost in words: ``3 clicks``, ``the box``, ``the box (cost 2)``, ``a cost of 5 clicks``."""
        if self.single:
            return f"the {self.prompt}"
        if self.first == 1:
            return f"{cost} click{'' if cost == 1 else 's'}"
        if cost == self.first:
            return f"the {self.prompt} (cost {cost})"
        return f"a cost of {cost} clicks"

    def spent_all(self, costs: Sequence[int]) -> str:
        """Return several costs in words: ``1 and 3 clicks``, ``the box (cost 2) and a cost of 5 clicks``."""
        if self.single:
            return f"the {self.prompt}"
        some = [cost for cost in costs if self.first == 1 or cost != self.first]
        later = f"{listed([str(cost) for cost in some])} click{'' if some == [1] else 's'}" if some else ""
        if self.first == 1:
            return later
        begun = [self.spent(self.first)] if self.first in costs else []
        return " and ".join([*begun, *([f"a cost of {later}"] if later else [])])

    def head(self, cost: int) -> str:
        """Return a cost as the head of a column below `over`."""
        if self.single:
            return "Dice"
        return f"{cost} ({self.prompt})" if self.first == cost > 1 else str(cost)

    @property
    def over(self) -> str:
        """What a column of a cost shows, ``…`` standing for `head`; of a single round the title says it."""
        if self.single:
            return ""
        return "Dice after … clicks" if self.first == 1 else "Dice at a cost of … clicks"


CLICKS = Rounds(1, 20)
"""One click after the other."""


def first_cost(steps: pd.DataFrame, budget: int) -> int:
    """Return the least cost of a first round, from 1 to the budget; 1 without steps."""
    return min(max(1, int(steps["cost"].min())), budget) if len(steps) else 1


def single_round(episodes: pd.DataFrame, first: int, budget: int) -> bool:
    """Return whether a protocol asks one round only.

    An episode ends early once its mask is perfect, or when the agent fails: so it is told by those that ended
    otherwise after one round. Where there is none, by whether the budget leaves room for more.
    """
    rounds = episodes["steps"].to_numpy()
    if not len(rounds):
        return False
    ended = (episodes["status"] == "ok").to_numpy() & (episodes["final_dice"] < 1).to_numpy() & (rounds > 0)
    if rounds.max() > 1:
        return False
    return bool(ended.any()) or first >= budget


def prompt_word(prompts: pd.DataFrame) -> str:
    """Return what first rounds hold, in one word.

    Args:
        prompts: Columns ``step index kind`` of ``prompts`` tables.
    """
    first = prompts[prompts["step"] == 1]
    kinds = set(first["kind"].astype(str))
    several = bool((first["index"] > 0).any())
    word = kinds.pop() if len(kinds) == 1 else "prompt"
    if word not in ("click", "box", "scribble"):
        word = "prompt"
    return word + ("es" if word == "box" else "s") * several
