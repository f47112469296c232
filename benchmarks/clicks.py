"""The next click: `center-click` beside RITM's ``Clicker``, in one run, on the same masks.

    python benchmarks/clicks.py --ritm CHECKOUT_OF_RITM [--masks FOLDER]

Every click is timed from a finished mask to a finished click, ours with all of Python around the kernel.
The masks of an episode are visited in order, so that each is out of the processor's first caches when
its turn comes. Clicks must be equal (with OpenCV's transform run without IPP, whose last bits depend on
memory alignment); the program stops where they are not. Without RITM's code the peer is its rule in
plain NumPy and OpenCV, and the output says so.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from timing import Result, Table, arguments
from workload import Click, Mask, converging, disc, masks, plain_peer, resized

from simclick.annotators.base import Annotator
from simclick.case import Case
from simclick.prompts import Round
from simclick.registry import annotators
from simclick.seeding import Draws

SIZES = (256, 512, 1024)
Peer = Callable[[Mask], Callable[[Mask], Click]]


def ritm_peer(checkout: Path) -> Peer:
    """Return RITM's own clicker, as a function of the truth that gives a function of the mask."""
    file = checkout / "isegm" / "inference" / "clicker.py"
    specification = importlib.util.spec_from_file_location("ritm_clicker", file)
    if specification is None or specification.loader is None or not file.is_file():
        sys.exit(f"--ritm {checkout}: no isegm/inference/clicker.py in it")
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    def start(truth: Mask) -> Callable[[Mask], Click]:
        clicker = module.Clicker(gt_mask=truth.astype(np.int32))

        def answer(mask: Mask) -> Click:
            clicker.make_next_click(mask)
            given = clicker.clicks_list[-1]
            return int(given.coords[1]), int(given.coords[0]), bool(given.is_positive)

        return answer

    return start


def our_player(annotator: Annotator, truth: Mask) -> Callable[[Mask], Click | None]:
    """Return one of our annotators in the same form."""
    case = Case("0", "bench", np.zeros((*truth.shape, 3), np.uint8), truth, group="0", modality="", target="")
    history: list[Round] = []

    def answer(mask: Mask) -> Click | None:
        draws = Draws(0, "bench", "0", 0, len(history) + 1)
        [round_] = annotator.propose(case, mask[None], [history], [draws])
        if round_ is None:
            return None
        history.append(round_)
        x, y = round_.prompts[0].landed
        return x, y, round_.prompts[0].positive

    return answer


def play(answer: Callable[[Mask], Any], episode: list[Mask]) -> tuple[list[float], list[Any]]:
    """Return the milliseconds of each click of an episode, and the clicks."""
    times, clicks = [], []
    for mask in episode:
        start = time.perf_counter()
        click = answer(mask)
        times.append((time.perf_counter() - start) * 1000)
        clicks.append(click)
    return times, clicks


def typical_time(
    start: Callable[[], Callable[[Mask], Any]], episode: list[Mask], repeats: int
) -> tuple[list[float], list[Any]]:
    """Return each click's median over repeated episodes (after one that warms up), and the clicks."""
    _, clicks = play(start(), episode)
    rows = [play(start(), episode)[0] for _ in range(repeats)]
    return [median(column) for column in zip(*rows, strict=True)], clicks


def pass_time(truth: Mask, episode: list[Mask]) -> float:
    """Return the median milliseconds of one comparison of truth and mask, the least there is to do."""
    out = np.empty_like(truth)
    times, _ = play(lambda mask: np.logical_xor(truth, mask, out=out), episode)
    return median(times)


def episode_of(truth: Mask, seed: int) -> list[Mask]:
    """Return an empty mask and the predictions that converge, without perfect ones (RITM has no answer)."""
    predictions = [probability > 0.49 for probability in converging(truth, seed)]
    return [mask for mask in (np.zeros_like(truth), *predictions) if (mask != truth).any()]


def line(table: Table, peer: Peer, label: str, episodes: list[tuple[Mask, list[Mask]]], repeats: int) -> None:
    """Measure and print one row."""
    theirs: list[float] = []
    ours: dict[str, list[float]] = {"center-click": [], "center-click-diverse": []}
    passes, errors = [], []
    for number, (truth, episode) in enumerate(episodes):
        errors += [float((mask != truth).mean()) for mask in episode]
        times, expected = typical_time(lambda truth=truth: peer(truth), episode, repeats)  # type: ignore[misc]
        theirs += times
        for name, found in ours.items():
            annotator = annotators.load(name)()
            times, clicks = typical_time(
                lambda truth=truth, annotator=annotator: our_player(annotator, truth),  # type: ignore[misc]
                episode,
                repeats,
            )
            found += times
            # Where each wrong pixel was clicked already, RITM clicks (0, 0) and we click nothing.
            clicks = [click or (0, 0, False) for click in clicks]
            if name == "center-click" and clicks != expected:
                sys.exit(f"{label}, mask {number}: clicks differ: {clicks} {expected}")
        passes.append(pass_time(truth, episode))
    centre, diverse = ours.values()
    table.add(
        *(label, f"{100 * median(errors):.2f}", f"{median(theirs):.3f}", f"{median(centre):.4f}"),
        *(f"{median(theirs) / median(centre):.0f}x", f"{sum(theirs) / sum(centre):.0f}x"),
        *(f"{median(diverse):.4f}", f"{median(passes):.4f}", f"{median(centre) / median(passes):.1f}x"),
    )


