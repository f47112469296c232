"""SAM and the simulated annotator on a GPU: built, checked and timed in one call, with random weights.

    python benchmarks/gpu.py --out FOLDER [--budget SECONDS] [--only PART …] [--device cpu --small]

Needs torch, Triton, NumPy, Numba, OpenCV, segment-anything and this library. Every part checks before it
times, and a part that fails says so and lets the others run. Times are medians between CUDA events, warm.
Rates count the operations that the network needs (2 per multiply-add; the projections of window padding,
which the official code also computes, are not counted), and shares are of the matrix rate measured at the
start of the same run. All results go to ``FOLDER/gpu.json``; a table is printed last.

``--device cpu --small`` runs the same code on a reduced SAM, to check it; its times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from simclick.baselines.sam.fast import attention as fast_attention
from simclick.baselines.sam.fast.clicks import next_clicks, overlap_counts
from simclick.baselines.sam.fast.decoder import PADDING, UNUSED, FastDecoder
from simclick.baselines.sam.fast.encoder import FastEncoder
from simclick.baselines.sam.fast.sweep import Sweep, sweep

LEVELS = (0, 2, 5, 10, 20, 30)
Result = dict[str, Any]


class Bench:
    """Settings, results, and the clock."""

    def __init__(self, device: str, small: bool, budget: float, out: Path | None) -> None:
        self.device, self.small, self.out = torch.device(device), small, out
        self.cuda = self.device.type == "cuda"
        self.end = time.monotonic() + budget
        self.start = time.monotonic()
        self.results: Result = {}
        self.rows: list[tuple[str, str]] = []
        self.rate = float("nan")
        self.models: dict[str, Sam] = {}
        self.steps = 4 if small else 20
        self.repeats = 2 if small else 20

    def left(self) -> float:
        """Seconds left."""
        return self.end - time.monotonic()

    def row(self, name: str, words: str) -> None:
        """Add a line to the table, and show it."""
        self.rows.append((name, words))
        print(f"[{time.monotonic() - self.start:5.0f} s] {name:44} {words}", flush=True)

    def save(self) -> None:
        """Write what there is."""
        if self.out:
            self.out.mkdir(parents=True, exist_ok=True)
            content = {**self.results, "table": self.rows}
            (self.out / "gpu.json").write_text(json.dumps(content, indent=1, default=float))

    def time(self, work: Callable[[], Any], least: int = 5, seconds: float = 0.6) -> float:
        """Return the median seconds of a piece of device work, warm."""
        for _ in range(2 if not self.small else 1):
            work()
        times: list[float] = []
        began = time.monotonic()
        while len(times) < least or (time.monotonic() - began < seconds and len(times) < 200):
            if not self.cuda:
                t = time.perf_counter()
                work()
                times.append(time.perf_counter() - t)
                continue
            marks = [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            marks[0].record()
            work()
            marks[1].record()
            marks[1].synchronize()
            times.append(marks[0].elapsed_time(marks[1]) / 1e3)
        return median(times)

    def sync(self) -> None:
        """Wait for the device."""
        if self.cuda:
            torch.cuda.synchronize()

    def model(self, size: str) -> Sam:
        """Return a SAM whose random weights leave nothing at zero (as position tables would be)."""
        if size not in self.models:
            torch.manual_seed(0)
            with self.device:
                model = tiny_sam() if self.small else sam_model_registry[size]()
            for name, p in model.named_parameters():
                if "rel_pos" in name or "pos_embed" in name:
                    p.data.normal_(0, 0.2)
                elif "norm" in name or name.endswith("bias"):
                    p.data.add_(torch.randn_like(p) * 0.1)
            self.models[size] = model.to(self.device).eval().requires_grad_(False)
        return self.models[size]


def tiny_sam() -> Sam:
    """The official classes at a reduced size."""
    side, grid = 128, 8
    encoder = ImageEncoderViT(
        depth=3,
        embed_dim=64,
        img_size=side,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=4,
        use_rel_pos=True,
        global_attn_indexes=(1,),
        window_size=3,
        out_chans=32,
    )
    transformer = TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=64, num_heads=4)
    decoder = MaskDecoder(transformer_dim=32, transformer=transformer, iou_head_hidden_dim=32)
    return Sam(encoder, PromptEncoder(32, (grid, grid), (side, side), 16), decoder)


def encoder_flops(encoder: ImageEncoderViT, padded: bool) -> float:
    """Return operations per image; with `padded`, also the projections of padding (the official code's)."""
    grid = encoder.img_size // encoder.patch_embed.proj.kernel_size[0]
    width = encoder.patch_embed.proj.out_channels
    total = 2.0 * grid**2 * width * encoder.patch_embed.proj.weight[0].numel()
    for block in encoder.blocks:
        window = block.window_size or grid
        many = -(-grid // window)
        tokens, all_tokens = grid**2, (many * window) ** 2
        total += 2 * (all_tokens if padded else tokens) * width * 4 * width  # qkv and proj
        total += 2 * 2 * all_tokens * window**2 * width  # scores and sums
        total += 2 * 2 * (all_tokens if padded else tokens) * window * width  # terms of positions
        total += 2 * 2 * tokens * width * block.mlp.lin1.out_features
    out = encoder.neck[0].out_channels
    return total + 2 * grid**2 * (width * out + 9 * out * out)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return ‖a - b‖ / ‖b‖."""
    return float((a.double() - b.double()).norm() / b.double().norm())


def graphed(bench: Bench, work: Callable[[], Any]) -> Callable[[], Any]:
    """Return the work as a CUDA graph; on a CPU the work itself."""
    if not bench.cuda:
        return work
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = work()

    def replay() -> Any:
        graph.replay()
        return kept

    return replay


# The card


def card(bench: Bench) -> Result:
    """What the card does at best: a large matrix product on random data, and a copy."""
    n, dtype = (256, torch.float32) if bench.small else (8192, torch.bfloat16)
    a, b = (torch.randn(n, n, device=bench.device, dtype=dtype) for _ in range(2))
    seconds = bench.time(lambda: a @ b)
    bench.rate = 2 * n**3 / seconds
    big = torch.empty((1 << 20) if bench.small else (1 << 31), dtype=torch.uint8, device=bench.device)
    other = torch.empty_like(big)
    copy = bench.time(lambda: other.copy_(big))
    name = torch.cuda.get_device_name() if bench.cuda else "CPU"
    bench.row("card", f"{name}, torch {torch.__version__}")
    bench.row("matrix rate, bf16", f"{bench.rate / 1e12:.0f} TFLOP/s")
    bench.row("copy, bytes read + written", f"{2 * big.numel() / copy / 1e12:.2f} TB/s")
    return {"name": name, "torch": torch.__version__, "rate": bench.rate, "copy": 2 * big.numel() / copy}


# Attention alone


def attention(bench: Bench) -> Result:
    """Global and window attention of ViT-B and ViT-H: our kernel at several settings, beside SDPA."""
    from simclick.baselines.sam.fast import triton_attention as kernel

    found: Result = {}
    grid, batch = (8, 1) if bench.small else (64, 4)
    dtype = torch.float32 if not bench.cuda else torch.bfloat16
    for kind, window in (("global", grid), ("window", 3 if bench.small else 14)):
        for size, heads, dim in (("vit_b", 12, 64), ("vit_h", 16, 80)):
            torch.manual_seed(1)
            shapes = [(batch, grid, grid, 3 * heads * dim), *[(window, window, dim)] * 2, (3 * heads * dim,)]
            qkv, *rest = (torch.randn(*s, device=bench.device).to(dtype) for s in shapes)
            rest[:2] = [t * 0.2 for t in rest[:2]]
            exact = fast_attention.attend("folded", qkv.float(), heads, window, *(t.float() for t in rest))
            many = -(-grid // window)
            flops = batch * 4.0 * (many * window) ** 2 * window**2 * heads * dim
            # Tried on ViT-B; ViT-H takes what was best there.
            tried = settings(kind) if size == "vit_b" else [tuple(kernel.LAUNCH[kind].values())]
            forms = {f"triton {s}": s for s in tried} if bench.cuda else {}
            timed: dict[str, float] = {}
            for name, launch in [*forms.items(), ("folded", None)]:
                form = "triton" if launch else "folded"
                if launch:
                    kernel.LAUNCH[kind] = dict(zip(LAUNCH_KEYS, launch, strict=True))
                work = partial(fast_attention.attend, form, qkv, heads, window, *rest)
                try:
                    error = relative(work(), exact)
                    timed[name] = bench.time(work, seconds=0.15)
                except Exception as problem:
                    bench.row(f"  {kind} {size} {name}", f"failed: {first_line(problem)}")
                    continue
                if not error < 2e-2:
                    bench.row(f"  {kind} {size} {name}", f"WRONG: error {error:.1e}")
                    del timed[name]
                    continue
                found[f"{kind} {size} {name}"] = {"s": timed[name], "error": error, "flops": flops}
            ours = [name for name in timed if name != "folded"]
            if ours:
                best = min(ours, key=timed.__getitem__)
                kernel.LAUNCH[kind] = dict(zip(LAUNCH_KEYS, forms[best], strict=True))
                for name in sorted(timed, key=timed.__getitem__)[:3]:
                    found_error = found[f"{kind} {size} {name}"]["error"]
                    bench.row(
                        f"{kind} attention {size} x{batch}: {name.replace('triton ', '')}",
                        f"{timed[name] * 1e3:.3f} ms, {flops / timed[name] / 1e12:.0f} TFLOP/s, "
                        f"error {found_error:.1e}",
                    )
            if kind == "global" and bench.cuda:
                q, k, v = qkv.view(batch, grid * grid, 3, heads, dim).permute(2, 0, 3, 1, 4)
                bare = bench.time(
                    lambda q=q, k=k, v=v: torch.nn.functional.scaled_dot_product_attention(q, k, v),
                    seconds=0.15,
                )
                found[f"{kind} {size} without bias"] = {"s": bare, "flops": flops}
                bench.row(
                    f"{kind} attention {size} x{batch}: SDPA, no bias",
                    f"{bare * 1e3:.3f} ms, {flops / bare / 1e12:.0f} TFLOP/s",
                )
    found["chosen"] = {k: dict(v) for k, v in kernel.LAUNCH.items()}
    return found


LAUNCH_KEYS = ("BLOCK_M", "ROWS", "num_warps", "num_stages")


def settings(kind: str) -> list[tuple[int, int, int, int]]:
    """Settings of the kernel that are tried, the library's own last."""
    if kind == "global":
        return [(64, 1, 4, 3), (64, 1, 4, 2), (128, 1, 8, 2), (128, 1, 8, 4), (128, 1, 8, 3)]
    return [(64, 2, 4, 2), (128, 4, 8, 2), (64, 4, 4, 1), (64, 4, 4, 2)]


# Encoding


class Encoding:
    """An encoder, its exact features and its operations."""

    def __init__(self, bench: Bench, size: str) -> None:
        self.bench, self.size = bench, size
        self.encoder = bench.model(size).image_encoder
        torch.manual_seed(2)
        side = self.encoder.img_size
        self.images = torch.randn(1 if bench.small else 8, 3, side, side, device=bench.device)
        self.needed, self.official = (encoder_flops(self.encoder, padded) for padded in (False, True))
        with torch.inference_mode():
            self.exact = self.encoder(self.images[:1])

    def run(self, attention: str, compiled: bool, batches: tuple[int, ...], graph: bool = True) -> Result:
        """Check and time one way to encode."""
        import torch._dynamo

        bench, found = self.bench, {}
        torch._dynamo.reset()
        fast_attention._compiled_flex = None
        dtype = torch.bfloat16
        if attention == "plain":

            def encode(x: torch.Tensor) -> torch.Tensor:
                with torch.autocast(bench.device.type, dtype=dtype):
                    return self.encoder(x).float()
        else:
            encode = FastEncoder(self.encoder, attention, dtype, compile=compiled)
        for batch in batches:
            x = self.images[:batch]
            began = time.monotonic()
            with torch.inference_mode():
                error = relative(encode(x)[:1], self.exact)
                bench.sync()
                first = time.monotonic() - began
                seconds, how = bench.time(lambda x=x: encode(x)), ""
                try:
                    if graph and bench.cuda:
                        replayed = bench.time(graphed(bench, lambda x=x: encode(x)))
                        seconds, how = min((seconds, ""), (replayed, ", graph"))
                except Exception as problem:
                    how = f", no graph: {first_line(problem)}"
            rate = self.needed * batch / seconds
            found[str(batch)] = {"s": seconds, "error": error, "rate": rate, "first_s": first}
            found[str(batch)]["share"] = rate / bench.rate
            words = f"{attention}{' compiled' if compiled else ''}"
            bench.row(
                f"encode {self.size} x{batch} {words}{how}",
                f"{seconds / batch * 1e3:.2f} ms/image, {rate / 1e12:.0f} TFLOP/s = "
                f"{rate / bench.rate:.0%} of the rate, error {error:.1e} (first call {first:.0f} s)",
            )
        return found


def encode_best(bench: Bench) -> Result:
    """ViT-B, L and H the fast way."""
    found: Result = {}
    form = "triton" if bench.cuda else "folded"
    for size in ("vit_b",) if bench.small else ("vit_b", "vit_l", "vit_h"):
        encoding = Encoding(bench, size)
        found[size] = {"flops": encoding.needed, "flops_official": encoding.official}
        bench.row(
            f"operations {size}", f"{encoding.needed / 1e9:.0f} G ({encoding.official / 1e9:.0f} official)"
        )
        try:
            found[size]["compiled"] = encoding.run(
                form, not bench.small, (1,) if bench.small else (4, 8) if size == "vit_b" else (4,)
            )
        except Exception as problem:
            traceback.print_exc()
            bench.row(f"encode {size} {form} compiled", f"failed: {first_line(problem)}")
            found[size]["plain calls"] = encoding.run(form, False, (4,))
        if size != "vit_b":
            bench.models.pop(size, None)
    return found


def encode_others(bench: Bench) -> Result:
    """The other ways: official code, bias folded into queries and keys, FlexAttention; batch 1."""
    found: Result = {}
    encoding = Encoding(bench, "vit_b")
    ways: list[tuple[str, bool, tuple[int, ...]]] = [
        ("plain", False, (1, 4)),
        ("folded", False, (4,)),
        ("triton", False, (1, 4)),
        ("triton", True, (1,)),
        ("folded", True, (4,)),
        ("flex", True, (4,)),
    ]
    if bench.small:
        ways = [("plain", False, (1,)), ("folded", False, (1,)), ("flex", False, (1,))]
    for form, compiled, batches in ways:
        if bench.left() < 15:
            bench.row(f"encode vit_b {form}", "skipped: no time left")
            continue
        try:
            found[f"{form} {compiled}"] = encoding.run(form, compiled, batches)
        except Exception as problem:
            bench.row(f"encode vit_b {form}", f"failed: {first_line(problem)}")
    for size in () if bench.small else ("vit_l", "vit_h"):
        if bench.left() > 25:
            found[size] = Encoding(bench, size).run("plain", False, (1,))
            bench.models.pop(size, None)
    return found


# Clicks


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


# Decoding


def decode(bench: Bench) -> Result:
    """Many requests on several images and of several lengths in one batch, beside the official decoder."""
    model = bench.model("vit_b")
    side, grid = model.image_encoder.img_size, model.prompt_encoder.image_embedding_size
    channels = model.prompt_encoder.embed_dim
    many, images, most = (6, 2, 3) if bench.small else (120, 4, 20)
    torch.manual_seed(3)
    features = torch.randn(images, channels, *grid, device=bench.device)
    of = torch.arange(many, device=bench.device) % images
    points = torch.rand(many, most + 1, 2, device=bench.device) * side
    lengths = torch.arange(many, device=bench.device) % most + 1
    place = torch.arange(most + 1, device=bench.device)
    labels = torch.randint(0, 2, (many, most + 1), device=bench.device)
    labels = torch.where(place < lengths[:, None], labels, UNUSED)
    labels[torch.arange(many, device=bench.device), lengths] = PADDING
    logits = torch.randn(many, 4 * grid[0], 4 * grid[1], device=bench.device) * 5
    found: Result = {}
    flops = decoder_flops(model, most + 6)
    with torch.inference_mode():
        alone = []
        for i in range(0, many, max(1, many // 12)):
            n = int(lengths[i])
            sparse, dense = model.prompt_encoder(
                (points[i : i + 1, :n], labels[i : i + 1, :n]), None, logits[i : i + 1, None]
            )
            alone.append((i, official_decode(model, features[of[i]][None], sparse, dense)))
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            fast = FastDecoder(model, dtype)
            tokens = fast.images(features)
            work = partial(fast, tokens, of, points, labels, logits)
            low, _ = work()
            error = max(relative(low[i], ref[0]) for i, ref in alone)
            flips = max(float(((low[i] > 0) != (ref[0] > 0)).float().mean()) for i, ref in alone)
            seconds = bench.time(work)
            graph = float("nan")
            try:
                graph = bench.time(graphed(bench, work))
            except Exception as problem:
                bench.row(f"decode {name} as a graph", f"failed: {first_line(problem)}")
            found[name] = {"s": seconds, "graph_s": graph, "error": error, "flips": flips, "many": many}
            best = min(seconds, graph) if graph == graph else seconds
            bench.row(
                f"decode x{many}, {images} images, 1-{most} clicks, {name}",
                f"{best * 1e3:.2f} ms ({best / many * 1e6:.0f} µs each, {many * flops / best / 1e12:.0f} "
                f"TFLOP/s), error {error:.1e}, pixels flipped {flips:.1e}",
            )
        sparse, dense = model.prompt_encoder(
            (points[:, :most], labels.clamp(min=0)[:, :most]), None, logits[:, None]
        )
        for name in ("fp32", "bf16"):
            with torch.autocast(bench.device.type, torch.bfloat16, enabled=name == "bf16"):
                seconds = bench.time(lambda: official_decode(model, features[:1], sparse, dense))
                one = bench.time(lambda: official_decode(model, features[:1], sparse[:1], dense[:1]))
            found[f"official {name}"] = {"s": seconds, "one_s": one}
            bench.row(
                f"  official decoder, one image, {name}",
                f"{seconds * 1e3:.2f} ms for {many} of one form; {one * 1e3:.2f} ms for one",
            )
    return found


def official_decode(
    model: Sam, features: torch.Tensor, sparse: torch.Tensor, dense: torch.Tensor
) -> torch.Tensor:
    """Return the official decoder's four masks."""
    low: torch.Tensor = model.mask_decoder.predict_masks(
        image_embeddings=features,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
    )[0]
    return low


def decoder_flops(model: Sam, tokens: int) -> float:
    """Return operations of one request: image side, token side and upscaling."""
    c = model.prompt_encoder.embed_dim
    h, w = model.prompt_encoder.image_embedding_size
    n, half = h * w, c // 2
    layer = 2 * n * c * half * 3 + 2 * n * half * c + 2 * 2 * 2 * n * tokens * half
    layer += 2 * tokens * (4 * c * c + 6 * c * half + 2 * c * 2048)
    up = 2 * n * c * c + 2 * 4 * n * (c // 4) * (c // 2) + 2 * 16 * n * (c // 8) * 4
    mask = 2 * n * (16 * 4 + 16 * 16 + 16 * c)
    return 2.0 * layer + 2 * n * c * half * 2 + 2 * 2 * n * tokens * half + up + mask


# The sweep


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


def first_line(problem: BaseException) -> str:
    """Return an error in one line."""
    lines = str(problem).strip().splitlines() or [""]
    return f"{type(problem).__name__}: {lines[0][:150]}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(os.environ["OUT"]) if "OUT" in os.environ else None)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a reduced SAM, to check the code")
    parser.add_argument("--budget", type=float, default=220.0, help="seconds after which no part starts")
    parser.add_argument("--only", nargs="*", help="names of parts")
    options = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False  # the references are exact in single precision
    torch.backends.cuda.matmul.allow_tf32 = False
    bench = Bench(options.device, options.small, options.budget, options.out)
    if options.small:
        torch.set_num_threads(1)  # so small a network is many times slower on several busy threads
    parts = (card, attention, encode_best, clicks, sweeps, decode, encode_others)
    failed: list[str] = []
    for part in parts:
        if options.only and part.__name__ not in options.only:
            continue
        if bench.left() < 10:
            bench.row(part.__name__, "skipped: no time left")
            continue
        began = time.monotonic()
        try:
            bench.results[part.__name__] = part(bench)
        except Exception as problem:
            traceback.print_exc()
            failed.append(part.__name__)
            bench.row(part.__name__, f"FAILED: {first_line(problem)}")
        bench.results.setdefault("seconds", {})[part.__name__] = time.monotonic() - began
        if bench.cuda:
            torch.cuda.empty_cache()
        bench.save()
    print("\n" + "=" * 100)
    for name, words in bench.rows:
        print(f"{name:52} {words}")
    print("parts failed:", ", ".join(failed) or "none")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
