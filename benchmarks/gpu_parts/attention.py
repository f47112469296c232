"""Attention alone: global and window, ours at several settings, beside SDPA."""

from __future__ import annotations

from functools import partial

import torch

from gpu_parts.bench import Bench, Result, first_line, relative
from simclick.baselines.sam.fast import attention as fast_attention


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
