"""The table at the end of a run, as plain text of at most 100 columns. Needs no matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from simclick.harness.reading import Run
from simclick.report.boards import THRESHOLDS, Numbers
from simclick.report.grid import Value, interval_text, value_text
from simclick.report.rounds import Rounds
from simclick.report.runs import Section, load_sections, open_run
from simclick.statistics import summarise

__all__ = ["final_table"]

WIDTH = 100


def final_table(run: Path | str | Run) -> str:
    """Return the numbers of a run, to be printed.

    Args:
        run: The run directory, or the run.

    Raises:
        StoreError: When it cannot be read.
    """
    run = run if isinstance(run, Run) else open_run(run)
    (section,) = load_sections([run])
    if not len(section.episodes):
        return "\n".join([*_head(run, section), "no episode is done yet"])
    rounds = section.rounds
    summary = summarise(section.episodes, section.steps, section.budget, (), THRESHOLDS, rounds.costs)
    label = next(iter(section.entrants))
    levels = [level for level in section.levels if (summary["level"] == level).any()]
    by_level = {level: Numbers(summary[summary["level"] == level].reset_index(drop=True)) for level in levels}
    if len(levels) == 1:
        body = _one_level(by_level[levels[0]], label, rounds)
    else:
        body = _many_levels(by_level, label, rounds, str(section.protocol["noise"]))
    return "\n".join([*_head(run, section), *body, *_foot(section)])


def _head(run: Run, section: Section) -> list[str]:
    marks = f"  ({', '.join(run.marks)})" if run.marks else ""
    episodes = section.episodes
    cases, groups = episodes["case_id"].nunique(), episodes["group"].nunique()
    failed = int((episodes["status"] == "failed").sum())
    counts = [
        f"{cases} case{'' if cases == 1 else 's'}",
        f"{groups} group{'' if groups == 1 else 's'}",
        f"{len(episodes)} episode{'' if len(episodes) == 1 else 's'}, {failed} failed",
        f"seed {section.seed}",
        f"protocol {section.name}",
    ]
    first = f"{run.agent}{marks} on {run.dataset}"
    return [*_folded(first), *_folded(", ".join(counts)), ""]


def _one_level(numbers: Numbers, label: str, rounds: Rounds) -> list[str]:
    costs = rounds.costs
    # A single round leaves no clicks to count, and no mean over clicks.
    heads = ("", "", "not reached") if rounds.single else ("clicks", "", "not reached")
    left = [f"{'Dice to reach':<15}{heads[0]:>8}  {heads[1]:<16}{heads[2]:>12}"]
    for tau in THRESHOLDS:
        clicks, missed = numbers.value(label, "noc", tau), numbers.value(label, "nof", tau)
        counted = (
            ("", "") if rounds.single else (value_text(clicks, "clicks"), interval_text(clicks, "clicks"))
        )
        left.append(f"{f'≥ {tau:.2f}':<15}{counted[0]:>8}  {counted[1]:<16}{value_text(missed, 'share'):>12}")
    rows = [(_spent(rounds, cost), numbers.value(label, "dice", cost)) for cost in costs]
    if not rounds.single:
        rows.append((f"mean 1…{rounds.budget}", numbers.value(label, "area")))
    wide = max(12, *(len(name) + 2 for name, _ in rows))
    right = [f"{'after':<{wide}}{'Dice':>7}"]
    right += [
        f"{name:<{wide}}{value_text(v, 'dice'):>7}  {interval_text(v, 'dice'):<16}".rstrip()
        for name, v in rows
    ]
    height = max(len(left), len(right))
    left += [""] * (height - len(left))
    right += [""] * (height - len(right))
    shown: list[tuple[str, float | None]] = [("dice", float(cost)) for cost in costs]
    if not rounds.single:
        shown = [*(("noc", tau) for tau in THRESHOLDS), *shown, ("area", None)]
    notes = [*_mean_note(rounds), *numbers.notes(shown)]
    said = ["[low, high]: 95 % interval over groups"] if _any_interval([v for _, v in rows]) else []
    lines = [f"{a:<56}{b}".rstrip() for a, b in zip(left, right, strict=True)]
    return [*lines, "", *(line for note in [*said, *notes] for line in _folded(note))]


def _spent(rounds: Rounds, cost: int) -> str:
    """Return a cost in words, short."""
    text = rounds.spent(cost)
    return text.removeprefix("a cost of ")


def _mean_note(rounds: Rounds) -> list[str]:
    if rounds.single or rounds.first == 1:
        return []
    return [f"mean of costs {rounds.mean}, which costs {rounds.first}"]


def _any_interval(values: list[Value]) -> bool:
    return any(value.has_interval for value in values)


def _many_levels(by_level: dict[float, Numbers], label: str, rounds: Rounds, noise: str) -> list[str]:
    costs, single = rounds.costs[:4], rounds.single
    taus = THRESHOLDS[1:3]
    heads = [
        *(() if single else (f"NoC@{tau:.2f}" for tau in taus)),
        *(f"> {tau:.2f} missed" for tau in taus),
        *(("Dice",) if single else (f"Dice@{cost}" for cost in costs)),
        *(() if single else ("area",)),
    ]
    lines = [f"{'level':>8}" + "".join(f"{head:>{max(9, len(head) + 2)}}" for head in heads)]
    for level, numbers in by_level.items():
        cells = [
            *(() if single else (value_text(numbers.value(label, "noc", tau), "clicks") for tau in taus)),
            *(value_text(numbers.value(label, "nof", tau), "share") for tau in taus),
            *(value_text(numbers.value(label, "dice", cost), "dice") for cost in costs),
            *(() if single else (value_text(numbers.value(label, "area"), "dice"),)),
        ]
        row = "".join(f"{cell:>{max(9, len(head) + 2)}}" for cell, head in zip(cells, heads, strict=True))
        lines.append(f"{level:>8g}{row}")
    said = (
        [f"Dice after {rounds.spent(rounds.budget)}"]
        if single
        else [f"area: {n}" for n in _mean_note(rounds)]
    )
    return [*lines, "", "; ".join([f"level: of {noise}", *said, "intervals: simclick report"])]


def _foot(section: Section) -> list[str]:
    seconds = section.steps["seconds_predict"].to_numpy(dtype=float)
    lines = []
    if len(seconds):
        lines.append(f"{_seconds(float(np.median(seconds)))} per interaction (median)")
    errors = section.episodes.loc[section.episodes["status"] == "failed", "error"].fillna(
        "no reason recorded"
    )
    for reason, count in pd.Series(errors).value_counts().head(3).items():
        lines += _folded(f"failed: {count} x {' '.join(str(reason).split())}", 1)
    return lines


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"


def _folded(text: str, most: int = 4) -> list[str]:
    """Return a text in lines of at most 100 columns; what is past the last line is cut."""
    import textwrap

    return textwrap.wrap(text, WIDTH, max_lines=most, placeholder=" …", break_on_hyphens=False) or [""]
