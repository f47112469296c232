"""The next click: `center-click` beside RITM's ``Clicker``, in one run, on the same masks.

    python benchmarks/clicks.py --ritm CHECKOUT_OF_RITM [--masks FOLDER]

Every click is timed from a finished mask to a finished click, ours with all of Python around the kernel.
The masks of an episode are visited in order, so that each is out of the processor's first caches when
its turn comes. Clicks must be equal (with OpenCV's transform run without IPP, whose last bits depend on
memory alignment); the program stops where they are not. Without RITM's code the peer is its rule in
plain NumPy and OpenCV, and the output says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from workload import Mask, converging, disc, masks, resized

from simclick.annotators.base import Annotator
from simclick.case import Case
from simclick.prompts import Round
from simclick.registry import annotators
from simclick.seeding import Draws

SIZES = (256, 512, 1024)
Click = tuple[int, int, bool]
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


def plain_peer(truth: Mask) -> Callable[[Mask], Click]:
    """RITM's rule by whole-image distance transforms."""
    unclicked = np.ones_like(truth)

    def depth(wrong: Mask) -> Any:
        padded = cv2.copyMakeBorder(wrong.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        inside = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        return inside * unclicked

    def answer(mask: Mask) -> Click:
        missing, extra = depth(truth & ~mask), depth(mask & ~truth)
        positive = bool(missing.max() > extra.max())
        y, x = np.unravel_index(np.argmax(missing if positive else extra), truth.shape)
        unclicked[y, x] = False
        return int(x), int(y), positive

    return answer


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


def line(peer: Peer, label: str, episodes: list[tuple[Mask, list[Mask]]], repeats: int) -> None:
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
    print(
        f"{label:>14} {100 * median(errors):7.2f} {median(theirs):9.3f} {median(centre):9.4f} "
        f"{median(theirs) / median(centre):8.0f}x {sum(theirs) / sum(centre):8.0f}x {median(diverse):9.4f} "
        f"{median(passes):9.4f}",
        flush=True,
    )


def compile_times() -> str:
    """Return how long the kernel takes to load in a new process, from the cache and without one."""
    code = "import numba, time; t = time.perf_counter(); import simclick.annotators.kernels; {}"
    ending = "print(time.perf_counter() - t)"
    no_cache = "import numba.core.caching as c; c.CompileResultCacheImpl._locator_classes = []; "
    found = []
    for prefix in ("", no_cache):
        command = [sys.executable, "-c", prefix + code.format(ending)]
        found.append(float(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    return (
        f"kernel: {found[0]:.2f} s to load from numba's cache, {found[1]:.1f} s to compile, once per process"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ritm", type=Path, help="a checkout of RITM's repository")
    parser.add_argument("--masks", type=Path, help="a folder of 0/255 PNG masks")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    peer = ritm_peer(options.ritm) if options.ritm else plain_peer
    name, typical = masks(options.masks)
    cv2.ipp.setUseIPP(False)
    print(f"peer: {'RITM, its own code' if options.ritm else 'the same rule, written plainly (no --ritm)'}")
    print(
        f"typical: {len(typical)} {name}; large: a disc of 41 %; each with an empty and 20 converging masks"
    )
    print("missing: the disc, and an empty mask at each of 21 clicks")
    print(f"{compile_times()}; OpenCV threads: {cv2.getNumThreads()}")
    print(f"milliseconds per click, medians (of {options.repeats} repeats, then over clicks)")
    print(
        f"{'':>14} {'error %':>7} {'peer':>9} {'ours':>9} {'medians':>9} {'totals':>9} "
        f"{'diverse':>9} {'one pass':>9}"
    )
    for size in SIZES:
        truths = [resized(mask, size) for mask in typical]
        episodes = [(truth, episode_of(truth, seed)) for seed, truth in enumerate(truths)]
        line(peer, f"typical {size}²", episodes, options.repeats)
        large = disc(size)
        line(peer, f"large {size}²", [(large, episode_of(large, 0))], options.repeats)
        # An agent that does not respond: the whole disc is wrong at each of 21 clicks.
        line(peer, f"missing {size}²", [(large, [np.zeros_like(large)] * 21)], options.repeats)


if __name__ == "__main__":
    main()
