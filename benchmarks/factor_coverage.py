"""How often the intervals of `simclick.statistics.factors` hold the true value, on simulated cases.

Groups of unequal size (log-normal, 1 to 20 cases) share half of the variance of the factors and of the
outcome's noise; factor 4 is the group's own. Factors 1 and 2 correlate (0.5). Three modalities shift factors
and outcome. The outcome, left-skewed like Dice, rises with factors 1 and 4, falls with factor 3, and does
not depend on factor 2 (but for its skewness, a little). Printed per number of groups and factor: the share
of trials whose interval holds the true partial correlation (the goal is 0.95), the median width, and the
share of trials without an interval.

    python benchmarks/factor_coverage.py --trials 1000

The true values come from 100,000 groups. A trial's chance is NumPy's generator, seeded.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from simclick.statistics.factors import factor_table

GROUPS = (8, 12, 20, 40)
FACTORS = ("x1", "x2", "x3", "x4")
EFFECTS = (0.9, 0.0, -0.4, 0.6)


def made_cases(rng: np.random.Generator, groups: int) -> pd.DataFrame:
    """Return simulated cases."""
    sizes = np.clip(np.round(np.exp(rng.normal(1.0, 0.7, groups))), 1, 20).astype(np.int64)
    group = np.repeat(np.arange(groups), sizes)
    modality = np.arange(groups)[group] % 3
    half = math.sqrt(0.5)

    def mixed() -> NDArray[np.float64]:
        return half * (rng.normal(size=groups)[group] + rng.normal(size=len(group)))

    x1 = mixed()
    x = np.column_stack([x1, 0.5 * x1 + math.sqrt(0.75) * mixed(), mixed(), rng.normal(size=groups)[group]])
    x += 0.4 * modality[:, None]
    z = x @ np.array(EFFECTS) - 0.3 * modality + mixed()
    dice = stats.beta.ppf(stats.norm.cdf(z / 1.8), 6, 1.2)
    frame = pd.DataFrame(x, columns=list(FACTORS))
    return frame.assign(group=group, modality=[f"m{m}" for m in modality], dice=dice)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    huge = made_cases(rng, 100_000).assign(group=0)
    true = factor_table(huge, "dice", FACTORS, resamples=1)["partial_rho"].to_numpy()
    print("true values", dict(zip(FACTORS, true.round(3), strict=True)))
    print(f"{'groups':>6} {'factor':>6} {'covers':>7} {'width':>6} {'none':>5}")
    for groups in GROUPS:
        low, high = [], []
        for _ in range(options.trials):
            table = factor_table(made_cases(rng, groups), "dice", FACTORS)
            low.append(table["low"].to_numpy())
            high.append(table["high"].to_numpy())
        lows, highs = np.array(low), np.array(high)
        none = np.isnan(lows)
        for k, name in enumerate(FACTORS):
            has = ~none[:, k]
            covers = ((lows[:, k] <= true[k]) & (true[k] <= highs[:, k]))[has].mean()
            width = np.median((highs - lows)[has, k])
            print(f"{groups:>6} {name:>6} {covers:>7.3f} {width:>6.2f} {none[:, k].mean():>5.3f}", flush=True)


if __name__ == "__main__":
    main()
