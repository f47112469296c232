"""How often the intervals of rankings, crossings and components of variance hold the true value.

Simulated: groups of unequal size (log-normal, 1 to 20 cases) explain half of the variance of all that cases
have; Dice is left-skewed (a beta's quantiles of normal scores), crossings are censored at the budget.

- *Kendall's τ* of the rankings of five agents under two conditions: the same order with clear steps (τ = 1),
  close agents in nearly the same order (0.6), and quite another order (0.2).
- *Crossing* of two agents' mean curves over ten clicks: at click 3, and never (a lead that shrinks to 0.02).
- *Variance* of four agents by five shared prompts a case: shares of the components, the root of their sum,
  and the prompt reliability of one agent; and the same (*percentiles*) with percentiles of resamples alone.

Printed per number of groups: the share of trials whose interval holds the true value (the goal is 0.95), and
the median width (of crossings: the mean in clicks, "never" as 11). The true values come from 20,000 groups.

    python benchmarks/percentile_coverage.py --trials 400 [--only tau|crossing|variance|percentiles]

A trial's chance is NumPy's generator, seeded.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from simclick.statistics.bootstrap import percentile_interval
from simclick.statistics.crossing import crossing_interval, overtaking
from simclick.statistics.ranking import kendall_tau_b
from simclick.statistics.resampling import RESAMPLES, resampled_groups, resampled_means
from simclick.statistics.variance import COMPONENTS, components, reliability, variance_intervals

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Found = Iterator[tuple[str, float, float, float]]
Make = Callable[[np.random.Generator, Codes, str], Floats]
Measure = Callable[[Floats, Codes], Found]

GROUPS = (8, 12, 20, 40)
MANY = 20_000
QUALITY = {
    "same order": ([0.0, 0.35, 0.7, 1.05, 1.4], [0.0, 0.35, 0.7, 1.05, 1.4]),
    "close": ([0.0, 0.1, 0.2, 0.3, 0.4], [0.1, 0.0, 0.25, 0.2, 0.4]),
    "other order": ([0.0, 0.3, 0.6, 0.9, 1.2], [0.6, 0.3, 0.0, 1.2, 0.9]),
}
BUDGET = 10


def members(rng: np.random.Generator, groups: int) -> Codes:
    """Return the group of each case."""
    sizes = np.clip(np.round(np.exp(rng.normal(1.0, 0.7, groups))), 1, 20).astype(np.int64)
    return np.repeat(np.arange(groups), sizes)


def mixed(rng: np.random.Generator, group: Codes, shape: tuple[int, ...] = ()) -> Floats:
    """Return standard normal numbers per case, half of whose variance is the group's."""
    many = int(group.max()) + 1
    both = rng.normal(size=(many, *shape))[group] + rng.normal(size=(len(group), *shape))
    return math.sqrt(0.5) * both


def dice(score: Floats) -> Floats:
    """Return left-skewed numbers between 0 and 1."""
    return np.asarray(stats.beta.ppf(stats.norm.cdf(score), 6, 1.2), dtype=np.float64)


def rankings(rng: np.random.Generator, group: Codes, name: str) -> Floats:
    """Return Dice of five agents under two conditions, Float64[n, 2, 5]."""
    hardness = 0.75 * mixed(rng, group)[:, None, None]
    own = 0.5 * mixed(rng, group, (1, 5)) + 0.4 * mixed(rng, group, (2, 5))
    return dice(np.array(QUALITY[name]) - 0.7 + hardness + own)


def differences(rng: np.random.Generator, group: Codes, name: str) -> Floats:
    """Return a quick starter's Dice less a slow one's after 1 to 10 clicks, Float64[n, 10]."""
    top, slowness = {"at click 3": (0.55, 1.5), "never": (0.22, 3.0)}[name]
    clicks, hardness = np.arange(1, BUDGET + 1), 0.6 * mixed(rng, group)
    quick = dice(0.3 + hardness + 0.4 * mixed(rng, group))[:, None] * (1 - 0.25 * np.exp(-clicks / 3))
    slow = dice(top + hardness + 0.4 * mixed(rng, group))[:, None] * (1 - 0.75 * np.exp(-clicks / slowness))
    wobble = 0.02 * rng.normal(size=(2, len(group), BUDGET))
    return np.asarray(np.clip(quick + wobble[0], 0, 1) - np.clip(slow + wobble[1], 0, 1))


