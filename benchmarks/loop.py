"""Everything around the model, per click: ours beside RITM's evaluation loop, in one run.

    python benchmarks/loop.py --ritm CHECKOUT_OF_RITM [--masks FOLDER]

Both loops get the same probability maps for the same masks and threshold them; neither runs a network. RITM's
loop is its `evaluate_sample`: next click, threshold, IoU. Ours is a whole block of the engine: next click,
threshold, choice, Dice and IoU, hash of the mask, rows, Arrow tables. What RITM's loop has no counterpart of
stands apart: the check that a case is still what was planned (once per case; RITM's sample is loaded before
its loop, too), and the commit to disk (which a run does beside the next block). Without RITM's code only our
times are shown.

RITM's loop runs with OpenCV's own number of threads, and with one. Ours runs in one process with one thread,
and in as many workers as there are cores, as `engine.workers=` does. So there are three ratios: with each
program's defaults, with one core each, with all cores each.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import mean, median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from timing import Result, Table, arguments, typical
from workload import STEPS, Mask, converging, disc, masks, resized, ritm

from simclick.agent import Agent, AgentInfo, Prediction, Request
from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.episode import Rules
from simclick.harness.engine import numeric_threads
from simclick.harness.lockstep import Lockstep
from simclick.harness.plan import make_plan
from simclick.harness.run import cases_table
from simclick.harness.store import RunDirectory
from simclick.protocol import load_protocol

Maps = list[NDArray[np.float32]]


LEAST = 0.1
"""Seconds that a measurement lasts at least: short blocks are repeated, as they are in a run."""


class CheckedCase(Case):
    """A case whose content was hashed before: the loop is timed without that, `check` with nothing else."""

    def sha256(self) -> str:
        if not hasattr(self, "_known"):
            object.__setattr__(self, "_known", super().sha256())
        return str(self._known)  # type: ignore[attr-defined]


class OneCase(Dataset):
    """One mask."""

    def __init__(self, truth: Mask) -> None:
        super().__init__()
        self.info = DatasetInfo("bench")
        image = np.zeros((*truth.shape, 3), np.uint8)
        self.case = CheckedCase("0", "bench", image, truth, group="0", modality="", target="")

    def references(self) -> Sequence[int]:
        return [0]

    def load(self, reference: int) -> Case:
        return self.case


class Scripted(Agent):
    """Answers step k with the k-th map, thresholded."""

    def __init__(self, maps: Maps) -> None:
        self.info = AgentInfo("scripted")
        self.maps = maps

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        return [Prediction((self.maps[len(r.rounds) - 1] > 0.49)[None]) for r in requests]


class ScriptedPredictor:
    """The same for RITM's loop."""

    def __init__(self, maps: Maps) -> None:
        self.maps = maps

    def set_input_image(self, image: object) -> None:
        self.step = -1

    def get_prediction(self, clicker: object) -> NDArray[np.float32]:
        self.step += 1
        return self.maps[self.step]


class Block:
    """One episode of ours as the engine runs it; call it for its number of steps."""

    def __init__(self, truth: Mask, maps: Maps) -> None:
        protocol = load_protocol("noc-v1").with_overrides({"surface_at": []})
        agent, self.dataset = Scripted(maps), OneCase(truth)
        self.plan = make_plan(agent, self.dataset, protocol)
        self.lockstep = Lockstep(agent, self.dataset, Rules(protocol, 0))

    def __call__(self) -> int:
        rows = self.lockstep.run(self.plan.blocks[0])
        for name in ("prompts", "steps", "episodes"):
            rows.table(name)
        return rows.count("steps")

    def check(self) -> float:
        """Return the milliseconds per step that the check of the case takes."""
        return typical(lambda: Case.sha256(self.dataset.case)) / self() * 1000

    def commit(self) -> float:
        """Return the milliseconds per step until the disk holds the block."""
        rows, found = self.lockstep.run(self.plan.blocks[0]), []
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder:
                options = {"save_masks": False, "episodes_per_shard": (1,)}
                cases = cases_table(self.plan.cases)
                with RunDirectory(Path(folder), {"plan_digest": ""}, cases, **options) as directory:
                    start = time.perf_counter()
                    directory.commit(0, rows)
                    found.append(time.perf_counter() - start)
        return median(found) / rows.count("steps") * 1000


