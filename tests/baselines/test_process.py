"""A method in a process of its own: it works, and nothing it does wrong ends the run."""

from __future__ import annotations

import ast
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgpack")
if os.name != "posix":
    pytest.skip("agent=process needs a POSIX system", allow_module_level=True)

import msgpack
from process_methods import GOOD, masks_of, question

from simclick.agent import AgentInfo, Request
from simclick.baselines.process import wire
from simclick.baselines.process.agent import ProcessAgent
from simclick.baselines.process.child import environment, words
from simclick.commands.agent_template import helper
from simclick.errors import AgentError, ConfigError
from simclick.prompts import Prompt, Round, text
from simclick.testing import check_agent


def test_it_keeps_the_contract_of_an_agent(method: Any) -> None:
    agent = method(GOOD, options={"radius": 5})
    (program, file) = agent.info.settings["agent.command"]
    assert program == Path(sys.executable).name
    assert re.fullmatch(r"method0\.py sha256:[0-9a-f]{16}", file)
    assert agent.info == AgentInfo(
        "good",
        "2",
        frozenset({"click", "box", "text"}),
        {"agent.command": [program, file], "agent.options": {"radius": 5}, "method": {"radius": 5}},
        parameters=3,
        licence="MIT",
        uses_previous=True,
    )
    assert agent.batch == 4
    check_agent(agent)


def test_images_through_the_pipe_give_the_same_masks(method: Any) -> None:
    shared, piped = method(GOOD), method(GOOD, shared=False)
    asked = [masks_of(agent.predict(question(agent, n=3))) for agent in (shared, piped)]
    assert all(np.array_equal(a, b) for a, b in zip(*asked, strict=True))
    assert asked[0][1][0, 0]  # the second image is odd: pixels did cross


def test_shared_images_are_gone_once_they_are_encoded(method: Any, tmp_path: Path) -> None:
    place = tmp_path / "shared"
    place.mkdir()
    agent = method(GOOD, shared_folder=str(place))
    (private,) = place.iterdir()
    assert private.stat().st_mode & 0o777 == 0o700
    question(agent)
    assert sorted(path.name for path in private.rglob("*")) == ["images", "own"]
    agent.close()
    assert list(place.iterdir()) == []


def test_scores_and_memories_come_back(method: Any) -> None:
    agent = method(GOOD)
    (request,) = question(agent)
    (first,) = agent.predict([request])
    assert list(first.scores) == [0.75, 0.25]
    assert first.memories is not None
    assert isinstance(first.memories[0], bytes)  # opaque: never decoded here
    assert first.memories[1] is None
    again = Request(request.embedding, request.size, request.rounds, memory=first.memories[0])
    (second,) = agent.predict([again])
    assert second.memories is not None
    assert second.memories[0] != first.memories[0]


def test_a_question_holds_no_truth_and_nothing_meant(method: Any) -> None:
    agent = method(GOOD)
    embedding = question(agent)[0].embedding
    meant = Prompt("click", (1, 2), True, (9, 8), False)
    truth = np.ones((20, 30), np.bool_)
    request = Request(embedding, (20, 30), (Round((meant, text("liver"))),), truth=truth)
    sent = wire.request_message(request, 1, with_previous=True)
    assert sent["rounds"] == [
        [
            {"kind": "click", "at": [1, 2], "positive": True, "label": None},
            {"kind": "text", "at": [], "positive": True, "label": "liver"},
        ]
    ]
    assert sorted(sent) == ["image", "memory", "previous", "rounds", "samples", "seed", "size"]
    assert b"truth" not in wire.frame(sent)


def test_the_previous_mask_stays_here_where_it_is_not_used() -> None:
    request = Request(None, (2, 8), (), previous=np.eye(2, 8, dtype=np.bool_))  # type: ignore[arg-type]
    assert wire.request_message(request, 1, with_previous=False)["previous"] is None
    assert wire.request_message(request, 1, with_previous=True)["previous"] == b"\x80\x40"


@pytest.mark.parametrize(
    ("options", "words_"),
    [
        ({"command": None}, "needs its program"),
        ({"command": "python 'x"}, "No closing quotation"),
        ({"command": {"a": 1}}, "neither a text nor a list"),
        ({"command": "x", "timeout": 0}, "agent.timeout=0"),
        ({"command": "x", "patience": 0}, "agent.patience=0"),
        ({"command": "x", "folder": "/no/such"}, "agent.folder=/no/such"),
        ({"command": "x", "hide": ["/no/such"]}, "agent.hide"),
        ({"command": "x", "shared_folder": "/no/such"}, "agent.shared_folder"),
        ({"command": "x", "device": "tpu"}, "agent.device=tpu"),
    ],
)
def test_bad_options_are_refused_in_one_line(options: dict[str, Any], words_: str) -> None:
    with pytest.raises(ConfigError, match=words_) as caught:
        ProcessAgent(**options)
    assert "\n" not in str(caught.value)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(AgentError, match="code 127; its last words: cannot start no-such-program"):
        ProcessAgent("no-such-program at all")
    with pytest.raises(AgentError, match=r"agent\.command=false: the method ended with code 1"):
        ProcessAgent("false")


def test_a_method_that_cannot_be_made_says_why(method: Any) -> None:
    with pytest.raises(AgentError, match="unexpected keyword argument 'colour'"):
        method(GOOD, options={"colour": "red"})


def test_the_environment_holds_no_place_and_no_key() -> None:
    given = {
        "PATH": "/bin",
        "SECRET_ROOT": "/data",
        "AWS_KEY": "x",
        "LC_ALL": "C",
        "CUDA_VISIBLE_DEVICES": "1",
    }
    assert environment({"MINE": 5}, given, {"SIMCLICK_DEVICE": "cpu"}) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "CUDA_VISIBLE_DEVICES": "1",
        "SIMCLICK_DEVICE": "cpu",
        "MINE": "5",
    }


def test_commands_are_split_as_a_shell_would() -> None:
    assert words("python 'my file.py' --a=1") == ["python", "my file.py", "--a=1"]
    assert words(["a b", 3]) == ["a b", "3"]


def test_the_helper_is_one_file_for_python_3_8() -> None:
    tree = ast.parse(helper(), feature_version=(3, 8))
    names = {
        alias.name.split(".")[0] if isinstance(node, ast.Import) else (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    assert names - set(sys.stdlib_module_names) == {"msgpack", "numpy"}
    for node in ast.walk(tree):  # what 3.9 and 3.10 brought
        assert not isinstance(node, ast.Match)
        if isinstance(node, ast.Call):
            assert "strict" not in {keyword.arg for keyword in node.keywords}


def test_the_versions_of_both_sides_agree(monkeypatch: pytest.MonkeyPatch, method: Any) -> None:
    assert f"\nPROTOCOL = {wire.PROTOCOL}\n" in helper()
    monkeypatch.setattr(wire, "PROTOCOL", 7)
    with pytest.raises(AgentError, match="this simclick speaks version 7 of the messages"):
        method(GOOD)


# ---- whole commands


def test_messages_survive_a_round_trip() -> None:
    message = {"n": 3, "call": "predict", "data": b"\x00\xff"}
    framed = wire.frame(message)
    assert wire.frame_length(framed[: wire.HEAD], 1000) == len(framed) - wire.HEAD
    assert wire.read_message(framed[wire.HEAD :], 3) == message
    assert msgpack.Unpacker(io.BytesIO(framed[wire.HEAD :])).unpack() == message
