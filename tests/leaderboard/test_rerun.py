"""A consistent forgery passes the replay, and does not pass a rerun of the method that it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from submission_support import DATA, found, made, tiny_suite

from simclick.agent import Request
from simclick.baselines.sanity import Disc
from simclick.harness.specs import AgentSpec
from simclick.leaderboard.rerun import rerun
from simclick.leaderboard.verify import Check, _verdict
from simclick.runlength import decode, encode


class Peek(Disc):
    """Says that it is `disc`, and reads the public truth of the data set instead."""

    def __init__(self) -> None:
        super().__init__()
        dataset = DATA.make()
        cases = [dataset.load(reference) for reference in dataset.references()]
        self._truths = {case.image.tobytes(): case.truth for case in cases}

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the truth, but for a corner that makes it look honest."""
        mask = self._truths[image.tobytes()].copy()
        mask[: 4 + len(request.rounds)] = False
        mask[:2, :2] = True
        return mask


def test_a_forgery_that_peeks_passes_the_replay_and_fails_the_rerun(tmp_path: Path) -> None:
    forged = made("custom", "test_rerun:Peek", "disc")
    result = found(forged.write(tmp_path), forged.suite_file, sample=4, sample_seed=3)
    assert result["findings"] == {}, "a consistent forgery passes every check of the replay"
    assert len(result["episodes"]) == 4
    digest = result["archive"]["digests"][0]
    assert digest == Disc().info.digest, "it claims to be disc"
    again = rerun(AgentSpec("disc"), result["episodes"], tiny_suite()[0], {}, digest, seconds=300)
    assert again.mismatch is not None
    assert "Dice" in again.mismatch
    assert "case dermoscopy-" in again.mismatch
    assert "step 1" in again.mismatch
    assert again.mismatches > again.steps / 2
    verdict = _verdict(result, Check("reproduced", "fail", again.detail), True)
    assert not verdict.passed
    assert verdict.tier is None


def test_an_honest_submission_is_reproduced(tmp_path: Path) -> None:
    it = made("disc")
    result = found(it.write(tmp_path), it.suite_file, sample=6, sample_seed=1)
    again = rerun(
        AgentSpec("disc"), result["episodes"], it.suite, {}, result["archive"]["digests"][0], seconds=300
    )
    assert (again.mismatch, again.least, again.episodes) == (None, 1.0, 6)
    protocols = [episode["protocol"] for episode in result["episodes"]]
    assert protocols[:3] == ["noc-v1", "cosmos-s5-v1", "click-noise-short-v1"], "dealt evenly"
    assert _verdict(result, Check("reproduced", "pass", again.detail), True).tier == "reproduced"
    other = rerun(
        AgentSpec("disc", {"radius": 0.2}),
        result["episodes"],
        it.suite,
        {},
        result["archive"]["digests"][0],
        seconds=300,
    )
    assert other.mismatch is not None
    assert "digest" in other.mismatch


class Frail(Disc):
    """Fails at the third click."""

    def __init__(self) -> None:
        super().__init__()
        self.info = replace(self.info, name="frail")

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        if len(request.rounds) == 3:
            raise ValueError("out of memory")
        return super().segment(image, request)


def test_a_recorded_failure_must_come_again(tmp_path: Path) -> None:
    it = made("custom", "test_rerun:Frail")
    result = found(it.write(tmp_path), it.suite_file, sample=4, sample_seed=1)
    assert result["findings"] == {}
    digest, spec = result["archive"]["digests"][0], AgentSpec("custom", {"target": "test_rerun:Frail"})
    again = rerun(spec, result["episodes"], it.suite, {}, digest, seconds=300)
    assert again.mismatch is None
    assert again.failures >= 2, "noc-v1 and its noise have a third click"
    honest = made("disc")
    episodes = found(honest.write(tmp_path), honest.suite_file, sample=3, sample_seed=1)["episodes"]
    for episode in episodes:  # a forger's: the last answer is a failure, which the method does not give
        episode["steps"][-1] |= {"chosen": -1, "candidates": []}
    again = rerun(AgentSpec("disc"), episodes, honest.suite, {}, Disc().info.digest, seconds=300)
    assert again.mismatches == 3
    assert again.mismatch is not None
    assert "did not fail again" in again.mismatch


@pytest.mark.parametrize("towards_truth", [True, False])
def test_masks_may_not_all_be_a_little_better(tmp_path: Path, towards_truth: bool) -> None:
    it = made("disc")
    episodes = found(it.write(tmp_path), it.suite_file, sample=14, sample_seed=1)["episodes"]
    dataset = DATA.make()
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
    again = rerun(AgentSpec("disc"), episodes, it.suite, {}, Disc().info.digest, seconds=300)
    assert again.least >= 0.99
    assert again.equal < again.steps
    if towards_truth:
        assert again.mismatch is not None
        assert "nearer to the truth" in again.mismatch
    else:
        assert again.mismatch is None


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
    again = rerun(AgentSpec("disc"), result["episodes"], it.suite, {}, digest, told, seconds=300)
    assert again.mismatch is not None
    assert "accepts" in again.mismatch
