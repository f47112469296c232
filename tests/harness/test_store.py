from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from simclick.episode import Rules
from simclick.errors import StoreError
from simclick.harness.lockstep import Lockstep
from simclick.harness.plan import make_plan
from simclick.harness.reading import read_run
from simclick.harness.records import Rows
from simclick.harness.run import cases_table
from simclick.harness.store import SHARDS, RunDirectory, check_writable
from simclick.protocol import load_protocol
from support import Painter, ToyDataset

PROTOCOL = load_protocol("noc-v1").with_overrides({"budget": 2})
PLAN = make_plan(Painter(), ToyDataset(3), PROTOCOL)
LOCKSTEP = Lockstep(Painter(), ToyDataset(3), Rules(PROTOCOL, 0))


def rows(shard: int) -> Rows:
    return LOCKSTEP.run(PLAN.blocks[shard])


def directory(path: Path, digest: str = "a", **changes: Any) -> RunDirectory:
    description = {
        "plan_digest": digest,
        "agent": {"name": "painter"},
        "dataset": {"name": "toy"},
        "marks": [],
    }
    values: dict[str, Any] = {"save_masks": False, "episodes_per_shard": (1, 1, 1), **changes}
    return RunDirectory(path, description, cases_table(PLAN.cases), **values)


def test_committed_shards_are_found_again(tmp_path: Path) -> None:
    with directory(tmp_path / "run") as d:
        assert d.done == frozenset()
        d.commit(0, rows(0))
        d.commit(2, rows(2))
    with directory(tmp_path / "run") as d:
        assert d.done == {0, 2}
        assert not d.sealed
        d.commit(1, rows(1))
        d.seal({})
    run = read_run(tmp_path / "run")
    assert run.sealed
    assert run.table("episodes").case_id.tolist() == ["case-000", "case-001", "case-002"]
    assert len(run.cases()) == 3


