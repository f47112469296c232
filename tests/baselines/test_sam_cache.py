"""SAM's embeddings on disk: what names an encoder, and what half precision does to logits."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")

from test_sam import SEQUENCES, agent, image  # noqa: E402

from simclick.agent import Request  # noqa: E402
from simclick.baselines.sam.reduced import reduced_sam  # noqa: E402
from simclick.harness.embedding_cache import EmbeddingCache  # noqa: E402
from simclick.harness.encoding import Encoder, Encodes  # noqa: E402
from simclick.prompts import Round  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def changed(name: str) -> Any:
    """Return the tiny SAM with something changed that changes embeddings."""
    model = reduced_sam()
    encoder = model.image_encoder
    with torch.no_grad():
        if name == "one weight":
            encoder.blocks[1].mlp.lin2.weight[3, 4] = torch.nextafter(
                encoder.blocks[1].mlp.lin2.weight[3, 4], torch.tensor(torch.inf)
            )
        elif name == "heads":  # in no weight's shape, without positions
            for block in encoder.blocks:
                block.attn.num_heads, block.attn.use_rel_pos = 2, False
        elif name == "window":
            encoder.blocks[0].window_size = 5
        elif name == "norm's epsilon":
            encoder.blocks[0].norm1.eps = 1e-5
        elif name == "activation":
            encoder.blocks[0].mlp.act = torch.nn.GELU(approximate="tanh")
        elif name == "pixel mean":
            model.pixel_mean = model.pixel_mean + 1
        elif name == "another seed":
            model = reduced_sam(seed=1)
        elif name == "half the weights":
            encoder.half()
    return model


CHANGES = (
    *("one weight", "heads", "window", "norm's epsilon", "activation", "pixel mean", "another seed"),
    "half the weights",
)


def test_everything_that_changes_embeddings_names_another_encoder() -> None:
    digests = [agent(changed(name)).encoder_digest() for name in ("", *CHANGES)]
    digests += [agent(dtype="bf16").encoder_digest(), agent(attention="folded").encoder_digest()]
    digests += [agent(compile=True).encoder_digest()] if hasattr(torch, "compile") else []
    scaled = agent()
    scaled._resize.target_length = 64
    digests.append(scaled.encoder_digest())

    class Flips(type(agent())):  # type: ignore[misc]
        def encode(self, images: Any) -> Any:
            return super().encode([i[::-1].copy() for i in images])

    plain = agent()
    digests.append(Flips(plain.model, plain.info, plain.options).encoder_digest())
    assert len(set(digests)) == len(digests)


def test_what_only_changes_answers_names_the_same_encoder() -> None:
    first = agent().encoder_digest()
    assert agent().encoder_digest() == first
    for options in ({"multimask": "always"}, {"feed_logits": False}, {"decoder": "fast"}):
        assert agent(**options).encoder_digest() == first
    model = reduced_sam()
    with torch.no_grad():
        model.mask_decoder.iou_token.weight += 1
        model.prompt_encoder.no_mask_embed.weight += 1
    assert agent(model).encoder_digest() == first
    assert agent(copy.deepcopy(reduced_sam())).encoder_digest() == first


def test_a_write_to_the_weights_is_another_encoder() -> None:
    mine = agent(reduced_sam())
    first = mine.encoder_digest()
    with torch.no_grad():
        mine.model.image_encoder.blocks[0].mlp.lin1.bias.add_(1)
    second = mine.encoder_digest()
    assert second not in (first, None)
    assert mine.encoder_digest() == second
    mine.model.pixel_mean += 1
    assert mine.encoder_digest() not in (first, second)


def test_batches_and_precision_are_part_of_the_encoder() -> None:
    first = agent().encoder_digest()
    assert agent(encoder_batch=4).encoder_digest() != first
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert agent().encoder_digest() != first
    finally:
        torch.set_float32_matmul_precision(before)


def test_random_weights_never_share_entries(tmp_path: Path) -> None:
    cache, pictures = EmbeddingCache(tmp_path), {"name": image(60, 90)}
    for seed in (0, 1):
        encoder = Encoder(agent(reduced_sam(seed=seed)), cache)
        encoder.encode(pictures)
        assert encoder.done == Encodes(0, 1)
    again = Encoder(agent(reduced_sam(seed=0)), cache)
    (embedding,) = again.encode(pictures).values()
    assert again.done == Encodes(1, 0)
    (fresh,) = agent().encode([image(60, 90)])
    assert torch.equal(embedding.data.features, fresh.data.features)
    assert embedding.data.input_size == fresh.data.input_size


def test_half_precision_moves_logits_little(tmp_path: Path) -> None:
    """Logits move by less than 0.5 % of their largest value; the same bound is in the documentation."""
    encoder = Encoder(agent(), EmbeddingCache(tmp_path), fp16=True)
    worst = 0.0
    for size in ((60, 90), (200, 150), (128, 128)):
        picture = image(*size)
        (exact,), (half,) = agent().encode([picture]), encoder.encode({str(size): picture}).values()
        assert not torch.equal(exact.data.features, half.data.features)
        for prompts in SEQUENCES.values():
            asked = tuple(Round((prompt,)) for prompt in prompts)
            (a,), (b,) = (agent().predict([Request(e, size, asked)]) for e in (exact, half))
            assert a.memories is not None
            assert b.memories is not None
            for one, other in zip(a.memories, b.memories, strict=True):
                worst = max(worst, float((one - other).abs().max() / one.abs().max()))
    print(f"half precision: logits move by {worst:.1e} of the largest")
    assert 0 < worst < 5e-3
