"""The numbers that a submission claims, and how they follow from its rows.

Everything here is a function of the tables alone, rounded to nine decimals, so that whoever has the
tables finds the same numbers.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from simclick.protocol import Protocol

__all__ = ["TARGETS", "declared_seconds", "share_text", "summarise"]

TARGETS = (0.80, 0.85, 0.90)
"""Dice targets of NoC."""
_COSTS = (1, 2, 3, 5, 10, 20)


def summarise(episodes: pd.DataFrame, steps: pd.DataFrame, protocol: Protocol) -> dict[str, Any]:
    """Return the numbers of one run.

    Args:
        episodes: All its rows of ``episodes``.
        steps: All its rows of ``steps``.
        protocol: The protocol.

    Returns:
        ``episodes``, ``failed``, and under ``levels`` per noise level (as text): ``dice`` (mean D(c),
        by cost), ``noc`` (by target: ``mean``, where a target never reached counts as the budget,
        and ``reached``, the share that reached it), ``area`` (mean of D(1) to D(budget)), ``final``
        (mean Dice at the end) and ``oracle`` (the same of the best candidate of each step).

    Raises:
        StoreError: When steps and episodes do not fit.
    """
    from simclick.statistics.clicks import area, noc, timeline

    levels = {}
    for level, of_level in episodes.groupby("level", sort=True):
        line = timeline(steps[steps["level"] == level], of_level, protocol.budget)
        curve = line.curve()
        levels[f"{float(str(level)):g}"] = {
            "dice": {str(c): _mean(curve[:, c]) for c in _COSTS if c <= protocol.budget},
            "noc": {
                f"{tau:.2f}": dict(zip(("mean", "reached"), map(_mean, noc(curve, tau)), strict=True))
                for tau in TARGETS
            },
            "area": _mean(area(curve)),
            "final": _mean(curve[:, -1]),
            "oracle": _mean(line.curve("oracle_dice")[:, -1]),
        }
    failed = int((episodes["status"] == "failed").sum())
    return {"episodes": len(episodes), "failed": failed, "levels": levels}


def declared_seconds(episodes: pd.DataFrame, steps: pd.DataFrame) -> dict[str, Any]:
    """Return the median seconds of an interaction and of an encode, as the run says: declared."""

    def median(values: pd.Series) -> float | None:
        return round(float(values.median()), 6) if len(values) else None

    return {"predict": median(steps["seconds_predict"]), "encode": median(episodes["seconds_encode"])}


def _mean(values: Any) -> float:
    return round(float(values.mean()), 9)


def share_text(part: int, whole: int) -> str:
    """Return a share in per cent, with as many digits as it takes to tell it from 0 and from all."""
    share = 100 * part / whole
    return f"{share:.2g} %" if share < 99 else f"{share:.6g} %"