def repeated(rng: np.random.Generator, group: Codes, _: str) -> Floats:
    """Return Dice of four agents and five shared prompts a case, Float64[4, n, 5]."""
    n = len(group)
    score = np.array([0.0, 0.2, 0.5, 0.8])[:, None, None] + 0.7 * mixed(rng, group)[None, :, None]
    score = score + 0.4 * mixed(rng, group, (4,)).T[:, :, None]
    return dice(score + 0.35 * rng.normal(size=(1, n, 5)) + 0.25 * rng.normal(size=(4, n, 5)))


def tau(values: Floats, group: Codes) -> Found:
    """Yield name, value, low and high of Kendall's τ."""
    means, many = values.mean(axis=0), resampled_means(values, group)
    found = kendall_tau_b(many[:, 0], many[:, 1])
    one = percentile_interval(
        float(kendall_tau_b(means[:1], means[1:])[0]), found, len(values), int(group.max()) + 1
    )
    yield "tau", one.value, one.low, one.high


def crossing(values: Floats, group: Codes) -> Found:
    """Yield the same of the crossing."""
    one, _ = crossing_interval(values, group)
    yield "crossing", one.value, one.low, one.high


def variance(values: Floats, group: Codes) -> Found:
    """Yield the same of every component and of the first agent's reliability."""
    for row in variance_intervals(values, ["first", "b", "c", "d"], group):
        if row["agent"] in ("", "first"):
            yield row["statistic"], row["value"], row["low"], row["high"]


def percentiles(values: Floats, group: Codes) -> Found:
    """Yield the same with intervals that are percentiles of resamples of groups alone."""
    groups = int(group.max()) + 1
    weights = np.concatenate(list(resampled_groups(groups, RESAMPLES, 0)))[:, group]
    weights = weights[(weights > 0).sum(axis=1) > 1]
    found = components(values, weights)
    resampled = {f"share of {name}": found[:, k] / found.sum(axis=1) for k, name in enumerate(COMPONENTS)}
    resampled |= {"sd": np.sqrt(found.sum(axis=1)), "reliability": reliability(values[0], weights)}
    for name, many in resampled.items():
        one = percentile_interval(math.nan if np.isnan(many).any() else 0.0, many, len(group), groups)
        yield name, one.value, one.low, one.high


def simulate(
    what: str,
    name: str,
    make: Make,
    measure: Measure,
    true: dict[str, float],
    trials: int,
) -> None:
    """Print one block."""
    rng = np.random.default_rng(21)
    print(f"{what} {name}", *(f"{key}={value:.3f}" for key, value in true.items()), flush=True)
    for groups in GROUPS:
        held, width = defaultdict(list), defaultdict(list)
        for _ in range(trials):
            group = members(rng, groups)
            for key, _, low, high in measure(make(rng, group, name), group):
                held[key].append(low - 1e-9 <= true[key] <= high + 1e-9)
                width[key].append(min(high, BUDGET + 1) - min(low, BUDGET + 1))
        size = np.mean if what == "crossing" else np.median
        shown = (f"{key} {np.mean(held[key]):.3f} ({size(width[key]):.2f})" for key in held)
        print(f"{groups:>4}", *shown, sep="  ", flush=True)


def truth(name: str, values: Floats) -> dict[str, float]:
    """Return the true values, from a very large sample."""
    if name in QUALITY:
        means = values.mean(axis=0)
        return {"tau": float(kendall_tau_b(means[:1], means[1:])[0])}
    return {"crossing": float(overtaking(values.mean(axis=0)[None])[0])}


def true_variance(values: Floats) -> dict[str, float]:
    """Return the true shares and reliability, from a very large sample."""
    one = np.ones((1, values.shape[1]))
    own = components(values, one)[0]
    shares = {f"share of {name}": float(own[k] / own.sum()) for k, name in enumerate(COMPONENTS)}
    return {**shares, "sd": math.sqrt(own.sum()), "reliability": float(reliability(values[0], one)[0])}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--only", choices=("tau", "crossing", "variance", "percentiles"))
    options = parser.parse_args()
    rng = np.random.default_rng(5)
    large = members(rng, MANY)
    blocks: list[tuple[str, str, Make, Measure, dict[str, float]]]
    blocks = [("tau", name, rankings, tau, truth(name, rankings(rng, large, name))) for name in QUALITY]
    blocks += [
        ("crossing", name, differences, crossing, truth(name, differences(rng, large, name)))
        for name in ("at click 3", "never")
    ]
    shares = true_variance(repeated(rng, large, ""))
    blocks += [
        ("variance", "", repeated, variance, shares),
        ("percentiles", "", repeated, percentiles, shares),
    ]
    for block in blocks:
        if options.only in (None, block[0]):
            simulate(*block, options.trials)


if __name__ == "__main__":
    main()
