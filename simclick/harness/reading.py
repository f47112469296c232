"""Reading a run directory back, checked against its manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from simclick.errors import StoreError
from simclick.harness.records import KEY, SCHEMAS
from simclick.harness.store import CASES, MANIFEST, RUN, sha256_of
from simclick.protocol import Protocol

__all__ = ["Run", "read_run"]


@dataclass(frozen=True)
class Run:
    """A run directory, open for reading, as it was when its first table was read.

    Attributes:
        path: The directory.
        description: The content of ``run.json``.
        sealed: Whether the run is finished and its files equal its manifest.
    """

    path: Path
    description: dict[str, Any]
    sealed: bool

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol, as it was run."""
        content = {k: v for k, v in self.description["protocol"].items() if k != "digest"}
        return Protocol(**content)

    @property
    def agent(self) -> str:
        """Name of the agent."""
        return str(self.description["agent"]["name"])

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return str(self.description["dataset"]["name"])

    @property
    def marks(self) -> tuple[str, ...]:
        """What must be said wherever the run shows (random weights, use of the truth, …)."""
        return tuple(self.description["marks"])

    @cached_property
    def _commits(self) -> tuple[str, ...]:
        """Names of the committed files, looked up once: so all tables are of the same shards."""
        folder = self.path / "episodes"
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder} must be a folder")
        return tuple(sorted(file.name for file in folder.glob("part-*.parquet")))

    def files(self, name: str) -> list[Path]:
        """Return the files of a table, of committed shards only; none where the run did not keep it.

        Raises:
            StoreError: When a file is not there though its episodes are, or is none.
        """
        found = [self.path / name / file for file in self._commits]
        for file in found:
            # Masks are kept only where the run was told to; every other table is there for each commit.
            if name != "masks" and not file.is_file():
                raise StoreError(f"{file} is not there, or is no file, though its episodes were committed")
        return [file for file in found if file.is_file()]

    def table(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """Return a table, sorted by its key; only committed shards, strings as plain objects.

        Args:
            name: ``episodes``, ``steps``, ``prompts`` or ``masks``.
            columns: Only these columns, or all.
        """
        schema = SCHEMAS[name]
        files = self.files(name)
        try:
            tables = [pq.read_table(file, columns=columns, partitioning=None) for file in files]
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{self.path / name}: {str(error).splitlines()[0]}") from None
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        frame: pd.DataFrame = table.to_pandas()
        order = [c for c in (*KEY, "step", "index", "candidate") if c in frame.columns]
        return frame.sort_values(order, kind="stable", ignore_index=True) if order else frame

    def cases(self) -> pd.DataFrame:
        """Return the planned cases, in the data set's order; `factors` is a dict per row."""
        try:
            frame: pd.DataFrame = pq.read_table(self.path / CASES).to_pandas()
            return frame.assign(factors=frame["factors"].map(dict))
        except (pa.ArrowException, OSError, KeyError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise StoreError(f"{self.path / CASES} cannot be read: {reason}") from None


def read_run(path: str | Path) -> Run:
    """Open a run directory for reading.

    Raises:
        StoreError: When it is no run directory, or a sealed file differs from its manifest.
    """
    path = Path(path)
    try:
        description = json.loads((path / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path} is no run directory: it has no {RUN}") from None
    except (OSError, ValueError) as error:
        raise StoreError(f"{path / RUN} cannot be read: {error}") from None
    _check_description(path / RUN, description)
    manifest = path / MANIFEST
    if manifest.is_file():
        _verify(path, manifest)
    return Run(path, description, manifest.is_file())


_FORMS = {"agent": dict, "dataset": dict, "protocol": dict, "marks": list}


def _check_description(run: Path, description: Any) -> None:
    """Refuse a ``run.json`` of another form; what it lacks is found where it is needed."""
    if not isinstance(description, dict):
        raise StoreError(f"{run} holds no run: it must be an object")
    wrong = [key for key, form in _FORMS.items() if not isinstance(description.get(key, form()), form)]
    if wrong:
        raise StoreError(f"{run} holds no run: its {', '.join(wrong)} has another form")


def _verify(path: Path, manifest: Path) -> None:
    try:
        sums = dict(json.loads(manifest.read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{manifest} cannot be read: {error}") from None
    for name, expected in sums.items():
        file = path / name
        if not file.is_file():
            raise StoreError(f"{file} is missing, though the run was sealed with it")
        try:
            found = sha256_of(file)
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error.strerror or error}") from None
        if found != expected:
            raise StoreError(f"{file} was changed after the run was sealed: its SHA-256 differs")
