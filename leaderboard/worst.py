"""Which episodes of a protocol are shown as its worst."""

from __future__ import annotations

import pandas as pd

__all__ = ["WORST", "Key", "worst_keys"]

WORST = 3
"""How many of the worst episodes of a protocol are shown."""

Key = tuple[str, float, int]
"""Case, level, repeat."""


def worst_keys(episodes: pd.DataFrame, steps: pd.DataFrame, budget: int) -> list[Key]:
    """Return the episodes with the least mean Dice over all costs, of different cases; ties by key."""
    from simclick.statistics.clicks import area, timeline

    line = timeline(steps, episodes, budget)
    keys = line.episodes[["case_id", "level", "repeat"]].assign(area=area(line.curve()))
    found: dict[str, Key] = {}
    for row in keys.sort_values(["area", "case_id", "level", "repeat"], kind="stable").to_dict("records"):
        case_id = str(row["case_id"])
        found.setdefault(case_id, (case_id, float(row["level"]), int(row["repeat"])))
        if len(found) == WORST:
            break
    return list(found.values())
