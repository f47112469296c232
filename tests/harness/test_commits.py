from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from simclick.errors import StoreError
from simclick.harness.commits import GroupCommit
from simclick.harness.reading import read_run
from simclick.harness.records import SCHEMAS, Rows


class Disk:
    """Stands in for a run directory: `commit_together` takes as long as the test lets it."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.groups: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.flushed = threading.Semaphore(0)
        self.fails_at = fails_at

    @property
    def committed(self) -> list[int]:
        """All shards, sorted."""
        return sorted(number for group in self.groups for number in group)

    def commit_together(self, shards: dict[int, Rows]) -> None:
        self.begun.release()
        assert self.flushed.acquire(timeout=10)
        if self.fails_at in shards:
            raise StoreError("the disk is full")
        self.groups.append(sorted(shards))


def shard(status: str = "ok") -> Rows:
    rows = Rows()
    values: dict[str, Any] = dict.fromkeys(SCHEMAS["episodes"].names)
    rows.add("episodes", *(values | {"status": status}).values())
    return rows


def commits(disk: Disk) -> GroupCommit:
    return GroupCommit(disk)  # type: ignore[arg-type]


def test_what_ends_during_a_flush_shares_the_next() -> None:
    disk = Disk()
    with commits(disk) as group:
        group.add(0, shard())
        assert disk.begun.acquire(timeout=10)  # shard 0 is being flushed: it waited for no other
        for number in (3, 1, 2):
            group.add(number, shard())
        assert disk.groups == []
        disk.flushed.release(2)
        assert disk.begun.acquire(timeout=10)
    assert disk.groups == [[0], [1, 2, 3]]


def test_slow_shards_are_committed_one_by_one() -> None:
    disk = Disk()
    with commits(disk) as group:
        for number in range(3):
            disk.flushed.release()
            group.add(number, shard())
            assert disk.begun.acquire(timeout=10)
            while len(disk.groups) <= number:  # on disk while the run goes on, not only at its end
                time.sleep(0.001)
    assert disk.groups == [[0], [1], [2]]


def test_shards_with_failures_have_files_of_their_own() -> None:
    disk = Disk()
    with commits(disk) as group:
        group.add(0, shard())
        assert disk.begun.acquire(timeout=10)
        for number, status in ((1, "ok"), (2, "failed"), (3, "ok"), (4, "failed")):
            group.add(number, shard(status))
        disk.flushed.release(3)
    assert disk.groups == [[0], [1, 3], [2, 4]]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_breaks_off_commits_what_ended(error: type[BaseException]) -> None:
    disk = Disk()
    disk.flushed.release(9)

    def run() -> None:
        with commits(disk) as group:
            group.add(0, shard())
            group.add(1, shard())
            raise error

    with pytest.raises(error):
        run()
    assert disk.committed == [0, 1]


def test_a_disk_that_refuses_ends_the_run() -> None:
    disk = Disk(fails_at=1)
    disk.flushed.release(9)
    added = []

    def run() -> None:
        with commits(disk) as group:
            for number in range(10**6):
                group.add(number, shard())
                added.append(number)

    with pytest.raises(StoreError, match="disk is full"):
        run()
    assert len(added) < 10**6
    assert 1 not in disk.committed


def test_a_disk_that_refuses_the_last_shard_is_told_at_the_end() -> None:
    disk = Disk(fails_at=0)
    disk.flushed.release()

    def run() -> None:
        with commits(disk) as group:
            group.add(0, shard())

    with pytest.raises(StoreError, match="disk is full"):
        run()


def test_a_run_waits_for_a_disk_that_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simclick.harness.commits.MOST_ROWS", 3)
    disk = Disk()
    added = []

    def run() -> None:
        with commits(disk) as group:
            for number in range(6):
                group.add(number, shard())
                added.append(number)
                if number == 0:
                    assert disk.begun.acquire(timeout=10)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=0.5)
    assert added == [0, 1, 2, 3]  # one under way, three waiting
    disk.flushed.release(9)
    thread.join(timeout=10)
    assert disk.committed == list(range(6))


WRITER = """
import sys
from pathlib import Path
import pyarrow as pa
from simclick.harness.commits import GroupCommit
from simclick.harness.records import SCHEMAS, Rows
from simclick.harness.store import RunDirectory

def shard(number):
    rows = Rows()
    for table, count in (("episodes", 1), ("steps", 300), ("prompts", 300)):
        blank = dict.fromkeys(SCHEMAS[table].names) | {"case_id": f"{number:03d}", "level": 0.0, "repeat": 0}
        if table == "episodes":
            blank["status"] = "failed" if number % 7 == 0 else "ok"
        for step in range(count):
            rows.add(table, *(blank | ({} if table == "episodes" else {"step": step})).values())
    return rows

cases = pa.table({"case_id": [f"{number:03d}" for number in range(150)]})
about = {"plan_digest": "a", "agent": {"name": "a"}, "dataset": {"name": "a"}, "marks": []}
options = {"save_masks": False, "episodes_per_shard": (1,) * 150}
with RunDirectory(Path(sys.argv[1]), about, cases, **options) as directory:
    todo = [number for number in range(150) if number not in directory.done]
    with GroupCommit(directory) as commits:
        for number in todo:
            commits.add(number, shard(number))
    directory.seal({})
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills a process group")
def test_a_writer_killed_among_shared_commits_loses_none_and_doubles_none(tmp_path: Path) -> None:
    path, chance, kills = tmp_path / "run", random.Random(0), 0
    seen: set[str] = set()
    while True:
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], start_new_session=True)
        deadline = time.monotonic() + 60
        files = path / "episodes"
        target = len(seen) + chance.randint(1, 2)
        while process.poll() is None and time.monotonic() < deadline:
            if kills < 3 and files.is_dir() and len(list(files.glob("part-*"))) >= target:
                break
            time.sleep(0.001)
        if process.poll() is not None or kills == 3:
            assert process.wait() == 0
            break
        time.sleep(chance.random() * 0.03)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        now = {file.name for file in files.glob("part-*")}
        assert seen <= now, "a commit was lost"
        seen = now
    assert kills > 0
    run = read_run(path)
    assert run.sealed
    assert run.table("episodes")["case_id"].tolist() == [f"{number:03d}" for number in range(150)]
    for table in ("steps", "prompts"):
        counts = run.table(table).groupby("case_id")["step"].agg(["size", "nunique"])
        assert (counts == 300).all(axis=None)
        assert len(counts) == 150
    assert len(list((path / "episodes").iterdir())) < 150  # some did share their files
