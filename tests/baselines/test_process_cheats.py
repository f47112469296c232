"""What fourteen cheating agents get: inside the harness, in a process of their own, and in a confined one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("msgpack")
if not sys.platform.startswith("linux"):
    pytest.skip("the cheats look where Linux keeps things", allow_module_level=True)

import cheating_agents
from cheating_agents import CHEATS, MARK
from harness_alone import TRUTH

from simclick.agent import AgentInfo, Request, SimpleAgent
from simclick.baselines.process.agent import ProcessAgent
from simclick.case import Case
from simclick.commands.agent_template import helper
from simclick.errors import AgentError, ConfigError
from simclick.prompts import Round, click

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agents-out-of-process.md"

GETS: dict[str, tuple[bool | None, bool | None, bool]] = {
    # cheat: inside the harness, process, process + hide; None: not applicable, or it depends on the system
    "frames": (True, False, False),
    "collector": (True, False, False),
    "data_files": (True, True, False),
    "run_files": (True, True, False),
    "parent_memory": (None, False, False),
    "trace": (None, False, False),
    "environment": (True, None, False),
    "descriptors": (True, False, False),
    "shared_memory": (True, True, False),
    "fork": (True, True, False),
    "overwrite": (True, True, False),
    "plant_links": (False, False, False),
    "clock": (False, False, False),
    "rebuild": (True, True, True),
}
"""Whether the truth is had, or a kept file changed; docs/agents-out-of-process.md says the same in words."""


class Insider(SimpleAgent):
    """The cheat inside the harness: how real each of them is."""

    def __init__(self, cheat: str, known: dict[str, Any]) -> None:
        self.info = AgentInfo("insider")
        self.cheat = CHEATS[cheat]
        self.known = known

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        mask = self.cheat(self.known, image)
        return np.zeros(request.size, np.bool_) if mask is None else mask


class Stage:
    """A case whose truth lies in memory, files, shared memory, the environment and an open file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, cheat: str) -> None:
        rng = np.random.default_rng(len(cheat))
        truth = rng.integers(0, 2, (40, 48)).astype(np.bool_)
        image = rng.integers(0, 255, (40, 48, 3)).astype(np.uint8)
        key = secrets.token_hex(8)
        self.known: dict[str, Any] = {"size": list(truth.shape), "key": key}
        if cheat == "rebuild":
            from simclick.datasets.phantoms import Phantoms

            options = {"size": 128, "patients": 1, "slices": 1, "families": ["nuclei"]}
            self.known["phantoms"] = options
            case = next(iter(Phantoms(**options)))
            truth, image = case.truth, case.image
            self.known["size"] = list(truth.shape)
        self.case = Case("c", "d", image, truth, group="g", modality="", target="")
        self.marked = bytearray(MARK + key.encode() + truth.tobytes())  # as a harness may hold it
        self.folders = [folder / "data", folder / "run"]
        for place in self.folders:
            (place / "masks").mkdir(parents=True)
            (place / "masks" / "c.bin").write_bytes(self.marked)
            self.known[place.name] = str(place)
        monkeypatch.setenv("HIDDEN_ROOT", "TRUTH-IN-HEX:" + truth.tobytes().hex())
        self.open = os.open(self.folders[0] / "masks" / "c.bin", os.O_RDONLY)
        os.set_inheritable(self.open, True)
        self.block = SharedMemory(create=True, size=len(self.marked))
        self.block.buf[: len(self.marked)] = self.marked
        code = folder / "code"  # beside what is hidden: a folder above it cannot be listed
        code.mkdir()
        (code / "simclick_method.py").write_text(helper())
        (code / "cheating_agents.py").write_text(Path(cheating_agents.__file__).read_text())
        self.command = [sys.executable, str(code / "cheating_agents.py")]

    def play(self, agent: Any) -> bool:
        """Return whether the agent answers with the truth, or changes what was kept."""
        (embedding,) = agent.encode([self.case.image])
        request = Request(embedding, self.case.size, (Round((click(3, 4),)),))
        (answer,) = agent.predict([request])
        with contextlib.suppress(AgentError):  # what it did may break the next image
            agent.encode([self.case.image])
        files = [folder / "masks" / "c.bin" for folder in self.folders]
        changed = any(file.read_bytes() != self.marked for file in files)
        return changed or bool(np.array_equal(np.asarray(answer.candidates)[0], self.case.truth))

    def close(self) -> None:
        os.close(self.open)
        self.block.close()
        self.block.unlink()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    made = Stage(tmp_path, monkeypatch, request.node.callspec.params["cheat"])
    yield made
    made.close()


def process(stage: Stage, cheat: str, hide: list[str]) -> ProcessAgent:
    options = {"cheat": cheat, "known": stage.known}
    return ProcessAgent(stage.command, options=options, hide=hide, timeout=120)


