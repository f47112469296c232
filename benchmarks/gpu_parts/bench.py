"""What the parts share: settings, results, the clock, models, operations."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, Sam

from simclick.baselines.sam.reduced import reduced_sam

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
                model = reduced_sam(depth=3, width=64, window=3) if self.small else sam_model_registry[size]()
            for name, p in model.named_parameters():
                if "rel_pos" in name or "pos_embed" in name:
                    p.data.normal_(0, 0.2)
                elif "norm" in name or name.endswith("bias"):
                    p.data.add_(torch.randn_like(p) * 0.1)
            self.models[size] = model.to(self.device).eval().requires_grad_(False)
        return self.models[size]


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


def first_line(problem: BaseException) -> str:
    """Return an error in one line."""
    lines = str(problem).strip().splitlines() or [""]
    return f"{type(problem).__name__}: {lines[0][:150]}"
