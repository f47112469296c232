"""A method in a process of its own: it works, and nothing it does wrong ends the run."""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("msgpack")
if os.name != "posix":
    pytest.skip("agent=process needs a POSIX system", allow_module_level=True)

import cv2
import msgpack

from simclick import cli
from simclick.agent import AgentInfo, Prediction, Request
from simclick.baselines.process import wire
from simclick.baselines.process.agent import ProcessAgent
from simclick.baselines.process.child import Log, environment, words
from simclick.commands.agent_template import EXAMPLE, helper
from simclick.errors import AgentError, ConfigError
from simclick.prompts import Prompt, Round, click, text
from simclick.testing import check_agent

HEAD = "from simclick_method import Answer, Method, serve\nimport os, sys, time\nimport numpy as np\n"

GOOD = """
class Good(Method):
    name, version, accepts, uses_previous = "good", "2", ("click", "box", "text"), True
    licence, parameters, batch = "MIT", 3, 4
    def __init__(self, radius=3):
        self.settings = {"radius": radius}
    def encode(self, image):
        print("a stray print, which is no message")
        assert not image.flags.writeable
        return image.copy()
    def segment(self, request):
        mask = np.zeros(request.size, bool) if request.previous is None else request.previous.copy()
        for prompt in request.prompts:
            x, y = (prompt.at + (0, 0))[:2]
            mask[y : y + self.settings["radius"], x : x + self.settings["radius"]] = prompt.positive
        mask[0, 0] ^= bool(request.features[0, 0, 0] % 2)
        turns = 1 if request.memory is None else int(request.memory["turns"][0]) + 1
        memories = [{"turns": np.array([turns]), "of": "this"}, None]
        return Answer([mask, ~mask], [0.75, 0.25], memories)
serve(Good)
"""


@pytest.fixture
def method(tmp_path: Path) -> Any:
    """A function that writes a method's file, or a bare script, and returns the command for it."""
    made: list[ProcessAgent] = []

    def command(body: str, *, bare: bool = False) -> str:
        (tmp_path / "simclick_method.py").write_text(helper())
        file = tmp_path / f"method{len(list(tmp_path.glob('method*')))}.py"
        file.write_text(("" if bare else HEAD) + textwrap.dedent(body))
        return f"{sys.executable} {file}"

    def start(body: str, *, bare: bool = False, **options: Any) -> ProcessAgent:
        made.append(ProcessAgent(command(body, bare=bare), **options))
        return made[-1]

    start.command = command  # type: ignore[attr-defined]
    yield start
    for agent in made:
        agent.close()


def question(agent: ProcessAgent, size: tuple[int, int] = (20, 30), n: int = 1) -> list[Request]:
    embeddings = agent.encode([np.full((*size, 3), i, np.uint8) for i in range(n)])
    return [Request(e, size, (Round((click(4, 5),)),), seed=1) for e in embeddings]


def masks_of(predictions: Sequence[Prediction]) -> list[Any]:
    return [np.asarray(p.candidates)[0] for p in predictions]


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