QUICK_FIRST = [pytest.param(c, marks=pytest.mark.slow) if c == "rebuild" else c for c in CHEATS]


@pytest.mark.parametrize("cheat", QUICK_FIRST)
def test_inside_the_harness(stage: Stage, cheat: str) -> None:
    expected = GETS[cheat][0]
    if expected is None:
        pytest.skip("inside, its own memory is the harness's")
    assert stage.play(Insider(cheat, stage.known)) is expected


@pytest.mark.parametrize("cheat", QUICK_FIRST)
def test_in_a_process_of_its_own(stage: Stage, cheat: str) -> None:
    agent = process(stage, cheat, [])
    try:
        found = stage.play(agent)
    finally:
        agent.close()
    expected = GETS[cheat][1]
    if cheat == "environment":
        expected = False  # ours was added after our start, and so is not in /proc: see the tests below
    assert found is expected


def alone(place: Path, guard: str, hide: str | None = None) -> dict[str, bool]:
    """Return which cheats get the truth from a harness that runs by itself."""
    code = place / "code"
    code.mkdir(exist_ok=True)
    (code / "simclick_method.py").write_text(helper())
    (code / "cheating_agents.py").write_text(Path(cheating_agents.__file__).read_text())
    script = Path(cheating_agents.__file__).with_name("harness_alone.py")
    command = [sys.executable, str(script), str(code), guard, *([hide] if hide else [])]
    hidden = {"HIDDEN_ROOT": "TRUTH-IN-HEX:" + TRUTH.tobytes().hex()}
    done = subprocess.run(
        command, env={**os.environ, **hidden}, cwd=place, capture_output=True, text=True, check=False
    )
    if "needs Linux with Landlock" in done.stderr:
        pytest.skip("no Landlock here")
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, bool] = json.loads(done.stdout)
    return found


def test_a_method_does_not_look_into_the_harness(tmp_path: Path) -> None:
    found = alone(tmp_path, "yes")
    if os.geteuid() == 0:  # whether root's CAP_SYS_ADMIN opens the environment depends on the kernel
        del found["environment"]
    assert not any(found.values()), found


@pytest.mark.slow
def test_without_the_mark_it_would(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("what root's method gave up is enough to stop it; the mark is for other users")
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and scope.read_text().strip() != "0":
        pytest.skip("this system lets no child look into its parent")
    assert alone(tmp_path, "no") == {"environment": True, "parent_memory": True, "trace": True}


@pytest.mark.slow
def test_a_confined_method_does_not_even_see_its_environment(tmp_path: Path) -> None:
    found = alone(tmp_path, "yes", hide="/dev/shm")
    assert found == {"environment": False, "parent_memory": False, "trace": False}


def test_the_mark_is_set_with_the_first_method_and_stays() -> None:
    script = (
        "from simclick.baselines.process import guard\n"
        "assert not guard.guarded()\n"
        "from simclick.baselines.process.agent import ProcessAgent\n"
        "from simclick.errors import AgentError\n"
        "try: ProcessAgent('no-such-program')\n"
        "except AgentError: pass\n"
        "assert guard.guarded()\n"
        "import subprocess, sys\n"
        "code = 'from simclick.baselines.process import guard; raise SystemExit(guard.guarded())'\n"
        "assert subprocess.run([sys.executable, '-c', code]).returncode == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cheat", CHEATS)
def test_in_a_confined_process(stage: Stage, cheat: str) -> None:
    hide = [*map(str, stage.folders), "/dev/shm"]
    try:
        agent = process(stage, cheat, hide)
    except AgentError as error:
        if "needs Linux with Landlock" not in str(error):
            raise
        pytest.skip(str(error))
    try:
        assert stage.play(agent) is GETS[cheat][2]
    finally:
        agent.close()


def test_the_page_says_the_same() -> None:
    words = {True: "yes", False: "no", None: "depends"}
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| (\S+) \| (\S+) \| (\S+) \|$", text, re.MULTILINE)
    expected = {name: tuple(words[cell] for cell in cells) for name, cells in GETS.items()}
    assert {name: tuple(cells) for name, *cells in rows} == expected


def test_hidden_places_are_gone_and_the_rest_stays(tmp_path: Path) -> None:
    from simclick.baselines.process.launcher import reachable

    (tmp_path / "data" / "hidden" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "public").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "data" / "hidden")
    (tmp_path / "other").mkdir()
    root = os.path.realpath(tmp_path)
    found = reachable([f"{root}/data/hidden"])
    here = {path for path in found if path.startswith(root)}
    assert here == {f"{root}/data/public", f"{root}/other"}
    assert "/usr" in found
    assert not any(root.startswith(path + "/") for path in found)


