"""What lies in an accepted folder: names, kinds, number and sizes, settled before anything is opened.

A folder comes with a pull request. It may hold links, pipes, a million files or gigabytes; none is followed,
counted to its end or read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from simclick.errors import ConfigError

__all__ = ["ENTRY_FILE", "MAX_FILES", "MAX_FOLDER", "list_files"]

ENTRY_FILE = re.compile(
    r"(submission\.json|[a-z0-9-]+\.(steps|episodes)\.parquet|worst/[a-z0-9-]+\.(json|png))"
)
"""Names of the files of an accepted folder, but for its verdict."""
MAX_FOLDER = 1 << 20
"""Bytes of an accepted folder."""
MAX_FILES = 2 + 64 * (2 + 2 * 3)
"""Files of an accepted folder: of each of 64 runs two tables, and three episodes with their pictures."""
_VERDICT, _WORST = "verdict.json", "worst"


def list_files(folder: Path) -> dict[str, Path]:
    """Return the files of an accepted folder by their names in it, sorted; nothing is opened.

    Args:
        folder: ``SUITE/SLUG/``.

    Raises:
        ConfigError: When it, its parent or anything in it is a link, or neither a plain file nor a folder;
            when a file has a name that no such file has; more than `MAX_FILES` files, or `MAX_FOLDER` bytes.
    """
    found: dict[str, Path] = {}
    total = 0
    try:
        for path in (folder.parent, folder):
            if path.is_symlink():
                raise ConfigError(f"{path}: links are not followed")
        for entry in _walk(folder, ""):
            name = os.path.relpath(entry.path, folder).replace(os.sep, "/")
            if name != _VERDICT and ENTRY_FILE.fullmatch(name) is None:
                raise ConfigError(f"{entry.path}: not a file of a submission")
            found[name] = Path(entry.path)
            total += entry.stat(follow_symlinks=False).st_size
            if len(found) > MAX_FILES:
                raise ConfigError(f"{folder}: more than {MAX_FILES} files")
            if total > MAX_FOLDER:
                raise ConfigError(f"{folder}: larger than {MAX_FOLDER} bytes")
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror or error}") from None
    return dict(sorted(found.items()))


def _walk(folder: Path, inside: str) -> Iterator[os.DirEntry[str]]:
    """Yield the plain files of a folder and of its ``worst``; whatever else is there is refused."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise ConfigError(f"{entry.path}: links are not followed")
            if entry.is_file(follow_symlinks=False):
                yield entry
            elif entry.is_dir(follow_symlinks=False) and not inside and entry.name == _WORST:
                yield from _walk(Path(entry.path), _WORST)
            else:
                raise ConfigError(f"{entry.path}: not a file of a submission")
