"""The rows of a board's methods side by side, and what is taken from them before any statistic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simclick.errors import ConfigError
from simclick.protocol import Protocol
from simclick.report.grid import Value
from simclick.statistics import mean_intervals, timeline
from simclick.statistics.clicks import area
from simclick.statistics.summary import group_codes

if TYPE_CHECKING:
    from simclick.leaderboard.boards import Method

__all__ = ["CASE", "failures", "oracle_gap", "pooled", "suite_frames"]

CASE = ["dataset", "case_id", "group"]
"""What tells one case from another."""


def suite_frames(methods: Sequence[Method], protocol: Protocol) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the episodes and steps of methods under a protocol; ``agent`` holds slugs.

    Raises:
        ConfigError: When a method lacks an episode that another has: it would not be comparable.
    """
    key = ["dataset", "case_id", "level", "repeat"]
    found: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    first: pd.Index[Any] | None = None
    for m in methods:
        same = {"agent": m.slug, "agent_digest": m.slug, "protocol_digest": protocol.digest}
        episodes = m.entry.episodes(protocol.id).assign(**same)
        steps = m.entry.steps(protocol.id).assign(agent=m.slug)
        cells = pd.MultiIndex.from_frame(episodes[key].sort_values(key))
        first = cells if first is None else first
        if not cells.equals(first):
            raise ConfigError(
                f"{m.entry.folder}: its {protocol.id} episodes are not those of {methods[0].entry.folder}; "
                "run simclick verify again, or take the folder away"
            )
        found.append((episodes, steps))
    episodes, steps = (pd.concat(frames, ignore_index=True) for frames in zip(*found, strict=True))
    return episodes, steps


def pooled(episodes: pd.DataFrame, steps: pd.DataFrame, noisy: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the frames with all levels above 0 as repeats of one level; as they are without noise."""
    if not noisy:
        return episodes, steps
    cells = episodes.loc[episodes["level"] > 0, ["level", "repeat"]].drop_duplicates()
    cells = cells.sort_values(["level", "repeat"]).assign(code=np.arange(len(cells), dtype=np.int32))
    laid = []
    for frame in (episodes, steps):
        merged = frame.merge(cells, on=["level", "repeat"], how="inner")
        laid.append(merged.assign(level=0.0, repeat=merged["code"]).drop(columns="code"))
    return laid[0], laid[1]


def failures(episodes: pd.DataFrame, by: str = "") -> dict[tuple[str, str], tuple[int, int]]:
    """Return how many episodes ended in an error, and how many there are.

    Args:
        episodes: Rows of ``episodes``, of all levels.
        by: ``modality`` or ``target``; "" for all episodes together.

    Returns:
        By agent and value of `by`, which is "" where `by` is.
    """
    keys = [episodes["agent"], *([episodes[by]] if by else [])]
    table = (episodes["status"] == "failed").groupby(keys, observed=True).agg(["sum", "size"])
    counts = zip(table.index.tolist(), table["sum"].tolist(), table["size"].tolist(), strict=True)
    return {(str(k[0]), str(k[1])) if by else (str(k), ""): (int(bad), int(n)) for k, bad, n in counts}


def oracle_gap(episodes: pd.DataFrame, steps: pd.DataFrame, protocol: Protocol) -> dict[str, Value]:
    """Return the oracle gap of every method that ever gave more than one mask."""
    laid = timeline(steps, episodes, protocol.budget)
    gap = area(laid.curve("oracle_dice")) - area(laid.curve("dice"))
    means = laid.episodes.assign(gap=gap).groupby(["agent", *CASE], sort=True)["gap"].mean().reset_index()
    several = set(steps.loc[steps["n_candidates"] > 1, "agent"]) if "n_candidates" in steps else set()
    found = {}
    for slug, rows in means.groupby("agent", sort=True):
        if slug in several or bool((rows["gap"] > 0).any()):
            values = rows[["gap"]].to_numpy(dtype=np.float64)
            interval = mean_intervals(values, group_codes(rows), bounds=[(0.0, 1.0)])[0]
            found[str(slug)] = Value(interval.value, interval.low, interval.high)
    return found
