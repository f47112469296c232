"""What the numbers say, in words: who leads, by how much, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from simclick.report.boards import Board
from simclick.report.grid import Column, Grid, Row, Value
from simclick.report.rounds import Rounds
from simclick.texts import listed

__all__ = ["Lead", "lead_grid", "lead_sentences", "leads", "listed"]


@dataclass(frozen=True)
class Lead:
    """Who leads after some clicks.

    Attributes:
        cost: Cost in clicks.
        leader: The agent with the highest mean Dice; equal ones, joined.
        dice: Its Dice.
        second: The next one, or "" where all are equal.
        difference: Leader minus second, paired by case.
        why: Why there is no interval, or "".
    """

    cost: int
    leader: str
    dice: Value
    second: str
    difference: Value
    why: str

    @property
    def clear(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return self.difference.has_interval and self.difference.low > 0

    @property
    def verdict(self) -> str:
        """Whether the lead is more than chance, in words."""
        if not self.second:
            return _EQUAL
        if not self.difference.has_interval:
            return _UNKNOWN
        return _CLEAR if self.clear else _CHANCE


def leads(board: Board) -> list[Lead]:
    """Return who leads among the ranked agents at `Rounds.leads`; none with fewer than two."""
    if len(board.ranked) < 2:
        return []
    return [_lead(board, cost) for cost in board.rounds.leads]


def _lead(board: Board, cost: int) -> Lead:
    values = {s.label: board.numbers.value(s.label, "dice", cost) for s in board.ranked}
    order = sorted(values, key=lambda label: (-values[label].value, label))
    best = values[order[0]].value
    equal = [label for label in order if values[label].value == best]
    if len(equal) > 1:
        return Lead(cost, " and ".join(equal), values[order[0]], "", Value(), "")
    leader, second = order[:2]
    difference, why = _difference(board, leader, second, cost)
    return Lead(cost, leader, values[leader], second, difference, why)


def _difference(board: Board, a: str, b: str, cost: int) -> tuple[Value, str]:
    table = board.pairs
    rows = table[(table["statistic"] == "dice") & (table["at"].astype(float).round(6) == cost)]
    names = ("agent_a", "agent_b", "difference", "low", "high", "note")
    for one, other, difference, low, high, note in zip(*(rows[name] for name in names), strict=True):
        if (one, other) == (a, b):
            return Value(difference, low, high), str(note)
        if (one, other) == (b, a):
            return Value(-difference, -high, -low), str(note)
    return Value(), "not compared"


def lead_grid(board: Board, found: Sequence[Lead], name: str, constants: Mapping[str, object]) -> Grid:
    """Return the leads as a table."""
    columns = (
        Column("leader", "leads", "text"),
        Column("dice", "Dice", "dice"),
        Column("second", "before", "text"),
        Column("difference", "by", "difference"),
        Column("verdict", "how sure", "text"),
    )
    rows = []
    for lead in found:
        cells = {
            "leader": Value(text=lead.leader),
            "dice": lead.dice,
            "second": Value(text=lead.second),
            "difference": Value(
                lead.difference.value, lead.difference.low, lead.difference.high, strong=lead.clear
            ),
            "verdict": Value(text=lead.verdict),
        }
        rows.append(Row(board.rounds.spent(lead.cost), cells))
    why = [
        f"{reason[:1].upper()}{reason[1:]}." for reason in dict.fromkeys(lead.why for lead in found) if reason
    ]
    notes = ["By: mean difference in Dice, paired by case, with its 95 % interval over groups.", *why]
    title = f"Who leads on {board.phrase}"
    return Grid(name, title, "after", columns, tuple(rows), tuple(notes), constants)


def lead_sentences(board: Board, found: Sequence[Lead]) -> list[str]:
    """Return who leads and how sure that is: per stretch of clicks of one certainty, two sentences."""
    if not found:
        ranked = board.ranked
        if not ranked:
            return ["No agent is ranked here."]
        return [f"Only {ranked[0].label} is ranked here; there is nobody to compare it with."]
    sentences = []
    for verdict, stretch in groupby(found, key=lambda lead: lead.verdict):
        parts = [
            _part(list(part), board.rounds) for _, part in groupby(stretch, key=lambda lead: lead.leader)
        ]
        text = "; ".join(parts)
        sentences += [f"{text[0].upper()}{text[1:]}.", *_SURE[verdict]]
    return sentences


_CLEAR = "clear: the interval excludes 0"
_CHANCE = "open: the interval includes 0"
_UNKNOWN = "open: no interval"
_EQUAL = "equal"
_SURE = {
    _CLEAR: ["That is clear: the interval of the difference excludes 0."],
    _CHANCE: ["That may be chance: the interval of the difference includes 0."],
    _UNKNOWN: ["How sure that is cannot be said: there is no interval (the table says why)."],
    _EQUAL: [],
}


def _part(stretch: Sequence[Lead], rounds: Rounds) -> str:
    lead = stretch[0]
    when = f"after {rounds.spent_all([one.cost for one in stretch])} {lead.leader}"
    if not lead.second:
        return f"{when} are equal"
    sizes = [one.difference.value for one in stretch if not math.isnan(one.difference.value)]
    return f"{when} {'leads' if lead.clear else 'is ahead'}{_range(sizes)}"


def _range(sizes: Sequence[float]) -> str:
    if not sizes:
        return ""
    low, high = f"{min(sizes):.3f}", f"{max(sizes):.3f}"
    return f" by {low} Dice" if low == high else f" by {low} to {high} Dice"
