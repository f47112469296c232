"""SAM-Med2D: keys, options, loading; side by side with its own code (SIMCLICK_SAM_MED2D names a checkout)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")

from simclick.agent import AgentInfo, Request  # noqa: E402
from simclick.baselines.sam.med2d import Med2dAgent, Med2dSam, load_med2d, med2d_model  # noqa: E402
from simclick.baselines.sam.predictor import SamOptions  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402
from simclick.prompts import Prompt, Round, box, click  # noqa: E402
from simclick.testing import check_agent  # noqa: E402

SAM_MED2D = os.environ.get("SIMCLICK_SAM_MED2D")
SMALL: dict[str, Any] = {"image_size": 128, "depth": 2, "channels": 48, "heads": 4, "global_blocks": (1,)}


pytestmark = pytest.mark.usefixtures("one_thread")


def small(seed: int = 0, adapters: bool = True) -> Med2dSam:
    torch.manual_seed(seed)
    model = med2d_model(adapters, **SMALL)
    with torch.no_grad():  # the official initial values leave relative positions at zero
        for name, tensor in model.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                tensor.normal_(std=0.1)
    return model


def agent(model: Med2dSam | None = None, recipe: str = "predictor", feedback: str = "sigmoid") -> Med2dAgent:
    info = AgentInfo(
        "small-med2d",
        accepts=frozenset({"click", "box"}),
        random_weights=True,
        uses_previous=feedback != "none",
    )
    return Med2dAgent(model or small(), info, SamOptions(multimask="always"), recipe, feedback)


def image(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([(rows * 3) % 256, (columns * 5) % 256, (rows + columns) % 256], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("recipe", "feedback"), [("predictor", "sigmoid"), ("test", "logits"), ("predictor", "none")]
)
def test_conforms(recipe: str, feedback: str) -> None:
    check_agent(agent(recipe=recipe, feedback=feedback))


def test_the_official_architecture_has_the_official_keys() -> None:
    with torch.device("meta"):
        model = med2d_model()
    state = model.state_dict()
    adapters = [key for key in state if ".Adapter." in key]
    assert len(state) == 386
    assert len(adapters) == 72
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 271.24
    assert state["image_encoder.pos_embed"].shape == (1, 16, 16, 768)
    assert state["image_encoder.blocks.2.attn.rel_pos_h"].shape == (31, 64)
    assert state["image_encoder.blocks.0.attn.rel_pos_h"].shape == (27, 64)
    names = {key.partition(".Adapter.")[2] for key in adapters}
    assert names == {
        "norm.weight",
        "norm.bias",
        "channel.0.weight",
        "channel.2.weight",
        "spatial.0.weight",
        "spatial.2.weight",
    }


def test_adapters_off_leaves_them_out_and_changes_masks(tmp_path: Path) -> None:
    full = small(1)
    torch.save({"model": full.state_dict()}, tmp_path / "w.pth")
    off = small(2, adapters=False)
    load_med2d(off, tmp_path / "w.pth", adapters=False)
    for key, tensor in off.state_dict().items():
        assert torch.equal(tensor, full.state_dict()[key])
    pixels = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        assert (off.image_encoder(pixels) - full.image_encoder(pixels)).abs().max() > 0.01


def test_loading_names_every_key(tmp_path: Path) -> None:
    plain = small(1, adapters=False)
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    with pytest.raises(ConfigError) as caught:
        load_med2d(small(2), tmp_path / "plain.pth", adapters=True)
    words = str(caught.value)
    assert "\n" not in words
    for name in ("norm.weight", "norm.bias", "channel.0.weight", "channel.2.weight", "spatial.2.weight"):
        assert f"image_encoder.blocks.{{0-1}}.Adapter.{name}" in words
    state = small(1).state_dict()
    state["image_encoder.blocks.1.Adapter.normal.weight"] = state.pop(
        "image_encoder.blocks.1.Adapter.norm.weight"
    )
    torch.save(state, tmp_path / "renamed.pth")
    with pytest.raises(ConfigError, match=r"misses .*blocks.1.Adapter.norm.weight; has unexpected .*normal"):
        load_med2d(small(2), tmp_path / "renamed.pth", adapters=True)


def test_the_official_kind_of_file_is_imported_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds an optimizer beside the weights: refused, then imported, then strictly loaded."""
    from simclick.checkpoints import CHECKPOINTS, Architecture
    from simclick.weights_import import import_checkpoint

    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path / "cache"))
    reduced = Architecture("simclick.baselines.sam.med2d:med2d_model", SMALL, "sam")
    monkeypatch.setitem(CHECKPOINTS, "sam_med2d", replace(CHECKPOINTS["sam_med2d"], architecture=reduced))
    source = small(1)
    optimizer = torch.optim.Adam(source.parameters(), lr=1e-4)
    torch.save({"model": source.state_dict(), "optimizer": optimizer}, tmp_path / "sam-med2d_b.pth")
    with pytest.raises(ConfigError, match="never loaded; simclick weights import"):
        load_med2d(small(2), tmp_path / "sam-med2d_b.pth", adapters=True)
    made = import_checkpoint("sam_med2d", tmp_path / "sam-med2d_b.pth")
    assert any(name.endswith("Adam") for name in made.inert)
    target = small(2)
    load_med2d(target, made.path, adapters=True)
    for key, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[key])
    torch.save({"model": small(1, adapters=False).state_dict()}, tmp_path / "plain.pth")
    with pytest.raises(ConfigError, match=r"it misses image_encoder.blocks.\{0-1\}.Adapter.norm.weight"):
        import_checkpoint("sam_med2d", tmp_path / "plain.pth", replace=True)


