"""RClicks' measures of what clicks of another sort cost (Antonov et al. 2024, released notebook).

Ten trajectories G1 … G10 take their clicks from the tenths of a click map's probability mass, G1 the least
likely ones. Per object, with NoC at one threshold:

* ``delta_sb`` = (mean over G of NoC - NoC of the base rule) / NoC of the base rule;
* ``delta_gr`` = (NoC of G1 - NoC of G10) / NoC of G10;
* ``nsr`` = standard deviation over G / mean over G (``ddof`` unstated in the source; 0 here, NumPy's
default).

Then the mean over objects, with an interval over groups. Our G follow a parametric map (see
`simclick.annotators.people`), not RClicks' learned one: the formulas are theirs, the numbers are not
comparable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from simclick.statistics.bootstrap import mean_intervals
from simclick.statistics.measures import episode_table
from simclick.statistics.summary import DECIMALS, group_codes

__all__ = ["rclicks_table"]

THRESHOLDS = (0.80, 0.85, 0.90)
_DECILE = re.compile(r"rclicks-g(\d+)-v\d+\+?")
_CASE = ["dataset", "case_id", "group"]


def rclicks_table(
    episodes: pd.DataFrame,
    steps: pd.DataFrame,
    budget: int | Mapping[str, int],
    base: str = "noc-v1",
    *,
    ddof: int = 0,
    seed: int = 0,
) -> pd.DataFrame:
    """Return ΔSB, ΔGR and NSR of every agent that has runs under G1 … G10 and the base protocol.

    Args:
        episodes: Rows of ``episodes`` tables of these runs.
        steps: Rows of their ``steps`` tables.
        budget: The budget, or one per protocol id.
        base: Id of the base protocol.
        ddof: Of the standard deviation.
        seed: Seed of the resamples.

    Returns:
        Columns: ``agent agent_digest at statistic value low high n_cases n_groups note``; cases that lack a
        trajectory are left out. Empty where no agent has all of them.
    """
    table = episode_table(episodes, steps, budget, THRESHOLDS, (1,))
    deciles = table["protocol"].map(lambda name: int(m[1]) if (m := _DECILE.fullmatch(name)) else 0)
    table = table.assign(trajectory=np.where(table["protocol"] == base, -1, deciles))
    rows: list[dict[str, Any]] = []
    for (agent, digest), mine in table[table["trajectory"] != 0].groupby(["agent", "agent_digest"]):
        for tau in THRESHOLDS:
            wide = mine.pivot_table(index=_CASE, columns="trajectory", values=f"noc@{tau:.2f}").reindex(
                columns=[-1, *range(1, 11)]
            )
            wide = wide.dropna()
            if wide.empty:
                continue
            own = wide[-1].to_numpy()
            g = wide[list(range(1, 11))].to_numpy()
            values = np.stack(
                [
                    (g.mean(axis=1) - own) / own,
                    (g[:, 0] - g[:, 9]) / g[:, 9],
                    g.std(axis=1, ddof=ddof) / g.mean(axis=1),
                ],
                axis=1,
            )
            found = mean_intervals(values, group_codes(wide.reset_index()), seed=seed)
            for name, interval in zip(("delta_sb", "delta_gr", "nsr"), found, strict=True):
                where = {"agent": agent, "agent_digest": digest, "at": tau, "statistic": name}
                rows.append({**where, **vars(interval)})
    columns = ["agent", "agent_digest", "at", "statistic", "value", "low", "high"]
    out = pd.DataFrame(rows, columns=[*columns, "n_cases", "n_groups", "note"])
    out[["value", "low", "high"]] = out[["value", "low", "high"]].astype(np.float64).round(DECIMALS)
    return out
