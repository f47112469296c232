"""Plug-ins of a real package, built and installed here: they work, and a broken one breaks nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from simclick import cli, listing, registry
from simclick.errors import ConfigError
from simclick.protocol import load_protocol

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "simclick-plug"
version = "1.0"
[tool.setuptools]
py-modules = ["plugged", "plugged_broken", "plugged_exits", "plugged_escapes", "my_package"]
[project.entry-points."simclick.agents"]
plug-agent = "plugged:Square"
plug-broken = "plugged_broken:Agent"
plug-exits = "plugged_exits:Agent"
plug-missing = "plugged_missing:Agent"
plug-attribute = "plugged:Sqare"
grabcut = "plugged:Square"
plug-value = "plugged:NUMBER"
plug-escapes = "plugged_escapes:Agent"
plug-oracle = "plugged:Impostor"
[project.entry-points."simclick.annotators"]
plug-click = "plugged:CornerClick"
my-click = "my_package:MyClick"
[project.entry-points."simclick.noises"]
my-noise = "my_package:MyNoise"
[project.entry-points."simclick.datasets"]
plug-data = "plugged:Discs"
my-data = "my_package:MyData"
[project.entry-points."simclick.protocols"]
plug-v1 = "plugged:PROTOCOL"
plug-renamed = "plugged:PROTOCOL"
plug-number = "plugged:NUMBER"
plug-empty = "plugged:EMPTY"
my-v1 = "my_package:PROTOCOL"
"""

MODULE = '''
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from simclick.agent import AgentInfo, SimpleAgent
from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.prompts import Round, click


class Square(SimpleAgent):
    """Paints squares."""

    def __init__(self, radius: int, *, scale: float = 1.0, device: str = "auto", hook=print) -> None:
        self.info = AgentInfo("plug-agent", settings={"radius": radius, "scale": scale})
        self.radius = int(radius * scale)

    def segment(self, image, request):
        mask = np.zeros(request.size, bool)
        for prompt in request.prompts:
            x, y = prompt.landed
            r = self.radius
            mask[max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1] = prompt.positive
        return mask


@dataclass(frozen=True)
class CornerClick:
    """Clicks the first wrong pixel."""

    name: ClassVar[str] = "plug-click"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds: ClassVar[frozenset] = frozenset({"click"})

    def propose(self, case, masks, histories, draws):
        rounds = []
        for mask in masks:
            wrong = mask != case.truth
            if case.ignore is not None:
                wrong &= ~case.ignore
            places = np.argwhere(wrong)
            if not len(places):
                rounds.append(None)
                continue
            y, x = places[0]
            rounds.append(Round((click(x, y, bool(case.truth[y, x])),)))
        return rounds


class Discs(Dataset):
    """Discs."""

    def __init__(self, count: int = 3, skip_invalid: bool = False) -> None:
        super().__init__(skip_invalid)
        self.info = DatasetInfo("plug-data")
        self.count = count

    def references(self):
        return range(self.count)

    def load(self, reference):
        rows, columns = np.mgrid[:32, :32]
        truth = (rows - 16) ** 2 + (columns - 12 - reference) ** 2 < 64
        image = np.repeat((truth * 100).astype(np.uint8)[..., None], 3, axis=2)
        name = str(reference)
        return Case(name, "plug-data", image, truth, group=name, modality="", target="disc")


PROTOCOL = {"id": "plug-v1", "summary": "The first wrong pixel.", "annotator": "plug-click", "budget": 4}
NUMBER = 5
EMPTY = {}


class Impostor(Square):
    def __init__(self):
        super().__init__(3)
        self.info = AgentInfo("Oracle")
'''

