"""Everything around the model, per click: ours beside RITM's evaluation loop, in one run.

    python benchmarks/loop.py --ritm CHECKOUT_OF_RITM [--masks FOLDER]

Both loops get the same probability maps for the same masks and threshold them; neither runs a network. RITM's
loop is its `evaluate_sample`: next click, threshold, IoU. Ours is a whole block of the engine: next click,
threshold, choice, Dice and IoU, hash of the mask, rows, Arrow tables. What RITM's loop has no counterpart of
stands apart: the check that a case is still what was planned (once per case; RITM's sample is loaded before
its loop, too), and the commit to disk (which a run does beside the next block). Without RITM's code the peer
is its rule in plain NumPy and OpenCV, and the output says so.

*Episode*: the click, the threshold and the scores alone, which is what RITM's loop does, too. *With records*:
all of the above. Ours runs in one thread, as in a run, whose workers take the other cores. RITM's loop runs
twice: with OpenCV's own number of threads, and on one core, there with its IPP or without, whichever is
faster.
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
from timing import Result, Table, arguments, typical
from workload import STEPS, Mask, converging, disc, masks, plain_peer, resized, ritm

from simclick.agent import Agent, AgentInfo, Prediction, Request
from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo
from simclick.episode import Episode, Ground, Rules, ask
from simclick.harness.engine import numeric_threads
from simclick.harness.lockstep import Lockstep
from simclick.harness.plan import make_plan
from simclick.harness.records import Rows
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
    """One episode of ours as the engine runs it; call it for its number of steps.

    Attributes:
        together: Blocks whose rows become tables together: as many as end during one commit, for they share
            the next (see `simclick.harness.commits`).
    """

    def __init__(self, truth: Mask, maps: Maps) -> None:
        self.together = 1
        protocol = load_protocol("noc-v1").with_overrides({"surface_at": []})
        agent, self.dataset, self.maps = Scripted(maps), OneCase(truth), maps
        self.plan = make_plan(agent, self.dataset, protocol)
        self.lockstep = Lockstep(agent, self.dataset, Rules(protocol, 0))

    def __call__(self) -> int:
        rows = Rows()
        for _ in range(self.together):
            rows.extend(self.lockstep.run(self.plan.blocks[0]))
        for name in ("prompts", "steps", "episodes"):
            rows.table(name)
        return rows.count("steps")

    def alone(self) -> int:
        """Run the episode without agent, choice and records; return its number of steps."""
        episode = Episode(Ground(self.dataset.case), self.lockstep.rules)
        while episode.status == "running" and ask([episode])[0] is not None:
            episode.answer(self.maps[episode.step - 1] > 0.49)
        return episode.step

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
    gt, image = truth.astype(np.int32), np.zeros((*truth.shape, 3), np.uint8)
    predictor = ScriptedPredictor(maps)

    def run() -> int:
        _, scores, _ = evaluation.evaluate_sample(image, gt, predictor, 1.01, max_clicks=STEPS)
        return len(scores)

    return run


def plain(truth: Mask, maps: Maps) -> Callable[[], int]:
    """Return the same by its rule, written plainly."""

    def run() -> int:
        click, mask = plain_peer(truth), np.zeros_like(truth)
        scores = []
        for probabilities in maps:
            click(mask)
            mask = probabilities > 0.49
            scores.append((truth & mask).sum() / (truth | mask).sum())
        return len(scores)

    return run


def on_one_core(function: Callable[[], int], repeats: int) -> float:
    """Return `timed` of a function that uses OpenCV, with one thread: with IPP or without, the faster."""
    found = []
    for ipp in (False, True):
        cv2.ipp.setUseIPP(ipp)
        found.append(timed(function, repeats))
    return min(found)


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, masks=True).parse_args()
    evaluation = ritm(options.ritm) if options.ritm else None
    name, some = masks(options.masks)
    result, threads = Result("loop"), cv2.getNumThreads()
    peer = "RITM" if evaluation else "plain"
    table = result.table(
        f"Milliseconds per click, medians of {options.repeats}",
        *("masks", peer, f"{peer}, 1 core", "episode", "ratio", "ratio, 1 core each"),
        *("with records", "ratio", "ratio, 1 core each", "check", "commit"),
        note=f"Typical: {len(some)} {name}, {STEPS} converging predictions; large: a disc of 41 %. A ratio "
        f"is the median over masks. "
        + ("RITM: its evaluate_sample" if evaluation else "Plain: RITM's rule, written plainly (no --ritm)")
        + f"; OpenCV with {threads} threads, or one core. Ours: one thread. Check: that the case is what was "
        "planned, once per case; commit: of one block, which a run does beside the next. Blocks that end "
        "during one commit share the next, and so their tables.",
    )
    for size in (256, 512, 1024):
        for kind in ("typical", "large"):
            truths = [resized(m, size) for m in some] if kind == "typical" else [disc(size)]
            line(table, evaluation, f"{kind} {size}²", truths, options.repeats)
    result.save(options.json)


def line(table: Table, evaluation: Any, label: str, truths: Sequence[Mask], repeats: int) -> None:
    """Measure one row of the table."""
    many, one, bare, own, check, commit = [], [], [], [], [], []
    for seed, truth in enumerate(truths):
        maps = converging(truth, seed)
        peer = theirs(evaluation, truth, maps) if evaluation is not None else plain(truth, maps)
        block = Block(truth, maps)
        many.append(timed(peer, repeats))
        with numeric_threads(1):
            one.append(on_one_core(peer, repeats))
            bare.append(timed(block.alone, repeats))
            check.append(block.check())
            commit.append(block.commit())
            block.together = max(1, int(commit[-1] / timed(block, 1)))
            own.append(timed(block, repeats))

    def compared(ours: Sequence[float]) -> list[str]:
        ratios = [median(a / b for a, b in zip(peers, ours, strict=True)) for peers in (many, one)]
        return [f"{median(ours):.3f}", *(f"{ratio:.1f}x" for ratio in ratios)]

    rest = (f"{median(check):.3f}", f"{median(commit):.3f}")
    table.add(label, f"{median(many):.2f}", f"{median(one):.2f}", *compared(bare), *compared(own), *rest)


if __name__ == "__main__":
    main()
