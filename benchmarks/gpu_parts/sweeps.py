"""The whole sweep in lockstep, beside the official predictor one by one."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from statistics import median

import cv2
import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from gpu_parts.bench import Bench, Result, first_line, graphed
from simclick.baselines.sam.fast.decoder import FastDecoder
from simclick.baselines.sam.fast.encoder import FastEncoder
from simclick.baselines.sam.fast.sweep import Sweep, sweep

LEVELS = (0, 2, 5, 10, 20, 30)


def picture(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture with structure, and an object."""
    rng = np.random.default_rng(5)
    field = cv2.GaussianBlur(rng.standard_normal((side, side, 3)).astype(np.float32), (0, 0), side / 40)
    image = cv2.normalize(field, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    rows, columns = np.mgrid[:side, :side] / side
    return image, ((rows - 0.45) ** 2 * 2 + (columns - 0.55) ** 2) < 0.02


def displacements(repeats: int, steps: int) -> np.ndarray:
    """Int64[levels · repeats, steps, 2]: levels share draws."""
    draws = np.random.default_rng(6).standard_normal((repeats, steps, 2))
    return np.concatenate([np.floor(level * draws + 0.5) for level in LEVELS]).astype(np.int64)


def sweeps(bench: Bench) -> Result:
    """One image, all levels, repeats and clicks in lockstep, beside the official predictor one by one."""
    model = bench.model("vit_b")
    side = 64 if bench.small else 512
    image, truth = picture(side)
    moves = displacements(bench.repeats, bench.steps)
    episodes = len(moves)
    found: Result = {"episodes": episodes, "steps": bench.steps}
    sequential, traces = one_by_one(bench, model, image, truth, moves)
    found["sequential"] = sequential
    ways: dict[str, tuple[str, torch.dtype, bool]] = {
        "fp32": ("folded", torch.float32, False),
        "bf16": ("triton" if bench.cuda else "folded", torch.bfloat16, False),
        "bf16 graph": ("triton", torch.bfloat16, True),
    }
    whole: dict[str, Sweep] = {}
    for name, (form, dtype, graph) in ways.items():
        if graph and not bench.cuda:
            continue
        try:
            seconds, first, result = in_lockstep(bench, model, image, truth, moves, form, dtype, graph)
        except Exception as problem:
            traceback.print_exc()
            bench.row(f"sweep {name}", f"failed: {first_line(problem)}")
            continue
        whole[name] = result
        times = sequential["all"] / seconds
        shared = sequential["shared"] / seconds
        found[name] = {"s": seconds, "first_s": first, "times": times, "times_shared": shared}
        found[name].update(agreement(result, traces, truth))
        bench.row(
            f"sweep {episodes} x {bench.steps}, {side}², {name}",
            f"{seconds * 1e3:.0f} ms; {times:.0f}x sequential, {shared:.0f}x with one embedding "
            f"(set-up and first call {first:.1f} s)",
        )
        bench.row(
            f"  {name} beside the official, {len(traces)} episodes",
            f"same clicks in {found[name]['same_clicks']:.1%} of steps; there at most "
            f"{found[name]['pixels']:.1e} of the pixels and {found[name]['dice']:.1e} of Dice differ",
        )
    if "fp32" in whole and "bf16" in whole:
        gap = (whole["fp32"].dice - whole["bf16"].dice).mean(dim=0).abs().max()
        found["mean dice gap"] = float(gap)
        bench.row("  bf16 against fp32, mean Dice per step", f"differs at most {float(gap):.1e}")
    return found


def in_lockstep(
    bench: Bench,
    model: Sam,
    image: np.ndarray,
    truth: np.ndarray,
    moves: np.ndarray,
    form: str,
    dtype: torch.dtype,
    graph: bool,
) -> tuple[float, float, Sweep]:
    """Return seconds per image (from host to host), those of the first call, and what came back."""
    began = time.monotonic()
    encoder, decoder = FastEncoder(model.image_encoder, form, dtype), FastDecoder(model, dtype)
    resize = SamPredictor(model).transform
    size = image.shape[:2]
    prepared = torch.as_tensor(resize.apply_image(image)).permute(2, 0, 1)
    input_size = prepared.shape[1], prepared.shape[2]
    pixels = torch.zeros_like(prepared, device=bench.device)
    truths = torch.zeros(1, *size, dtype=torch.bool, device=bench.device)
    of = torch.zeros(len(moves), dtype=torch.int64, device=bench.device)
    where = torch.zeros(moves.shape, dtype=torch.int64, device=bench.device)
    room = torch.empty(
        bench.steps, len(moves), size[0], -(-size[1] // 8), dtype=torch.uint8, pin_memory=bench.cuda
    )

    def device_work() -> Sweep:
        with torch.inference_mode():
            features = encoder(model.preprocess(pixels)[None])
            return sweep(decoder, decoder.images(features), truths, of, where, input_size, masks_to=room)

    def whole() -> Sweep:
        pixels.copy_(torch.as_tensor(resize.apply_image(image)).permute(2, 0, 1))
        truths.copy_(torch.from_numpy(truth)[None])
        where.copy_(torch.from_numpy(moves))
        return work().home()

    work: Callable[[], Sweep] = device_work
    pixels.copy_(prepared)
    truths.copy_(torch.from_numpy(truth)[None])
    where.copy_(torch.from_numpy(moves))
    if graph:
        work = graphed(bench, device_work)
    result = whole()
    first = time.monotonic() - began
    times = []
    for _ in range(1 if bench.small else 5):
        room.fill_(0xAA)
        began_one = time.perf_counter()
        result = whole()
        times.append(time.perf_counter() - began_one)
    return median(times), first, result


def one_by_one(
    bench: Bench, model: Sam, image: np.ndarray, truth: np.ndarray, moves: np.ndarray
) -> tuple[Result, list[tuple[int, list[tuple[int, int]], list[np.ndarray]]]]:
    """Time the sequential way on one episode per level, and keep its clicks and masks.

    The official `SamPredictor` encodes the image for each episode and predicts click by click; the next
    click is found as RITM's code does, by OpenCV's exact distance transform of the whole error.
    """
    predictor = SamPredictor(model)
    predictor.set_image(image)
    predictor.predict(np.array([[1, 1]]), np.array([1]))
    bench.sync()
    encode, rest, traces = [], [], []
    for e in range(0, len(moves), bench.repeats):
        began = time.perf_counter()
        predictor.set_image(image)
        bench.sync()
        middle = time.perf_counter()
        traces.append((e, *episode(predictor, truth, moves[e])))
        rest.append(time.perf_counter() - middle)
        encode.append(middle - began)
    many, sample = len(moves), len(rest)
    shared = median(encode) + many * sum(rest) / sample
    total = many * (sum(encode) + sum(rest)) / sample
    result = {"encode": median(encode), "episode": sum(rest) / sample, "all": total, "shared": shared}
    bench.row(
        f"sequential, extrapolated from {sample} episodes to {many}",
        f"{total:.1f} s (encode {median(encode) * 1e3:.0f} ms, 1 click "
        f"{result['episode'] / bench.steps * 1e3:.1f} ms); with one embedding {shared:.1f} s",
    )
    return result, traces


def episode(
    predictor: SamPredictor, truth: np.ndarray, moves: np.ndarray
) -> tuple[list[tuple[int, int]], list[np.ndarray]]:
    """Run one episode with the official predictor."""
    height, width = truth.shape
    mask, open_ = np.zeros_like(truth), np.ones_like(truth)
    points: list[tuple[int, int]] = []
    labels: list[int] = []
    meant, masks, logits = [], [], None
    for dx, dy in moves:
        x, y, positive = ritm_click(truth, mask, open_)
        meant.append((x, y))
        points.append((int(np.clip(x + dx, 0, width - 1)), int(np.clip(y + dy, 0, height - 1))))
        labels.append(int(positive))
        open_[points[-1][1], points[-1][0]] = False
        candidates, scores, low = predictor.predict(
            np.array(points), np.array(labels), mask_input=logits, multimask_output=len(points) == 1
        )
        best = int(np.argmax(scores))
        mask, logits = candidates[best], low[best][None]
        masks.append(mask)
    return meant, masks


def ritm_click(truth: np.ndarray, mask: np.ndarray, open_: np.ndarray) -> tuple[int, int, bool]:
    """Return the next click by OpenCV's distances, rounded to exact squares."""
    found = []
    for wrong in (truth & ~mask, ~truth & mask):
        padded = np.pad(wrong, 1).astype(np.uint8)
        far = cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1]
        found.append(np.rint(far.astype(np.float64) ** 2) * open_)
    positive = found[0].max() > found[1].max()
    y, x = np.unravel_index(int(np.argmax(found[0 if positive else 1])), truth.shape)
    return int(x), int(y), bool(positive)


def agreement(
    result: Sweep, traces: list[tuple[int, list[tuple[int, int]], list[np.ndarray]]], truth: np.ndarray
) -> Result:
    """Compare with the official episodes, as long as the clicks agree: later masks answer other clicks."""
    assert result.masks is not None
    same = steps = 0
    pixels = gap = 0.0
    for e, meant, masks in traces:
        together = True
        for step, (place, mask) in enumerate(zip(meant, masks, strict=True)):
            together = together and tuple(result.meant[e, step].tolist()) == place
            steps += 1
            if not together:
                continue
            same += 1
            got = np.unpackbits(result.masks[e, step].numpy(), axis=1)[:, : truth.shape[1]].astype(bool)
            have = [int((got & truth).sum()), int(got.sum()), int(truth.sum())]
            if result.counts[e, step].tolist() != have:
                raise AssertionError(f"counts {result.counts[e, step].tolist()} are not the masks' {have}")
            pixels = max(pixels, float((got != mask).mean()))
            want = 2 * int((mask & truth).sum()) / (int(mask.sum()) + have[2])
            gap = max(gap, abs(float(result.dice[e, step]) - want))
    return {"same_clicks": same / steps, "pixels": pixels, "dice": gap}
