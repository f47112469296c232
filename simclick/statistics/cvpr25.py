"""The measures of the CVPR 2025 challenge on interactive segmentation, beside our own.

Five clicks follow a box; the challenge takes the curve over the masks after clicks 1 to 5, not after the box
(``CVPR25_iter_eval.py``, CVPR-MedSegFMCompetition; read there):

===============  =====================================================================================
``dsc_auc``      area under Dice over clicks by trapezoids: D1 / 2 + D2 + D3 + D4 + D5 / 2. **Not
                 normalised: the largest possible is 4.**
``dsc_auc/4``    the same divided by 4: a weighted mean of the five
``dsc_final``    D5
``nsd_auc``      as ``dsc_auc``, of the normalised surface distance, which counts as 0 where Dice ≤ 0.2
``nsd_auc/4``    the same divided by 4
``nsd_final``    that of the last mask
===============  =====================================================================================

There Dice and NSD are means over the classes of a volume, here of one object in one image, and our NSD counts
border pixels alike (`simclick.metrics.surface`): the formulas are the challenge's, the numbers are not
comparable with its numbers. A step without an output counts as empty in both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simclick.errors import ConfigError
from simclick.statistics.bootstrap import mean_intervals
from simclick.statistics.measures import CELL, by_protocol
from simclick.statistics.robustness import places
from simclick.statistics.summary import DECIMALS, group_codes

__all__ = ["CLICKS", "STATISTICS", "cvpr25_cases", "cvpr25_table"]

CLICKS = 5
"""Clicks after the box."""

STATISTICS = ("dsc_auc", "dsc_auc/4", "dsc_final", "nsd_auc", "nsd_auc/4", "nsd_final")

_LEAST_DICE = 0.2
_LARGEST = CLICKS - 1.0
_CASE = ["dataset", "case_id", "group", "modality", "target"]
_INTERVAL = ("value", "low", "high", "n_cases", "n_groups", "note")

_Float = NDArray[np.float64]


def cvpr25_cases(episodes: pd.DataFrame, steps: pd.DataFrame, budget: int, *, click: int = 1) -> pd.DataFrame:
    """Return the challenge's measures per case, repeats averaged.

    Args:
        episodes: Rows of ``episodes`` tables of one protocol.
        steps: Rows of their ``steps`` tables.
        budget: The protocol's budget: the cost after the last of five clicks.
        click: What a click costs.

    Returns:
        One row per cell (`CELL`) and case (``dataset case_id group modality target``) with the columns of
        `STATISTICS`; NSD's are NaN where a surface was not measured. The mask after click k is the one
        held at cost ``budget - (5 - k) * click``: after an early end the last mask counts on, as there.

    Raises:
        ConfigError: When the budget does not hold a start and five clicks.
        StoreError: When the tables do not fit each other.
    """
    costs = [budget - (CLICKS - k) * click for k in range(1, CLICKS + 1)]
    if click < 1 or costs[0] <= click:
        raise ConfigError(
            f"CVPR25's measures need a start and {CLICKS} clicks; the budget is {budget}, a click {click}"
        )
    parts = []
    for laid, _, table in by_protocol(episodes, steps, budget, (), ()):
        dice = laid.curve("dice")[:, costs]
        nsd = np.stack([laid.surface("nsd", cost) for cost in costs], axis=1)
        nsd = np.where(dice > _LEAST_DICE, nsd, 0.0)
        found = {}
        for name, values in (("dsc", dice), ("nsd", nsd)):
            found[f"{name}_auc"] = np.asarray(np.trapezoid(values, axis=1), dtype=np.float64)
            found[f"{name}_auc/4"] = found[f"{name}_auc"] / _LARGEST
            found[f"{name}_final"] = values[:, -1]
        parts.append(pd.concat([table[[*CELL, *_CASE]], pd.DataFrame(found)], axis=1))
    if not parts:
        return pd.DataFrame(columns=[*CELL, *_CASE, *STATISTICS])
    whole = pd.concat(parts, ignore_index=True)
    # A case with a surface that is not known in one repeat has none.
    means = whole.groupby([*CELL, *_CASE], sort=True, dropna=False)[list(STATISTICS)].agg(_mean)
    return means.reset_index()


def _mean(values: pd.Series[float]) -> float:
    return float(np.mean(values.to_numpy(dtype=np.float64)))


def cvpr25_table(
    episodes: pd.DataFrame, steps: pd.DataFrame, budget: int, *, click: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Return the means over cases of `cvpr25_cases`, with intervals over groups.

    Returns:
        Columns: the cell; ``subset subset_value`` (as in `robustness_table`); ``statistic`` (of
        `STATISTICS`); ``largest``, what it can reach (4 or 1); ``value low high n_cases n_groups note``.

    Raises:
        ConfigError: As `cvpr25_cases`.
        StoreError: As `cvpr25_cases`.
    """
    cases = cvpr25_cases(episodes, steps, budget, click=click)
    rows: list[dict[str, Any]] = []
    largest = [_LARGEST if name.endswith("_auc") else 1.0 for name in STATISTICS]
    for where, part in places(cases, CELL):
        numbers = part[list(STATISTICS)].to_numpy(dtype=np.float64)
        bounds = [(0.0, most) for most in largest]
        found = mean_intervals(numbers, group_codes(part), bounds=bounds, seed=seed)
        for statistic, most, interval in zip(STATISTICS, largest, found, strict=True):
            rows.append({**where, "statistic": statistic, "largest": most, **vars(interval)})
    columns = [*CELL, "subset", "subset_value", "statistic", "largest", *_INTERVAL]
    table = pd.DataFrame(rows, columns=columns)
    numeric = ["value", "low", "high"]
    table[numeric] = table[numeric].astype(np.float64).round(DECIMALS)
    return table
