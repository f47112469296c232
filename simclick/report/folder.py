"""The folder that a command writes for a person: never a run's, and never over somebody else's files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from simclick.errors import ConfigError, StoreError
from simclick.harness.out_folder import check_writable, run_around

__all__ = ["OwnFolder"]


@dataclass(frozen=True)
class OwnFolder:
    """A folder that one command makes, and may make again.

    Attributes:
        root: The folder.
        marker: Name of the JSON file in it that says who made it; its ``files`` are the names of all others.
        what: What the command makes, for messages.
    """

    root: Path
    marker: str
    what: str

    def check(self) -> None:
        """Refuse a folder that may not be written, before any work begins.

        It may be missing, empty but for hidden files, or hold what the same command made before.

        Raises:
            ConfigError: When it holds something else, or is or lies within a run directory.
            StoreError: When it cannot be made or written.
        """
        try:
            run = run_around(self.root)
            if run is not None:
                where = "is" if run == self.root.resolve() else f"lies within {run}, which is"
                raise ConfigError(
                    f"--out {self.root} {where} a run directory: choose another folder for the {self.what}"
                )
            check_writable(self.root, "--out")
            if self.root.is_dir() and self.made() is None and any(map(_is_visible, self.root.iterdir())):
                raise ConfigError(
                    f"--out {self.root} is not empty and holds no {self.what}: choose another folder, or "
                    "empty this one"
                )
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long or with \0
            reason = getattr(error, "strerror", None) or error
            raise StoreError(f"cannot write {self.root}: {reason}; choose another --out") from None

    def made(self) -> list[str] | None:
        """Return the names of the files that the command made here before; None where it made none."""
        try:
            content = json.loads((self.root / self.marker).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        names = content.get("files") if isinstance(content, dict) else None
        return [str(name) for name in names] if isinstance(names, list) else None

    def claim(self, names: Iterable[str] = ()) -> None:
        """Write the marker, before the files: one that is interrupted may be made again."""
        self.root.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"made_by": f"simclick {self.what}", "files": sorted(names)}, indent=1)
        (self.root / self.marker).write_text(text + "\n", encoding="utf-8")


def _is_visible(path: Path) -> bool:
    return not path.name.startswith(".")
