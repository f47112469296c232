"""Encoding images: every form of attention, compiled or not, at several batches."""

from __future__ import annotations

import time
import traceback

import torch

from gpu_parts.bench import Bench, Result, encoder_flops, first_line, graphed, relative
from simclick.baselines.sam.fast import attention as fast_attention
from simclick.baselines.sam.fast.encoder import FastEncoder


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