PAGE = Path(__file__).resolve().parents[1] / "docs" / "plugins.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package is installed."""
    source = tmp_path_factory.mktemp("source")
    target = tmp_path_factory.mktemp("target")
    (source / "pyproject.toml").write_text(PROJECT)
    (source / "plugged.py").write_text(textwrap.dedent(MODULE))
    (source / "plugged_broken.py").write_text("raise RuntimeError('half\\nfinished')\n")
    (source / "plugged_exits.py").write_text("raise SystemExit(3)\n")
    (source / "plugged_escapes.py").write_text("raise RuntimeError('a\\x1b[2Jb')\n")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (source / "my_package.py").write_text("\n".join(blocks))
    pytest.importorskip("pip")
    build = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    build += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target), str(source)]
    result = subprocess.run(build, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return target


@pytest.fixture
def plugged(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package is on the path, and the registries are read anew."""
    things = (registry.agents, registry.annotators, registry.noises, registry.datasets, registry.protocols)

    def forget() -> None:
        for thing in things:
            for name in ("entries", "notes", "_found"):
                thing.__dict__.pop(name, None)

    monkeypatch.syspath_prepend(str(installed))
    forget()
    yield installed
    forget()


WORDS = ["run", "agent=plug-agent", "agent.radius=4", "dataset=plug-data", "protocol=plug-v1", "--quiet"]


def test_agent_annotator_data_set_and_protocol_run_together(
    plugged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main([*WORDS, "dataset.count=2", "agent.scale=1.5", f"out={tmp_path / 'run'}"])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert "plug-agent on plug-data" in out
    assert "2 cases, 2 groups, 2 episodes, 0 failed" in out
    assert "protocol plug-v1 (" in out


def test_the_examples_of_the_page_run_together(
    plugged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "agent=grabcut", "dataset=my-data", "protocol=my-v1", "--quiet"]
    assert cli.main([*words, f"out={tmp_path / 'run'}"]) == 0
    assert "3 cases, 3 groups, 9 episodes, 0 failed" in capsys.readouterr().out


@pytest.mark.slow
def test_worker_processes_find_them_too(installed: Path, tmp_path: Path) -> None:
    import os

    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "simclick.cli", *WORDS, "engine.workers=2", f"out={tmp_path / 'run'}"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_changed_protocol_of_a_plug_in_gets_its_plus(
    plugged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*WORDS, "protocol.budget=1", f"out={tmp_path / 'run'}"]) == 0
    assert "protocol plug-v1+ (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["agent=plug-agent"], "agent 'plug-agent': .*missing 1 required positional argument: 'radius'"),
        (["agent=plug-agent", "agent.radus=3"], "unknown key 'agent.radus'; did you mean 'agent.radius'"),
        (["agent=plug-agent", "agent.hook=3"], "unknown key 'agent.hook'"),
        (
            ["agent=plug-broken"],
            "agent 'plug-broken' of plug-in simclick-plug: .* RuntimeError: half finished",
        ),
        (["agent=plug-missing"], "no module named 'plugged_missing'"),
        (["agent=plug-attribute"], "did you mean 'Square'"),
        (["agent=plug-exits"], "raised SystemExit: 3"),
        (["agent=plug-agnt"], "did you mean 'plug-agent'"),
        (["protocol=plug-renamed"], "has the id 'plug-v1'"),
        (["protocol=plug-number"], "is a int, not a Protocol"),
        (["protocol=plug-empty"], "protocol 'plug-empty' of a plug-in lacks the key id and annotator"),
        (["agent=plug-escapes"], r"RuntimeError: a\ufffd\[2Jb"),
        (["agent=plug-oracle"], "agent plug-oracle: info.name 'Oracle' is that of simclick's own 'oracle'"),
        (["dataset=plug-dat"], "did you mean 'plug-data'"),
    ],
)
def test_a_broken_plug_in_gives_one_line(
    plugged: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import re

    assert cli.main(["run", *words, "--quiet", f"out={tmp_path / 'run'}"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(said, err), err
    assert not (tmp_path / "run").exists()


def test_lists_show_each_with_its_package_and_its_fault(
    plugged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agents = {row["name"]: row for row in listing.rows("agents")}
    assert agents["plug-agent"]["summary"] == "plug-in simclick-plug"
    assert agents["plug-agent"]["ready"] == "yes"
    assert agents["plug-broken"]["ready"].endswith("raised RuntimeError: half finished")
    assert agents["grabcut"]["summary"].startswith("colour mixtures")  # ours stays
    assert agents["disc"]["ready"] == "yes"
    assert agents["plug-value"]["ready"].endswith("is a int, not a class or function")
    protocols = {row["name"]: row for row in listing.rows("protocols")}
    assert protocols["plug-v1"]["summary"] == "The first wrong pixel. (plug-in simclick-plug)"
    assert protocols["plug-number"]["ready"].startswith("no: ")
    assert protocols["noc-v1"]["ready"] == "yes"
    assert cli.main(["list", "agents"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out
    assert "a\ufffd[2Jb" in out
    assert err == (
        "simclick: plug-in simclick-plug: agent 'grabcut' is left out: simclick itself has that name\n"
    )


def test_metadata_that_cannot_be_read_is_noted(
    plugged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad-1.0.dist-info"
    bad.mkdir()
    (bad / "METADATA").write_text("Name: bad\nVersion: 1.0\n")
    (bad / "entry_points.txt").write_bytes(b"[simclick.agents]\nname = \xff\xfe\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("entries", "notes", "_found"):
        registry.agents.__dict__.pop(name, None)
    assert "plug-agent" in registry.agents.entries
    assert any("bad-1.0.dist-info: its entry points cannot be read" in n for n in registry.agents.notes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plug-agent", "radius=3"], "agent plug-agent: keeps its contract"),
        (["agent:plug-agent", "radius=3"], "agent plug-agent: keeps its contract"),
        (["plugged:Square", "radius=3", "scale=2.0"], "agent plug-agent: keeps its contract"),
        (["plug-click"], "annotator plug-click: keeps its contract"),
        (["plug-data", "count=2"], "dataset plug-data: keeps its contract (2 of 2 cases loaded)"),
        (["my-click"], "annotator my-click: keeps its contract"),
        (["my-noise"], "noise my-noise: keeps its contract"),
        (["my-data"], "dataset my-data: keeps its contract (3 of 3 cases loaded)"),
        (["my-v1"], "protocol: keeps its contract (id my-v1, digest "),
        (["plug-v1"], "protocol: keeps its contract (id plug-v1, digest "),
    ],
)
def test_check_finds_them_sound(
    plugged: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", *words]) == 0
    assert said in capsys.readouterr().out


def test_an_unknown_protocol_lists_those_of_plug_ins_too(plugged: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'plug-v1'"):
        load_protocol("plug-v2")