def test_a_confined_method_cannot_write_or_rename_what_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "a").write_text("a")
    code = tmp_path / "code"
    code.mkdir()
    (code / "simclick_method.py").write_text(helper())
    (code / "method.py").write_text(
        "from simclick_method import Answer, Method, serve\n"
        "import os, numpy as np\n"
        "class Vandal(Method):\n"
        "    def segment(self, request):\n"
        "        tried = 0\n"
        f"        place = {str(tmp_path / 'hidden')!r}\n"
        "        for action in (lambda: open(place + '/b', 'w'), lambda: os.unlink(place + '/a'),\n"
        "                       lambda: os.truncate(place + '/a', 0),\n"
        "                       lambda: os.rename(place, place + '2'),\n"
        "                       lambda: os.listdir(place), lambda: os.kill(os.getppid(), 0)):\n"
        "            try: action()\n"
        "            except PermissionError: tried += 1\n"
        "        import tempfile; tempfile.TemporaryFile().close()\n"
        "        return Answer([np.ones(request.size, bool)], [tried])\n"
        "serve(Vandal)\n"
    )
    command = shlex.join([sys.executable, str(code / "method.py")])
    try:
        agent = ProcessAgent(command, hide=[str(tmp_path / "hidden")])
    except AgentError as error:
        pytest.skip(str(error))
    try:
        (embedding,) = agent.encode([np.zeros((4, 4, 3), np.uint8)])
        (answer,) = agent.predict([Request(embedding, (4, 4), (Round((click(1, 1),)),))])
    finally:
        agent.close()
    # Signals are kept in since Linux 6.12.
    assert next(iter(answer.scores)) in (5.0, 6.0)
    assert (tmp_path / "hidden" / "a").read_text() == "a"


WRITER = """
from simclick_method import Answer, Method, serve
import os, tempfile, numpy as np
def writes(path):
    try: open(path, "r+b" if os.path.exists(path) else "wb").close()
    except PermissionError: return 0
    return 1
class Writer(Method):
    def __init__(self, ours, free): self.ours, self.free = ours, free
    def encode(self, image):
        return {os.path.dirname(l.split()[5]) for l in open("/proc/self/maps") if "/images/" in l}
    def segment(self, request):
        folders = [*request.features, *map(os.path.dirname, self.ours)]
        tried = [*self.ours, *(os.path.join(folder, "planted") for folder in folders)]
        tempfile.TemporaryFile().close()
        scores = [len(request.features), len(tried), sum(map(writes, tried)), sum(map(writes, self.free))]
        return Answer([np.ones(request.size, bool)] * 4, scores)
serve(Writer)
"""


def test_a_confined_method_writes_in_its_own_folder_alone(tmp_path: Path) -> None:
    import simclick

    for name in ("hidden", "cache", "code", "home"):
        (tmp_path / name).mkdir()
    dotted = tmp_path / "home" / ".profile"
    dotted.write_text("as it was")
    (tmp_path / "code" / "simclick_method.py").write_text(helper())
    (tmp_path / "code" / "method.py").write_text(WRITER)
    ours = [str(simclick.__file__), str(np.__file__), f"{sys.prefix}/pyvenv.cfg", str(dotted)]
    free = [str(tmp_path / "cache" / "file"), os.devnull]
    try:
        agent = ProcessAgent(
            [sys.executable, str(tmp_path / "code" / "method.py")],
            hide=[str(tmp_path / "hidden"), "/dev/shm"],
            write=[str(tmp_path / "cache")],
            options={"ours": ours, "free": free},
        )
    except AgentError as error:
        if "needs Linux with Landlock" not in str(error):
            raise
        pytest.skip(str(error))
    try:
        (embedding,) = agent.encode([np.zeros((4, 4, 3), np.uint8)])
        (answer,) = agent.predict([Request(embedding, (4, 4), (Round((click(1, 1),)),))])
    finally:
        agent.close()
    # The image's folder and four files, and beside each: nothing of them is written, both that are free are.
    assert [int(score) for score in answer.scores] == [1, 9, 0, 2]
    assert dotted.read_text() == "as it was"


@pytest.mark.parametrize(
    ("write", "hide", "words"),
    [
        (["."], [], "agent.write is of use with agent.hide alone"),
        (["data/in"], ["data"], "overlaps with agent.hide"),
        (["data"], ["data/in"], "overlaps with agent.hide"),
        (["none"], ["data"], "agent.write: no such folder"),
    ],
)
def test_what_may_be_written_is_apart_from_what_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: list[str], hide: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "in").mkdir(parents=True)
    with pytest.raises(ConfigError, match=words):
        ProcessAgent("x", hide=hide, write=write)
