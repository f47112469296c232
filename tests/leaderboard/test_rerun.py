"""A consistent forgery passes the replay, and does not pass a rerun of the method that it names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from submission_support import DATA, Made, found, made, tiny_suite

from simclick.agent import Embedding, Request
from simclick.baselines.sanity import Disc
from simclick.errors import SimclickError
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.leaderboard.leaning import leaning
from simclick.leaderboard.rerun import Rerun, rerun
from simclick.leaderboard.verify import Check, _verdict, verify
from simclick.runlength import decode, encode

MANY = 14
MORE = DatasetSpec("phantoms", {**DATA.options, "patients": MANY})


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
    assert again.equal == 0
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
    assert again.equal == again.steps
    assert "100 % of" in again.detail
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


@pytest.mark.parametrize("towards_truth", [True, False])
def test_masks_may_not_all_be_a_little_better(tmp_path: Path, towards_truth: bool) -> None:
    it = made("disc", patients=MANY)
    episodes = found(it.write(tmp_path), it.suite_file, sample=MANY, sample_seed=1)["episodes"]
    dataset = MORE.make()
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


def _again(it: Made, folder: Path, agent: AgentSpec, sample: int) -> Rerun:
    """Replay a submission, which must pass, and run an agent again on a sample of it."""
    result = found(it.write(folder), it.suite_file, sample=sample, sample_seed=1)
    assert result["findings"] == {}, "it passes every check of the replay"
    return rerun(agent, result["episodes"], it.suite, {}, result["archive"]["digests"][0], seconds=300)


class Fails(Peek):
    """Peeks as well, and ends every episode that it peeked in with a failure, where that costs least."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the forged mask, but for the last click of the budget."""
        if len(request.rounds) == 20:
            raise ValueError("CUDA out of memory")
        return super().segment(image, request)


class Fumbles(Disc):
    """An honest method that fails at the third click of every episode, always."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc, or fail."""
        if len(request.rounds) == 3:
            raise ValueError("three is too many")
        return super().segment(image, request)


class Recovered(Disc):
    """The same without its failure: what a forger's method does when somebody else runs it."""


class Blind(Disc):
    """A method whose encoder fails on dark images."""

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Embedding]:
        """Return the images, if they are bright."""
        if any(image.mean() < _bright() for image in images):
            raise ValueError("too dark")
        return super().encode(images)


def _bright() -> float:
    """Return a brightness that some, not all, of the images have."""
    dataset = DATA.make()
    means = sorted(dataset.load(reference).image.mean() for reference in dataset.references())
    return float(means[1])


def test_a_forgery_that_ends_in_failures_fails_the_rerun(tmp_path: Path) -> None:
    it = made("custom", "test_rerun:Fails", "disc")
    assert any((run.table("episodes")["status"] == "failed").all() for run in it.runs), "in 20 clicks"
    again = _again(it, tmp_path, AgentSpec("disc"), 4)
    assert again.mismatches > again.steps / 2
    assert not again.passed


def test_a_failure_must_come_again(tmp_path: Path) -> None:
    it = made("custom", "test_rerun:Fumbles", "disc")
    same = _again(it, tmp_path, AgentSpec("custom", {"target": "test_rerun:Fumbles"}), 6)
    assert same.mismatch is None
    assert same.failures > 0
    assert same.equal == same.steps - same.failures
    assert f"{same.failures} failures came again" in same.detail
    other = _again(it, tmp_path, AgentSpec("custom", {"target": "test_rerun:Recovered"}), 6)
    assert other.mismatches == same.failures
    assert other.mismatch is not None
    assert "step 3: the submission says that the method failed (predict: ValueError" in other.mismatch
    assert "a failure that does not come again is not reproduced" in other.mismatch
    honest = made("disc")
    lost = _again(honest, tmp_path, AgentSpec("custom", {"target": "test_rerun:Fumbles"}), 6)
    assert "three is too many; the submission holds a mask" in str(lost.mismatch)


def test_an_encoder_that_fails_fails_again_and_upsets_no_other_episode(tmp_path: Path) -> None:
    it = made("custom", "test_rerun:Blind", "disc")
    again = _again(it, tmp_path, AgentSpec("custom", {"target": "test_rerun:Blind"}), 12)
    assert (again.mismatch, again.least) == (None, 1.0)
    assert 0 < again.failures < again.episodes


class Dies(Disc):
    """Ends its process at the third click."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc, or nothing ever."""
        if len(request.rounds) == 3:
            os._exit(3)
        return super().segment(image, request)


def test_a_process_that_ends_is_no_failure_that_came_again(tmp_path: Path) -> None:
    it = made("custom", "test_rerun:Fumbles", "disc")
    again = _again(it, tmp_path, AgentSpec("custom", {"target": "test_rerun:Dies"}), 6)
    assert again.failures == 0
    assert again.mismatches == 1
    assert "the method's process ended; the rerun ended here" in str(again.mismatch)


