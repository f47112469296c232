"""Next clicks, overlap counts: on the device, equal to the CPU's."""

from __future__ import annotations

import time
from functools import partial

import cv2
import numpy as np
import torch

from gpu_parts.bench import Bench, Result
from simclick.baselines.sam.fast.clicks import next_clicks, overlap_counts


def blobs(rng: np.random.Generator, many: int, height: int, width: int) -> np.ndarray:
    """Random masks: smooth and rough, empty and full."""
    found = []
    for _ in range(many):
        smooth = float(rng.choice([0.3, 1, 3, 8, 25]))
        field = cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), smooth)
        share = rng.choice([0, 0.3, 0.5, 0.8, 0.97, 1], p=[0.03, 0.2, 0.3, 0.3, 0.14, 0.03])
        found.append(field > np.quantile(field, share) if share else np.ones_like(field, bool))
    return np.stack(found)


def clicks(bench: Bench) -> Result:
    """Equal to the library's kernel, pixel for pixel; then time, on typical and on large errors."""
    from simclick.annotators.kernels import best_click

    rng = np.random.default_rng(0)
    shapes = [(512, 512, 240), (256, 256, 400), (97, 131, 600), (64, 64, 600), (333, 500, 160)]
    shapes += [(1, 50, 60), (50, 1, 60), (17, 16, 400), (5, 3, 200), (700, 1025, 40), (40, 900, 100)]
    if bench.small:
        shapes = [(64, 64, 8), (1, 9, 8), (17, 16, 40)]
    compared = wrong = 0
    for height, width, many in shapes:
        truths, masks = blobs(rng, 8, height, width), blobs(rng, many, height, width)
        of = rng.integers(0, 8, many)
        masks[0] = truths[of[0]]
        ignore = blobs(rng, 8, height, width) & (rng.random((8, height, width)) < 0.3)
        for skipped in (None, ignore):
            clicked = np.zeros_like(masks)
            for _ in range(2):  # the second click has to pass over the first
                got = next_clicks(
                    *(torch.from_numpy(a).to(bench.device) for a in (truths, of, masks, clicked)),
                    None if skipped is None else torch.from_numpy(skipped).to(bench.device),
                )
                x, y, positive, distance, there = (t.cpu().numpy() for t in got)
                for e in range(many):
                    places = [(int(b), int(a)) for a, b in np.argwhere(clicked[e])]
                    known = None if skipped is None else skipped[of[e]]
                    want = best_click(truths[of[e]], masks[e], known, places)
                    have = (int(x[e]), int(y[e]), bool(positive[e]), int(distance[e])) if there[e] else None
                    compared += 1
                    wrong += want != have
                    if there[e]:
                        clicked[e, y[e], x[e]] = True
    bench.row("clicks equal to the CPU's", f"{compared - wrong} of {compared}{' WRONG' if wrong else ''}")
    found: Result = {"compared": compared, "wrong": wrong}
    episodes = 8 if bench.small else 120
    for side in (64,) if bench.small else (512, 1024):
        rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
        disc = rows**2 + columns**2 <= 0.41 * side * side / np.pi
        small = rows**2 + columns**2 <= 0.03 * side * side / np.pi
        moved = np.stack([np.roll(small, (k % 11 - 5, k % 7 - 3), (0, 1)) for k in range(episodes)])
        for name, truth, mask in (
            ("typical", small, moved ^ (blobs(rng, 1, side, side) & np.roll(small, 9, 0))),
            ("large", disc, np.zeros_like(moved)),
        ):
            args = [torch.from_numpy(a).to(bench.device) for a in (truth[None], mask)]
            of_, none = (
                torch.zeros(episodes, dtype=torch.int64, device=bench.device),
                torch.zeros_like(args[1]),
            )
            work = partial(next_clicks, args[0], of_, args[1], none)
            seconds = bench.time(work, seconds=0.3)
            dice = bench.time(partial(overlap_counts, args[0], of_, args[1]), seconds=0.2)
            began = time.perf_counter()
            for e in range(8):
                best_click(truth, mask[e])
            cpu = (time.perf_counter() - began) / 8
            found[f"{name} {side}"] = {"s": seconds, "dice_s": dice, "cpu_s_each": cpu, "episodes": episodes}
            bench.row(
                f"next click x{episodes}, {side}², {name} errors",
                f"{seconds * 1e3:.2f} ms ({seconds / episodes * 1e6:.1f} µs each; CPU kernel "
                f"{cpu * 1e6:.0f} µs each); Dice counts {dice * 1e3:.2f} ms",
            )
    return found
