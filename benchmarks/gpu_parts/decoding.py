"""Decoding many requests at once, beside the official decoder."""

from __future__ import annotations

from functools import partial

import torch
from segment_anything.modeling import Sam

from gpu_parts.bench import Bench, Result, first_line, graphed, relative
from simclick.baselines.sam.fast.decoder import PADDING, UNUSED, FastDecoder


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
