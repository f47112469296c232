"""Data sets: one file per layout."""

from __future__ import annotations

from simclick.datasets.base import Dataset, DatasetInfo, Skipped
from simclick.registry import Entry

__all__ = ["DATASETS", "Dataset", "DatasetInfo", "Skipped"]

DATASETS: dict[str, Entry] = {}
