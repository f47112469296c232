"""A run directory on disk: nothing finished is ever lost, nothing is there twice.

A shard (one block, or some joined) is kept in one Parquet file per table; shards that end close
together may share these files, which then say so (`SHARDS`). Each file is written under a dot-name,
flushed to disk and renamed, and the folder is flushed too; the ``episodes`` file comes last and is the
commit. Opening a directory removes whatever has no ``episodes`` file: the same command then does just
what is missing. A lock keeps a second writer out, another plan is refused, and a finished run is
sealed by a manifest of SHA-256 sums.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa
import pyarrow.parquet as pq

from simclick.errors import StoreError
from simclick.harness.out_folder import CASES, RUN, check_writable, refuse_strangers
from simclick.harness.records import TABLES, Rows

__all__ = ["CASES", "MANIFEST", "RUN", "SHARDS", "RunDirectory", "check_writable", "sha256_of", "write_json"]

MANIFEST = "manifest.json"
SHARDS = b"simclick.shards"
"""Key in a Parquet file's metadata: its shards as a JSON list; without it, the one that its name says."""


class RunDirectory:
    """A run directory, open for writing and locked; use it as a context manager.

    Args:
        path: The directory; made when missing.
        description: What ``run.json`` holds; its ``plan_digest`` decides whether the directory
            belongs to this plan.
        cases: The table of planned cases, kept in ``cases.parquet``.
        tables: The tables to keep (without ``masks`` where masks are not saved).
        episodes_per_shard: Expected number of rows of every ``episodes`` shard.

    Raises:
        StoreError: When it cannot be written, is in use, or belongs to another plan.
    """

    def __init__(
        self,
        path: Path,
        description: Mapping[str, Any],
        cases: pa.Table,
        *,
        save_masks: bool,
        episodes_per_shard: tuple[int, ...],
    ) -> None:
        self.path = path
        self._description = dict(description)
        self._cases = cases
        self._tables = TABLES if save_masks else tuple(t for t in TABLES if t != "masks")
        self._expected = episodes_per_shard
        self._lock = filelock.FileLock(path / ".lock", timeout=0)
        self._names: dict[int, str] = {}  # of the files that hold a committed shard

    def __enter__(self) -> RunDirectory:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            refuse_strangers(
                self.path, self._description
            )  # before the lock leaves a file in somebody's folder
            self._lock.acquire()
        except filelock.Timeout:
            raise StoreError(
                f"{self.path} is in use by another run; wait for it, or choose another out="
            ) from None
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"cannot write {self.path}: {reason}; choose another out=") from None
        try:
            with _named(self.path):
                self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def done(self) -> frozenset[int]:
        """Indices of the shards that are committed."""
        return frozenset(self._names)

    @property
    def sealed(self) -> bool:
        """Whether the run is finished and sealed."""
        return (self.path / MANIFEST).is_file()

    def commit(self, shard: int, rows: Rows) -> None:
        """Write a shard's tables; it is committed once this returns.

        Raises:
            StoreError: When the disk refuses; earlier shards are untouched.
        """
        self.commit_together({shard: rows})

    def commit_together(self, shards: Mapping[int, Rows]) -> None:
        """Write shards into one file per table; all are committed once this returns, none before.

        Raises:
            StoreError: When the disk refuses; earlier shards are untouched.
        """
        numbers = sorted(shards)
        rows = Rows()
        for number in numbers:
            rows.extend(shards[number])
        file, about = f"part-{numbers[0]:05d}.parquet", {SHARDS: json.dumps(numbers)}
        *others, last = (
            (self.path / name / file, rows.table(name).replace_schema_metadata(about))
            for name in self._tables
        )
        try:
            # Nearly all of the time is the disk's flushes: side by side they wait for it once. Leaving
            # the pool waits for all of them, also after an error.
            with ThreadPoolExecutor(len(others)) as pool:
                list(pool.map(_write_parquet, *zip(*others, strict=True)))
            _write_parquet(*last)
        except OSError as error:
            raise StoreError(
                f"cannot write {self.path}: {error.strerror or error}; what was committed is safe, "
                "make room and run the same command again"
            ) from None
        self._names.update(dict.fromkeys(numbers, file))

    def failures(self) -> dict[frozenset[int], int]:
        """Return the number of failed episodes in each set of shards that share their files."""
        found = {}
        for name in sorted(set(self._names.values())):
            file = self.path / "episodes" / name
            try:
                status = pq.read_table(file, columns=["status"], partitioning=None)["status"]
            except (pa.ArrowException, OSError, KeyError) as error:
                raise _damaged(file, error) from None
            shards = frozenset(shard for shard, held in self._names.items() if held == name)
            found[shards] = sum(value == "failed" for value in status.to_pylist())
        return found

    def drop(self, shards: Iterable[int]) -> None:
        """Remove committed shards, and those that share their files, so that they are done again."""
        names = {self._names[shard] for shard in shards}
        with _named(self.path):
            (self.path / MANIFEST).unlink(missing_ok=True)
            for file in names:
                for table in reversed(self._tables):  # the commit goes first
                    (self.path / table / file).unlink(missing_ok=True)
            for table in self._tables:
                _sync_folder(self.path / table)
        self._names = {shard: name for shard, name in self._names.items() if name not in names}

    def seal(self, extra: Mapping[str, Any]) -> None:
        """Write the manifest: the SHA-256 of every file of a finished run."""
        files = [self.path / RUN, self.path / CASES]
        names = sorted(set(self._names.values()))
        files += [self.path / table / name for table in self._tables for name in names]
        with _named(self.path):
            sums = {str(f.relative_to(self.path).as_posix()): sha256_of(f) for f in files}
            write_json(self.path / MANIFEST, {"files": sums, **extra})

    def _open(self) -> None:
        refuse_strangers(
            self.path, self._description
        )  # again: another process may have held the lock in between
        if not (self.path / RUN).is_file():
            write_json(self.path / RUN, self._description)
        if not (self.path / CASES).is_file():
            _write_parquet(self.path / CASES, self._cases)
        for name in self._tables:
            if (self.path / name).exists() and not (self.path / name).is_dir():
                raise StoreError(f"{self.path / name} must be a folder; remove it, or choose another out=")
            (self.path / name).mkdir(exist_ok=True)
        committed = sorted(file.name for file in (self.path / "episodes").glob("part-*.parquet"))
        loose = [f for name in self._tables for f in (self.path / name).iterdir() if f.name not in committed]
        for found in loose:
            if found.is_dir() and not found.is_symlink():
                raise StoreError(f"{found} is a folder, and no part of a run; remove it")
        for found in loose:
            found.unlink()
        self._names = {}
        for file in committed:
            for shard in self._checked(self.path / "episodes" / file):
                self._names[shard] = file

    def _checked(self, file: Path) -> list[int]:
        """Return the shards of a committed file, which must hold the episodes that the plan says."""
        try:
            about = pq.read_metadata(file)
            listed = (about.metadata or {}).get(SHARDS)
            own = file.stem.removeprefix("part-")
            shards = [int(shard) for shard in ([own] if listed is None else json.loads(listed))]
        except (pa.ArrowException, OSError, ValueError, TypeError) as error:
            raise _damaged(file, error) from None
        planned = {shard for shard in shards if 0 <= shard < len(self._expected)} - self._names.keys()
        expected = sum(self._expected[shard] for shard in planned)
        if len(planned) < len(shards) or about.num_rows != expected:
            raise StoreError(
                f"{file} holds {about.num_rows} episodes, not what the plan says; remove it to redo them"
            )
        return shards


def _write_parquet(target: Path, table: pa.Table) -> None:
    """Write a table whole or not at all: hidden, flushed, renamed."""
    hidden = target.with_name("." + target.name)
    with hidden.open("wb") as stream:
        pq.write_table(table, stream, compression="zstd", write_page_checksum=True)
        stream.flush()
        os.fsync(stream.fileno())
    hidden.replace(target)
    _sync_folder(target.parent)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one that names the run directory."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise StoreError(f"the run directory {path}: {error.strerror or error}: {where}") from None


def _damaged(file: Path, error: Exception) -> StoreError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return StoreError(f"{file} is damaged ({reason}); remove it to redo its episodes")


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all: hidden, flushed, renamed."""
    hidden = target.with_name("." + target.name)
    with hidden.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=2, ensure_ascii=False, allow_nan=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    hidden.replace(target)
    _sync_folder(target.parent)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk; where the platform has no such call, do nothing."""
    flags = getattr(os, "O_DIRECTORY", None)
    if flags is None:
        return
    descriptor = os.open(folder, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
