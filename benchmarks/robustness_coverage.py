"""How often the intervals of `simclick.statistics.robustness` hold the true value, on simulated sweeps.

Groups of unequal size (log-normal, 1 to 20 cases) explain half of the variance of both skill (Dice at level
0, left-skewed) and fragility (how much of it a draw takes away, right-skewed). Levels 0, 5, 10, 20; five
repeats, each with its own draw at each level. Printed per number of groups and statistic (at level 20, or
over all levels): the share of trials whose interval holds the true value (the goal is 0.95), and the share
of trials without an interval.

    python benchmarks/robustness_coverage.py --trials 1000

The true values come from 60,000 groups. A trial's chance is NumPy's generator, seeded.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from simclick.statistics.robustness import LARGE, LEAST_BASE, PASSED, TAIL, dose_area, robustness_table

Floats = NDArray[np.float64]

GROUPS = (8, 12, 20, 40)
LEVELS = np.array([0.0, 5.0, 10.0, 20.0])
REPEATS = 5


def members(rng: np.random.Generator, groups: int) -> NDArray[np.int64]:
    """Return the group of each case."""
    sizes = np.clip(np.round(np.exp(rng.normal(1.0, 0.7, groups))), 1, 20).astype(np.int64)
    return np.repeat(np.arange(groups), sizes)


def sweep(rng: np.random.Generator, group: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return Dice at level 0, Float64[n], and at the other levels, Float64[n, L - 1, R]."""
    n, many = len(group), int(group.max()) + 1
    skill, frail = (math.sqrt(0.5) * (rng.normal(size=many)[group] + rng.normal(size=n)) for _ in range(2))
    base = stats.beta.ppf(stats.norm.cdf(skill), 6, 1.2)
    hit = np.abs(rng.normal(size=(n, len(LEVELS) - 1, REPEATS))) * (LEVELS[1:] / LEVELS[-1])[None, :, None]
    lost = hit * np.exp(-1.6 + 0.8 * frail)[:, None, None]
    return base, np.clip(base[:, None, None] * (1 - lost), 0.0, 1.0)


def true_values(rng: np.random.Generator) -> dict[str, float]:
    """Return the statistics of a very large sample."""
    base, dice = sweep(rng, members(rng, 60_000))
    top = dice[:, -1]
    drops = np.concatenate([np.zeros((len(base), 1)), base[:, None] - dice.mean(axis=2)], axis=1)
    mean_drops, kept = drops.mean(axis=0), base >= LEAST_BASE
    return {
        "mean": float(top.mean()),
        "drop": float(mean_drops[-1]),
        "retention": float((top.mean(axis=1)[kept] / base[kept]).mean()),
        "sd": float(top.std(axis=1, ddof=1).mean()),
        "worst_repeat": float(top.min(axis=1).mean()),
        "worst_tenth": float(np.sort(top.ravel())[: round(TAIL * top.size)].mean()),
        "large_loss": float((base[:, None] - top > LARGE).mean()),
        "dose_area": float(dose_area(drops, LEVELS).mean()),
        f"passes@{PASSED:g}": float(np.interp(PASSED, mean_drops, LEVELS)),
    }


def tables(group: NDArray[np.int64], base: Floats, dice: Floats) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the sweep as ``episodes`` and ``steps`` of one click each."""
    n, (levels, repeats) = len(group), np.meshgrid(LEVELS[1:], np.arange(REPEATS), indexing="ij")
    case = np.concatenate([np.arange(n), np.repeat(np.arange(n), levels.size)])
    level = np.concatenate([np.zeros(n), np.tile(levels.ravel(), n)])
    repeat = np.concatenate([np.zeros(n, dtype=np.int64), np.tile(repeats.ravel(), n)])
    values = np.concatenate([base, dice.reshape(n, -1).ravel()])
    key = {"agent": "a", "protocol": "p", "dataset": "d", "case_id": case, "noise": "x"}
    rows = pd.DataFrame({**key, "level": level, "repeat": repeat, "group": group[case]})
    rows = rows.assign(modality="m", target="t")
    steps = rows.assign(step=1, cost=1, dice=values, oracle_dice=values, hd95=np.nan, nsd=np.nan)
    about = {"agent_digest": "a", "protocol_digest": "p", "status": "ok", "steps": 1, "seconds_encode": 0.0}
    return rows.assign(**about, final_dice=values), steps.assign(seconds_predict=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    rng = np.random.default_rng(20)
    true = true_values(rng)
    print("groups", *(f"{name}={value:.4f}" for name, value in true.items()))
    for groups in GROUPS:
        held: Counter[str] = Counter()
        without: Counter[str] = Counter()
        for _ in range(trials):
            group = members(rng, groups)
            table = robustness_table(*tables(group, *sweep(rng, group)), 1)
            table = table[(table["outcome"] == "dice@1") & ~table["level"].isin(LEVELS[:-1])]
            for name, low, high in zip(table["statistic"], table["low"], table["high"], strict=True):
                if name in true:
                    without[name] += bool(np.isnan(low))
                    held[name] += bool(low <= true[name] <= high)
        shown = (
            f"{name}={held[name] / max(1, trials - without[name]):.3f}"
            + (f" (none {without[name] / trials:.3f})" if without[name] else "")
            for name in true
        )
        print(groups, *shown, flush=True)


if __name__ == "__main__":
    main()
