"""Dice as a function of cost, and the clicks that a target takes.

``D(c)`` is the Dice of the last mask whose cumulative cost is at most ``c``:

- ``D(0)`` is the empty mask's Dice: 0, or 1 where the truth is empty too. An ``ok`` episode without
  steps ended on its empty mask, so there its ``final_dice`` says which. (A round that costs nothing
  counts at cost 0.)
- After an early end the last value carries on to the budget. Between two costs (a box costs 2) the
  earlier mask holds.
- An episode that failed has Dice 0 from its failing step on, which is the last of its steps.

``NoC@tau`` is the smallest ``c`` with ``D(c) >= tau``. Exactly ``tau``, and exactly at the budget, is
reached. A target that is never reached is censored: it counts as the budget in the capped mean, and
as a failure in the failure rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.errors import StoreError

__all__ = ["KEY", "Timeline", "area", "dice_curves", "noc", "reach", "timeline"]

KEY = ("agent", "protocol", "dataset", "case_id", "noise", "level", "repeat")
"""The columns that name an episode."""

_START, _FAILED = -1, -2


@dataclass(frozen=True)
class Timeline:
    """Which mask every episode holds at every cost.

    Attributes:
        episodes: The episodes, E rows, index 0 to E - 1: the order of every array.
        steps: Their steps, sorted by episode and step; ``episode`` is the row in `episodes`.
        row: Int64[E, budget + 1]: the row of `steps` whose mask holds at cost c; -1 the empty mask
            before any step; -2 from the failing step on.
    """

    episodes: pd.DataFrame
    steps: pd.DataFrame
    row: NDArray[np.int64]

    def curve(self, value: str = "dice") -> NDArray[np.float64]:
        """Return the overlap of the mask held at each cost, Float64[E, budget + 1].

        Args:
            value: ``dice``, ``iou`` or ``oracle_dice``.

        Raises:
            StoreError: When a step that did not fail has no value.
        """
        out = self._gather(value, self._start()[:, None], 0.0)
        if np.isnan(out).any():
            where = self.episodes.iloc[int(np.isnan(out).any(axis=1).argmax())]
            raise StoreError(f"steps of {_name(where)}: {value} is missing")
        return out

    def surface(self, value: str, cost: int) -> NDArray[np.float64]:
        """Return a surface metric of the mask held at a cost, Float64[E].

        Where no step was measured, a mask that equals the truth (Dice 1) still has HD95 0 and NSD
        1, and one that is empty while the truth is not, or that a failure left, HD95 infinite and
        NSD 0. Otherwise the value is NaN: not known.

        Args:
            value: ``hd95`` or ``nsd``.
            cost: From 0 to the budget.
        """
        perfect, worst = {"hd95": (0.0, np.inf), "nsd": (1.0, 0.0)}[value]
        start = np.where(self._start() == 1.0, perfect, worst)
        out = self._gather(value, start[:, None], worst, slice(cost, cost + 1))[:, 0]
        dice = self._gather("dice", self._start()[:, None], 0.0, slice(cost, cost + 1))[:, 0]
        return np.where(np.isnan(out) & (dice == 1.0), perfect, out)

    def _start(self) -> NDArray[np.float64]:
        """Dice of each episode's empty mask, Float64[E]."""
        at_once = (self.episodes["steps"] == 0) & (self.episodes["status"] == "ok")
        final = self.episodes["final_dice"].to_numpy(dtype=np.float64)
        return np.where(at_once.to_numpy(), final, 0.0)

    def _gather(
        self, value: str, start: NDArray[np.float64], failed: float, costs: slice = slice(None)
    ) -> NDArray[np.float64]:
        row = self.row[:, costs]
        values = np.append(self.steps[value].to_numpy(dtype=np.float64), np.nan)
        out = np.where(row >= 0, values[np.maximum(row, -1)], start)
        return np.where(row == _FAILED, failed, out)


