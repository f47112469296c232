"""A consistent forgery passes the replay, and does not pass a rerun of the method that it names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rerun_methods import MANY, again, method
from submission_support import found, made, tiny_data, tiny_suite

from simclick.baselines.sanity import Disc
from simclick.errors import SimclickError
from simclick.harness.specs import AgentSpec
from simclick.leaderboard.rerun import rerun
from simclick.leaderboard.verify import Check, _verdict
from simclick.runlength import decode, encode


def test_a_forgery_that_peeks_passes_the_replay_and_fails_the_rerun(tmp_path: Path) -> None:
    forged = made("custom", "rerun_methods:Peek", "disc")
    result = found(forged.write(tmp_path), forged.suite_file, sample=4, sample_seed=3)
    assert result["findings"] == {}, "a consistent forgery passes every check of the replay"
    assert len(result["episodes"]) == 4
    digest = result["archive"]["digests"][0]
    assert digest == Disc().info.digest, "it claims to be disc"
    run = rerun(AgentSpec("disc"), result["episodes"], tiny_suite()[0], {}, digest, seconds=300)
    assert run.mismatch is not None
    assert "Dice" in run.mismatch
    assert "case dermoscopy-" in run.mismatch
    assert "step 1" in run.mismatch
    assert run.mismatches > run.steps / 2
    assert run.equal == 0
    verdict = _verdict(result, Check("reproduced", "fail", run.detail), True)
    assert not verdict.passed
    assert verdict.tier is None


def test_an_honest_submission_is_reproduced(tmp_path: Path) -> None:
    it = made("disc")
    result = found(it.write(tmp_path), it.suite_file, sample=6, sample_seed=1)
    digest = result["archive"]["digests"][0]
    run = rerun(AgentSpec("disc"), result["episodes"], it.suite, {}, digest, seconds=300)
    assert (run.mismatch, run.least, run.episodes) == (None, 1.0, 6)
    assert run.passed
    assert run.equal == run.steps
    assert f"masks equal bit by bit in {run.steps} of {run.steps}" in run.detail
    protocols = [episode["protocol"] for episode in result["episodes"]]
    assert protocols[:3] == ["noc-v1", "cosmos-s5-v1", "click-noise-short-v1"], "dealt evenly"
    assert _verdict(result, Check("reproduced", "pass", run.detail), True).tier == "reproduced"
    wide = AgentSpec("disc", {"radius": 0.2})
    other = rerun(wide, result["episodes"], it.suite, {}, digest, seconds=300)
    assert other.mismatch is not None
    assert "digest" in other.mismatch


def test_a_rerun_of_nothing_does_not_pass() -> None:
    run = rerun(AgentSpec("disc"), [], tiny_suite()[0], {}, Disc().info.digest, seconds=300)
    assert run.mismatch is None
    assert not run.passed
    assert "nothing could be run again" in run.detail


@pytest.mark.parametrize("towards_truth", [True, False])
def test_masks_may_not_all_be_a_little_better(tmp_path: Path, towards_truth: bool) -> None:
    it = made("disc", patients=MANY)
    episodes = found(it.write(tmp_path), it.suite_file, sample=MANY, sample_seed=1)["episodes"]
    dataset = tiny_data(MANY).make()
    truths = {case.case_id: case.truth for case in map(dataset.load, dataset.references())}
    touched = 0
    for number, episode in enumerate(episodes):
        truth = truths[episode["case_id"]]
        for step in episode["steps"]:
            mask = decode(np.array(step["candidates"][0], np.uint32), truth.shape).copy()
            nearer = towards_truth or number % 2
            odd = np.flatnonzero((mask != truth) if nearer else (mask == truth))
            few = odd[: mask.sum() // 120]
            mask.flat[few] = ~mask.flat[few]
            step["candidates"][0] = encode(mask).counts.tolist()
            touched += len(few)
    assert touched > 100
    run = rerun(AgentSpec("disc"), episodes, it.suite, {}, Disc().info.digest, seconds=300)
    assert run.least >= 0.99
    assert run.equal < run.steps
    assert run.leaning.better + run.leaning.worse == MANY
    if towards_truth:
        assert (run.leaning.better, run.leaning.p) == (MANY, 0.5**MANY)
        assert run.mismatch is not None
        assert "nearer to the truth" in run.mismatch
    else:
        assert run.leaning.better == MANY // 2
        assert run.mismatch is None


def test_many_episodes_of_few_cases_are_few_witnesses(tmp_path: Path) -> None:
    """Three cases, however often they are asked: one cannot tell a forger from another machine."""
    it = made("disc")
    episodes = found(it.write(tmp_path), it.suite_file, sample=21, sample_seed=1)["episodes"]
    assert len(episodes) == 21
    dataset = tiny_data().make()
    truths = {case.case_id: case.truth for case in map(dataset.load, dataset.references())}
    for episode in episodes:
        truth = truths[episode["case_id"]]
        for step in episode["steps"]:
            mask = decode(np.array(step["candidates"][0], np.uint32), truth.shape).copy()
            few = np.flatnonzero(mask != truth)[: mask.sum() // 120]
            mask.flat[few] = ~mask.flat[few]
            step["candidates"][0] = encode(mask).counts.tolist()
    run = rerun(AgentSpec("disc"), episodes, it.suite, {}, Disc().info.digest, seconds=300)
    assert (run.leaning.better, run.leaning.worse, run.leaning.p) == (3, 0, 1 / 8)
    assert run.passed


def test_masks_retouched_within_the_tolerance_fail_the_rerun(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Retouch", "disc", MANY)
    run = again(it, tmp_path, AgentSpec("disc"), 32)
    assert run.least >= 0.99, "every mask is within the tolerance"
    assert run.leaning.better >= 11
    assert run.mismatches == 1
    assert not run.passed
    assert "nearer to the truth than the rerun's" in run.detail
    assert "retouching does" in run.detail


def test_masks_replaced_by_the_truth_within_the_tolerance_fail_the_rerun(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Flawless", patients=MANY)
    run = again(it, tmp_path, method("Nearly"), 32)
    assert run.least >= 0.99, "every mask is within the tolerance"
    assert run.leaning.flawless == MANY
    assert run.leaning.p == 0.5**MANY
    assert (run.equal, run.mismatches) == (0, 1)
    assert not run.passed
    assert "in 14 the truth itself where the rerun's is not" in run.detail
    again_ = again(made("custom", "rerun_methods:Nearly", patients=MANY), tmp_path, method("Nearly"), 32)
    assert again_.passed, "and the honest one passes"


def test_masks_that_differ_by_rounding_pass_the_rerun(tmp_path: Path) -> None:
    it = made("custom", "rerun_methods:Shaky", patients=MANY)
    run = again(it, tmp_path, method("Shaky"), 32)
    assert run.leaning.better + run.leaning.worse >= 10, "the masks of nearly all cases differ"
    assert run.equal < run.steps
    assert run.passed, run.detail
    assert f"masks equal bit by bit in {run.equal} of {run.steps}" in run.detail


def test_the_sample_depends_on_its_seed(tmp_path: Path) -> None:
    it = made("disc")
    path = it.write(tmp_path)

    def keys(seed: int) -> list[tuple[object, ...]]:
        sample = found(path, it.suite_file, sample=4, sample_seed=seed, replay=False)["episodes"]
        return [(e["protocol"], e["case_id"], e["level"], e["repeat"]) for e in sample]

    assert keys(1) == keys(1)
    assert len({tuple(keys(seed)) for seed in range(6)}) > 1


def test_a_method_of_boxes_cannot_pass_for_one_of_clicks_alone(tmp_path: Path) -> None:
    it = made("disc")
    result = found(it.write(tmp_path), it.suite_file, sample=2, sample_seed=1)
    assert result["archive"]["told"]["accepts"] == ["box", "click"]
    told = {**result["archive"]["told"], "accepts": ["click"]}
    digest = result["archive"]["digests"][0]
    run = rerun(AgentSpec("disc"), result["episodes"], it.suite, {}, digest, told, seconds=300)
    assert run.mismatch is not None
    assert "accepts" in run.mismatch


@pytest.mark.parametrize("target", ["rerun_methods:Missing", "no_such_module:Thing"])
def test_a_method_that_cannot_be_made_is_one_line(target: str) -> None:
    with pytest.raises(SimclickError) as caught:
        rerun(AgentSpec("custom", {"target": target}), [], tiny_suite()[0], {}, "0" * 64)
    assert str(caught.value).isprintable()
    assert "ended" not in str(caught.value), "it says why"
