"""Group commit: shards go to disk while the next ones run, together where they end faster than it flushes.

A commit waits for the disk several times, however little it writes. So one thread commits whatever has
ended since its last commit began. Where a shard takes longer than a flush, each is committed by itself
at once; where shards end faster, those that ended during one flush share the next. A crash costs the
shards under way and, of those that ended, at most the ones whose flush had not returned. A run
that ends otherwise, also by an error or Control-C, commits everything that ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from threading import Condition, Thread
from types import TracebackType

from simclick.harness.records import TABLES, Rows
from simclick.harness.store import RunDirectory

__all__ = ["MOST_ROWS", "GroupCommit"]

MOST_ROWS = 200_000
"""Rows of all tables that may wait for the disk; more make the run wait."""


class GroupCommit:
    """Commits shards behind the run's back; use it as a context manager, which waits for the last.

    Args:
        directory: The run directory, open for writing; nothing else may commit to it meanwhile.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._waiting: dict[int, Rows] = {}
        self._closing = False
        self._error: BaseException | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._work, name="commits", daemon=True)

    def __enter__(self) -> GroupCommit:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def add(self, shard: int, rows: Rows) -> None:
        """Hand over a shard that ended; it is committed soon after.

        Raises:
            StoreError: When the disk refused this or an earlier shard.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._rows() < MOST_ROWS)
            if self._error is not None:
                raise self._error
            self._waiting[shard] = rows
            self._changed.notify_all()

    def _rows(self) -> int:
        return sum(_count(rows) for rows in self._waiting.values())

    def _work(self) -> None:
        try:
            while group := self._taken():
                for alike in _apart(group):
                    self._directory.commit_together(alike)
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _taken(self) -> dict[int, Rows]:
        """Wait for shards, and take all that wait; none when the run is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            group, self._waiting = self._waiting, {}
            self._changed.notify_all()
            return group


def _apart(group: Mapping[int, Rows]) -> Iterator[dict[int, Rows]]:
    """Yield the shards without failures, then those with: only the latter may have to be done again."""
    for failed in (False, True):
        alike = {shard: rows for shard, rows in group.items() if _failed(rows) is failed}
        if alike:
            yield alike


def _failed(rows: Rows) -> bool:
    return any(status == "failed" for status in rows.values("episodes", "status"))


def _count(rows: Rows) -> int:
    return sum(rows.count(table) for table in TABLES)