@pytest.mark.slow
def test_the_official_size_runs_with_random_weights_and_says_so() -> None:
    from simclick.baselines.sam.med2d import SamMed2d

    mine = SamMed2d(checkpoint="random", device="cpu")
    assert mine.info.marks == ("random weights",)
    (embedding,) = mine.encode([image(60, 90)])
    (answer,) = mine.predict([Request(embedding, (60, 90), (Round((click(30, 20),)),))])
    assert np.asarray(answer.candidates).shape == (3, 60, 90)


@pytest.mark.parametrize(
    ("options", "words"), [({"recipe": "none"}, "agent.recipe"), ({"feedback": "mask"}, "agent.feedback")]
)
def test_bad_options(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        agent(**options)


def test_without_its_checkpoint_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simclick.baselines.sam.med2d import SamMed2d

    monkeypatch.setenv("SIMCLICK_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"sam-med2d_b.pth.*simclick weights import sam_med2d FILE"):
        SamMed2d()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "sam-med2d_b.pth").write_bytes(b"x")  # not imported: not used
    with pytest.raises(ConfigError, match="simclick weights import"):
        SamMed2d()


def test_the_test_recipe_frames_small_images_and_swaps_colours() -> None:
    mine = agent(recipe="test")
    picture = np.zeros((30, 50, 3), np.uint8)
    picture[..., 0] = 255  # red
    framed = mine._resize.apply_image(picture)
    top, left = 49, 39
    assert framed.shape == (128, 128, 3)
    assert not framed[:top].any()
    assert not framed[:, :left].any()
    np.testing.assert_allclose(
        framed[top, left], [-123.675 / 58.395, -116.28 / 57.12, (255 - 103.53) / 57.375]
    )
    np.testing.assert_array_equal(mine._resize.apply_coords(np.array([[3.0, 4.0]]), (30, 50)), [[42.0, 53.0]])


# One question per entry: prompts, and whether a previous mask is fed back.
QUESTIONS: dict[str, tuple[list[Prompt], bool]] = {
    "click": ([click(30, 20)], False),
    "clicks": ([click(30, 20), click(5, 6, positive=False), click(40, 39)], True),
    "box": ([box(5, 8, 60, 50)], False),
    "box and click": ([box(5, 8, 60, 50), click(30, 20)], True),
}
SIZES = [(60, 90), (150, 100), (128, 128), (300, 200)]

OFFICIAL = r"""
import json, sys, types
import numpy as np, torch
checkout, folder = sys.argv[1:]
sys.path.insert(0, checkout)
torch.set_num_threads(1)
from segment_anything.build_sam import _build_sam
from segment_anything.predictor_sammed import SammedPredictor
import segment_anything
assert segment_anything.__file__.startswith(checkout), segment_anything.__file__
spec = json.load(open(folder + "/spec.json"))
model = _build_sam(encoder_embed_dim=spec["channels"], encoder_depth=spec["depth"],
    encoder_num_heads=spec["heads"], encoder_global_attn_indexes=spec["global_blocks"],
    image_size=spec["image_size"], checkpoint=None, encoder_adapter=spec["adapters"])
state = torch.load(folder + "/w.pth", weights_only=True)["model"]
model.load_state_dict(state, strict=True)
model.eval()
given, out = np.load(folder + "/in.npz"), {}
for index, question in enumerate(spec["questions"]):
    picture = given[f"image{question['image']}"]
    points = np.array(question["points"], float).reshape(-1, 2)
    mask = given["mask"] if question["mask"] else None
    if spec["recipe"] == "predictor":
        predictor = SammedPredictor(model)
        predictor.set_image(picture)
        masks, iou, low = predictor.predict(
            point_coords=points if len(points) else None,
            point_labels=np.array(question["labels"]) if len(points) else None,
            box=np.array(question["box"]) if question["box"] else None,
            mask_input=mask, multimask_output=True, return_logits=True)
    else:
        from utils import train_transforms
        import test as script
        side = spec["image_size"]
        height, width = picture.shape[:2]
        pixels = (picture[..., ::-1] - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]
        made = train_transforms(side, height, width)(image=pixels)["image"][None].float()
        batch = {"point_coords": None, "boxes": None, "point_labels": None}
        if len(points):
            batch["point_coords"] = torch.tensor(question["framed"], dtype=torch.float)[None]
            batch["point_labels"] = torch.tensor(question["labels"])[None]
        if question["box"]:
            batch["boxes"] = torch.tensor(question["framed_box"], dtype=torch.float)[None, None]
        if mask is not None:
            batch["mask_inputs"] = torch.tensor(mask)[None]
        args = types.SimpleNamespace(multimask=True, image_size=side)
        with torch.no_grad():
            _, low, iou = script.prompt_and_decoder(args, batch, model, model.image_encoder(made))
            masks, _ = script.postprocess_masks(low, side, (height, width))
        masks, low, iou = masks[0].numpy(), low[0].numpy(), iou[0].numpy()
    out[f"masks{index}"], out[f"low{index}"], out[f"iou{index}"] = masks, low, iou
np.savez(folder + "/out.npz", **out)
"""


def framed(height: int, width: int, at: tuple[float, float]) -> tuple[float, float]:
    """Where test.py would find a pixel in its frame of 128, computed by hand."""
    if height < 128 and width < 128:
        return at[0] + (128 - width) // 2, at[1] + (128 - height) // 2
    return at[0] * 128 / width, at[1] * 128 / height


@pytest.mark.skipif(not SAM_MED2D, reason="SIMCLICK_SAM_MED2D does not name a checkout of SAM-Med2D's code")
@pytest.mark.parametrize(("recipe", "adapters"), [("predictor", True), ("predictor", False), ("test", True)])
def test_outputs_equal_the_official_code(
    tmp_path: Path, recipe: str, adapters: bool, record_property: Any
) -> None:
    pytest.importorskip("albumentations", reason="SAM-Med2D's predictor needs albumentations")
    model = small(3, adapters)
    torch.save({"model": model.state_dict()}, tmp_path / "w.pth")
    pictures = [image(*size) for size in SIZES]
    mask = torch.linspace(-3, 3, 32 * 32).reshape(32, 32)
    asked = []
    for k, (height, width) in enumerate(SIZES):
        for prompts, fed in QUESTIONS.values():
            clicks = [p for p in prompts if p.kind == "click"]
            boxes = [p.landed for p in prompts if p.kind == "box"]
            corners = [framed(height, width, tuple(boxes[0][i : i + 2])) for i in (0, 2)] if boxes else []
            asked.append(
                {
                    "image": k,
                    "points": [list(p.landed) for p in clicks],
                    "labels": [int(p.positive) for p in clicks],
                    "framed": [framed(height, width, p.landed) for p in clicks],
                    "box": list(boxes[0]) if boxes else None,
                    "framed_box": [c for corner in corners for c in corner],
                    "mask": fed,
                }
            )
    spec = {**SMALL, "recipe": recipe, "adapters": adapters, "questions": asked}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    images = {f"image{k}": picture for k, picture in enumerate(pictures)}
    np.savez(tmp_path / "in.npz", mask=torch.sigmoid(mask).numpy()[None], **images)
    command = [sys.executable, "-c", OFFICIAL, str(Path(SAM_MED2D or "").resolve()), str(tmp_path)]
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)
    official = np.load(tmp_path / "out.npz")

    mine = agent(model, recipe)
    embeddings = mine.encode(pictures)
    worst, index = 0.0, 0
    for embedding, size in zip(embeddings, SIZES, strict=True):
        for prompts, fed in QUESTIONS.values():
            rounds = tuple(Round((prompt,)) for prompt in prompts)
            (answer,) = mine.predict([Request(embedding, size, rounds, memory=mask if fed else None)])
            best = int(np.argmax(answer.scores))
            assert answer.memories is not None
            low = answer.memories[best]
            full = model.postprocess_masks(low[None, None], (128, 128), size)[0, 0].detach().numpy()
            assert np.array_equal(np.asarray(answer.candidates)[best], full > 0)
            pairs = (
                (low.numpy(), official[f"low{index}"].squeeze()),
                (full, official[f"masks{index}"].squeeze()),
                (np.asarray(answer.scores)[best], official[f"iou{index}"].squeeze()),
            )
            assert all(np.isfinite(b).all() for _, b in pairs)
            assert pairs[0][1].std() > 0
            worst = max(worst, *(float(np.abs(a - b).max()) for a, b in pairs))
            index += 1
    record_property("largest difference", worst)
    print(f"SAM-Med2D, {recipe}, adapters {adapters}: largest difference {worst:.2e}")
    assert worst < 1e-4