@pytest.mark.parametrize("nth", range(30))
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_fault_at_any_write_leaves_the_old_or_the_new_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    """The nth flush or rename fails, as on a full or dying disk: shard 1 is there whole, or not at all."""
    import os

    path = tmp_path / "run"
    with directory(path) as d:
        d.commit(0, rows(0))
    target: Any = os if call == "fsync" else Path
    real, count = getattr(target, call), 0

    def faulty(*args: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    fresh = rows(1)
    with directory(path) as d:
        monkeypatch.setattr(target, call, faulty)
        message = ""
        try:
            d.commit(1, fresh)
        except StoreError as error:
            message = str(error)
        monkeypatch.undo()
    failed = bool(message)
    assert not failed or ("No space left" in message and "same command again" in message)
    with directory(path) as d:
        assert d.done in ({0}, {0, 1})
        assert failed or d.done == {0, 1}
        for table in ("steps", "prompts"):
            assert {f.name for f in (path / table).iterdir()} == {f"part-{i:05d}.parquet" for i in d.done}
        if 1 not in d.done:
            d.commit(1, rows(1))
    assert len(read_run(path).table("episodes")) == 2


@pytest.mark.parametrize("nth", range(20))
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_shards_committed_together_are_all_there_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    """The nth flush or rename fails under a group that is no range; the earlier shard stays."""
    import os

    path = tmp_path / "run"
    group = {0: rows(0), 2: rows(2)}
    target: Any = os if call == "fsync" else Path
    real, count = getattr(target, call), 0

    def faulty(*args: Any) -> Any:
        nonlocal count
        count += 1
        if count == nth + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    with directory(path) as d:
        d.commit(1, rows(1))
        monkeypatch.setattr(target, call, faulty)
        try:
            d.commit_together(group)
            assert d.done == {0, 1, 2}
        except StoreError:
            assert d.done == {1}
        monkeypatch.undo()
    with directory(path) as d:
        assert d.done in ({1}, {0, 1, 2})
        if d.done == {1}:
            d.commit_together(group)
    with directory(path) as d:
        assert d.done == {0, 1, 2}
        assert sorted(f.name for f in (path / "steps").iterdir()) == [
            "part-00000.parquet",
            "part-00001.parquet",
        ]
    assert read_run(path).table("episodes").case_id.tolist() == ["case-000", "case-001", "case-002"]


def test_shards_that_share_files_are_dropped_together(tmp_path: Path) -> None:
    with directory(tmp_path / "run") as d:
        d.commit_together({0: rows(0), 2: rows(2)})
        d.commit(1, rows(1))
        assert d.failures() == {frozenset({0, 2}): 0, frozenset({1}): 0}
        d.drop([2])
        assert d.done == {1}
    with directory(tmp_path / "run") as d:
        assert d.done == {1}


def test_files_that_do_not_list_their_shards_hold_the_one_in_their_name(tmp_path: Path) -> None:
    """As simclick 0.1 wrote them, and as another program may have rewritten them."""
    path = tmp_path / "run"
    with directory(path) as d:
        d.commit(2, rows(2))
    file = path / "episodes" / "part-00002.parquet"
    table = pq.read_table(file, partitioning=None)
    assert table.schema.metadata == {SHARDS: b"[2]"}
    pq.write_table(table.replace_schema_metadata(None), file)
    with directory(path) as d:
        assert d.done == {2}


@pytest.mark.parametrize("listed", [b"[1]", b"[2, 2]", b"[-1]", b"[7]", b"[]"])
def test_files_that_list_other_shards_than_they_may_hold_are_refused(tmp_path: Path, listed: bytes) -> None:
    path = tmp_path / "run"
    with directory(path) as d:
        d.commit_together({0: rows(0), 1: rows(1)})
        d.commit(2, rows(2))
    file = path / "episodes" / "part-00002.parquet"
    table = pq.read_table(file, partitioning=None)
    pq.write_table(table.replace_schema_metadata({SHARDS: listed}), file)
    with pytest.raises(StoreError, match="not what the plan says"), directory(path):
        pass


def test_shards_without_their_commit_are_removed_on_opening(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with directory(path) as d:
        d.commit(0, rows(0))
        d.commit(1, rows(1))
    (path / "episodes" / "part-00001.parquet").unlink()
    (path / "steps" / ".part-00002.parquet").write_bytes(b"torn")
    with directory(path) as d:
        assert d.done == {0}
        assert [f.name for f in (path / "steps").iterdir()] == ["part-00000.parquet"]


def test_a_second_writer_is_kept_out(tmp_path: Path) -> None:
    with (
        directory(tmp_path / "run"),
        pytest.raises(StoreError, match="in use by another run"),
        directory(tmp_path / "run"),
    ):
        pass


def test_strangers_are_refused_untouched(tmp_path: Path) -> None:
    with directory(tmp_path / "run", "a"):
        pass
    with pytest.raises(StoreError, match="holds another run"), directory(tmp_path / "run", "b"):
        pass
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match="not empty and holds no run"), directory(mine):
        pass
    assert [f.name for f in mine.iterdir()] == ["thesis.tex"]


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with directory(path) as d:
        d.commit(0, rows(0))
    file = path / "episodes" / "part-00000.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(StoreError, match=r"part-00000.parquet is damaged.*remove it"), directory(path):
        pass


@pytest.mark.parametrize("name", ["run.json", "cases.parquet", "steps/part-00001.parquet"])
def test_one_flipped_bit_in_a_sealed_run_is_found(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run"
    with directory(path) as d:
        for shard in range(3):
            d.commit(shard, rows(shard))
        d.seal({})
    assert read_run(path).sealed
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(StoreError, match=r"changed after the run was sealed|cannot be read"):
        read_run(path)


def test_unwritable_places_are_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        check_writable(tmp_path / "file" / "run")
    with pytest.raises(StoreError, match="is a file"):
        check_writable(tmp_path / "file")
    check_writable(tmp_path / "new" / "deeper")
    assert not (tmp_path / "new").exists()


def test_reading_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run directory"):
        read_run(tmp_path)