def timed(function: Callable[[], int], repeats: int) -> float:
    """Return the median of milliseconds per step; the first call warms up."""
    function()
    found = []
    for _ in range(repeats):
        steps, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < LEAST:
            steps += function()
        found.append(spent / steps * 1000)
    return median(found)


def theirs(evaluation: Any, truth: Mask, maps: Maps) -> Callable[[], int]:
    """Return RITM's loop over one mask as a function that returns its number of steps."""
    gt, image, predictor = (
        truth.astype(np.int32),
        np.zeros((*truth.shape, 3), np.uint8),
        ScriptedPredictor(maps),
    )

    def run() -> int:
        _, scores, _ = evaluation.evaluate_sample(image, gt, predictor, 1.01, max_clicks=STEPS)
        return len(scores)

    return run


class Workers:
    """Processes that run our blocks side by side, one on each core."""

    def __init__(self) -> None:
        self.n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(self.n, context, _start_worker, (context.Barrier(self.n),))

    def timed(self, truths: Sequence[Mask], repeats: int) -> list[float]:
        """Return the milliseconds per step of all workers together, for each mask."""
        jobs = [self._pool.submit(_work, truths, repeats) for _ in range(self.n)]
        return [mean(times) / self.n for times in zip(*(job.result() for job in jobs), strict=True)]

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown()


_together: Any = None
"""A worker's barrier: all begin a mask at the same time."""


def _start_worker(barrier: object) -> None:
    global _together
    _together = barrier
    cv2.setNumThreads(1)


def _work(truths: Sequence[Mask], repeats: int) -> list[float]:
    found = []
    for seed, truth in enumerate(truths):
        block = Block(truth, converging(truth, seed))
        block()
        _together.wait()
        found.append(timed(block, repeats))
    return found


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, masks=True).parse_args()
    evaluation = ritm(options.ritm) if options.ritm else None
    name, some = masks(options.masks)
    result, workers, threads = Result("loop"), Workers(), cv2.getNumThreads()
    table = result.table(
        f"Milliseconds per click, medians of {options.repeats}",
        *("masks", "RITM", "RITM, 1 thread", "ours", "ratio", "ratio, 1 core each"),
        *(f"ours, {workers.n} workers", "ratio, all cores each", "check", "commit"),
        note=f"Typical: {len(some)} {name}, {STEPS} converging predictions; large: a disc of 41 %. A ratio "
        f"is the median over masks. RITM: its evaluate_sample, OpenCV with {threads} threads; ours: one. "
        "Check: that the case is what was planned, once per case; commit: of one block, which a run does "
        "beside the next." + ("" if options.ritm else " RITM's loop was not measured (no --ritm)."),
    )
    for size in (256, 512, 1024):
        for kind in ("typical", "large"):
            truths = [resized(m, size) for m in some] if kind == "typical" else [disc(size)]
            line(table, evaluation, f"{kind} {size}²", truths, options.repeats, workers)
    workers.close()
    result.save(options.json)


def line(
    table: Table, evaluation: Any, label: str, truths: Sequence[Mask], repeats: int, workers: Workers
) -> None:
    """Measure one row of the table."""
    threads = cv2.getNumThreads()
    many, one, own, check, commit = [], [], [], [], []
    for seed, truth in enumerate(truths):
        maps = converging(truth, seed)
        if evaluation is not None:
            many.append(timed(theirs(evaluation, truth, maps), repeats))
        block = Block(truth, maps)
        with numeric_threads(1):
            if evaluation is not None:
                one.append(timed(theirs(evaluation, truth, maps), repeats))
            own.append(timed(block, repeats))
            check.append(block.check())
            commit.append(block.commit())
    assert cv2.getNumThreads() == threads
    together = workers.timed(truths, repeats)

    def shown(times: Sequence[float], digits: int) -> str:
        return f"{median(times):.{digits}f}" if times else "-"

    def ratio(peer: Sequence[float], mine: Sequence[float]) -> str:
        return f"{median(a / b for a, b in zip(peer, mine, strict=True)):.1f}x" if peer else "-"

    table.add(
        *(label, shown(many, 2), shown(one, 2), shown(own, 3), ratio(many, own), ratio(one, own)),
        *(shown(together, 3), ratio(many, together), shown(check, 3), shown(commit, 3)),
    )


if __name__ == "__main__":
    main()