def timeline(steps: pd.DataFrame, episodes: pd.DataFrame, budget: int) -> Timeline:
    """Lay the steps of episodes on the axis of cost.

    Args:
        steps: Rows of ``steps`` tables. Costs past the budget are left out of the axis.
        episodes: Rows of ``episodes`` tables.
        budget: The axis runs from 0 to this cost.

    Raises:
        StoreError: When an episode is there twice, or the steps are not those that the episodes
            count.
    """
    key = list(KEY)
    episodes = episodes.reset_index(drop=True)
    double = episodes.duplicated(key)
    if double.any():
        raise StoreError(
            f"the episode {_name(episodes[double].iloc[0])} is there twice: give one of the two runs' "
            "agents another name"
        )
    index = episodes[key].assign(episode=np.arange(len(episodes)))
    steps = steps.merge(index, on=key, how="left")
    if steps["episode"].isna().any():
        raise StoreError(f"steps without an episode: {_name(steps[steps['episode'].isna()].iloc[0])}")
    steps["episode"] = steps["episode"].astype(np.int64)
    steps = steps.sort_values(["episode", "step"], kind="stable", ignore_index=True)
    counted = np.bincount(steps["episode"], minlength=len(episodes))
    wrong = counted != episodes["steps"].to_numpy()
    if wrong.any():
        i = int(wrong.argmax())
        raise StoreError(
            f"the episode {_name(episodes.iloc[i])} has {counted[i]} rows of steps and counts "
            f"{episodes['steps'].iloc[i]}"
        )
    return Timeline(episodes, steps, _rows(steps, episodes, budget, counted))


def _rows(
    steps: pd.DataFrame, episodes: pd.DataFrame, budget: int, counted: NDArray[np.intp]
) -> NDArray[np.int64]:
    episode, cost = steps["episode"].to_numpy(), steps["cost"].to_numpy(dtype=np.int64)
    if (np.diff(cost)[np.diff(episode) == 0] < 0).any():
        raise StoreError("steps: the cumulative cost falls within an episode")
    row = np.full((len(episodes), budget + 1), _START, dtype=np.int64)
    inside = cost <= budget
    # Steps are in order and row numbers grow: of steps with one cost the last one stays.
    np.maximum.at(row, (episode[inside], cost[inside]), np.flatnonzero(inside))
    row = np.maximum.accumulate(row, axis=1)
    failed = np.flatnonzero(episodes["status"].to_numpy() == "failed")
    last = np.cumsum(counted)[failed] - 1
    since = np.where(counted[failed] > 0, cost[last] if len(cost) else 0, 0)
    row[failed] = np.where(np.arange(budget + 1) >= since[:, None], _FAILED, row[failed])
    return row


def dice_curves(
    steps: pd.DataFrame, episodes: pd.DataFrame, budget: int, value: str = "dice"
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return ``(episodes, D)``: D is Float64[E, budget + 1], ``D[i, c]`` the Dice of episode i at cost c.

    Args:
        steps: Rows of ``steps`` tables.
        episodes: Rows of ``episodes`` tables.
        budget: Largest cost.
        value: ``dice``, ``iou`` or ``oracle_dice``.

    Raises:
        StoreError: When the tables do not fit each other.
    """
    laid = timeline(steps, episodes, budget)
    return laid.episodes, laid.curve(value)


def reach(curves: NDArray[np.float64], tau: float) -> NDArray[np.bool_]:
    """Return whether ``NoC@tau <= c``, Bool[E, budget + 1].

    The mean over episodes is the reach curve P(NoC ≤ c). A target that was reached stays reached,
    also where a later mask is worse.

    Args:
        curves: Float64[E, budget + 1], ``D``.
        tau: The Dice to reach.
    """
    return np.asarray(np.logical_or.accumulate(curves >= tau, axis=1))


def noc(curves: NDArray[np.float64], tau: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return ``(clicks, reached)``: the smallest c with ``D(c) >= tau``, and whether there is one.

    Args:
        curves: Float64[E, budget + 1], ``D``.
        tau: The Dice to reach.

    Returns:
        Float64[E], the budget where the target is never reached; and Bool[E].
    """
    hit = curves >= tau
    reached = np.asarray(hit.any(axis=1))
    budget = curves.shape[1] - 1
    return np.where(reached, hit.argmax(axis=1), budget).astype(np.float64), reached


def area(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of ``D(1), ..., D(budget)``, in [0, 1]. Float64[E].

    Args:
        curves: Float64[E, budget + 1], ``D``; the budget is at least 1.
    """
    return np.asarray(curves[:, 1:].mean(axis=1))


def _name(row: pd.Series) -> str:
    return "/".join(str(row[column]) for column in KEY)
