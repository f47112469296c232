"""Rows that no run could have written are refused without replay too, and honest odd ones are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rerun_methods import again, method
from submission_support import contents, found, frame_of, made, with_rows

from simclick import cli
from simclick.errors import SimclickError
from simclick.leaderboard.accept import write_entry
from simclick.leaderboard.entries import load_entry
from simclick.leaderboard.verify import verify

NOC = "noc-v1"
Tables = dict[str, pd.DataFrame]
ESCAPE = "\x1b[2J"


def unread(
    tmp_path: Path, change: Callable[[Tables], None], agent: str = "disc", target: str | None = None
) -> dict[str, str]:
    """Return what is found wrong, without replay, in a submission with changed rows."""
    it = made(agent, target)
    path = it.write(tmp_path, with_rows(it.data, NOC, change))
    findings: dict[str, str] = found(path, it.suite_file, replay=False)["findings"]
    return findings


def column(table: str, name: str, value: object, rows: str = "all") -> Callable[[Tables], None]:
    def apply(t: Tables) -> None:
        where = slice(None) if rows == "all" else t[table].index[:1]
        t[table].loc[where, name] = value

    apply.__name__ = f"{table}-{name}-{str(value)[:12]!r}"
    return apply


def too_good(t: Tables) -> None:
    t["steps"][["dice", "oracle_dice"]] = 5.0
    t["episodes"]["final_dice"] = 5.0


def hide_failures(t: Tables) -> None:
    lost = t["episodes"]["status"] == "failed"
    assert lost.any()
    t["episodes"].loc[lost, "status"] = "ok"
    t["episodes"].loc[lost, "error"] = None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (too_good, "steps: dice"),
        (column("steps", "dice", 5.0), "final_dice is not the last step's"),
        (column("steps", "cost", -5, "one"), "cost does not rise"),
        (column("steps", "cost", 0), "cost does not rise"),
        (column("steps", "cost", 21, "one"), "cost"),
        (column("steps", "oracle_dice", 0.9999, "one"), "oracle_dice of one candidate"),
        (column("steps", "chosen", 3, "one"), "chosen"),
        (column("episodes", "final_dice", 0.5, "one"), "final_dice is not the last step's"),
        (column("episodes", "status", "failed", "one"), "error and status"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_rows_that_no_run_could_write(change: Callable[[Tables], None], words: str, tmp_path: Path) -> None:
    said = unread(tmp_path, change)
    assert words in said["episodes"]
    assert "noc-v1" in said["episodes"]


def unreasoned(t: Tables) -> None:
    lost = t["episodes"]["status"] == "failed"
    assert lost.any()
    t["episodes"].loc[lost, "error"] = ""


def test_a_failure_has_a_reason(tmp_path: Path) -> None:
    said = unread(tmp_path, unreasoned, "custom", "rerun_methods:Fumbles")
    assert "error and status" in said["episodes"]


def test_a_failure_cannot_be_called_ok(tmp_path: Path) -> None:
    said = unread(tmp_path, hide_failures, "custom", "rerun_methods:Fumbles")
    assert "a step without answer" in said["episodes"]


@pytest.mark.parametrize("table", ["episodes", "steps"])
@pytest.mark.parametrize("name", ["modality", "target", "group"])
def test_rows_say_of_a_case_what_the_cases_say(table: str, name: str, tmp_path: Path) -> None:
    said = unread(tmp_path, column(table, name, "other", "one"))
    assert list(said) == ["cases"]
    assert f"{table}.parquet: case dermoscopy-" in said["cases"]
    assert f"{name} is 'other', cases.parquet says" in said["cases"]
    said = unread(tmp_path, column(table, name, f"x{ESCAPE}"))
    assert f"{name} holds the character U+001B" in said["cases"]


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (column("episodes", "status", f"ok{ESCAPE}"), "ends", "ok or failed"),
        (column("episodes", "status", "fine", "one"), "ends", "status 'fine'"),
        (column("steps", "mask_sha256", ESCAPE, "one"), "masks", "is no SHA-256"),
        (column("steps", "mask_sha256", "A" * 64, "one"), "masks", "is no SHA-256"),
        (column("steps", "mask_sha256", "a" * 63, "one"), "masks", "is no SHA-256"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_texts_are_what_a_run_writes(
    change: Callable[[Tables], None], check: str, words: str, tmp_path: Path
) -> None:
    said = unread(tmp_path, change)
    assert list(said) == [check]
    assert words in said[check]
    assert said[check].isprintable()


def test_no_hash_is_allowed_without_replay(tmp_path: Path) -> None:
    assert unread(tmp_path, column("steps", "mask_sha256", None)) == {}


def test_an_honest_reason_in_any_script_is_taken(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Speaks")
    reasons = frame_of(contents(it.data), NOC, "episodes")["error"].dropna()
    assert {len(reason) for reason in reasons} == {len("predict: ") + 500}, "as long as a run keeps them"
    assert all(len(reason.encode()) > 1400 for reason in reasons)
    verdict = verify(it.write(tmp_path), suite=it.suite_file, accept=True)
    assert verdict.tier == "replayed"
    # The accepted folder is read within the same bounds.
    folder = write_entry(verdict, tmp_path / "submissions")
    entry = load_entry(folder)
    kept = entry.episodes("noc-v1")["error"].dropna()
    assert set(kept) == set(reasons)


def test_a_reason_of_the_widest_characters_fits(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Fumbles")

    def widest(t: Tables) -> None:
        t["episodes"].loc[t["episodes"]["status"] == "failed", "error"] = "predict: " + "\U00020000" * 500

    assert found(it.write(tmp_path, with_rows(it.data, NOC, widest)), it.suite_file)["findings"] == {}


def test_all_episodes_may_have_failed_before_their_first_step(tmp_path: Path) -> None:
    def never(t: Tables) -> None:
        for name, value in {"status": "failed", "error": "gone", "steps": 0, "final_dice": 0.0}.items():
            t["episodes"][name] = np.int32(0) if name == "steps" else value
        for table in ("steps", "prompts", "masks"):
            t[table] = t[table].iloc[:0]

    it = made()
    path = it.write(tmp_path, with_rows(it.data, NOC, never))
    said = found(path, it.suite_file, replay=False)["findings"]
    assert "episodes" not in said, said


@pytest.mark.parametrize(
    "words",
    [
        ("a.zip", "--memory", "nan"),
        ("a.zip", "--memory", "inf"),
        ("a.zip", "--episodes", "0"),
        ("--changed", "HEAD", "--memory", "nan"),
        ("--changed", "HEAD", "--episodes", "-3"),
        ("--changed", "HEAD", "--workers", "0"),
    ],
)
def test_odd_numbers_are_one_line(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", *words]) == 2
    assert capsys.readouterr().err.startswith(f"simclick: error: {words[-2]} ")


def test_the_name_of_an_archive_steers_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a\x1b[31mred\nb.zip"
    path.write_bytes(b"junk")
    assert cli.main(["verify", str(path), "--quiet"]) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "red b.zip: refused" in said


def test_a_method_that_leaves_has_failed_and_prints_nothing_raw(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = again(made("custom", "rerun_methods:Recovered"), tmp_path, method("Leaves"), 6)
    assert "SystemExit: \ufffd[31mbye; the submission holds a mask" in str(run.mismatch)
    with pytest.raises(SimclickError, match="SystemExit: \ufffd\\[31mnever"):
        again(made("custom", "rerun_methods:Recovered"), tmp_path, method("LeavesAtOnce"), 6)
    assert "\x1b" not in "".join(capfd.readouterr())


def test_a_method_that_uses_the_truth_cannot_be_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    it = made()
    path = str(it.write(tmp_path))
    words = [
        "verify",
        path,
        "--suite",
        it.suite_file,
        "--quiet",
        "--rerun",
        "agent=oracle",
        "--episodes",
        "2",
    ]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "agent=oracle: a method that uses the truth cannot be run again" in said
