"""What a record says of a command and its options: what runs, not where it lies."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgpack")
if os.name != "posix":
    pytest.skip("agent=process needs a POSIX system", allow_module_level=True)

from simclick import cli
from simclick.baselines import RECIPES
from simclick.baselines.process.agent import ProcessAgent
from simclick.baselines.process.identity import named_command, portable
from simclick.citations import ENTRIES
from simclick.commands.agent_template import helper, recipe
from simclick.errors import AgentError

METHOD = """
from simclick_method import Method, serve
import numpy as np
class Mine(Method):
    name, family = "mine", "classical"
    citation = "@misc{mine,\\n  title = {Mine},\\n  year = {2026},\\n}"
    def __init__(self, weights, places=()):
        self.settings = {"loaded": weights, "ratio": "1/2"}
    def segment(self, request):
        return np.ones(request.size, bool)
serve(Mine)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "home of me"
    place.mkdir()
    (place / "simclick_method.py").write_text(helper())
    (place / "mine.py").write_text(METHOD)
    (place / "weights.pth").write_bytes(b"weights")
    return place


def digits(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def test_a_command_keeps_names_and_contents(folder: Path) -> None:
    mine = f"mine.py sha256:{digits(folder / 'mine.py')}"
    assert named_command(["/envs/old/bin/python3.8", str(folder / "mine.py")]) == ["python3.8", mine]
    assert named_command(["python", "mine.py", "--fast"], str(folder)) == ["python", mine, "--fast"]
    assert named_command(["python", f"--script={folder / 'mine.py'}"]) == ["python", f"--script={mine}"]
    assert named_command(["docker", "run", "-v", "/home/me/data:/data", "team/method"]) == [
        *("docker", "run", "-v", "data:/data", "team/method")
    ]
    assert named_command(["python", "-m", "pack.method", "https://host/x/y"]) == [
        *("python", "-m", "pack.method", "https://host/x/y")
    ]
    assert named_command([]) == []


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("/no/such/place/net.pth", "net.pth"),
        ("~/nets/net.pth", "net.pth"),
        ("1/2", "1/2"),
        ("auto", "auto"),
        ("", ""),
        (0.5, 0.5),
        (None, None),
        (["/a/b", {"c": "/d/e/"}], ["b", {"c": "e"}]),
        ({"/home/me/k": 1, "/home/you/k": 2, "k (2)": 3}, {"k": 1, "k (2)": 2, "k (2) (2)": 3}),
        ("x" * 5000, "x" * 5000),
        ("nul\0", "nul\0"),
    ],
)
def test_values(value: Any, kept: Any) -> None:
    assert portable(value) == kept


def test_a_file_is_known_by_its_content(folder: Path) -> None:
    file = folder / "weights.pth"
    assert portable(str(file)) == f"weights.pth sha256:{digits(file)}"
    assert portable("weights.pth", str(folder)) == f"weights.pth sha256:{digits(file)}"
    assert portable(str(folder)) == "home of me"
    before = portable(str(file))
    file.write_bytes(b"others, longer")
    assert portable(str(file)) == f"weights.pth sha256:{digits(file)}" != before


def test_the_digest_is_equal_where_the_same_files_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "else"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    infos = []
    for place in (folder, other):
        agent = ProcessAgent(
            [sys.executable, str(place / "mine.py")], options={"weights": str(place / "weights.pth")}
        )
        infos.append(agent.info)
        agent.close()
    assert infos[0] == infos[1]
    weights = f"weights.pth sha256:{digits(folder / 'weights.pth')}"
    assert infos[0].settings["agent.options"] == {"weights": weights}
    # What the method says itself opens no file of ours, and stands apart.
    assert infos[0].settings["method"] == {"loaded": "weights.pth", "ratio": "1/2"}
    (other / "mine.py").write_text(METHOD + "# changed\n")
    agent = ProcessAgent([sys.executable, str(other / "mine.py")], options={"weights": "x"})
    agent.close()
    assert agent.info.digest != infos[0].digest


FORGER = """
from simclick_method import Method, serve
import numpy as np
class Forger(Method):
    def __init__(self, radius=1):
        self.settings = {"agent.command": ["python", "forge.py sha256:0123456789abcdef"], "agent.options": {},
                         "radius": 7, "/home/me/key": "v", "key": "w"}
    def segment(self, request):
        return np.ones(request.size, bool)
serve(Forger)
"""


def test_a_method_cannot_write_over_what_ran_and_what_was_asked(folder: Path) -> None:
    file = folder / "forge.py"
    infos = []
    for text in (FORGER, FORGER.replace("ones", "zeros")):
        file.write_text(text)
        agent = ProcessAgent([sys.executable, str(file)], options={"radius": 3})
        agent.close()
        infos.append(agent.info)
        settings = agent.info.settings
        assert set(settings) == {"agent.command", "agent.options", "method"}
        assert settings["agent.command"][1] == f"forge.py sha256:{digits(file)}"
        assert settings["agent.options"] == {"radius": 3}
        assert settings["method"]["key"] == "v"
        assert settings["method"]["key (2)"] == "w"
    assert infos[0].digest != infos[1].digest


@pytest.mark.parametrize("name", ["sam_vit_b", "SAM-ViT-B", "oracle", "pocket-sam-own", "a|b"])
def test_a_method_cannot_take_a_name_of_ours(folder: Path, name: str) -> None:
    file = folder / "named.py"
    file.write_text(METHOD.replace('name, family = "mine"', f"name, family = {name!r}"))
    with pytest.raises(AgentError, match=r"named.py sha256:.*the method's info\.name"):
        ProcessAgent([sys.executable, str(file)], options={"weights": "x"})


def test_a_run_keeps_no_place_and_no_key(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = [
        f"agent.command={sys.executable} '{folder / 'mine.py'}'",
        f"agent.options.weights='{folder / 'weights.pth'}'",
        "agent.environment.TOKEN=s3cr3t",
        f"agent.folder={folder}",
        "dataset.limit=1",
        "protocol.budget=1",
        "protocol.surface_at=[]",
    ]
    assert cli.main(["run", "agent=process", *words, f"out={run}", "--quiet"]) == 0
    text = (run / "run.json").read_text()
    assert "s3cr3t" not in text
    content = json.loads(text)
    for kept in (content["agent"], content["specs"]["agent"]):
        assert str(tmp_path) not in json.dumps(kept)
        assert digits(folder / "mine.py") in json.dumps(kept)
    assert content["specs"]["agent"]["options"]["environment"] == {"TOKEN": "not kept"}
    capsys.readouterr()
    assert cli.main(["cite", str(run)]) == 0
    out = capsys.readouterr().out
    assert "% Agent: mine\n\n@misc{mine,\n  title = {Mine}" in out


@pytest.mark.parametrize(
    ("name", "key"), [("simpleclick", "liu2023simpleclick"), ("focalclick", "chen2022focalclick")]
)
def test_recipes_bring_their_paper(name: str, key: str) -> None:
    assert name in RECIPES
    assert ENTRIES[key] in recipe(name)
