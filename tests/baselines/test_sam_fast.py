"""The fused forms of SAM against the official code, and clicks on the device against the library's kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")

from segment_anything import SamPredictor  # noqa: E402
from segment_anything.modeling import Sam  # noqa: E402

from simclick.agent import AgentInfo, Request  # noqa: E402
from simclick.annotators.kernels import best_click  # noqa: E402
from simclick.baselines.sam.fast.attention import best_attention  # noqa: E402
from simclick.baselines.sam.fast.clicks import distances, next_clicks, overlap_counts, packed  # noqa: E402
from simclick.baselines.sam.fast.decoder import (  # noqa: E402
    BOX_END,
    BOX_START,
    PADDING,
    UNUSED,
    FastDecoder,
)
from simclick.baselines.sam.fast.encoder import FastEncoder, form_of  # noqa: E402
from simclick.baselines.sam.fast.sweep import sweep  # noqa: E402
from simclick.baselines.sam.predictor import SamAgent, SamOptions, encoder_settings  # noqa: E402
from simclick.baselines.sam.reduced import reduced_sam  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402
from simclick.prompts import Round, click  # noqa: E402

SIDE = 128
GRID = SIDE // 16


pytestmark = pytest.mark.usefixtures("one_thread")


def model(window: int = 3, width: int = 64, heads: int = 4, seed: int = 0) -> Sam:
    """The official classes at a reduced size; no table of positions, norm or bias is left at its start."""
    sam = reduced_sam(SIDE, depth=3, width=width, heads=heads, window=window, seed=seed)
    for name, p in sam.named_parameters():
        if any(part in name for part in ("rel_pos", "pos_embed", "norm", "bias")):
            p.data.add_(torch.randn_like(p) * 0.3)
    return sam.eval().requires_grad_(False)


def picture(seed: int = 0, size: tuple[int, int] = (100, 90)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def gap(a: Any, b: Any) -> float:
    """Largest difference over largest value."""
    return float((a - b).abs().max() / b.abs().max())


# Windows that fill the grid of 8 x 8, that reach over its edge, and heads of 16 and 80.
SHAPES = [(4, 64, 4), (3, 64, 4), (7, 320, 4)]


@pytest.mark.parametrize("attention", ["folded", "flex"])
@pytest.mark.parametrize(("window", "width", "heads"), SHAPES)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_features_equal_the_official_encoder(attention: str, window: int, width: int, heads: int) -> None:
    sam = model(window, width, heads)
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.inference_mode():
        official = sam.image_encoder(images)
        fast = FastEncoder(sam.image_encoder, attention, torch.float32)
        assert gap(fast(images), official) < 1e-4
        # The bias is not idle: without it the features are others.
        for block in fast.blocks:
            block.table_h.zero_()
        assert gap(fast(images), official) > 1e-2


def test_half_precision_is_near_and_ignores_a_callers_autocast() -> None:
    sam, images = model(), torch.randn(1, 3, SIDE, SIDE)
    fast = FastEncoder(sam.image_encoder, "folded", torch.bfloat16)
    with torch.inference_mode():
        official, mine = sam.image_encoder(images), fast(images)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(fast(images), mine)
    assert mine.dtype == torch.float32
    assert float((mine - official).norm() / official.norm()) < 3e-2
    assert sam.image_encoder.neck[0].weight.dtype == torch.float32


FORMS = [(1, False, False), (3, False, True), (0, True, False), (2, True, True), (5, False, False)]


def test_one_batch_of_many_forms_and_images_equals_the_official_decoder() -> None:
    sam = model()
    torch.manual_seed(1)
    features = torch.randn(2, 32, GRID, GRID)
    many = len(FORMS)
    of = torch.arange(many) % 2
    points, logits = torch.rand(many, 7, 2) * SIDE, torch.randn(many, 4 * GRID, 4 * GRID) * 3
    labels = torch.full((many, 7), UNUSED)
    for row, (clicks, boxed, _) in zip(labels, FORMS, strict=True):
        row[:clicks] = torch.arange(clicks) % 2
        row[clicks : clicks + 2] = torch.tensor([BOX_START, BOX_END] if boxed else [PADDING, UNUSED])
    fast = FastDecoder(sam)
    with torch.inference_mode():
        low, quality = fast(
            fast.images(features), of, points, labels, logits, torch.tensor([f[2] for f in FORMS])
        )
        for i, (clicks, boxed, fed) in enumerate(FORMS):
            sparse, dense = sam.prompt_encoder(
                (points[i : i + 1, :clicks], labels[i : i + 1, :clicks]) if clicks else None,
                points[i : i + 1, clicks : clicks + 2].reshape(1, 4) if boxed else None,
                logits[i : i + 1, None] if fed else None,
            )
            masks, scores = sam.mask_decoder.predict_masks(
                features[of[i]][None], sam.prompt_encoder.get_dense_pe(), sparse, dense
            )
            assert gap(low[i], masks[0]) < 1e-4
            assert gap(quality[i], scores[0]) < 1e-4


def masks_of(rng: np.random.Generator, many: int, height: int, width: int) -> np.ndarray:
    import cv2

    found = []
    for _ in range(many):
        field = cv2.GaussianBlur(
            rng.standard_normal((height, width)), (0, 0), float(rng.choice([0.3, 1, 3, 8]))
        )
        share = rng.choice([0, 0.2, 0.5, 0.9, 1])
        found.append(field > np.quantile(field, share) if share else np.ones_like(field, bool))
    return np.stack(found)


def test_clicks_equal_the_librarys_kernel() -> None:
    rng = np.random.default_rng(0)
    kinds = set()
    for k in range(60):
        height, width = rng.integers(1, 60, 2)
        truths, masks = masks_of(rng, 2, height, width), masks_of(rng, 4, height, width)
        of = rng.integers(0, 2, 4)
        masks[0] = truths[of[0]]
        ignore = masks_of(rng, 2, height, width) & (rng.random((2, height, width)) < 0.5) if k % 2 else None
        clicked = np.zeros_like(masks)
        for _ in range(3):
            got = next_clicks(
                *(torch.from_numpy(a) for a in (truths, of, masks, clicked)),
                None if ignore is None else torch.from_numpy(ignore),
            )
            for e in range(4):
                places = [(int(x), int(y)) for y, x in np.argwhere(clicked[e])]
                want = best_click(truths[of[e]], masks[e], None if ignore is None else ignore[of[e]], places)
                x, y, positive, distance, found = (t[e].item() for t in got)
                assert ((x, y, positive, distance) if found else None) == want
                kinds.add(None if want is None else want[2])
                clicked[e, y, x] |= bool(found)
    assert kinds == {None, True, False}


def test_distances_by_hand() -> None:
    truth = torch.tensor([[[1, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]]).bool()
    mask = torch.tensor([[[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]]).bool()
    expected = [[1, 1, 1, 0, 0], [1, 4, 1, 0, -1], [1, 1, 1, 0, 0]]
    assert distances(truth, torch.tensor([0]), mask)[0].tolist() == expected
    none = torch.zeros_like(truth)
    assert distances(truth, torch.tensor([0]), mask, ~none)[0].sum() == 0
    assert [t.item() for t in overlap_counts(truth, torch.tensor([0]), mask)] == [0, 1, 9]


def test_masks_are_packed_as_numpy_does() -> None:
    rng = np.random.default_rng(0)
    for width in (1, 8, 13, 64):
        masks = rng.random((3, 5, width)) < 0.5
        np.testing.assert_array_equal(packed(torch.from_numpy(masks)).numpy(), np.packbits(masks, axis=2))


def test_a_sweep_equals_the_official_predictor_click_by_click() -> None:
    sam, rng = model(seed=3), np.random.default_rng(0)
    images = [picture(0), picture(1)]
    rows, columns = np.mgrid[:100, :90]
    truths = np.stack(
        [(rows - 40) ** 2 + (columns - 50) ** 2 < 900, (abs(rows - 70) < 12) & (abs(columns - 20) < 30)]
    )
    episodes, steps = 6, 5
    of = np.arange(episodes) % 2
    moves = np.round(rng.standard_normal((episodes, steps, 2)) * 6).astype(np.int64)
    predictor, features = SamPredictor(sam), []
    for image in images:
        predictor.set_image(image)
        features.append(predictor.features)
    room = torch.full((steps, episodes, 100, 12), 0xAA, dtype=torch.uint8)
    fast = FastDecoder(sam)
    found = sweep(
        fast,
        fast.images(torch.cat(features)),
        torch.from_numpy(truths),
        torch.from_numpy(of),
        torch.from_numpy(moves),
        predictor.input_size,
        batch=4,
        masks_to=room,
    ).home()
    assert found.masks is not None
    areas = set()
    for e in range(episodes):
        predictor.set_image(images[of[e]])
        truth, mask, logits = truths[of[e]], np.zeros((100, 90), bool), None
        points: list[tuple[int, int]] = []
        labels: list[int] = []
        for s in range(steps):
            want = best_click(truth, mask, None, points)
            assert want is not None
            assert (*found.meant[e, s].tolist(), bool(found.positive[e, s])) == want[:3]
            dx, dy = moves[e, s]
            points.append((int(np.clip(want[0] + dx, 0, 89)), int(np.clip(want[1] + dy, 0, 99))))
            labels.append(int(want[2]))
            assert tuple(found.landed[e, s].tolist()) == points[-1]
            candidates, scores, low = predictor.predict(
                np.array(points), np.array(labels), mask_input=logits, multimask_output=s == 0
            )
            best = int(np.argmax(scores))
            assert int(found.chosen[e, s]) == best
            mask, logits = candidates[best], low[best][None]
            got = np.unpackbits(found.masks[e, s].numpy(), axis=1)[:, :90].astype(bool)
            np.testing.assert_array_equal(got, mask)
            dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
            assert float(found.dice[e, s]) == pytest.approx(dice)
            areas.add(int(mask.sum()))
        np.testing.assert_allclose(found.logits[e].numpy(), low[best], atol=1e-3)
    assert len(areas) > 5


def test_an_episode_with_nothing_to_correct_has_no_click() -> None:
    sam = model()
    fast = FastDecoder(sam)
    empty = torch.zeros(1, 100, 90, dtype=torch.bool)
    moves = torch.zeros(2, 3, 2, dtype=torch.int64)
    tokens = fast.images(torch.randn(1, 32, GRID, GRID))
    found = sweep(fast, tokens, empty, torch.zeros(2, dtype=torch.int64), moves, (128, 115)).home()
    assert (found.meant == -1).all()
    assert (found.landed == -1).all()
    assert found.counts.sum() == 0
    assert (found.dice == 1).all()


INTERPRETED = """
import sys
sys.path.insert(0, sys.argv[1])
import test_sam_fast as t
import numpy as np
import torch

