"""A study: one question that a report answers beside its boards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from simclick.report.figures import Picture
from simclick.report.grid import Grid

__all__ = ["Study"]


@dataclass(frozen=True, eq=False)
class Study:
    """What a report says about one question.

    Attributes:
        kind: Part of file names; letters, digits, ``-_.``.
        title: Its heading.
        words: Sentences that say what the data say.
        tables: Tidy tables with every number, by file name without suffix.
        grids: Tables to look at.
        pictures: Figures.
    """

    kind: str
    title: str
    words: tuple[str, ...]
    tables: Mapping[str, pd.DataFrame]
    grids: Sequence[Grid]
    pictures: Sequence[Picture]
