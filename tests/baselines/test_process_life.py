"""How a method's process starts again, is given up and ends."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgpack")
if os.name != "posix":
    pytest.skip("agent=process needs a POSIX system", allow_module_level=True)


from process_methods import question

from simclick.agent import Request
from simclick.errors import AgentError


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