torch.set_num_threads(1)
for window, width, heads in t.SHAPES[1:]:
    sam = t.model(window, width, heads)
    images = torch.randn(1, 3, t.SIDE, t.SIDE)
    with torch.inference_mode():
        fast = t.FastEncoder(sam.image_encoder, "triton", torch.float32)
        assert t.gap(fast(images), sam.image_encoder(images)) < 1e-4
rng = np.random.default_rng(1)
for height, width in ((1, 3), (33, 20), (18, 47)):
    truths, masks = t.masks_of(rng, 2, height, width), t.masks_of(rng, 2, height, width)
    ignore = t.masks_of(rng, 2, height, width) & (rng.random((2, height, width)) < 0.5)
    clicked, of = rng.random(masks.shape) < 0.05, np.array([1, 0])
    args = [torch.from_numpy(a) for a in (truths, of, masks, clicked)]
    for skipped in (None, torch.from_numpy(ignore)):
        ours = t.next_clicks(*args, skipped, triton=True)
        for a, b in zip(ours, t.next_clicks(*args, skipped, triton=False)):
            assert torch.equal(a, b), (a, b)
print("equal")
"""


@pytest.mark.slow
def test_the_kernels_in_tritons_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED, here], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("equal\n"), done.stderr


@pytest.mark.parametrize(
    ("wanted", "device", "dtype", "form"),
    [
        ("auto", "cpu", torch.bfloat16, "plain"),
        ("auto", "cuda", torch.float32, "plain"),
        ("plain", "cuda", torch.bfloat16, "plain"),
        ("folded", "cpu", torch.float32, "folded"),
    ],
)
def test_what_auto_stands_for(wanted: str, device: str, dtype: Any, form: str) -> None:
    assert best_attention(wanted, device, dtype, 64) == form


def test_auto_on_a_gpu_takes_the_kernel_where_it_fits() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    assert best_attention("auto", "cuda", torch.bfloat16, 80) == "triton"
    assert best_attention("auto", "cuda", torch.bfloat16, 12) == "folded"


def test_an_encoder_that_is_not_the_official_one_stays_plain() -> None:
    encoder = model().image_encoder

    class Adapted(type(encoder.blocks[0])):  # type: ignore[misc]
        pass

    encoder.blocks[1].__class__ = Adapted
    assert form_of(encoder, "auto", "cuda", torch.bfloat16) == "plain"
    with pytest.raises(ConfigError, match=r"agent\.attention=folded"):
        form_of(encoder, "folded", "cuda", torch.bfloat16)


def answers(options: SamOptions) -> Any:
    info = AgentInfo("tiny-sam", accepts=frozenset({"click"}), random_weights=True)
    agent = SamAgent(model(), info, options)
    (embedding,) = agent.encode([picture()])
    (answer,) = agent.predict([Request(embedding, (100, 90), (Round((click(30, 20),)),))])
    assert answer.memories is not None
    return torch.stack(list(answer.memories))


def test_the_agent_takes_the_fused_encoder() -> None:
    assert gap(answers(SamOptions(attention="folded")), answers(SamOptions())) < 1e-4
    encoder = model().image_encoder
    assert encoder_settings(encoder, SamOptions(attention="folded")) == {"attention": "folded"}
    assert encoder_settings(encoder, SamOptions()) == {}


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["plain", "folded"])
def test_a_compiled_encoder_answers_the_same(attention: str) -> None:
    compiled = SamOptions(attention=attention, compile=True)
    assert gap(answers(compiled), answers(SamOptions())) < 1e-4
    assert encoder_settings(model().image_encoder, compiled)["compile"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attention": "fast"}, "agent.attention=fast"),
        ({"attention": "triton"}, "needs agent.device=cuda"),
        ({"attention": "flex"}, "needs agent.device=cuda"),
        ({"compile": "yes"}, "agent.compile=yes"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SamOptions(**options)
