"""Accepted folders of one name, under several suites, are of one method: they share its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simclick.errors import ConfigError
from simclick.leaderboard.entries import Entry, entry_folders, load_entry
from simclick.texts import plain

__all__ = ["check_beside", "check_one_method"]


def check_one_method(entries: Sequence[Entry]) -> None:
    """Refuse two entries of one slug whose cards give another name, or other authors.

    Raises:
        ConfigError: Naming both folders and the field in which they differ; one line with the way out.
    """
    first: dict[str, Entry] = {}
    for entry in entries:
        other = first.setdefault(entry.slug, entry)
        for field in ("name", "authors"):
            here, there = _said(entry, field), _said(other, field)
            if here != there:
                raise ConfigError(
                    f"{entry.folder}: its card's {field}: '{plain(here, 80)}', but '{plain(there, 80)}' in "
                    f"{other.folder}: folders of one name are of one method; choose another name for one"
                )


def check_beside(entry: Entry, submissions: Path) -> None:
    """Refuse a new entry that is of another method than those of its slug under other suites.

    Raises:
        ConfigError: As of `check_one_method`, and when one of those cannot be read.
    """
    others = [f for f in entry_folders(submissions) if f.name == entry.slug and f.parent.name != entry.suite]
    check_one_method([*map(load_entry, others), entry])


def _said(entry: Entry, field: str) -> str:
    value = getattr(entry.card, field)
    return value if isinstance(value, str) else "; ".join(value)
