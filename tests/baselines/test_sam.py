"""SAM against the official predictor on equal weights, and loading of checkpoints."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")


from segment_anything import SamAutomaticMaskGenerator, SamPredictor  # noqa: E402
from segment_anything.modeling import Sam  # noqa: E402

from simclick.agent import AgentInfo, Request  # noqa: E402
from simclick.baselines.fit import load_weights  # noqa: E402
from simclick.baselines.sam.everything import EverythingOptions  # noqa: E402
from simclick.baselines.sam.predictor import SamAgent, SamOptions, decode_batch  # noqa: E402
from simclick.baselines.sam.reduced import reduced_sam  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402
from simclick.harness.select import candidate_masks  # noqa: E402
from simclick.prompts import Prompt, Round, box, click, everything  # noqa: E402
from simclick.testing import check_agent  # noqa: E402

SIDE = 128
FEW_POINTS = EverythingOptions(points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0)
"""Everything mode, quick, and with masks from random weights."""


pytestmark = pytest.mark.usefixtures("one_thread")


def agent(model: Sam | None = None, **options: Any) -> SamAgent:
    chosen = SamOptions(**options)
    info = AgentInfo(
        "tiny-sam",
        accepts=frozenset({"click", "box", "everything"}),
        random_weights=True,
        uses_previous=chosen.feed_logits,
    )
    return SamAgent(model or reduced_sam(), info, chosen)


def image(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([(rows * 3) % 256, (columns * 5) % 256, (rows + columns) % 256], axis=2).astype(np.uint8)


SEQUENCES: dict[str, list[Prompt]] = {
    "one click": [click(30, 20)],
    "several clicks": [click(30, 20), click(5, 6, positive=False), click(40, 39)],
    "a box": [box(5, 8, 60, 50)],
    "box and clicks": [box(5, 8, 60, 50), click(30, 20), click(10, 40, positive=False)],
    "two boxes": [box(0, 0, 3, 3), box(5, 8, 60, 50)],
}


@pytest.mark.parametrize("size", [(60, 90), (90, 61), (200, 150), (128, 128)])
@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("memory", [False, True])
def test_logits_equal_the_official_predictor(size: tuple[int, int], name: str, memory: bool) -> None:
    compare(reduced_sam(), size, SEQUENCES[name], memory)


@pytest.mark.slow
def test_logits_equal_the_official_predictor_at_full_size() -> None:
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    model = sam_model_registry["vit_b"]().eval()
    for name in ("one click", "box and clicks"):
        compare(model, (96, 140), SEQUENCES[name], memory=True)


def compare(model: Sam, size: tuple[int, int], prompts: list[Prompt], memory: bool) -> None:
    picture = image(*size)
    mine = agent(model, multimask="first-click")
    (embedding,) = mine.encode([picture])
    side = 4 * model.prompt_encoder.image_embedding_size[0]
    logits = torch.linspace(-3, 3, side * side).reshape(side, side) if memory else None
    rounds = tuple(Round((prompt,)) for prompt in prompts)
    (answer,) = mine.predict([Request(embedding, size, rounds, memory=logits)])

    official = SamPredictor(model)
    official.set_image(picture)
    clicks = [p for p in prompts if p.kind == "click"]
    boxes = [p for p in prompts if p.kind == "box"]
    masks, scores, low = official.predict(
        point_coords=np.array([p.landed for p in clicks]) if clicks else None,
        point_labels=np.array([int(p.positive) for p in clicks]) if clicks else None,
        box=np.array(boxes[-1].landed) if boxes else None,
        mask_input=logits.numpy()[None] if logits is not None else None,
        multimask_output=len(prompts) == 1 and bool(clicks),
    )
    assert answer.memories is not None
    np.testing.assert_allclose(torch.stack(list(answer.memories)).numpy(), low, atol=1e-4)
    np.testing.assert_allclose(answer.scores, scores, atol=1e-4)
    assert np.mean(np.asarray(answer.candidates) != masks) < 1e-4


@pytest.mark.parametrize(
    "options", [{}, {"feed_logits": False}, {"multimask": "always"}, {"encoder_batch": 3}]
)
def test_sam_conforms(options: dict[str, Any]) -> None:
    check_agent(agent(everything=FEW_POINTS, **options))


def test_requests_of_many_forms_and_images_are_answered_as_alone() -> None:
    mine = agent()
    pictures = [image(60, 90), image(90, 61)]
    embeddings = mine.encode(pictures)
    requests = [
        Request(e, p.shape[:2], tuple(Round((q,)) for q in sequence))  # type: ignore[arg-type]
        for e, p in zip(embeddings, pictures, strict=True)
        for sequence in SEQUENCES.values()
    ] * 3
    for request, answer in zip(requests, mine.predict(requests), strict=True):
        (alone,) = mine.predict([request])
        assert alone.memories is not None
        assert answer.memories is not None
        np.testing.assert_allclose(answer.memories[0].numpy(), alone.memories[0].numpy(), atol=1e-4)


def test_three_masks_only_for_the_first_click() -> None:
    mine = agent()
    (embedding,) = mine.encode([image(60, 90)])

    def count(prompts: list[Prompt]) -> int:
        (answer,) = mine.predict([Request(embedding, (60, 90), tuple(Round((p,)) for p in prompts))])
        return len(answer.candidates)

    assert count([click(3, 3)]) == 3
    assert count([click(3, 3), click(9, 9)]) == 1
    assert count([box(0, 0, 9, 9)]) == 1


def test_half_precision_runs_and_is_near() -> None:
    model = reduced_sam()
    picture, rounds = image(60, 90), (Round((click(30, 20),)),)
    low = []
    for dtype in ("fp32", "bf16"):
        mine = agent(model, dtype=dtype)
        (embedding,) = mine.encode([picture])
        (answer,) = mine.predict([Request(embedding, (60, 90), rounds)])
        assert answer.memories is not None
        low.append(answer.memories[0])
    assert torch.isfinite(low[1]).all()
    assert (low[0] - low[1]).abs().max() < 0.1 * low[0].abs().max() + 0.05


class Bomb:
    def __reduce__(self) -> Any:
        return Path.write_text, (Path("canary"), "boom")


def broken(folder: Path, how: str) -> Path:
    file = folder / "weights.pth"
    state = reduced_sam().state_dict()
    if how == "renamed key":
        state["something.else"] = state.pop("mask_decoder.iou_token.weight")
    elif how == "wrong shape":
        state["mask_decoder.iou_token.weight"] = torch.zeros(1, 7)
    elif how == "not tensors":
        state = dict.fromkeys(state, 1)
    elif how == "a list":
        state = [1, 2]  # type: ignore[assignment]
    elif how == "objects beside tensors":
        torch.save({"model": state, "optimizer": Bomb()}, file)
        return file
    torch.save(state, file)
    if how == "truncated":
        file.write_bytes(file.read_bytes()[:-5000])
    elif how == "text":
        file.write_text("hello")
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "pickle":
        file.write_bytes(pickle.dumps(Bomb()))
    elif how == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a", "b")
    elif how == "missing":
        file.unlink()
    elif how == "a folder":
        file.unlink()
        file.mkdir()
    return file


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("renamed key", r"misses mask_decoder.iou_token.weight; has unexpected something.else"),
        ("wrong shape", r"iou_token.weight is \[1, 7\], not \[1, 32\]"),
        ("not tensors", "not every value is a tensor"),
        ("a list", "a list"),
        ("objects beside tensors", "never loaded"),
        ("truncated", "truncated|damaged"),
        ("text", "damaged|checkpoint"),
        ("empty", "truncated|checkpoint"),
        ("pickle", "never loaded"),
        ("zip", "checkpoint"),
        ("missing", "no such checkpoint"),
        ("a folder", "no such checkpoint"),
    ],
)
def test_bad_checkpoints_are_one_line_and_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words) as caught:
        load_weights(reduced_sam(seed=1), broken(tmp_path, how), "tiny-sam")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("wrap", ["plain", "model", "state_dict", "module", "both"])
def test_common_wrappings_are_taken_off(tmp_path: Path, wrap: str) -> None:
    source, target = reduced_sam(seed=1), reduced_sam(seed=2)
    state: Any = source.state_dict()
    if wrap in {"module", "both"}:
        state = {f"module.{key}": value for key, value in state.items()}
    if wrap in {"model", "state_dict"}:
        state = {wrap: state}
    if wrap == "both":
        state = {"model": state, "epoch": 3}
    torch.save(state, tmp_path / "w.pth")
    load_weights(target, tmp_path / "w.pth", "tiny-sam")
    for key, value in source.state_dict().items():
        assert torch.equal(value, target.state_dict()[key])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"multimask": "often"}, "agent.multimask=often"),
        ({"dtype": "fp64"}, "agent.dtype=fp64"),
        ({"dtype": "fp16"}, "needs agent.device=cuda"),
        ({"encoder_batch": 0}, "agent.encoder_batch=0"),
        ({"feed_logits": "yes"}, "agent.feed_logits=yes"),
    ],
)
def test_bad_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SamOptions(**options)


def test_a_missing_checkpoint_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simclick.baselines.sam.official import SamVitB

    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"agent.fetch=true.*sam_vit_b_01ec64.pth.*agent.checkpoint=FILE"):
        SamVitB()


@pytest.mark.slow
def test_vit_b_runs_with_random_weights_and_says_so() -> None:
    from simclick.baselines.sam.official import SamVitB

    sam = SamVitB(checkpoint="random", device="cpu")
    assert sam.info.marks == ("random weights",)
    assert sam.info.parameters == 93_735_472
    (embedding,) = sam.encode([image(60, 90)])
    (answer,) = sam.predict([Request(embedding, (60, 90), (Round((click(30, 20),)),))])
    assert np.asarray(answer.candidates).shape == (3, 60, 90)


@pytest.mark.parametrize("crop_layers", [0, 1])
def test_everything_equals_the_official_generator(crop_layers: int) -> None:
    model, picture = reduced_sam(), image(90, 120)
    loose = {
        "points_per_side": 8,
        "pred_iou_thresh": 0.0,
        "stability_score_thresh": 0.0,
        "box_nms_thresh": 1.0,
    }
    mine = agent(model, everything=EverythingOptions(**loose, crop_layers=crop_layers))  # type: ignore[arg-type]
    (embedding,) = mine.encode([picture])
    (answer,) = mine.predict([Request(embedding, (90, 120), (Round((everything(),)),))])
    # Its predicted IoU of random weights may be negative: 0.0 keeps what is above.
    official = SamAutomaticMaskGenerator(model, **loose, crop_n_layers=crop_layers).generate(picture)
    assert len(official) > (0 if crop_layers else 1)
    masks = candidate_masks(answer, (90, 120))
    np.testing.assert_array_equal(masks, np.stack([record["segmentation"] for record in official]))
    np.testing.assert_allclose(answer.scores, [record["predicted_iou"] for record in official])


def test_everything_without_a_mask_is_one_empty_mask() -> None:
    mine = agent(everything=EverythingOptions(points_per_side=4, pred_iou_thresh=1.0))
    (embedding,) = mine.encode([image(40, 56)])
    (answer,) = mine.predict([Request(embedding, (40, 56), (Round((everything(),)),))])
    masks = candidate_masks(answer, (40, 56))
    assert masks.shape == (1, 40, 56)
    assert not masks.any()


@pytest.mark.parametrize(
    "option", [{"points_per_side": 0}, {"points_per_side": 257}, {"box_nms_thresh": 1.5}, {"crop_layers": -1}]
)
def test_bad_everything_settings_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"agent.{next(iter(option))}="):
        EverythingOptions(**option)


def test_the_batch_depends_on_device_and_size_alone() -> None:
    assert agent(reduced_sam(128)).batch == agent(reduced_sam(512, global_at=())).batch == 16
    assert agent(reduced_sam(1024, depth=1, global_at=())).batch == 4
    assert decode_batch("cuda", 64 * 64) == 64
