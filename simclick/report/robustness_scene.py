"""What the study of noise shows: the numbers of one section, by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from simclick import registry
from simclick.errors import SimclickError
from simclick.report.grid import Value
from simclick.report.runs import Section
from simclick.report.style import Look

__all__ = ["Scene", "dose_of", "shortened", "strong", "unit_of"]

_UNITS = {"fraction": "diameters", "extent": "sides of the object", "box": "sides of the box"}


@dataclass(frozen=True, eq=False)
class Scene:
    """What the study shows.

    Attributes:
        section: Protocol, seed and runs.
        table: `robustness_table` of all its agents.
        pairs: `fragility_pairs` of the agents shown.
        agents: The agents shown, the most robust first.
        unit: What a level counts, as a noise names it; "" where it is a number of another kind.
        looks: How agents are drawn.
    """

    section: Section
    table: pd.DataFrame
    pairs: pd.DataFrame
    agents: tuple[str, ...]
    unit: str
    looks: Mapping[str, Look]

    @property
    def last(self) -> str:
        """The outcome that is shown: Dice at the budget."""
        return f"dice@{self.section.budget}"

    @property
    def first(self) -> str:
        """The outcome after the first prompt."""
        outcomes = [str(name) for name in self.table["outcome"].unique() if str(name).startswith("dice@")]
        return min(outcomes, key=lambda name: int(name.partition("@")[2]), default=self.last)

    def spent(self, outcome: str) -> str:
        """Return the cost of an outcome in words: clicks, what other prompts cost in clicks, ``the box``."""
        cost = outcome.partition("@")[2]
        if self.section.rounds.single:
            return self.section.rounds.spent(int(cost))
        text = f"{cost} click{'' if cost == '1' else 's'}"
        return text if self.first == "dice@1" else f"a cost of {text}"

    @property
    def axis(self) -> str:
        """Label of an axis of levels."""
        unit = _UNITS.get(self.unit, self.unit)
        return f"noise level ({unit})" if unit else "noise level"

    def dose(self, level: float) -> str:
        """Return a level in words."""
        return dose_of(self.unit, level)

    def rows(self, outcome: str, statistic: str) -> pd.DataFrame:
        """Return the rows of a statistic over all cases."""
        table = self.table
        found: pd.DataFrame = table[
            (table["subset"] == "all") & (table["outcome"] == outcome) & (table["statistic"] == statistic)
        ]
        return found

    def value(self, agent: str, outcome: str, statistic: str, level: float | None = None) -> Value:
        """Return a number with its interval; NaN where there is none."""
        rows = self.rows(outcome, statistic)
        rows = rows[rows["agent"] == agent]
        rows = rows[rows["level"].isna()] if level is None else rows[rows["level"] == level]
        if rows.empty:
            return Value()
        value, low, high = (float(rows[name].iloc[0]) for name in ("value", "low", "high"))
        return Value(value, low, high)

    def pair(self, statistic: str, a: str, b: str, level: float | None = None) -> tuple[Value, float, str]:
        """Return a's value less b's, Holm's p and the note; NaN where the two were not compared."""
        rows = self.pairs
        rows = rows[
            (rows["subset"] == "all") & (rows["outcome"] == self.last) & (rows["statistic"] == statistic)
        ]
        rows = rows[rows["level"].isna()] if level is None else rows[rows["level"] == level]
        for one, other, sign in ((a, b, 1.0), (b, a, -1.0)):
            found = rows[(rows["agent_a"] == one) & (rows["agent_b"] == other)]
            if len(found):
                row = found.iloc[0]
                low, high = sorted((sign * float(row["low"]), sign * float(row["high"])))
                value = strong(Value(sign * float(row["difference"]), low, high))
                return value, float(row["p_holm"]), str(row["note"])
        return Value(), math.nan, "no common case"


def unit_of(section: Section) -> str:
    """Return what a level counts: as set, else the noise's default, "" where it has no unit."""
    options = section.protocol["noise_options"]
    if "unit" in options:
        return str(options["unit"])
    try:
        return str(getattr(registry.noises.load(str(section.protocol["noise"])), "unit", ""))
    except SimclickError:  # a plug-in's noise that is not installed here
        return ""


def dose_of(unit: str, level: float) -> str:
    """Return a level in words."""
    name = _UNITS.get(unit, unit)
    return f"{level:g} {name}" if name else f"level {level:g}"


def strong(value: Value) -> Value:
    """Return a difference that stands out if its interval excludes 0."""
    clear = value.has_interval and (value.low > 0 or value.high < 0)
    return Value(value.value, value.low, value.high, strong=clear)


def shortened(label: str, length: int = 16) -> str:
    """Return a label, cut where it is too long for a figure."""
    return label if len(label) <= length else label[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"
