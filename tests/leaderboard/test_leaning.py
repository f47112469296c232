"""What the test of a rerun's masks says by hand, its level and its power."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simclick.leaderboard.leaning import LEVEL, leaning
from simclick.leaderboard.suites import load_suite

CASES = 29
"""Cases of 32 sampled episodes of phantoms-v1."""


def test_one_and_two_cases_by_hand() -> None:
    assert leaning([]).p == 1.0
    assert leaning([0.0, 1e-15]).p == 1.0, "no difference"
    assert leaning([0.5]).p == 0.5
    assert leaning([-0.5]).p == 1.0
    # Signs of |d| = 1, 2: sums of ranks above 0 are 0, 1, 2, 3; here 2, so 2 of 4. Signs: 3 of 4.
    found = leaning([-0.1, 0.2])
    assert (found.better, found.worse, found.p) == (1, 1, 0.5)
    assert found.mean == pytest.approx(0.05)


def test_ties_by_hand() -> None:
    # |d| = 1, 1, 2 have the ranks 1.5, 1.5, 3; of 8 patterns 4.5, 4.5 and 6 are at least 4.5.
    assert leaning([0.01, -0.01, 0.02]).p == 3 / 8
    # Four of one size: any pattern with at least three above 0, 5 of 16, in both tests.
    assert leaning([0.01, 0.01, 0.01, -0.01]).p == 5 / 16
    # A difference of rounding errors is a tie.
    assert leaning([0.1 + 0.2, -0.3, 0.6]).p == leaning([0.3, -0.3, 0.6]).p


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30, 49])
def test_without_ties_it_is_what_scipy_says(n: int) -> None:
    from scipy.stats import binomtest, wilcoxon

    random = np.random.default_rng(n)
    for shift in (-0.5, 0.3, 1.0):
        d = random.normal(shift, 1.0, n)
        rank = wilcoxon(d, alternative="greater", method="exact").pvalue
        sign = binomtest(int((d > 0).sum()), n, alternative="greater").pvalue
        found = leaning(d)
        assert found.p == pytest.approx(min(rank, sign), rel=1e-9)
        assert (found.better, found.worse) == ((d > 0).sum(), (d < 0).sum())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([-3, -2, -1, 0, 1, 2, 3]), min_size=1, max_size=9))
def test_with_ties_it_is_the_count_of_all_patterns_of_signs(values: list[int]) -> None:
    from scipy.stats import rankdata

    d = np.array([v for v in values if v], dtype=float)
    if not len(d):
        return
    patterns = np.array(list(product([0, 1], repeat=len(d))))
    ranks, above = rankdata(abs(d)), d > 0
    rank = (patterns @ ranks >= ranks[above].sum() - 1e-9).mean()
    sign = (patterns.sum(axis=1) >= above.sum()).mean()
    assert leaning(list(d / 100)).p == pytest.approx(min(rank, sign), rel=1e-12)


def test_eleven_cases_that_are_all_better_lean_and_ten_do_not() -> None:
    assert [leaning([0.01] * n).leans for n in (10, 11)] == [False, True]
    assert not leaning([-0.01] * 40).leans
    assert not leaning([0.0] * 40).leans


def test_small_steps_back_do_not_deceive_it() -> None:
    # The sign test alone: 20 of 32, p = 0.11.
    d = [0.01 + i * 1e-5 for i in range(20)] + [-1e-4] * 12
    assert leaning(d).leans


@pytest.mark.parametrize("tied", [False, True])
def test_of_all_patterns_of_signs_less_than_the_level_lean(tied: bool) -> None:
    """Exchangeable masks give each pattern of signs the same probability: so this is the level, exactly."""
    n = 13
    sizes = np.ones(n) if tied else np.arange(1.0, n + 1)
    refused = sum(leaning(sizes * signs / 100).leans for signs in product([-1.0, 1.0], repeat=n))
    assert 0 < refused / 2**n < LEVEL


def _refused(differences: NDArray[np.float64]) -> int:
    return sum(leaning(row).leans for row in differences)


def test_honest_differences_are_refused_less_often_than_the_level() -> None:
    random = np.random.default_rng(2)
    n = 6000
    honest = {
        "normal": random.normal(0.0, 1e-3, (n, CASES)),
        "heavy tails": random.standard_t(1.2, (n, CASES)) * 1e-3,
        "some are equal": random.normal(0.0, 1e-3, (n, CASES)) * (random.random((n, CASES)) < 0.6),
    }
    for name, differences in honest.items():
        # Two of the three tests: 6 are expected at most; more than 14 would have a probability of 0.001.
        assert _refused(differences) <= 14, name
    assert _refused(random.normal(5e-4, 1e-3, (400, CASES))) > 20, "and a shift is seen now and then"


def _walk(n: int, relative: float, seed: int = 0, steps: int = 20) -> NDArray[np.float64]:
    """Return mean differences where each step's noise is a share of the error that the recorded mask left."""
    random = np.random.default_rng(seed)
    error, sums = np.full(n, 0.3), np.zeros(n)
    for _ in range(steps):
        noise = np.exp(random.normal(0.0, relative, (2, n)) - relative**2 / 2)
        recorded, again = 0.85 * error * noise
        sums += again - recorded
        error = np.minimum(recorded, 0.9)
    return sums / steps


@pytest.mark.slow
@pytest.mark.parametrize(("relative", "thousandths"), [(0.01, 0.9), (0.1, 2.7), (0.3, 8.1)])
def test_steps_that_hang_on_the_recorded_one_before_bend_the_level(
    relative: float, thousandths: float
) -> None:
    """Figures of the module: the mean over steps is then no longer as often above 0 as below."""
    n = 16000
    differences = _walk(n * CASES, relative).reshape(n, CASES)
    refused = 1000 * _refused(differences) / n
    print(f"noise {relative:g}: {(differences > 0).mean():.3f} above 0, {refused:.2f} in a thousand refused")
    assert refused == pytest.approx(thousandths, abs=0.1)


def _found(share: float, draws: int = 3000, episodes: int = 32) -> tuple[float, float]:
    """Return how often at least eleven retouched cases are sampled, and how many cases there are."""
    suite = load_suite("phantoms-v1")
    n, names = len(suite.cases), [name for name, _ in suite.protocols]
    each = [episodes // len(names) + (i < episodes % len(names)) for i in range(len(names))]
    cells = [len(suite.protocol(name).cells()) for name in names]
    random = np.random.default_rng(1)
    found = sizes = 0
    for _ in range(draws):
        retouched = random.permutation(n) < round(share * n)
        drawn = [random.choice(n * c, k, replace=False) // c for c, k in zip(cells, each, strict=True)]
        sampled = np.unique(np.concatenate(drawn))
        found += retouched[sampled].sum() >= 11
        sizes += len(sampled)
    return found / draws, sizes / draws


@pytest.mark.parametrize(
    ("share", "episodes", "power"),
    [
        (1.0, 32, 1.0),
        (0.5, 32, 0.94),
        (1 / 3, 32, 0.33),
        (0.25, 32, 0.06),
        (0.5, 128, 1.0),
        (1 / 3, 128, 1.0),
        (0.25, 128, 1.0),
    ],
)
def test_the_power_that_the_documentation_names(share: float, episodes: int, power: float) -> None:
    found, cases = _found(share, episodes=episodes)
    print(f"{share:.2f} of the cases, {episodes} episodes: {cases:.1f} cases, found {found:.3f}")
    assert found == pytest.approx(power, abs=0.02)
    assert episodes != 32 or round(cases) == CASES
