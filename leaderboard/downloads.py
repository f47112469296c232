"""Files of a site: every page, and every table as CSV, LaTeX and JSON.

What was read may hold characters that steer a terminal or turn the writing direction, although readers refuse
them: none passes these writers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError, StoreError
from simclick.harness.out_folder import run_around
from simclick.leaderboard.tables import paper_grid
from simclick.report.grid import Grid, Value, csv_text
from simclick.report.latex import latex_text
from simclick.texts import plain

__all__ = ["MARKER", "Files", "json_text", "plainly"]

MARKER = "site.json"
"""Lists a site's files with their hashes; a folder that holds it may be built anew."""


class Files:
    """The files of a site, in memory until all are made."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}

    def add(self, name: str, text: str) -> None:
        """Add a file.

        Args:
            name: Its path in the site, with ``/``.
            text: Its content; other characters than printable ones, tabs and line ends become U+FFFD.

        Raises:
            ConfigError: When another file has the name: two submissions' names clash.
        """
        stray = {ord(c): "\ufffd" for c in set(text) if not (c.isprintable() or c in "\n\t")}
        data = text.translate(stray).encode()
        if self._content.setdefault(name, data) != data:
            raise ConfigError(f"two pages of the site would be {name}: rename one of the submissions")

    def table(self, grid: Grid) -> str:
        """Add a table as ``data/NAME.csv``, ``.tex`` and ``.json``; return ``data/NAME``."""
        grid = plainly(grid)
        stem = f"data/{grid.name}"
        self.add(f"{stem}.csv", csv_text(grid))
        self.add(f"{stem}.tex", latex_text(paper_grid(grid)))
        self.add(f"{stem}.json", json_text(grid))
        return stem

    def write(self, out: Path) -> list[str]:
        """Write all files below a folder, in place of the site that it holds; return their names.

        Of an earlier site exactly its files are removed; what others put there (``CNAME``, ``.git``) stays.

        Raises:
            ConfigError: When the folder holds something, but no site, or lies within a run directory.
            StoreError: When it cannot be written.
        """
        if out.exists() and not out.is_dir():
            raise ConfigError(f"--out {out} is a file: choose a folder")
        if (run := run_around(out)) is not None:
            raise ConfigError(f"--out {out} is or lies within {run}, a run directory: choose another folder")
        if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
            raise ConfigError(f"--out {out} is not empty and holds no site: choose another folder")
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(self._content.items())}
        marker = {"made_by": "simclick leaderboard build", "files": hashes}
        try:
            _remove(out)
            for name, data in self._content.items():
                path = out / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            (out / MARKER).write_bytes((json.dumps(marker, indent=1) + "\n").encode())
        except OSError as error:
            raise StoreError(f"cannot write {out}: {error.strerror or error}") from None
        return sorted([*self._content, MARKER])


def _remove(out: Path) -> None:
    """Remove the files of an earlier site, and folders that are empty then."""
    if not (out / MARKER).is_file():
        return
    try:
        names = [str(name) for name in json.loads((out / MARKER).read_text(encoding="utf-8"))["files"]]
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{out / MARKER} is not what a site holds: choose another --out") from None
    folders = set()
    for name in names:
        path = out / name
        if ".." in Path(name).parts or Path(name).is_absolute() or not path.is_file():
            continue
        path.unlink()
        folders |= {folder for folder in path.parents if folder.is_relative_to(out) and folder != out}
    for folder in sorted(folders, reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def plainly(content: Any) -> Any:
    """Return data with every text in it as one printable line (`simclick.texts.plain`), uncut.

    Args:
        content: Texts in mappings, lists, tuples and dataclasses; all else is returned as it is.
    """
    if isinstance(content, str):
        return plain(content, limit=len(content))
    if isinstance(content, Mapping):
        return {plainly(key): plainly(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return type(content)(plainly(item) for item in content)
    if is_dataclass(content) and not isinstance(content, type):
        return replace(content, **{f.name: plainly(getattr(content, f.name)) for f in fields(content)})
    return content


def json_text(grid: Grid) -> str:
    """Return a table as JSON: columns, and rows with ``value low high text`` as far as there are any."""
    content = {
        "title": grid.title,
        "notes": list(grid.notes),
        "columns": [
            {"key": c.key, "head": c.head, "over": c.over, "style": c.style, "marks": list(c.marks)}
            for c in grid.columns
        ],
        "rows": [
            {
                "name": row.name,
                "marks": list(row.marks),
                "values": {c.key: _plain(row.values.get(c.key, Value())) for c in grid.columns},
            }
            for row in grid.rows
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n"


def _plain(cell: Value) -> dict[str, object] | None:
    """Return a cell without what is missing; infinite numbers as text; None where nothing is known."""
    numbers = {name: getattr(cell, name) for name in ("value", "low", "high")}
    found: dict[str, object] = {
        name: number if math.isfinite(number) else str(number)
        for name, number in numbers.items()
        if not math.isnan(number)
    }
    return {**found, **({"text": cell.text} if cell.text else {})} or None