def threads(result: Result, truth: Mask, batch: int, repeats: int) -> None:
    """Measure a lockstep batch in one call, and the same clicks shared by threads; clicks must be equal."""
    masks_of_batch = np.stack([mask for seed in range(batch) for mask in episode_of(truth, seed)[1:2]])
    case = Case("0", "bench", np.zeros((*truth.shape, 3), np.uint8), truth, group="0", modality="", target="")
    annotator = annotators.load("center-click")()
    draws = [Draws(0, "bench", "0", i, 1) for i in range(batch)]

    def ask(part: slice) -> Sequence[Round | None]:
        asked: Sequence[Round | None] = annotator.propose(
            case, masks_of_batch[part], [[]] * len(draws[part]), draws[part]
        )
        return asked

    title = f"{batch} episodes of one case at {truth.shape[0]}², their clicks in one round"
    table = result.table(
        title, "threads", "ms per click", "ratio to 1", note="The kernel lets go of Python's lock."
    )
    expected, single = ask(slice(None)), 0.0
    for count in (1, 2, 4):
        parts = [slice(i * batch // count, (i + 1) * batch // count) for i in range(count)]
        with ThreadPoolExecutor(count) as pool:
            times, found = [], []
            for _ in range(repeats + 1):
                start = time.perf_counter()
                found = [round_ for answers in pool.map(ask, parts) for round_ in answers]
                times.append((time.perf_counter() - start) * 1000 / batch)
        if found != list(expected):
            sys.exit(f"{count} threads: clicks differ")
        single = single or median(times[1:])
        table.add(str(count), f"{median(times[1:]):.4f}", f"{single / median(times[1:]):.2f}x")


def compile_times() -> str:
    """Return how long the kernel takes to load in a new process, from the cache and without one."""
    code = "import numba, time; t = time.perf_counter(); import simclick.annotators.kernels; {}"
    ending = "print(time.perf_counter() - t)"
    no_cache = "import numba.core.caching as c; c.CompileResultCacheImpl._locator_classes = []; "
    found = []
    for prefix in ("", "", no_cache):  # the first one may still have to fill the cache
        command = [sys.executable, "-c", prefix + code.format(ending)]
        found.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return (
        f"kernel: {found[1]:.2f} s to load from numba's cache, {found[2]:.1f} s to compile, once per process"
    )


def main() -> None:
    """Print the table."""
    options = arguments(__doc__, masks=True).parse_args()
    peer = ritm_peer(options.ritm) if options.ritm else plain_peer
    name, typical = masks(options.masks)
    cv2.ipp.setUseIPP(False)
    result = Result("clicks")
    compiling = compile_times()
    table = result.table(
        f"Milliseconds per click, medians (of {options.repeats} repeats, then over clicks)",
        *(
            "masks",
            "error, %",
            "peer",
            "ours",
            "medians",
            "totals",
            "ours, diverse",
            "one pass",
            "ours / pass",
        ),
        note=f"Peer: {'RITM, its own code' if options.ritm else 'its rule, written plainly (no --ritm)'}. "
        f"Typical: {len(typical)} {name}; large: a disc of 41 %; each with an empty and 20 converging "
        "masks; missing: the disc, and an empty mask at each of 21 clicks. One pass: the comparison of truth "
        f"and mask. OpenCV threads: {cv2.getNumThreads()}. {compiling}.",
    )
    for size in SIZES:
        truths = [resized(mask, size) for mask in typical]
        episodes = [(truth, episode_of(truth, seed)) for seed, truth in enumerate(truths)]
        line(table, peer, f"typical {size}²", episodes, options.repeats)
        large = disc(size)
        line(table, peer, f"large {size}²", [(large, episode_of(large, 0))], options.repeats)
        # An agent that does not respond: the whole disc is wrong at each of 21 clicks.
        line(table, peer, f"missing {size}²", [(large, [np.zeros_like(large)] * 21)], options.repeats)
    threads(result, resized(typical[0], 512), 120, options.repeats)
    result.save(options.json)


if __name__ == "__main__":
    main()
