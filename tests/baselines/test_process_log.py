"""What a method prints: kept, bounded, and harmless."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("msgpack")
if os.name != "posix":
    pytest.skip("agent=process needs a POSIX system", allow_module_level=True)


from process_methods import masks_of, question

from simclick.agent import Request
from simclick.baselines.process.log import Log
from simclick.errors import AgentError


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
