"""The folder that is shared with a method: nothing in the way is followed or waited for, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("msgpack")
if os.name != "posix":
    pytest.skip("agent=process needs a POSIX system", allow_module_level=True)

from simclick.agent import Request
from simclick.baselines.process import place as place_module
from simclick.baselines.process import wire
from simclick.baselines.process.agent import ProcessAgent
from simclick.baselines.process.place import Place
from simclick.commands.agent_template import helper
from simclick.errors import AgentError, ConfigError
from simclick.prompts import Round, click

IMAGE = np.zeros((6, 5, 3), np.uint8)
OLD = 1_000_000_000


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path))


def test_a_file_is_new_private_and_gone_again(place: Place) -> None:
    names = {place.put(b"pixels") for _ in range(3)}
    assert len(names) == 3
    for name in names:
        file = place.images / name
        assert file.read_bytes() == b"pixels"
        assert file.stat().st_mode & 0o777 == 0o600
        place.take_back(name)
    assert list(place.images.iterdir()) == []
    place.remove()
    assert not place.root.exists()
    place.remove()


@pytest.mark.parametrize("how", ["link", "pipe", "folder", "file"])
def test_what_lies_in_the_way_is_refused_at_once(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(place_module.secrets, "token_hex", lambda _: "guessed")
    secret = tmp_path / "rows"
    secret.write_text("as it was")
    way = place.images / "guessed.image"
    if how == "link":
        way.symlink_to(secret)
    elif how == "pipe":
        os.mkfifo(way)
    elif how == "folder":
        way.mkdir()
    else:
        way.write_text("mine")
    start = time.monotonic()
    with pytest.raises(FileExistsError):
        place.put(b"pixels")
    assert time.monotonic() - start < 5
    assert secret.read_text() == "as it was"
    place.remove()
    assert secret.read_text() == "as it was"


def test_a_folder_put_in_its_place_is_not_written(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    place.images.rename(place.root / "moved")
    place.images.symlink_to(other)
    name = place.put(b"pixels")
    assert list(other.iterdir()) == []
    place.take_back(name)
    place.remove()
    assert other.is_dir()


def test_where_there_is_no_memory_file_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = Place(None)
    assert place.root.parent == tmp_path.resolve()
    place.remove()
    with pytest.raises(ConfigError, match=r"agent\.shared_folder=/no/such"):
        Place("/no/such")


def test_what_a_killed_process_left_goes_with_the_next_and_nothing_else(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from simclick.baselines.process.place import Place\n"
        "place = Place(sys.argv[1]); place.put(b'x'); print(place.root, flush=True)\n"
        "sys.stdin.read() if len(sys.argv) > 2 else os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    dead = Path(subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip())
    assert dead.is_dir()
    with subprocess.Popen([*command, "stay"], stdin=-1, stdout=-1, text=True) as living:
        assert living.stdout is not None
        alive = Path(living.stdout.readline().strip())
        assert dead.is_dir()  # too young to be sure of
        results = tmp_path / "simclick-process-results-2"
        results.mkdir(0o700)
        assert place_module._NAME.fullmatch(results.name) is None
        tables = tmp_path / "simclick-process-my_table"
        tables.mkdir(0o700)
        assert place_module._NAME.fullmatch(tables.name)
        for folder in (results, tables):
            (folder / "table").write_text("mine")
        for folder in (dead, alive, results, tables):
            os.utime(folder, (OLD, OLD))
        Place(str(tmp_path)).remove()
        assert not dead.exists()
        assert alive.is_dir()
        assert (results / "table").exists()
        assert (tables / "table").exists()
        living.communicate()


METHOD = """
from simclick_method import Answer, Method, serve
import numpy as np, os, shutil
class Mine(Method):
    def __init__(self, how="", size=0): self.how, self.size = how, size
    def encode(self, image):
        folders = [os.path.dirname(l.split()[5]) for l in open("/proc/self/maps") if "/images/" in l]
        for folder in folders[:1]:
            if self.how == "remove": shutil.rmtree(folder)
            for n in range(50 if self.how == "pipes" else 0):
                if not os.path.lexists(folder + f"/{n}.image"): os.mkfifo(folder + f"/{n}.image")
        return image
    def segment(self, request):
        memory = [b"x" * self.size] if self.size else None
        return Answer([np.ones(request.size, bool)], [os.getpid()], memory)
serve(Mine)
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "simclick_method.py").write_text(helper())
    (tmp_path / "mine.py").write_text(METHOD)
    return [sys.executable, str(tmp_path / "mine.py")]


def pid(agent: ProcessAgent) -> float:
    (embedding,) = agent.encode([IMAGE])
    (answer,) = agent.predict([Request(embedding, (6, 5), (Round((click(1, 1),)),))])
    return float(next(iter(answer.scores)))


def test_a_method_that_removes_the_folder_fails_and_starts_in_another(command: list[str]) -> None:
    agent = ProcessAgent(command, options={"how": "remove"}, timeout=20)
    try:
        first = pid(agent)
        root = agent._places[0].root
        with pytest.raises(AgentError, match="an image cannot be shared with the method: No such file"):
            agent.encode([IMAGE])
        assert pid(agent) != first
        assert agent._places[0].root != root
        assert not root.exists()
    finally:
        agent.close()


def test_a_method_that_puts_pipes_everywhere_stops_nothing(command: list[str]) -> None:
    agent = ProcessAgent(command, options={"how": "pipes"}, timeout=20)
    try:
        start = time.monotonic()
        assert pid(agent) == pid(agent)
        assert time.monotonic() - start < 15
    finally:
        agent.close()


def test_a_memory_is_bounded(command: list[str]) -> None:
    most = wire.LARGEST_MEMORY + wire.MEMORY_PER_PIXEL * 30
    head = 5  # msgpack's own words before so many bytes
    for size, fits in ((most - head, True), (most - head + 1, False)):
        agent = ProcessAgent(command, options={"size": size})
        try:
            if fits:
                pid(agent)
                continue
            with pytest.raises(AgentError, match=f"a memory has {most + 1} bytes; .* it may have {most}"):
                pid(agent)
        finally:
            agent.close()


def test_a_run_that_is_terminated_leaves_no_folder(command: list[str], tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    script = (
        "import sys, time\n"
        "from simclick.baselines.process.agent import ProcessAgent\n"
        "agent = ProcessAgent(sys.argv[2:], shared_folder=sys.argv[1])\n"
        "print('ready', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(shared), *command], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        assert len(list(shared.iterdir())) == 1
        run.send_signal(signal.SIGTERM)
        assert run.wait(20) == -signal.SIGTERM
    assert list(shared.iterdir()) == []
