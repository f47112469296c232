"""What a method prints while it is run again reaches no terminal and no JSON, and is shown where it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rerun_methods import again, method
from submission_support import made

from simclick import cli
from simclick.errors import SimclickError
from simclick.leaderboard.rerun import rerun


def _verify(tmp_path: Path, name: str, *options: str) -> int:
    it = made("custom", "rerun_methods:Recovered")
    words = ["verify", str(it.write(tmp_path)), "--suite", it.suite_file, *options, "--episodes", "2"]
    return cli.main([*words, "--seed", "1", "--rerun", "agent=custom", f"agent.target=rerun_methods:{name}"])


def test_json_stays_json_and_nothing_reaches_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert made("custom", "rerun_methods:Recovered")
    capfd.readouterr()
    assert _verify(tmp_path, "Prints", "--json") == 0
    said = capfd.readouterr()
    assert said.err == ""
    assert json.loads(said.out)["tier"] == "reproduced"
    assert "said" not in said.out, "it did not fail"


def test_last_words_of_a_method_that_fails_are_shown_plain(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert made("custom", "rerun_methods:Recovered")
    capfd.readouterr()
    assert _verify(tmp_path, "PrintsAndDies", "--quiet") == 1
    said = capfd.readouterr()
    assert said.err == ""
    line = next(line for line in said.out.splitlines() if "reproduced" in line)
    assert "the method's process ended" in line
    assert "its last words: …" in line
    assert "no memory \ufffd[32mleft" in line
    assert line.isprintable()
    assert len(line) < 700


def test_a_flood_of_words_does_not_stop_it(tmp_path: Path) -> None:
    """More than a pipe holds, and more than is kept."""
    run = again(made("custom", "rerun_methods:Recovered"), tmp_path, method("Floods"), 2)
    assert run.passed, run.detail
    assert "flood" not in run.detail
    assert len(run.words) < 200
    assert run.words.endswith("flood")


def test_a_method_that_dies_before_it_is_made_says_its_last_words() -> None:
    it = made()
    with pytest.raises(SimclickError) as caught:
        rerun(method("DiesAtOnce"), [], it.suite, {}, "0" * 64)
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith("its last words: libcuda \ufffd[31mis missing")


def test_what_it_leaves_behind_does_not_hold_up_the_verdict(tmp_path: Path) -> None:
    run = again(made("custom", "rerun_methods:Recovered"), tmp_path, method("LeavesAChild"), 1)
    assert run.passed, run.detail


def test_it_cannot_read_what_is_typed(tmp_path: Path) -> None:
    run = again(made("custom", "rerun_methods:Recovered"), tmp_path, method("Asks"), 1)
    assert run.passed, run.detail
