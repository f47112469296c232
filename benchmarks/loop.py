"""Everything around the model, per click: ours beside RITM's evaluation loop, in one run.

    python benchmarks/loop.py --ritm CHECKOUT_OF_RITM [--masks FOLDER]

Both loops get the same probability maps for the same masks and threshold them; neither runs a network. RITM's
loop is its `evaluate_sample`: next click, threshold, IoU. Ours is a whole block of the engine: load and
check the case, next click, threshold, choice, Dice and IoU, hash of the mask, rows, Arrow tables; the
last column is the commit to disk. Without RITM's code only our times are shown. Both ratios are given: of
time on the clock, which other programs disturb, and of processor time, in which every thread counts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from timing import Result, Table, arguments
from workload import STEPS, converging, disc, masks, resized, ritm

from simclick.agent import Agent, AgentInfo, Prediction, Request
from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.episode import Rules
from simclick.harness.lockstep import Lockstep
from simclick.harness.plan import make_plan
from simclick.harness.run import cases_table
from simclick.harness.store import RunDirectory
from simclick.protocol import load_protocol

Maps = list[NDArray[np.float32]]


class OneCase(Dataset):
    """One mask."""

    def __init__(self, truth: NDArray[np.bool_]) -> None:
        super().__init__()
        self.info = DatasetInfo("bench")
        image = np.zeros((*truth.shape, 3), np.uint8)
        self.case = Case("0", "bench", image, truth, group="0", modality="", target="")

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


def timed(function: Callable[[], int], repeats: int) -> tuple[float, float]:
    """Return medians of milliseconds per step, on the clock and of the processor; the first call warms up."""
    function()
    walls, processor = [], []
    for _ in range(repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        steps = function()
        walls.append((time.perf_counter() - start) / steps * 1000)
        processor.append((time.process_time() - start_cpu) / steps * 1000)
    return median(walls), median(processor)


def ours(truth: NDArray[np.bool_], maps: Maps, store: Path | None) -> Callable[[], int]:
    """Return one block of the engine as a function that returns its number of steps."""
    protocol = load_protocol("noc-v1").with_overrides({"surface_at": []})
    agent, dataset = Scripted(maps), OneCase(truth)
    plan = make_plan(agent, dataset, protocol)
    lockstep = Lockstep(agent, dataset, Rules(protocol, 0))

    def run() -> int:
        rows = lockstep.run(plan.blocks[0])
        if store is None:
            for name in ("prompts", "steps", "episodes"):
                rows.table(name)
        else:
            with tempfile.TemporaryDirectory(dir=store) as folder:
                options = {"save_masks": False, "episodes_per_shard": (1,)}
                with RunDirectory(Path(folder), {"plan_digest": ""}, cases_table(plan.cases), **options) as d:
                    start = time.perf_counter()
                    d.commit(0, rows)
                    commits.append(time.perf_counter() - start)
        return rows.count("steps")

    commits: list[float] = []
    run.commits = commits  # type: ignore[attr-defined]
    return run


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, masks=True).parse_args()
    evaluation = ritm(options.ritm) if options.ritm else None
    name, typical = masks(options.masks)
    result = Result("loop")
    table = result.table(
        f"Milliseconds per click, medians of {options.repeats}",
        *("masks", "RITM's loop", "ours", "ratio", "RITM, CPU", "ours, CPU", "CPU ratio", "commit"),
        note=f"Typical: {len(typical)} {name}, {STEPS} converging predictions; large: a disc of 41 %. "
        "CPU: processor time of all threads. Commit: of one block, on the clock; a run does it beside the "
        f"next block. OpenCV threads: {cv2.getNumThreads()}."
        + ("" if options.ritm else " RITM's loop was not measured (no --ritm)."),
    )
    for size in (256, 512, 1024):
        for kind in ("typical", "large"):
            truths = [resized(m, size) for m in typical] if kind == "typical" else [disc(size)]
            line(table, evaluation, f"{kind} {size}²", truths, options.repeats)
    result.save(options.json)


def line(table: Table, evaluation: Any, label: str, truths: list[NDArray[np.bool_]], repeats: int) -> None:
    """Measure one row of the table."""
    peer, mine, commit = [], [], []
    for seed, truth in enumerate(truths):
        maps = converging(truth, seed)
        if evaluation is not None:
            gt, image = truth.astype(np.int32), np.zeros((*truth.shape, 3), np.uint8)
            predictor = ScriptedPredictor(maps)

            def loop(gt: object = gt, image: object = image, predictor: object = predictor) -> int:
                _, scores, _ = evaluation.evaluate_sample(image, gt, predictor, 1.01, max_clicks=STEPS)
                return len(scores)

            peer.append(timed(loop, repeats))
        mine.append(timed(ours(truth, maps, None), repeats))
        with tempfile.TemporaryDirectory() as folder:
            run = ours(truth, maps, Path(folder))
            steps = run()
            run()
            commit.append(median(run.commits) / steps * 1000)  # type: ignore[attr-defined]
    cells = []
    for clock in (0, 1):
        theirs, own = [p[clock] for p in peer], [m[clock] for m in mine]
        shown = f"{median(theirs):.2f}" if peer else "-"
        ratio = f"{median(a / b for a, b in zip(theirs, own, strict=True)):.1f}x" if peer else "-"
        cells += [shown, f"{median(own):.3f}", ratio]
    table.add(label, *cells, f"{median(commit):.3f}")


if __name__ == "__main__":
    main()
