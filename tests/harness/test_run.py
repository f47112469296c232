"""Whole runs: resume, kills, workers. The rows must not depend on how a run came to its end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from simclick.errors import SimclickError
from simclick.harness.engine import Engine
from simclick.harness.reading import read_run
from simclick.harness.records import KEY, TIMINGS
from simclick.harness.run import RunSpec, execute
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.protocol import load_protocol

PROTOCOL = load_protocol("noc-v1").with_overrides({"budget": 4})


def spec(
    out: Path, agent: str | AgentSpec = "disc", limit: int = 6, workers: int = 1, **changes: object
) -> RunSpec:
    values = {
        "agent": AgentSpec(agent) if isinstance(agent, str) else agent,
        "dataset": DatasetSpec("phantoms"),
        "protocol": PROTOCOL,
        "out": out,
        "limit": limit,
        "engine": Engine(workers=workers),
        **changes,
    }
    return RunSpec(**values)  # type: ignore[arg-type]


def content(path: Path) -> dict[str, pd.DataFrame]:
    """All rows but timings."""
    run = read_run(path)
    assert run.sealed
    tables = {name: run.table(name) for name in ("episodes", "steps", "prompts")}
    return {n: t.drop(columns=[c for c in TIMINGS if c in t.columns]) for n, t in tables.items()}


def assert_same(a: Path, b: Path) -> None:
    for name, table in content(a).items():
        pd.testing.assert_frame_equal(table, content(b)[name])
        key = [*KEY, *(c for c in ("step", "index") if c in table)]
        assert not table.duplicated(key).any()


def test_one_and_two_workers_give_the_same_rows(tmp_path: Path) -> None:
    execute(spec(tmp_path / "one", "watershed"))
    outcome = execute(spec(tmp_path / "two", "watershed", workers=2))
    assert (outcome.failed, outcome.fresh) == (0, 6)
    assert_same(tmp_path / "one", tmp_path / "two")


def test_the_same_command_again_does_nothing(tmp_path: Path) -> None:
    execute(spec(tmp_path / "run"))
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "run").rglob("*.parquet")}
    outcome = execute(spec(tmp_path / "run"))
    assert outcome.fresh == 0
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "run").rglob("*.parquet")} == before


def test_what_is_read_of_a_run_that_goes_on_fits_together(tmp_path: Path) -> None:
    execute(spec(tmp_path / "run"))
    (tmp_path / "run" / "manifest.json").unlink()
    last = max((tmp_path / "run" / "episodes").glob("*.parquet"))
    data = last.read_bytes()
    last.unlink()  # not committed yet; its steps are there already
    run = read_run(tmp_path / "run")
    episodes = run.table("episodes")
    last.write_bytes(data)
    assert set(run.table("steps")["case_id"]) == set(episodes["case_id"])
    assert len(read_run(tmp_path / "run").table("episodes")) == 6 > len(episodes)


def test_other_options_are_another_run(tmp_path: Path) -> None:
    execute(spec(tmp_path / "run"))
    with pytest.raises(SimclickError, match="holds another run"):
        execute(spec(tmp_path / "run", seed=1))


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_and_resumed(tmp_path: Path, workers: int) -> None:
    """SIGKILL at random moments, also while resuming, until the run is through."""
    execute(spec(tmp_path / "undisturbed", "watershed", limit=10))
    command = [sys.executable, "-m", "simclick.cli", "run", "agent=watershed", "dataset=phantoms", "--quiet"]
    command += [
        "dataset.limit=10",
        "protocol.budget=4",
        f"out={tmp_path / 'killed'}",
        f"engine.workers={workers}",
    ]
    chance = random.Random(workers)
    seen: set[str] = set()
    kills = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        committed = tmp_path / "killed" / "episodes"
        target = len(seen) + chance.randint(1, 3)
        while process.poll() is None and time.monotonic() < deadline and kills < 4:
            if committed.is_dir() and len(list(committed.glob("part-*"))) >= target:
                break
            time.sleep(0.005)
        if kills >= 4 or process.poll() is not None:
            assert process.wait() == 0
            break
        time.sleep(chance.random() * 0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        now = {f.name for f in committed.glob("part-*")}
        assert seen <= now, "a committed shard was lost"
        seen = now
    assert kills > 0
    assert_same(tmp_path / "undisturbed", tmp_path / "killed")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="counts processes in /proc")
def test_workers_end_with_the_run_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simclick.cli", "run", "agent=watershed", "dataset=phantoms", "--quiet"]
    command += [f"out={tmp_path / 'killed'}", "engine.workers=2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)

    def left() -> set[int]:
        found = set()
        for file in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = file.read_text().rpartition(")")[2].split()[:4]
            except OSError:  # ended meanwhile
                continue
            if int(session) == process.pid and state != "Z":
                found.add(int(file.parent.name))
        return found - {process.pid}

    def wait_for(done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not done() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert done()

    try:
        # Two workers, and the process that watches their shared memory.
        wait_for(lambda: len(left()) >= 3 and any((tmp_path / "killed" / "episodes").glob("part-*")))
        process.kill()
        process.wait()
        wait_for(lambda: not left())
    finally:
        for pid in left():
            os.kill(pid, signal.SIGKILL)


def test_failed_episodes_are_final_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flaky_agent.py").write_text(
        "import os\nimport numpy as np\nfrom simclick.agent import AgentInfo, SimpleAgent\n"
        "class Flaky(SimpleAgent):\n"
        "    info = AgentInfo(name='flaky')\n"
        "    def segment(self, image, request):\n"
        "        if os.environ.get('FLAKY') and image.shape[0] != image.shape[1]:\n"
        "            raise RuntimeError('flaky')\n"
        "        return np.ones(request.size, bool)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    agent = AgentSpec("custom", {"target": "flaky_agent:Flaky", "params": {}})
    monkeypatch.setenv("FLAKY", "1")
    failing = execute(spec(tmp_path / "run", agent=agent, limit=24))
    assert 0 < failing.failed < 24
    monkeypatch.delenv("FLAKY")
    assert execute(spec(tmp_path / "run", agent=agent, limit=24)).failed == failing.failed
    again = execute(spec(tmp_path / "run", agent=agent, limit=24, retry_failed=True))
    assert (again.failed, again.fresh) == (0, failing.failed)
    execute(spec(tmp_path / "clean", agent=agent, limit=24))
    assert_same(tmp_path / "clean", tmp_path / "run")


def test_a_worker_that_dies_becomes_failure_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deadly_agent.py").write_text(
        "import os\nimport numpy as np\nfrom simclick.agent import AgentInfo, SimpleAgent\n"
        "class Deadly(SimpleAgent):\n"
        "    info = AgentInfo(name='deadly')\n"
        "    def segment(self, image, request):\n"
        "        if image.shape[0] != image.shape[1]:\n"
        "            os._exit(9)\n"
        "        return np.ones(request.size, bool)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    agent = AgentSpec("custom", {"target": "deadly_agent:Deadly", "params": {}})
    outcome = execute(spec(tmp_path / "run", agent=agent, limit=16, workers=2))
    episodes = read_run(tmp_path / "run").table("episodes")
    assert len(episodes) == 16
    assert 0 < outcome.failed < 16
    assert episodes[episodes.status == "failed"].error.str.contains("worker process died").all()


def test_nothing_is_written_when_the_plan_fails(tmp_path: Path) -> None:
    with pytest.raises(SimclickError):
        execute(spec(tmp_path / "run", agent="no-such-agent"))
    with pytest.raises(SimclickError):
        execute(spec(tmp_path / "run", dataset=DatasetSpec("folder", {"root": str(tmp_path / "nowhere")})))
    assert list(tmp_path.iterdir()) == []


def test_run_json_says_where_numbers_come_from(tmp_path: Path) -> None:
    execute(spec(tmp_path / "run"))
    description = read_run(tmp_path / "run").description
    assert description["protocol"]["digest"] == PROTOCOL.digest
    assert description["dataset"]["cases"] == 6
    assert len(description["dataset"]["sha256"]) == 64
    assert description["versions"]["numpy"]
    assert description["hardware"]["cores"]
    assert description["agent"]["digest"]
