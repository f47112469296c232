"""Wrong answers and hostile bytes of a method in a process of its own: one question fails, no more."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytest.importorskip("msgpack")
if os.name != "posix":
    pytest.skip("agent=process needs a POSIX system", allow_module_level=True)


from process_methods import masks_of, question

from simclick.agent import Request
from simclick.baselines.process.agent import ProcessAgent
from simclick.errors import AgentError

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
