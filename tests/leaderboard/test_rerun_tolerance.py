"""What a rerun lets pass, and what it says of it: small masks, and steps at which an episode ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simclick.agent import Prediction
from simclick.leaderboard.rerun import FEW_PIXELS, LEAST_DICE, _Compared
from simclick.protocol import load_protocol
from simclick.runlength import encode
from support import make_case

SUITE: Any = SimpleNamespace(protocol=load_protocol, seed=0)


class Answers:
    """A method that gives one mask."""

    def __init__(self, mask: np.ndarray) -> None:
        self._mask = mask

    def answer(self, *_: object) -> Prediction:
        return Prediction(self._mask[None])


def compared(pairs: list[tuple[np.ndarray, np.ndarray]], truth: np.ndarray):
    """Return the rerun of one-step episodes, of a case each: pairs of recorded and new masks."""
    it = _Compared(SUITE)
    for number, (recorded, now) in enumerate(pairs):
        step = {"prompts": [], "candidates": [encode(recorded).counts], "chosen": 0}
        episode = {"protocol": "noc-v1", "level": 0.0, "repeat": 0, "error": None, "steps": [step]}
        image = np.zeros((*truth.shape, 3), np.uint8)
        case = make_case(size=truth.shape, truth=truth, image=image, case_id=str(number))
        assert it.episode(Answers(now), case, episode)
    return it.result()


def less(mask: np.ndarray, n: int) -> np.ndarray:
    """Return the mask without its first n pixels."""
    out = mask.copy()
    out.flat[np.flatnonzero(out)[:n]] = False
    return out


@pytest.mark.parametrize(("pixels", "passes"), [(1, True), (FEW_PIXELS, True), (FEW_PIXELS + 1, False)])
def test_a_pixel_or_two_pass_where_masks_are_small(pixels: int, passes: bool) -> None:
    truth = np.zeros((12, 12), bool)
    truth[3:9, 3:9] = True
    recorded = less(truth, 20)  # of 36
    run = compared([(recorded, less(recorded, pixels))], truth)
    assert run.least < LEAST_DICE
    assert run.passed == passes
    if not passes:
        assert "Dice 0.8" in run.detail


def test_the_truth_itself_is_a_witness_in_both_directions() -> None:
    truth = np.zeros((40, 40), bool)
    truth[5:35, 5:35] = True
    short = less(truth, 1)
    run = compared([(truth, short)] * 10, truth)
    assert (run.leaning.flawless, run.leaning.flawed) == (10, 0)
    assert run.passed, "ten cases are too few"
    assert "too few to tell: 11 are needed" in run.detail
    run = compared([(truth, short)] * 11, truth)
    assert not run.passed
    assert "in 11 the truth itself where the rerun's is not" in run.detail
    honest = compared([(truth, short), (short, truth)] * 11, truth)
    assert (honest.leaning.flawless, honest.leaning.flawed) == (11, 11)
    assert honest.passed
    assert compared([(truth, truth)] * 14, truth).leaning.p == 1


def test_masks_that_are_all_another_s_are_said_to_be() -> None:
    truth = np.zeros((40, 40), bool)
    truth[5:35, 5:35] = True
    a, b = less(truth, 2), less(truth, 3)
    assert "WARNING: few masks are equal" in compared([(a, b), (b, a), (a, a)], truth).detail
    assert "WARNING" not in compared([(a, b), (a, a)], truth).detail
    assert compared([(a, a)], truth).detail.endswith("in 1 of 1, least Dice 1.0000")


def test_small_steps_short_of_the_truth_lean_as_before() -> None:
    truth = np.zeros((40, 40), bool)
    truth[5:35, 5:35] = True
    run = compared([(less(truth, 1), less(truth, 3))] * 14, truth)
    assert (run.leaning.better, run.leaning.flawless) == (14, 0)
    assert not run.passed
