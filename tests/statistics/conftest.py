from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

EPISODE = {
    "agent": "a",
    "protocol": "p",
    "dataset": "d",
    "case_id": "c0",
    "noise": "none",
    "level": 0.0,
    "repeat": 0,
    "group": "g0",
    "modality": "ct",
    "target": "liver",
    "status": "ok",
    "error": None,
    "seconds_encode": 0.5,
    "agent_digest": "aa",
    "protocol_digest": "pp",
}
KEY = ("agent", "protocol", "dataset", "case_id", "noise", "level", "repeat")
STEP_COLUMNS = [
    *KEY,
    *("step", "cost", "dice", "iou", "hd95", "nsd", "oracle_dice", "chosen", "n_candidates"),
    *("seconds_predict", "seconds_annotate", "mask_sha256", "group", "modality", "target"),
]


def tables(episodes: Sequence[dict[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make ``(episodes, steps)`` as a run directory has them.

    Each episode names what differs from `EPISODE`, and lists ``dice`` per step, with ``costs``
    (cumulative; 1, 2, 3, … if left out), ``oracle``, ``hd95``, ``nsd`` and ``seconds`` per step. The last
    step of a failed episode is the failing one: Dice 0.
    """
    episode_rows, step_rows = [], []
    for given in episodes:
        given = dict(given)
        dice = list(given.pop("dice"))
        n = len(dice)
        costs = list(given.pop("costs", range(1, n + 1)))
        lists = {
            name: given.pop(name, default)
            for name, default in (
                ("oracle", dice),
                ("hd95", [np.nan] * n),
                ("nsd", [np.nan] * n),
                ("seconds", [0.1] * n),
            )
        }
        final = given.pop("final_dice", dice[-1] if dice else 0.0)
        row = {**EPISODE, **given, "steps": n, "final_dice": final}
        episode_rows.append(row)
        for i in range(n):
            step_rows.append(
                {
                    **{name: row[name] for name in (*KEY, "group", "modality", "target")},
                    "step": i + 1,
                    "cost": costs[i],
                    "dice": dice[i],
                    "iou": dice[i] / (2 - dice[i]),
                    "hd95": lists["hd95"][i],
                    "nsd": lists["nsd"][i],
                    "oracle_dice": lists["oracle"][i],
                    "chosen": 0,
                    "n_candidates": 1,
                    "seconds_predict": lists["seconds"][i],
                    "seconds_annotate": 0.01,
                    "mask_sha256": "0",
                }
            )
    return pd.DataFrame(episode_rows), pd.DataFrame(step_rows, columns=STEP_COLUMNS)


@pytest.fixture
def make() -> Callable[[Sequence[dict[str, Any]]], tuple[pd.DataFrame, pd.DataFrame]]:
    return tables


def random_episodes(
    seed: int, n_cases: int = 30, n_groups: int = 10, budget: int = 8
) -> list[dict[str, Any]]:
    """Two agents, two levels, repeats, two data sets, early ends, boxes, failures, empty truths."""
    rng = np.random.default_rng(seed)
    out = []
    for agent in ("a", "b"):
        for c in range(n_cases):
            for level, repeats in ((0.0, 1), (2.0, 3)):
                for repeat in range(repeats):
                    steps = int(rng.integers(0 if c == 7 else 1, budget))
                    costs = np.cumsum(rng.choice([1, 2], steps))
                    costs = costs[costs <= budget]
                    dice = np.sort(rng.choice([0.0, 0.5, 0.8, 0.85, 0.9, 0.95, 1.0], len(costs)))
                    if rng.random() < 0.3:
                        rng.shuffle(dice)
                    failed = bool(len(dice) and rng.random() < 0.1)
                    if failed:
                        dice[-1] = 0.0
                    measured = np.isin(costs, (1, 3, 5)) & ~(
                        failed & (np.arange(len(costs)) == len(costs) - 1)
                    )
                    distance = np.where(dice == 0, np.inf, np.round(20 * (1 - dice)))
                    out.append(
                        {
                            "agent": agent,
                            "agent_digest": agent * 2,
                            "dataset": "d" if c % 3 else "e",
                            "case_id": f"c{c}",
                            "noise": "gaussian-click",
                            "level": level,
                            "repeat": repeat,
                            "group": f"g{c % n_groups}",
                            "modality": "ct" if c % 2 else "mr",
                            "target": ("liver", "spleen", "vessel")[c % 3],
                            "status": "failed" if failed else "ok",
                            "costs": [int(cost) for cost in costs],
                            "dice": [float(d) for d in dice],
                            "oracle": [float(min(1.0, d + 0.02)) for d in dice],
                            "hd95": list(np.where(measured, distance, np.nan)),
                            "nsd": list(np.where(measured, dice, np.nan)),
                            "final_dice": float(dice[-1]) if len(dice) else float(c == 7),
                        }
                    )
    return out


@pytest.fixture
def random_run() -> Callable[..., list[dict[str, Any]]]:
    return random_episodes


def naive_curve(episode: dict[str, Any], budget: int, value: str = "dice") -> list[float]:
    """D(0..budget) by the definition, one cost at a time."""
    costs = episode.get("costs", list(range(1, len(episode["dice"]) + 1)))
    out = []
    for c in range(budget + 1):
        now = 1.0 if not costs and episode.get("final_dice") == 1.0 else 0.0
        for i, cost in enumerate(costs):
            if cost <= c:
                now = episode[value][i]
        if episode.get("status") == "failed" and (not costs or c >= costs[-1]):
            now = 0.0
        out.append(now)
    return out


@pytest.fixture
def naive() -> Callable[..., list[float]]:
    return naive_curve
