"""Seconds that a person would need, from a stated model of time. Simulated: nobody was timed.

A click takes: thinking (keystroke-level model's M, Card, Moran & Newell 1980: 1.35 s), moving there (Fitts'
law, log2(D / W + 1) bits at a mouse's throughput, ISO 9241-9 studies: about 4.5 bits per second; Soukoreff &
MacKenzie 2004), pressing and releasing (0.2 s), and waiting for the model. D is the distance in pixels from
where the hand was (the image's centre at first); W is not in the tables, so it is a constant. A box is two
such moves with one thought; a scribble is a move and its length at a drawing speed. Every number is an
option.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from simclick.errors import ConfigError, unknown_name
from simclick.statistics.bootstrap import median_interval
from simclick.statistics.summary import DECIMALS, group_codes

__all__ = ["TimeModel", "effort_table", "step_seconds", "time_model"]

_KEY = ["agent", "protocol", "dataset", "case_id", "noise", "level", "repeat"]


@dataclass(frozen=True)
class TimeModel:
    """How long things take.

    Attributes:
        thinking: Seconds before each prompt.
        bits_per_second: Throughput of pointing.
        target: Width of what is aimed at, W, in pixels.
        pressing: Seconds to press and release.
        drawing: Pixels per second along a scribble.
        latency: Seconds per answer; None takes each step's measured ``seconds_predict``.
    """

    thinking: float = 1.35
    bits_per_second: float = 4.5
    target: float = 10.0
    pressing: float = 0.2
    drawing: float = 200.0
    latency: float | None = None

    def moving(self, distance: float) -> float:
        """Return the seconds to move over a distance in pixels."""
        return math.log2(distance / self.target + 1.0) / self.bits_per_second

    def prompt(
        self, kind: str, place: Sequence[int], hand: tuple[float, float]
    ) -> tuple[float, tuple[float, float]]:
        """Return the seconds of a prompt without latency, and where the hand is afterwards."""
        if len(place) < 2:
            return self.thinking, hand
        points = [(float(x), float(y)) for x, y in zip(place[::2], place[1::2], strict=True)]
        seconds = self.thinking + self.moving(math.dist(hand, points[0])) + self.pressing
        length = sum(math.dist(a, b) for a, b in pairwise(points))
        if kind == "box":
            seconds += self.moving(length)
        elif kind == "scribble":
            seconds += length / self.drawing
        return seconds, points[-1]


def time_model(words: Sequence[str]) -> TimeModel:
    """Return the model that ``key=value`` words describe; what is not named keeps its default.

    Raises:
        ConfigError: On an unknown key, or a value that is no number above 0 (latency: 0 is one).
    """
    names = [field.name for field in fields(TimeModel)]
    values: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"--time-model {word!r} is not of the form key=value, for example thinking=2")
        if name not in names:
            raise unknown_name("part of the time model", name, names)
        try:
            values[name] = float(text)
        except ValueError:
            values[name] = math.nan
        if not (math.isfinite(values[name]) and values[name] >= 0 and (values[name] or name == "latency")):
            raise ConfigError(f"--time-model {word}: must be a number above 0")
    return TimeModel(**values)


def step_seconds(
    steps: pd.DataFrame,
    prompts: pd.DataFrame,
    sizes: Mapping[tuple[str, str], tuple[int, int]],
    model: TimeModel | None = None,
) -> pd.DataFrame:
    """Return the steps with a column ``seconds``: simulated time from the episode's start to the answer.

    Args:
        steps: Rows of ``steps`` tables.
        prompts: Rows of ``prompts`` tables of the same episodes.
        sizes: ``(height, width)`` by data set and case: the hand starts in the middle.
        model: The model of time.
    """
    model = model or TimeModel()
    spent: dict[tuple[Any, ...], float] = {}
    hand: tuple[float, float] = (0.0, 0.0)
    before: tuple[Any, ...] | None = None
    ordered = prompts.sort_values([*_KEY, "step", "index"], kind="stable")
    for *key, step, kind, landed in ordered[[*_KEY, "step", "kind", "landed"]].itertuples(index=False):
        if tuple(key) != before:
            before = tuple(key)
            height, width = sizes[key[2], key[3]]
            hand = (width / 2, height / 2)
        seconds, hand = model.prompt(kind, landed, hand)
        spent[(*key, step)] = spent.get((*key, step), 0.0) + seconds
    out = steps.sort_values([*_KEY, "step"], kind="stable", ignore_index=True)
    own = [spent[tuple(row)] for row in out[[*_KEY, "step"]].itertuples(index=False)]
    wait = out["seconds_predict"].to_numpy() if model.latency is None else model.latency
    out["seconds"] = np.asarray(own, dtype=np.float64) + wait
    out["seconds"] = out.groupby(_KEY)["seconds"].cumsum()
    return out


def effort_table(
    timed: pd.DataFrame,
    episodes: pd.DataFrame,
    thresholds: Sequence[float] = (0.80, 0.85, 0.90),
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the median simulated seconds to a Dice.

    An episode that never gets there counts as infinite, so a median exists where half of the cases get there;
    a case's value is the median of its repeats.

    Args:
        timed: What `step_seconds` returned.
        episodes: Rows of ``episodes`` tables, also those without a step.
        thresholds: Dice to reach.
        seed: Seed of the resamples.

    Returns:
        Columns: ``agent protocol noise level at value low high reached n_cases n_groups note``; ``reached``:
        the share of episodes that get there; ``note`` always says that the time is simulated.
    """
    rows: list[dict[str, Any]] = []
    for tau in thresholds:
        there = timed[timed["dice"] >= tau].groupby(_KEY)["seconds"].min()
        at_once = (episodes["steps"] == 0) & (episodes["final_dice"] >= tau)
        keyed = pd.MultiIndex.from_frame(episodes[_KEY])
        seconds = there.reindex(keyed).to_numpy()
        seconds = np.where(at_once, 0.0, np.where(np.isnan(seconds), np.inf, seconds))
        table = episodes.assign(seconds=seconds)
        for where, mine in table.groupby(["agent", "protocol", "noise", "level"], sort=True):
            cases = mine.groupby(["dataset", "case_id", "group"])["seconds"].median().reset_index()
            found = median_interval(
                cases["seconds"].to_numpy(), group_codes(cases), bounds=(0.0, np.inf), seed=seed
            )
            reached = round(float(np.isfinite(mine["seconds"]).mean()), DECIMALS)
            named = dict(zip(("agent", "protocol", "noise", "level"), where, strict=True))
            note = "; ".join(text for text in ("simulated time", found.note) if text)
            rows.append({**named, "at": tau, **vars(found), "reached": reached, "note": note})
    columns = ["agent", "protocol", "noise", "level", "at", "value", "low", "high", "reached"]
    return pd.DataFrame(rows, columns=[*columns, "n_cases", "n_groups", "note"])
