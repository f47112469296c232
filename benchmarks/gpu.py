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
import os
import sys
import time
import traceback
from pathlib import Path

import torch
from gpu_parts.attention import attention
from gpu_parts.bench import Bench, Result, first_line
from gpu_parts.clicks import clicks
from gpu_parts.decoding import decode
from gpu_parts.encoding import encode_best, encode_others
from gpu_parts.sweeps import sweeps


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
    bench.row(f"matrix rate, {str(dtype).removeprefix('torch.')}", f"{bench.rate / 1e12:.0f} TFLOP/s")
    bench.row("copy, bytes read + written", f"{2 * big.numel() / copy / 1e12:.2f} TB/s")
    return {"name": name, "torch": torch.__version__, "rate": bench.rate, "copy": 2 * big.numel() / copy}


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
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("no GPU that torch can use; `--device cpu --small` checks the code without one")
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