BAD = {
    "raises": ("raise KeyError('lost')", "the method raised KeyError: 'lost'"),
    "shape": ("return np.ones((3, 3), bool)", r"a mask is \[3, 3\], the image \[20, 30\]"),
    "values": ("return np.full(request.size, np.nan)", "must hold True and False"),
    "grey": ("return np.full(request.size, 7, np.uint8)", "must hold True and False"),
    "none": ("return None", r"a mask is \[\]"),
    "no masks": ("return Answer([])", "one mask or more"),
    "scores": ("return Answer([np.ones(request.size, bool)], [1, 2])", "1 masks came with 2 scores"),
    "exit": ("sys.exit(3)", "ended with code 3"),
    "exit quietly": ("os._exit(0)", "ended with code 0"),
    "words": ("print('nothing left', file=sys.stderr); os._exit(9)", "code 9; its last words: nothing left"),
    "killed": ("os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "was killed by SIGSEGV"),
    "hang": ("time.sleep(60)", r"did not answer within 0\.4 s"),
    "busy": ("while True: pass", "did not answer within"),
    "stopped": ("os.kill(os.getpid(), 19)", "did not answer within"),
    "memory": ("return np.zeros(10**10, np.uint8)", "MemoryError"),
}


@pytest.mark.parametrize("how", BAD)
def test_a_bad_answer_fails_one_question_and_the_next_is_answered(method: Any, how: str) -> None:
    body, words_ = BAD[how]
    agent = method(
        f"""
        class Moody(Method):
            def segment(self, request):
                if request.seed == 13:
                    {body}
                return np.ones(request.size, bool)
        serve(Moody)
        """,
        timeout=0.4 if how in {"hang", "busy", "stopped"} else 30,
        memory_gb=4.0,
    )
    (good,) = question(agent)
    bad = Request(good.embedding, good.size, good.rounds, seed=13)
    assert masks_of(agent.predict([good]))[0].all()
    with pytest.raises(AgentError, match=words_):
        agent.predict([bad])
    # The same embedding: after a crash it is made again behind the scenes.
    assert masks_of(agent.predict([good]))[0].all()


RAW = """
import os, struct, sys, time
import msgpack
def receive():
    head = sys.stdin.buffer.read(4)
    if not head: sys.exit()
    return msgpack.unpackb(sys.stdin.buffer.read(struct.unpack(">I", head)[0]))
def send(data, raw=False):
    if not raw:
        data = msgpack.packb(data); data = struct.pack(">I", len(data)) + data
    sys.stdout.buffer.write(data); sys.stdout.buffer.flush()
def good(message):
    request = message["requests"][0]
    h, w = request["size"]
    return {"n": message["n"], "answers": [{"shape": [1, h, w], "masks": b"\\xff" * ((h * w + 7) // 8),
            "scores": [1.0], "memories": None}]}
INFO = {"name": "raw", "accepts": ["click"]}
while True:
    message = receive()
    n = message["n"]
    if message["call"] == "hello":
        send({"n": n, "protocol": 1, "info": INFO, "batch": 1})
    elif message["call"] == "encode":
        send({"n": n})
    elif message["requests"][0]["seed"] != 13:
        send(good(message))
    else:
        answer = good(message)
        one = answer["answers"][0]
        BODY
"""

HOSTILE = {
    "giant prefix": ("send(b'\\xff\\xff\\xff\\xff', raw=True)", "announced a message of 4294967295 bytes"),
    "above limit": (
        "send(b'\\x00\\x98\\x96\\x81' + b'x' * 10_000_001, raw=True)",
        "announced a message of 10000001",
    ),
    "garbage": ("send(b'\\x00\\x00\\x00\\x03\\xc1\\xc1\\xc1', raw=True)", "is not msgpack"),
    "text": ("send(b'Segmentation done\\n', raw=True)", "announced a message of 1399154541"),
    "flood": ("while True: send(b'\\x00' * 65536, raw=True)", "not msgpack|more than its answer"),
    "cut": ("send(b'\\x00\\x00\\x10\\x00abc', raw=True); os._exit(0)", "ended with code 0"),
    "trickle": ("send(b'\\x00\\x00', raw=True); time.sleep(60)", "did not answer within"),
    "not a map": ("send([1, 2])", "is a list, not a map"),
    "deep": ("send(b'\\x00\\x01\\x00\\x00' + b'\\x91' * 65536, raw=True)", "is not msgpack"),
    "extension": ("one['memories'] = [msgpack.ExtType(4, b'x')]; send(answer)", "is not msgpack"),
    "other number": ("answer['n'] = n + 1; send(answer)", "answered another question"),
    "no number": ("del answer['n']; send(answer)", "answered another question"),
    "twice": ("send(answer); send(answer)", "more than its answer|unasked|another question"),
    "no answers": ("answer['answers'] = 5; send(answer)", "gave no answers to 1"),
    "too many answers": ("answer['answers'] *= 2; send(answer)", "gave 2 answers to 1"),
    "answer no map": ("answer['answers'] = [3]; send(answer)", "an answer is a int"),
    "wrong shape": ("one['shape'] = [1, 30, 20]; send(answer)", r"not \[K, 20, 30\]"),
    "no candidates": ("one['shape'][0] = 0; send(answer)", "with K from 1"),
    "a billion": ("one['shape'][0] = 10**9; send(answer)", "with K from 1"),
    "bool shape": ("one['shape'][0] = True; send(answer)", "three whole numbers"),
    "short": ("one['masks'] = b'x'; send(answer)", "masks are 1 bytes, not the 75"),
    "long": ("one['masks'] += b'x'; send(answer)", "masks are 76 bytes"),
    "masks text": ("one['masks'] = 'x' * 75; send(answer)", "masks are a str"),
    "score text": ("one['scores'] = ['high']; send(answer)", "list of numbers"),
    "score true": ("one['scores'] = [True]; send(answer)", "list of numbers"),
    "memory number": ("one['memories'] = [5]; send(answer)", "list of bytes or nil"),
    "error bomb": ("send({'n': n, 'error': 'x' * 9_000_000})", "a text of 9000000 bytes, more than 200000"),
    "lists of lists": (
        "send(b'\\x00\\x03\\x0d\\x40' + (b'\\xdd\\x00\\x03\\x00\\x00' * 40000), raw=True)",
        "is not msgpack",
    ),
    "steering": ("send({'n': n, 'error': 'x\\x1b[2Jy\\r\\nz'})", "the method raised x\ufffd\\[2Jy z$"),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_no_byte_from_a_method_is_trusted(method: Any, how: str) -> None:
    body, words_ = HOSTILE[how]
    agent = method(RAW.replace("BODY", body), bare=True, timeout=0.8 if how == "trickle" else 30, limit_mb=10)
    (good,) = question(agent)
    bad = Request(good.embedding, good.size, good.rounds, seed=13)
    with pytest.raises(AgentError, match=words_):
        _twice(agent, bad)
    assert masks_of(agent.predict([good]))[0].all()


def _twice(agent: ProcessAgent, request: Request) -> None:
    """Ask twice: what came too much is seen with the next question at the latest."""
    for _ in range(2):
        agent.predict([request])


def test_non_finite_scores_are_left_to_the_rule_that_refuses_them(method: Any) -> None:
    from simclick.episode import Ground
    from simclick.harness.select import select
    from support import make_case

    agent = method(RAW.replace("BODY", "one['scores'] = [float('nan')]; send(answer)"), bare=True)
    (good,) = question(agent, (40, 48))
    (answer,) = agent.predict([Request(good.embedding, good.size, good.rounds, seed=13)])
    with pytest.raises(AgentError, match="finite"):
        select(answer, "score", Ground(make_case()))


@pytest.mark.parametrize(
    ("hello", "words_"),
    [
        ("{'n': n, 'protocol': 2, 'info': INFO}", "speaks version 2"),
        ("{'n': n, 'protocol': 1}", "no `info`"),
        ("{'n': n, 'protocol': 1, 'info': {}}", "info.name"),
        ("{'n': n, 'protocol': 1, 'info': {**INFO, 'name': 'a\\n'}}", "info.name"),
        ("{'n': n, 'protocol': 1, 'info': {**INFO, 'name': 5}}", "info.name must be a text, not 5"),
        ("{'n': n, 'protocol': 1, 'info': {**INFO, 'uses_truth': True}}", "asks for the truth"),
        (
            "{'n': n, 'protocol': 1, 'info': {**INFO, 'uses_previous': 1}}",
            "info.uses_previous must be True or False, not 1",
        ),
        (
            "{'n': n, 'protocol': 1, 'info': {**INFO, 'parameters': True}}",
            "info.parameters must be a whole number from 0, or None, not True",
        ),
        (
            "{'n': n, 'protocol': 1, 'info': {**INFO, 'accepts': ['tap']}}",
            "info.accepts must hold one or more of click, .*, not tap",
        ),
        ("{'n': n, 'protocol': 1, 'info': {**INFO, 'accepts': 'click'}}", "a list of texts"),
        (
            "{'n': n, 'protocol': 1, 'info': {**INFO, 'settings': {'a': float('nan')}}}",
            "info.settings must be JSON-able",
        ),
        ("{'n': n, 'protocol': 1, 'info': {**INFO, 'colour': 'red'}}", "unknown field 'colour'"),
        ("{'n': n, 'protocol': 1, 'info': INFO, 'batch': 0}", "batch"),
        ("{'n': n, 'protocol': 1, 'info': {**INFO, 'name': 'x' * 81}}", "info.name must have at most 80"),
        ("{'n': n, 'protocol': 1, 'info': {**INFO, 'licence': 'a\\x1b[2J'}}", r"info.licence .* U\+001B"),
        (
            "{'n': n, 'protocol': 1, 'info': {**INFO, 'family': 'sam'}}",
            "info.family must be one of promptable",
        ),
        ("{'n': n, 'protocol': 1, 'info': {**INFO, 'image_size': 0}}", "info.image_size must be a whole"),
        ("{'n': n, 'protocol': 1, 'info': {**INFO, 'overlap': {'a': 3}}}", "info.overlap must be a mapping"),
        ("{'n': n, 'protocol': '\\x1b[2J'}", "speaks version"),
    ],
)
def test_a_bad_greeting_is_refused_in_words(method: Any, hello: str, words_: str) -> None:
    script = RAW.replace('{"n": n, "protocol": 1, "info": INFO, "batch": 1}', hello)
    assert hello in script
    with pytest.raises(AgentError, match=words_):
        method(script, bare=True)


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


def test_a_flood_on_standard_error_blocks_nothing_and_is_bounded(method: Any, tmp_path: Path) -> None:
    agent = method(
        """
        class Loud(Method):
            def segment(self, request):
                os.write(2, b"first words\\n" + b"x" * 3_000_000 + b"last words\\n")
                return np.ones(request.size, bool)
        serve(Loud)
        """,
        log_mb=0.02,
    )
    agent.log_to(tmp_path)
    agent.predict(question(agent))
    agent.close()
    (log,) = (tmp_path / "logs").iterdir()
    written = log.read_bytes()
    assert written.startswith(b"first words\n")
    assert written.endswith(b"last words\n")
    assert b"bytes left out" in written
    assert len(written) < 21_000


def test_a_log_is_never_opened_again(tmp_path: Path) -> None:
    log, path = Log(1000), tmp_path / "agent.log"
    log.write_to(path)
    path.unlink()
    os.mkfifo(path)  # to open it would wait for a reader for ever
    log.note("still here")
    log.close()
    taken = Log(1000)
    taken.write_to(path)
    taken.note("not even at first")
    taken.close()
    assert "still here" in log.text()


def test_a_log_keeps_its_head_and_its_tail(tmp_path: Path) -> None:
    log = Log(20)
    log.add(b"0123456")
    log.write_to(tmp_path / "log")
    log.add(b"789abcdefghijklmnopqrstuvwxyz")
    assert (tmp_path / "log").read_bytes() == b"0123456789"
    log.close()
    assert (tmp_path / "log").read_bytes() == b"0123456789\n[simclick] 16 bytes left out\nqrstuvwxyz"


def test_what_a_method_prints_is_in_the_log_at_once_and_no_message(method: Any, tmp_path: Path) -> None:
    agent = method(
        """
        class Talking(Method):
            def segment(self, request):
                print("half a line", end="")
                print(", and the rest", request.seed)
                sys.stdout.write("C level next\\n")
                os.system("echo from a child")
                if request.seed == 13: time.sleep(60)
                if request.seed == 14: os._exit(1)
                return np.ones(request.size, bool)
        serve(Talking)
        """,
        timeout=1.0,
    )
    agent.log_to(tmp_path)
    log = tmp_path / "logs"
    (good,) = question(agent)
    assert masks_of(agent.predict([good]))[0].all()
    for seed, words_ in (
        (13, "did not answer within"),
        (14, "ended with code 1; its last words: from a child"),
    ):
        with pytest.raises(AgentError, match=words_):
            agent.predict([Request(good.embedding, good.size, good.rounds, seed=seed)])
        (file,) = log.iterdir()
        lines = file.read_text().splitlines()
        at = lines.index(f"half a line, and the rest {seed}")
        assert lines[at + 1 : at + 3] == ["C level next", "from a child"]


def test_what_steers_a_terminal_stays_out_of_log_and_errors(method: Any, tmp_path: Path) -> None:
    agent = method(
        """
        class Painted(Method):
            def segment(self, request):
                os.write(2, b"\\x1b[31mred\\x07 \\xc2")
                os.write(2, b"\\x9b2J \\xff tab\\there\\n")
                raise ValueError("clear \\x1b[2J" + "x" * 5000)
        serve(Painted)
        """
    )
    agent.log_to(tmp_path)
    with pytest.raises(AgentError) as caught:
        agent.predict(question(agent))
    assert str(caught.value).startswith("the method raised ValueError: clear \ufffd[2Jx")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1100
    agent.close()
    (file,) = (tmp_path / "logs").iterdir()
    text_ = file.read_text()
    assert text_.startswith("\ufffd[31mred\ufffd \ufffd2J \ufffd tab\there\n")
    assert all(c.isprintable() or c in "\n\t" for c in text_)


def test_a_method_that_always_dies_is_given_up(method: Any) -> None:
    agent = method(
        "class Dying(Method):\n    def segment(self, request): os._exit(1)\nserve(Dying)\n", patience=3
    )
    (request,) = question(agent)
    for _ in range(3):
        with pytest.raises(AgentError, match="ended with code 1"):
            agent.predict([request])
    start = time.perf_counter()
    with pytest.raises(AgentError, match="failed 3 times in a row; the last time: the method ended"):
        agent.predict([request])
    assert time.perf_counter() - start < 0.01  # not started again


def test_a_method_that_comes_back_as_another_is_refused(method: Any, tmp_path: Path) -> None:
    agent = method(
        f"""
        class Fickle(Method):
            def __init__(self):
                with open({str(tmp_path / "count")!r}, "a") as f: f.write("x")
                self.version = open({str(tmp_path / "count")!r}).read()
            def segment(self, request): os._exit(1)
        serve(Fickle)
        """
    )
    (request,) = question(agent)
    for words_ in ("ended with code 1", "another digest"):
        with pytest.raises(AgentError, match=words_):
            agent.predict([request])


def test_features_are_let_go_and_made_again(method: Any) -> None:
    agent = method(
        """
        class Counting(Method):
            encoded = 0
            def encode(self, image):
                Counting.encoded += 1
                return Counting.encoded
            def segment(self, request):
                if request.seed == 13: os._exit(1)
                import gc
                states = [o for o in gc.get_objects() if type(o).__name__ == "_State"]
                return Answer([np.ones(request.size, bool)], [float(len(states[0].features))])
        serve(Counting)
        """
    )
    requests = question(agent, n=3)
    (answer,) = agent.predict(requests[:1])
    assert list(answer.scores) == [3.0]
    requests[2].embedding.release()
    (answer,) = agent.predict(requests[:1])
    assert list(answer.scores) == [2.0]
    with pytest.raises(AgentError):
        agent.predict([Request(requests[0].embedding, (20, 30), requests[0].rounds, seed=13)])
    (answer,) = agent.predict(requests[:1])  # a new life: this image alone was needed, and encoded
    assert list(answer.scores) == [1.0]
    with pytest.raises(ValueError, match="released before"):
        agent.predict(requests[2:])


def test_closing_ends_the_method_with_its_children(method: Any) -> None:
    agent = method(
        """
        import subprocess
        class Parent(Method):
            def segment(self, request):
                child = subprocess.Popen(["sleep", "100"])
                return Answer([np.ones(request.size, bool)], [float(child.pid)])
        serve(Parent)
        """
    )
    (answer,) = agent.predict(question(agent))
    grandchild = int(next(iter(answer.scores)))
    assert _runs(grandchild)
    agent.close()
    deadline = time.monotonic() + 5
    while _runs(grandchild) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(grandchild)
    with pytest.raises(AgentError):
        agent.predict(question(agent))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


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


def _episodes(run: Path) -> pd.DataFrame:
    return pd.read_parquet(run / "episodes")


def test_a_run_goes_on_past_a_crash_and_keeps_the_log(
    method: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = method.command(
        """
        class Moody(Method):
            name = "moody"
            def encode(self, image):
                return int(image[0, 0, 0])
            def segment(self, request):
                if request.features % 3 == 1:
                    print("this one is too hard", file=sys.stderr, flush=True)
                    os._exit(4)
                return np.ones(request.size, bool)
        serve(Moody)
        """
    )
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for i in range(5):
        mask = np.zeros((30, 40), np.uint8)
        mask[5:20, 8 : 20 + i] = 255
        cv2.imwrite(str(tmp_path / "images" / f"p{i}.png"), mask // 2 + i)
        cv2.imwrite(str(tmp_path / "masks" / f"p{i}.png"), mask)
    words_ = ["run", "agent=process", f"agent.command={command}", f"out={tmp_path / 'run'}"]
    data = ["dataset=folder", f"dataset.root={tmp_path}", "protocol.budget=2", "--quiet"]
    code = cli.main([*words_, *data])
    episodes = _episodes(tmp_path / "run")
    failed = episodes[episodes.status == "failed"]
    assert code == 1
    assert list(failed.case_id) == ["p1", "p4"]
    assert len(episodes) == 5
    assert set(failed.error) == {
        "predict: the method ended with code 4; its last words: this one is too hard"
    }
    assert (episodes.agent == "moody").all()
    (log,) = (tmp_path / "run" / "logs").iterdir()
    assert log.read_text().splitlines().count("this one is too hard") == 2
    assert (tmp_path / "run" / "manifest.json").is_file()
    capsys.readouterr()


@pytest.mark.slow
def test_rows_do_not_depend_on_workers(method: Any, tmp_path: Path) -> None:
    command = method.command(GOOD)
    tables = []
    for workers in (1, 2):
        run = tmp_path / f"run{workers}"
        words_ = [
            "run",
            "agent=process",
            f"agent.command={command}",
            f"out={run}",
            f"engine.workers={workers}",
        ]
        assert cli.main([*words_, "dataset.limit=5", "protocol.budget=3", "--quiet"]) == 0
        steps = pd.read_parquet(run / "steps").sort_values(["case_id", "step"], ignore_index=True)
        tables.append(steps[["case_id", "step", "dice", "mask_sha256"]])
        assert len(list((run / "logs").iterdir())) == workers
    pd.testing.assert_frame_equal(*tables)


def test_the_example_that_the_program_writes_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert cli.main(["agent-template", "--out", str(tmp_path / "mine")]) == 0
    assert (tmp_path / "mine" / "my_method.py").read_text() == EXAMPLE
    monkeypatch.chdir(tmp_path / "mine")
    assert cli.main(["check", "process", "command=python my_method.py"]) == 0
    assert "agent discs: keeps its contract" in capsys.readouterr().out
    assert cli.main(["agent-template", "--out", str(tmp_path / "mine")]) == 2
    assert "is there already" in capsys.readouterr().err
    assert cli.main(["agent-template"]) == 0
    assert capsys.readouterr().out == helper()


def test_adapters_are_written_with_what_they_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["agent-template", "--recipe", "focalclick", "--out", str(tmp_path)]) == 0
    names = ["focalclick.py", "simclick_method.py", "simpleclick.py"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert cli.main(["agent-template", "--recipe", "focalclick"]) == 2
    assert "say where with --out" in capsys.readouterr().err


def test_the_helper_started_by_hand_says_how_it_is_meant(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import subprocess

    command = method.command(GOOD).split()
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "simclick run agent=process" in result.stderr


def test_messages_survive_a_round_trip() -> None:
    message = {"n": 3, "call": "predict", "data": b"\x00\xff"}
    framed = wire.frame(message)
    assert wire.frame_length(framed[: wire.HEAD], 1000) == len(framed) - wire.HEAD
    assert wire.read_message(framed[wire.HEAD :], 3) == message
    assert msgpack.Unpacker(io.BytesIO(framed[wire.HEAD :])).unpack() == message
