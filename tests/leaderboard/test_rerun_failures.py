"""A recorded failure must come again; how many there are is said."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rerun_methods import again, method
from submission_support import made, with_rows

from simclick.harness.specs import AgentSpec
from simclick.leaderboard.verify import Verdict, verify


def _detail(verdict: Verdict, check: str) -> str:
    return next(found for found in verdict.checks if found.name == check).detail


def test_a_forgery_that_ends_in_failures_fails_the_rerun(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Fails", "disc")
    assert (it.runs[0].table("episodes")["status"] == "failed").all(), "nothing but failures to draw from"
    run = again(it, tmp_path, AgentSpec("disc"), 4)
    assert run.mismatches > run.steps / 2
    assert not run.passed


def test_a_failure_must_come_again(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Fumbles")
    same = again(it, tmp_path, method("Fumbles"), 6)
    assert same.mismatch is None
    assert same.failures > 0
    assert same.equal == same.steps - same.failures
    assert f"{same.failures} recorded failures came again" in same.detail
    other = again(it, tmp_path, method("Recovered"), 6)
    assert other.mismatches == same.failures
    assert other.mismatch is not None
    assert "step 3: the submission says that the method failed (predict: ValueError" in other.mismatch
    assert "a failure that does not come again is not reproduced" in other.mismatch


def test_a_new_failure_is_a_mismatch(tmp_path: Path) -> None:
    run = again(made("custom", "rerun_methods:Recovered"), tmp_path, method("Fumbles"), 6)
    assert "three is too many; the submission holds a mask" in str(run.mismatch)
    assert not run.passed


def test_an_encoder_that_fails_fails_again_and_upsets_no_other_episode(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Blind")
    run = again(it, tmp_path, method("Blind"), 12)
    assert (run.mismatch, run.least) == (None, 1.0)
    assert 0 < run.failures < run.episodes
    reasons = it.runs[0].table("episodes")["error"].dropna()
    assert len(reasons)
    assert reasons.map(str.isprintable).all()


def test_a_process_that_ends_is_no_failure_that_came_again(tmp_path: Path) -> None:
    run = again(made("custom", "rerun_methods:Fumbles"), tmp_path, method("Dies"), 6)
    assert run.failures == 0
    assert run.mismatches == 1
    assert "the method's process ended; the rerun ended here" in str(run.mismatch)


def test_the_verdict_says_how_many_episodes_failed_under_which_protocol(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Fumbles")
    detail = _detail(verify(it.write(tmp_path), suite=it.suite_file, replay=False), "episodes")
    for run in it.runs:
        episodes = run.table("episodes")
        failed = int((episodes["status"] == "failed").sum())
        said = f"{failed} of {len(episodes)} under {run.protocol.id} (100 %)"
        assert (said in detail) == (failed > 0), detail
    assert "cosmos-s5-v1" not in detail, "a box is one step"
    whole = verify(made().write(tmp_path, name="b.zip"), suite=made().suite_file)
    assert "failed" not in _detail(whole, "episodes")


def test_episodes_that_a_dying_worker_never_began_are_counted_and_in_no_sample(tmp_path: Path) -> None:
    it = made()

    def never(tables: dict[str, pd.DataFrame]) -> None:
        key = tables["episodes"]["case_id"].iloc[0]
        mine = tables["episodes"]["case_id"] == key
        lost = {"status": "failed", "error": "the worker died", "steps": 0, "final_dice": 0.0}
        for name, value in lost.items():
            tables["episodes"].loc[mine, name] = value
        for name in ("steps", "prompts", "masks"):
            tables[name] = tables[name][tables[name]["case_id"] != key]

    path = it.write(tmp_path, with_rows(it.data, "noc-v1", never))
    verdict = verify(path, suite=it.suite_file, agent=AgentSpec("disc"), episodes=99, seed=1)
    assert verdict.passed, verdict.checks
    assert "1 of 3 under noc-v1 (33 %, 1 before their first step)" in _detail(verdict, "episodes")
    assert "failures" not in _detail(verdict, "reproduced")
