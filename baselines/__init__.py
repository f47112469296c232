"""Methods under test: one file each, and the table that names them."""

from __future__ import annotations

from simclick.registry import Entry

__all__ = ["AGENTS"]

AGENTS: dict[str, Entry] = {}
