"""The rows of a board's methods side by side, and what is taken from them before any statistic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from simclick.errors import ConfigError
from simclick.leaderboard.summary import share_text
from simclick.protocol import Protocol
from simclick.report.grid import Value
from simclick.statistics import mean_intervals, timeline
from simclick.statistics.clicks import area
from simclick.statistics.summary import group_codes
from simclick.texts import plain

if TYPE_CHECKING:
    from simclick.leaderboard.boards import Method

__all__ = ["CASE", "failure_marks", "failures", "oracle_gap", "pooled", "suite_frames"]

CASE = ["dataset", "case_id", "group"]
"""What tells one case from another."""
_CELL = ["dataset", "case_id", "level", "repeat"]
_ABOUT = ["group", "modality", "target"]
"""What a suite says of a case: the same in every entry."""
_WAY_OUT = "run simclick verify again, or take the folder away"


def suite_frames(methods: Sequence[Method], protocol: Protocol) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the episodes and steps of methods under a protocol; ``agent`` holds slugs.

    Raises:
        ConfigError: When the methods' episodes are not the same, or what they say of the cases (group,
            modality, target) is missing or differs: they would not be comparable. What most entries hold is
            taken for right (where no two agree, what the first holds), and the first other entry is named.
    """
    episodes = []
    for m in methods:
        same = {"agent": m.slug, "agent_digest": m.slug, "protocol_digest": protocol.digest}
        episodes.append(m.entry.episodes(protocol.id).assign(**same))
    _check_same_cases(methods, episodes, protocol)
    steps = [m.entry.steps(protocol.id).assign(agent=m.slug) for m in methods]
    return pd.concat(episodes, ignore_index=True), pd.concat(steps, ignore_index=True)


def _check_same_cases(methods: Sequence[Method], frames: Sequence[pd.DataFrame], protocol: Protocol) -> None:
    """Raise unless all frames of episodes hold the same cases; see `suite_frames`."""
    laid = [frame[[*_CELL, *_ABOUT]].sort_values(_CELL).reset_index(drop=True) for frame in frames]
    for m, frame in zip(methods, laid, strict=True):
        empty = [name for name in _ABOUT if frame[name].isna().any()]
        if empty:
            raise ConfigError(
                f"{m.entry.folder}: its {protocol.id} episodes lack a {' and a '.join(empty)}; {_WAY_OUT}"
            )
        told = frame[["dataset", "case_id", *_ABOUT]].drop_duplicates()
        twice = told.loc[told.duplicated(["dataset", "case_id"]), "case_id"]
        if len(twice):
            raise ConfigError(
                f"{m.entry.folder}: its {protocol.id} episodes say two things of the case "
                f"{plain(twice.iloc[0], 60)}; {_WAY_OUT}"
            )
    prints = [pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes() for frame in laid]
    usual = prints.index(Counter(prints).most_common(1)[0][0])
    for m, frame, mine in zip(methods, laid, prints, strict=True):
        if mine != prints[usual]:
            other = methods[usual].entry.folder
            raise ConfigError(
                f"{m.entry.folder}: {_difference(frame, laid[usual], protocol.id)} {other}; {_WAY_OUT}"
            )


def _difference(mine: pd.DataFrame, other: pd.DataFrame, protocol: str) -> str:
    """Say how two frames of episodes differ, up to the name of the other entry."""
    if mine[_CELL].equals(other[_CELL]):
        for name in _ABOUT:
            a, b = mine[name], other[name]
            unlike = np.flatnonzero((a != b).to_numpy())
            if len(unlike):
                here, there, case = (plain(column.iloc[unlike[0]], 60) for column in (a, b, mine["case_id"]))
                return f"in its {protocol} episodes the {name} of {case} is '{here}', but '{there}' in"
    return f"its {protocol} episodes are not those of"


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
        by: ``modality``, ``target`` or ``level``; "" for all episodes together.

    Returns:
        By agent and value of `by`, which is "" where `by` is.
    """
    keys = [episodes["agent"], *([episodes[by]] if by else [])]
    table = (episodes["status"] == "failed").groupby(keys, observed=True).agg(["sum", "size"])
    counts = zip(table.index.tolist(), table["sum"].tolist(), table["size"].tolist(), strict=True)
    return {(str(k[0]), str(k[1])) if by else (str(k), ""): (int(bad), int(n)) for k, bad, n in counts}


def failure_marks(failed: int, n: int) -> tuple[str, ...]:
    """Return what must be said beside a method of which `failed` of `n` episodes ended in an error."""
    return (f"{failed} of {n} episodes failed ({share_text(failed, n)})",) if failed else ()


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