class Retouch(Disc):
    """Says that it is `disc`, and takes from its mask one pixel in fifty that lies outside the truth."""

    def __init__(self) -> None:
        super().__init__()
        dataset = MORE.make()
        cases = [dataset.load(reference) for reference in dataset.references()]
        self._truths = {case.image.tobytes(): case.truth for case in cases}

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc, moved towards the truth as far as the tolerance of a rerun allows."""
        mask = super().segment(image, request).copy()
        truth = self._truths[image.tobytes()]
        most = int(0.0198 * mask.sum())
        too_much, too_little = np.flatnonzero(mask & ~truth)[:most], np.flatnonzero(~mask & truth)[:most]
        if len(too_much) >= len(too_little):
            mask.flat[too_much] = False
        else:
            mask.flat[too_little] = True
        return mask


class Shaky(Disc):
    """An honest `disc` whose rounding differs from run to run: one pixel in fifty of its rim flickers."""

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the disc with noise that no seed rules."""
        mask = super().segment(image, request).copy()
        rim = np.flatnonzero(mask ^ np.roll(mask, 1, axis=1))
        flipped = rim[np.random.default_rng().random(len(rim)) < 0.02]
        mask.flat[flipped] = ~mask.flat[flipped]
        return mask


def test_masks_retouched_within_the_tolerance_fail_the_rerun(tmp_path: Path) -> None:
    it = made("custom", "test_rerun:Retouch", "disc", MANY)
    again = _again(it, tmp_path, AgentSpec("disc"), 32)
    assert again.least >= 0.99, "every mask is within the tolerance"
    assert again.leaning.better >= 11
    assert again.mismatches == 1
    assert not again.passed
    assert "nearer to the truth than the rerun's" in again.detail


def test_masks_that_differ_by_rounding_pass_the_rerun(tmp_path: Path) -> None:
    it = made("custom", "test_rerun:Shaky", "disc", MANY)
    again = _again(it, tmp_path, AgentSpec("custom", {"target": "test_rerun:Shaky"}), 32)
    assert again.leaning.better + again.leaning.worse >= 10, "the masks of nearly all cases differ"
    assert again.equal < again.steps
    assert again.passed, again.detail
    assert "bit-equal" in again.detail


def test_leaning_is_the_exact_signed_rank_and_sign_test() -> None:
    from scipy.stats import binomtest, wilcoxon

    random = np.random.default_rng(1)
    for n in (1, 5, 12, 30):
        d = random.normal(0.3, 1.0, n)
        must = wilcoxon(d, alternative="greater", method="exact").pvalue
        sign = binomtest(int((d > 0).sum()), n, alternative="greater").pvalue
        assert leaning(d).p == pytest.approx(min(must, sign), rel=1e-9)
    # Ties by hand: of |d| = 1, 1, 2 the mid-ranks are 1.5, 1.5, 3; sums >= 4.5 are 3 of the 8 patterns.
    assert leaning([1.0, -1.0, 2.0]).p == pytest.approx(3 / 8)


def test_leaning_has_its_level_and_is_not_deceived_by_small_steps_back() -> None:
    assert [leaning([0.01] * n).leans for n in (10, 11)] == [False, True]
    assert not leaning([-0.01] * 40).leans
    assert not leaning([0.0] * 40).leans
    assert leaning([0.01 + i * 1e-5 for i in range(17)] + [-1e-4] * 11).leans
    random = np.random.default_rng(2)
    refused = sum(leaning(random.normal(0.0, 0.001, 28)).leans for _ in range(4000))
    assert refused <= 12, "4000 honest ones, 4 are expected at most"


def test_the_verdict_says_how_many_episodes_failed(tmp_path: Path) -> None:
    it = made("custom", "test_rerun:Fails", "disc")
    verdict = verify(it.write(tmp_path), suite=it.suite_file)
    ends = next(check for check in verdict.checks if check.name == "ends")
    failed = sum(int((run.table("episodes")["status"] == "failed").sum()) for run in it.runs)
    episodes = sum(len(run.table("episodes")) for run in it.runs)
    assert failed > 0
    assert f"{failed} of {episodes} episodes failed" in ends.detail
    whole = verify(made("disc").write(tmp_path, name="b.zip"), suite=made("disc").suite_file)
    assert "failed" not in next(check for check in whole.checks if check.name == "ends").detail


def test_a_method_that_cannot_be_made_leaves_no_process() -> None:
    with pytest.raises(SimclickError):
        rerun(AgentSpec("custom", {"target": "test_rerun:Missing"}), [], tiny_suite()[0], {}, "0" * 64)
