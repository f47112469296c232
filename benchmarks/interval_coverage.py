"""How often the 95 % intervals of `simclick.statistics` hold the true value, on simulated runs.

Groups share an effect (half of the variance) and have unequal sizes (log-normal, 1 to some 20
cases). Outcomes are skewed, capped or rare, as the numbers of a benchmark are. Printed per outcome
and number of groups: the share of trials whose interval holds the true value (the goal is 0.95), the
median width, the share of trials without an interval, and the coverage of the plain interval
``mean ± t(G - 1) * cluster-robust standard error`` on the same data (without any spread it has no
width, and misses).

    python benchmarks/interval_coverage.py --trials 4000

The true values come from 400,000 draws. A trial's chance is NumPy's generator, seeded.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simclick.statistics import MIN_GROUPS, Interval, mean_intervals, median_interval

Floats = NDArray[np.float64]

GROUPS = (8, 12, 20, 40)
BATCH = 50  # trials that share their groups' sizes


def dice(z: Floats, target: Floats) -> Floats:
    """Left-skewed, near 1."""
    return np.asarray(stats.beta.ppf(stats.norm.cdf(z), 6, 1.2))


def noc(z: Floats, target: Floats) -> Floats:
    """Clicks, capped at a budget of 20, which one case in ten does not reach."""
    return np.asarray(np.minimum(np.ceil(np.exp(1.6 + 1.1 * z)), 20))


def failure(z: Floats, target: Floats) -> Floats:
    """A yes-or-no outcome that holds in 30 % of cases."""
    return (z < stats.norm.ppf(0.3)).astype(np.float64)


def rare_failure(z: Floats, target: Floats) -> Floats:
    """A yes-or-no outcome that holds in 5 % of cases."""
    return (z < stats.norm.ppf(0.05)).astype(np.float64)


def difference(z: Floats, target: Floats) -> Floats:
    """A paired difference with heavy tails."""
    return np.asarray(0.02 + 0.05 * np.sign(z) * z**2)


def by_target(z: Floats, target: Floats) -> Floats:
    """Dice that falls from target to target."""
    return dice(z, target) * (1 - 0.15 * target)


def distance(z: Floats, target: Floats) -> Floats:
    """Log-normal distances, of which the largest 5 % are infinite (an empty mask)."""
    return np.where(z > stats.norm.ppf(0.95), np.inf, np.exp(1 + z))


@dataclass(frozen=True)
class Outcome:
    """One kind of number and the interval that the report gives it."""

    name: str
    draw: Callable[[Floats, Floats], Floats]
    bounds: tuple[float, float]
    symmetric: bool = False
    targets: int = 1
    nested: bool = False  # every group has one target
    median: bool = False

    def truth(self) -> float:
        """The value that an infinite sample would give."""
        z = np.random.default_rng(0).normal(size=400_000)
        if self.median:
            return float(np.median(self.draw(z, z * 0)))
        return float(np.mean([self.draw(z, np.full(z.shape, float(t))).mean() for t in range(self.targets)]))


OUTCOMES = (
    Outcome("Dice, mean", dice, (0, 1)),
    Outcome("clicks, capped mean", noc, (0, 20)),
    Outcome("failure rate 0.30", failure, (0, 1)),
    Outcome("failure rate 0.05", rare_failure, (0, 1)),
    Outcome("paired difference", difference, (-1, 1), symmetric=True),
    Outcome("Dice, macro of 4 targets in each group", by_target, (0, 1), targets=4),
    Outcome("Dice, macro of 4 targets, one per group", by_target, (0, 1), targets=4, nested=True),
    Outcome("HD95, median", distance, (0, math.inf), median=True),
)


def sample(
    outcome: Outcome, n_groups: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Return values Float64[n, BATCH], and the group and target of every case."""
    size = np.maximum(1, np.round(np.exp(rng.normal(1.2, 0.8, n_groups)))).astype(int)
    group = np.repeat(np.arange(n_groups), size)
    target = group % outcome.targets if outcome.nested else np.arange(len(group)) % outcome.targets
    shared = rng.normal(size=(n_groups, BATCH))[group]
    z = math.sqrt(0.5) * (shared + rng.normal(size=shared.shape))
    return outcome.draw(z, target[:, None].astype(float)), group, target.astype(float)


def t_interval(values: Floats, group: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The plain alternative, per column."""
    g, mean = group.max() + 1, values.mean(axis=0)
    sums = np.stack([np.bincount(group, column, g) for column in (values - mean).T], axis=1)
    error = np.sqrt((sums**2).sum(axis=0) * g / (g - 1)) / len(values)
    return mean - stats.t.ppf(0.975, g - 1) * error, mean + stats.t.ppf(0.975, g - 1) * error


def intervals(outcome: Outcome, values: Floats, group: NDArray[np.int64], target: Floats) -> list[Interval]:
    """The intervals under test, one per trial."""
    if outcome.median:
        return [median_interval(column, group, bounds=outcome.bounds) for column in values.T]
    return mean_intervals(
        values,
        group,
        strata=target if outcome.targets > 1 else None,
        bounds=[outcome.bounds] * values.shape[1],
        symmetric=outcome.symmetric,
    )


def coverage(outcome: Outcome, truth: float, n_groups: int, trials: int, seed: int) -> dict[str, Any]:
    """Return the shares of one line of the table."""
    rng = np.random.default_rng([seed, n_groups, OUTCOMES.index(outcome)])
    held: list[bool] = []
    widths: list[float] = []
    plain: list[bool] = []
    missing = 0
    for _ in range(math.ceil(trials / BATCH)):
        values, group, target = sample(outcome, n_groups, rng)
        for interval in intervals(outcome, values, group, target):
            if interval.note:
                missing += 1
                continue
            held.append(interval.low <= truth <= interval.high)
            widths.append(interval.high - interval.low)
        if outcome.targets == 1 and not outcome.median:
            low, high = t_interval(values, group)
            plain.extend((low <= truth) & (truth <= high) & (high > low))
    return {
        "coverage": float(np.mean(held)),
        "width": float(np.median(widths)),
        "none": missing / (missing + len(held)),
        "t": float(np.mean(plain)) if plain else math.nan,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    assert min(GROUPS) >= MIN_GROUPS
    print(f"{arguments.trials} trials a line, seed {arguments.seed}; coverage of a nominal 0.95")
    print(f"{'outcome':42}{'groups':>7}{'coverage':>10}{'width':>9}{'none':>7}{'plain t':>9}")
    for outcome in OUTCOMES:
        truth = outcome.truth()
        for n_groups in GROUPS:
            c = coverage(outcome, truth, n_groups, arguments.trials, arguments.seed)
            t = f"{c['t']:9.3f}" if math.isfinite(c["t"]) else f"{'':9}"
            print(
                f"{outcome.name:42}{n_groups:7}{c['coverage']:10.3f}{c['width']:9.3g}{c['none']:7.2f}{t}",
                flush=True,
            )


if __name__ == "__main__":
    main()
