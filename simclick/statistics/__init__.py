"""From rows to numbers: clicks to a target, curves, intervals over groups, agents against each other.

Input are the ``episodes`` and ``steps`` tables of one or many run directories, concatenated.
``docs/statistics.md`` gives the formula and the unit of every number.
"""

from __future__ import annotations

from simclick.statistics.bootstrap import (
    MIN_GROUPS,
    Interval,
    mean_intervals,
    median_interval,
    studentised_bootstrap,
)
from simclick.statistics.clicks import KEY, Timeline, area, dice_curves, noc, reach, timeline
from simclick.statistics.comparison import compare
from simclick.statistics.measures import CELL, Measure, case_table, episode_table, measures
from simclick.statistics.summary import curve_table, summarise

__all__ = [
    "CELL",
    "KEY",
    "MIN_GROUPS",
    "Interval",
    "Measure",
    "Timeline",
    "area",
    "case_table",
    "compare",
    "curve_table",
    "dice_curves",
    "episode_table",
    "mean_intervals",
    "measures",
    "median_interval",
    "noc",
    "reach",
    "studentised_bootstrap",
    "summarise",
    "timeline",
]
