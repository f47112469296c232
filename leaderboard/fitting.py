"""What the rows of an accepted folder must be by themselves, without masks and truth.

This proves no row true. It refuses rows that no run of the protocol could have written: an edit has to fit in
every place at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from simclick.errors import ConfigError
from simclick.leaderboard.entries import Entry
from simclick.leaderboard.suites import Suite
from simclick.leaderboard.worst import worst_keys
from simclick.protocol import Protocol

__all__ = ["check_fit", "check_stories"]

_EPISODE = ["case_id", "level", "repeat"]


def check_fit(
    episodes: pd.DataFrame, steps: pd.DataFrame, suite: Suite, protocol: Protocol, where: object
) -> None:
    """Refuse rows of a protocol that do not fit each other, the protocol or the suite.

    * Episodes: the suite's group; status ``ok`` without a reason, or ``failed`` with one and Dice 0; one
      modality and target per case.
    * Steps: 1 … n without a gap, n as the episode says; cumulative cost rises from at least 1 to at most the
      budget; Dice, best Dice and NSD within [0, 1], HD95 ≥ 0; best Dice ≥ Dice, equal with one candidate
      or oracle selection; the chosen candidate is one of those there; surface distances at none but what
      the protocol measures. A step without an answer (−1) is the last of a failed episode, all zero.
    * The last step's Dice is the episode's final one; without a step that is 0, or 1 for an empty truth.

    IoU is not kept: it is computed from Dice wherever it shows.

    Args:
        episodes: The rows of its episodes, as an accepted folder or an archive holds them.
        steps: Likewise those of its steps.
        suite: The suite.
        protocol: The protocol.
        where: What to call the rows' place in an error.

    Raises:
        ConfigError: Naming the place, the protocol and what does not fit.
    """
    groups = {case.case_id: case.group for case in suite.cases}
    failed = episodes["status"] == "failed"
    last = (
        steps.assign(nothing=steps["chosen"] < 0)
        .groupby(_EPISODE, sort=True)
        .agg(n=("step", "size"), dice=("dice", "last"), unanswered=("nothing", "sum"), end=("chosen", "last"))
    )
    ends = episodes.merge(last.reset_index(), on=_EPISODE, how="left", validate="one_to_one")
    bare = ends["n"].isna()
    number = steps.groupby(_EPISODE, sort=False).cumcount() + 1
    rules = {
        "episodes: group is not the suite's": episodes["group"] != episodes["case_id"].map(groups),
        "episodes: status": ~episodes["status"].isin(["ok", "failed"]),
        "episodes: error and status": (failed != episodes["error"].notna()) | (episodes["error"] == ""),
        "episodes: final_dice of a failure": failed & (episodes["final_dice"] != 0),
        "episodes: modality or target": _unsteady(episodes),
        "steps of no episode": ~_keys(steps).isin(_keys(episodes)),
        "steps: not 1, 2, … without a gap": steps["step"].to_numpy() != number.to_numpy(),
        "episodes: steps is not the number of steps": ends["steps"] != ends["n"].fillna(ends["steps"]),
        "episodes: steps without their rows": bare & (ends["steps"] != 0),
        "final_dice is not the last step's": ~bare & (ends["final_dice"] != ends["dice"]),
        "final_dice without a step": bare & ~ends["final_dice"].isin([0.0, 1.0]),
        "steps: a step without answer": (ends["unanswered"].fillna(0) != (ends["end"] < 0))
        | ((ends["end"] < 0) & (ends["status"] != "failed")),
        **_of_steps(steps, protocol),
    }
    for words, bad in rules.items():
        if np.asarray(bad, dtype=bool).any():
            raise ConfigError(f"{where}: {protocol.id}: {words}: the rows do not fit each other")


def _of_steps(steps: pd.DataFrame, protocol: Protocol) -> dict[str, Any]:
    """Return what must hold of every step alone, and of its cost."""
    dice, best = steps["dice"], steps["oracle_dice"]
    nothing = steps["chosen"] < 0
    rise = steps.groupby(_EPISODE, sort=False)["cost"].diff().fillna(steps["cost"])
    one = (steps["n_candidates"] == 1) | (protocol.select == "oracle")
    surface = steps["hd95"].notna() | steps["nsd"].notna()
    return {
        "steps: dice": ~dice.between(0, 1),
        "steps: oracle_dice": ~best.between(0, 1),
        "steps: oracle_dice below dice": best < dice,
        "steps: oracle_dice of one candidate": one & ~nothing & (best != dice),
        "steps: chosen": (steps["chosen"] < -1) | (~nothing & (steps["chosen"] >= steps["n_candidates"])),
        "steps: n_candidates": np.where(nothing, steps["n_candidates"] != 0, steps["n_candidates"] < 1),
        "steps: dice of no answer": nothing & ((dice != 0) | (best != 0)),
        "steps: cost does not rise": rise < 1,
        "steps: cost beyond the budget": steps["cost"] > protocol.budget,
        "steps: hd95": steps["hd95"].notna() & ~(steps["hd95"] >= 0),
        "steps: nsd": steps["nsd"].notna() & ~steps["nsd"].between(0, 1),
        "steps: surfaces that nobody measures": surface & (not protocol.surface_at),
    }


def _keys(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[_EPISODE])


def _unsteady(episodes: pd.DataFrame) -> Any:
    return episodes.groupby("case_id")[["modality", "target"]].nunique().gt(1)


def check_stories(
    entry: Entry,
    stories: Sequence[Mapping[str, Any]],
    tables: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]],
    protocols: Mapping[str, Protocol],
) -> None:
    """Refuse stories of other episodes than the worst, or that say other than the rows of them.

    Args:
        entry: The accepted folder.
        stories: What its `Entry.worst` returned.
        tables: Its episodes and steps, by protocol.
        protocols: The suite's protocols, by name.

    Raises:
        ConfigError: Naming the file.
    """
    must_be = {
        (name, *key)
        for name, (episodes, steps) in tables.items()
        for key in worst_keys(episodes, steps, protocols[name].budget)
    }
    said = [(s["protocol"], s["case_id"], s["level"], s["repeat"]) for s in stories]
    if len(said) != len(must_be) or set(said) != must_be:
        raise ConfigError(f"{entry.folder}: worst/ does not hold the worst episodes of each protocol")
    for story in stories:
        where = f"{entry.folder}: worst/{story['file']}"
        mine, rows = (_of(table, story) for table in tables[str(story["protocol"])])
        if len(mine) != 1:
            raise ConfigError(f"{where}: no episode of the rows")
        about, shown = mine.iloc[0], list(map(_shown, story["steps"]))
        must = list(zip(rows["step"], rows["cost"], rows["dice"], strict=True))
        if shown != must or any(story[k] != about[k] for k in ("target", "group", "status", "final_dice")):
            raise ConfigError(f"{where}: not what the rows say of that episode")


def _of(table: pd.DataFrame, story: Mapping[str, Any]) -> pd.DataFrame:
    of_case = table[table["case_id"] == story["case_id"]]
    mine: pd.DataFrame = of_case[
        (of_case["level"] == story["level"]) & (of_case["repeat"] == story["repeat"])
    ]
    return mine


def _shown(step: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return step["step"], step["cost"], step["dice"]
