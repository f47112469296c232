"""Masks replaced by the truth itself: who counts as a witness, the level under honest noise, the power."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from simclick.leaderboard.leaning import ENOUGH, LEVEL, Leaning, Witnesses, leaning

CASES = 29
"""Cases of 32 sampled episodes of phantoms-v1."""
AREA = 500.0


def test_the_first_step_in_which_one_mask_alone_is_the_truth_speaks_for_its_case() -> None:
    it = Witnesses()
    it.take("a", [(0.5, 0.9), (1.0, 1.0)])  # both: nobody's gain
    it.take("b", [(0.5, 0.9), (0.8, 1.0), (1.0, 0.7)])  # the rerun came first
    it.take("b", [(1.0, 0.1)])  # a later episode of the case is not asked
    it.take("c", [(0.5, 0.9)])
    it.take("c", [(0.2, 0.3), (1.0, 0.6)])
    found = it.leaning()
    # a: -0.4, b: -0.2, c: +0.4.
    assert (found.better, found.worse, found.flawless, found.flawed) == (1, 2, 1, 1)
    assert found.mean == pytest.approx(-0.2 / 3)


def test_a_case_without_a_step_that_counts_is_no_witness() -> None:
    it = Witnesses()
    it.take("a", [(1.0, 1.0)])
    assert it.leaning() == Leaning(0, 0, 0.0, 1.0)
    assert it.leaning().detail == ""


def test_the_truth_is_seen_where_noise_hides_it_from_the_other_tests() -> None:
    noise = [0.02] * 14 + [-0.02] * 14
    truths = [0.004] * ENOUGH
    assert not leaning([*noise, *truths]).leans, "as differences like all others they are drowned"
    assert leaning(noise, truths).leans
    assert leaning(noise, truths).p == 0.5**ENOUGH
    assert not leaning(noise, truths[1:]).leans
    assert not leaning(noise, [*truths, -0.004]).leans


def test_cases_retouched_a_little_and_all_the_way_add_up() -> None:
    assert leaning([0.01] * 5, [0.005] * 6).leans
    assert not leaning([0.01] * 5, [0.005] * 5).leans
    assert "in 5 the truth itself" in leaning([0.01] * 5, [0.005] * 5).detail
    assert "too few to tell: 11 are needed" in leaning([0.01] * 5, [0.005] * 5).detail


@pytest.mark.parametrize("first", [0, 6, 13])
def test_of_all_patterns_of_signs_less_than_the_level_lean(first: int) -> None:
    """Exchangeable masks give each pattern of signs the same probability: so this is the level, exactly."""
    n = 13
    sizes = np.arange(1.0, n + 1) / 100
    refused = 0
    for signs in product([-1.0, 1.0], repeat=n):
        d = (sizes * signs).tolist()
        refused += leaning(d[first:], d[:first]).leans
    assert 0 < refused / 2**n < LEVEL


def _episode(random: np.random.Generator, error: float, shrink: float) -> list[tuple[float, float]]:
    """Return Dice of recorded and new masks: both err anew from the recorded one, at times not at all."""
    pairs = []
    for _ in range(20):
        recorded, again = random.poisson(shrink * error, 2)
        pairs.append((1 - recorded / AREA, 1 - again / AREA))
        if not recorded:
            break
        error = recorded
    return pairs


def _rerun(random: np.random.Generator, shrink: float, witness: type[Witnesses]) -> Leaning:
    """Return what an honest rerun finds: one to three episodes of each case."""
    it = witness()
    for case in range(CASES):
        for _ in range(random.integers(1, 4)):
            pairs = _episode(random, random.uniform(5, 60), shrink)
            if any(was != now for was, now in pairs):
                it.take(str(case), pairs)
    return it.leaning()


class Ends(Witnesses):
    """Asks the last step instead of the first that tells: there the recorded mask is the truth."""

    def take(self, case_id: str, pairs: Sequence[tuple[float, float]]) -> None:
        super().take(case_id, pairs[-1:])


def _honest(n: int, shrink: float) -> int:
    """Return how many of n honest reruns are refused; print it, and check that the coin is fair."""
    random = np.random.default_rng(7)
    found = [_rerun(random, shrink, Witnesses) for _ in range(n)]
    refused = sum(it.leans for it in found)
    flawless, flawed = sum(it.flawless for it in found), sum(it.flawed for it in found)
    print(
        f"shrink {shrink:g}: one mask alone is the truth in {(flawless + flawed) / n:.1f} of {CASES} cases, "
        f"in {flawless} of {flawless + flawed} the recorded one; "
        f"{1000 * refused / n:.2f} in a thousand refused"
    )
    assert flawless + flawed > 10 * n
    assert abs(flawless - flawed) < 4 * (flawless + flawed) ** 0.5
    return refused


def test_honest_noise_that_meets_the_truth_is_refused_no_more_often_than_stated() -> None:
    # At the level 0.3 are expected at most; more than 3 would have a probability of 0.0003.
    assert _honest(200, 0.6) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("shrink", [0.3, 0.6, 0.9])
def test_much_honest_noise_is_refused_no_more_often_than_stated(shrink: float) -> None:
    # At the level 9 are expected at most; more than 19 would have a probability of 0.001.
    assert _honest(6000, shrink) <= 19


def test_without_the_rule_of_the_first_step_honest_noise_would_be_refused() -> None:
    random = np.random.default_rng(7)
    assert all(_rerun(random, 0.6, Ends).leans for _ in range(20))


@pytest.mark.parametrize("share", [0.25, 1 / 3, 0.5, 1.0])
def test_eleven_cases_replaced_by_the_truth_are_found_whatever_the_others_do(share: float) -> None:
    """So the power is the chance of eleven such cases in the sample: test_leaning.py computes it."""
    assert not leaning([], [0.01] * (ENOUGH - 1)).leans
    random = np.random.default_rng(3)
    retouched = ENOUGH
    others = round(retouched / share) - retouched
    for spread in (0.0, 1e-3, 0.1):
        means = random.normal(-spread / 2, spread, others)  # noise that happens to fall badly
        gains = random.uniform(1e-4, 0.01, retouched)
        assert leaning(means, gains).leans
