"""The pocket agents: weights in the wheel, torch and ONNX equal, training that resumes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from simclick import cli, registry
from simclick.agent import Request
from simclick.annotators.clicks import CenterClick
from simclick.baselines.pocket.files import read_weights
from simclick.baselines.pocket.implants import implanted
from simclick.baselines.pocket.mosaics import mosaic
from simclick.baselines.pocket.pictures import FIRST_SEED, HELD_OUT, make_pictures, training_families
from simclick.baselines.pocket.samples import recoloured
from simclick.datasets.phantom import FAMILIES
from simclick.datasets.phantoms import Phantoms
from simclick.errors import ConfigError
from simclick.geometry import bounding_box
from simclick.harness.specs import AgentSpec
from simclick.metrics.overlap import dice
from simclick.prompts import Round, box, click
from simclick.seeding import Draws

WEIGHTS = Path(__file__).resolve().parents[2] / "baselines" / "pocket" / "weights"


def few_cases(n: int = 6):
    phantoms = Phantoms(seed=0, patients=1, slices=1)
    return [phantoms.load(reference) for reference in phantoms.references()[:n]]


def onnx():
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra onnx)")


def both():
    onnx()
    pytest.importorskip("torch", reason="torch is not installed (extra sam)")
    pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")


def test_the_weights_are_small_and_each_has_a_card() -> None:
    shipped = sorted(path.name for path in WEIGHTS.glob("*.safetensors"))
    assert shipped == ["pocket-click.safetensors", "pocket-sam.safetensors"]
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 12_000_000
    for name in shipped:
        card = (WEIGHTS / name.replace(".safetensors", ".md")).read_text(encoding="utf-8")
        assert hashlib.sha256((WEIGHTS / name).read_bytes()).hexdigest() in card


def test_both_networks_equal_their_graphs() -> None:
    both()
    import torch

    from simclick.baselines.pocket.click import PocketClick, PocketClickOnnx
    from simclick.baselines.pocket.sam import PocketSam
    from simclick.baselines.pocket.sam_onnx import PocketSamOnnx

    torch.set_num_threads(1)
    planes = np.random.default_rng(0).normal(size=(3, 7, 128, 128)).astype(np.float32)
    np.testing.assert_allclose(PocketClick().forward(planes), PocketClickOnnx().forward(planes), atol=1e-3)
    one, other = PocketSam(), PocketSamOnnx()
    for case in few_cases(3):
        ours, theirs = one.encode([case.image])[0], other.encode([case.image])[0]
        height, width = case.size
        rounds: tuple[Round, ...] = ()
        memories = [None, None]
        for prompt in (click(width // 2, height // 2), box(9, 9, width - 9, height - 9), click(3, 4, False)):
            rounds += (Round((prompt,)),)
            asked = [
                Request(e, case.size, rounds, None, m) for e, m in zip((ours, theirs), memories, strict=True)
            ]
            (a,), (b,) = one.predict(asked[:1]), other.predict(asked[1:])
            assert a.memories is not None
            assert b.memories is not None
            low = np.stack([np.asarray(memory) for memory in a.memories])
            np.testing.assert_allclose(low, np.stack(b.memories), atol=1e-3)
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-3)
            assert np.mean(np.asarray(a.candidates) != np.asarray(b.candidates)) < 1e-3
            memories = [a.memories[0], b.memories[0]]


@pytest.mark.parametrize("name", ["pocket-sam-onnx", "pocket-click-onnx"])
def test_they_find_objects_that_they_never_saw(name: str) -> None:
    """A guard against broken weights, well below what the cards say; their numbers come from full runs."""
    onnx()
    agent = AgentSpec(name).make()
    scores = []
    for case in few_cases(21):
        found = bounding_box(case.truth)
        assert found is not None
        (embedding,) = agent.encode([case.image])
        (answer,) = agent.predict([Request(embedding, case.size, (Round((box(*found),)),))])
        scores.append(dice(np.asarray(answer.candidates[0]), case.truth))
    assert len(scores) == 21
    assert np.mean(scores) > 0.6


def test_corrections_help_pocket_click() -> None:
    onnx()
    agent = AgentSpec("pocket-click-onnx").make()
    gains = []
    for case in few_cases(4):
        (embedding,) = agent.encode([case.image])
        rounds: list[Round] = []
        mask, memory, curve = np.zeros(case.size, bool), None, []
        for step in range(1, 9):
            (given,) = CenterClick().propose(case, mask[None], [rounds], [Draws(0, "d", "c", 0, step)])
            if given is None:
                break
            rounds.append(given)
            (answer,) = agent.predict([Request(embedding, case.size, tuple(rounds), mask, memory)])
            assert answer.memories is not None
            mask, memory = np.asarray(answer.candidates[0]), answer.memories[0]
            curve.append(dice(mask, case.truth))
        gains.append(curve[-1] - curve[0])
    assert np.mean(gains) > 0.05


def test_bad_weights_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    with pytest.raises(ConfigError, match="No such file"):
        read_weights("pocket-sam", file)
    for content in (b"", b"x" * 100, b"\xff" * 8 + b"{}"):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="no safetensors file"):
            read_weights("pocket-sam", file)
    onnx()
    with pytest.raises(ConfigError, match="do not fit"):
        AgentSpec("pocket-sam-onnx", {"checkpoint": str(WEIGHTS / "pocket-click.safetensors")}).make()


def test_wrong_weights_do_not_fit_the_network() -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra sam)")
    pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")
    with pytest.raises(ConfigError, match="does not fit the network"):
        AgentSpec("pocket-click", {"checkpoint": str(WEIGHTS / "pocket-sam.safetensors")}).make()


@pytest.mark.parametrize("name", ["pocket-click-onnx", "pocket-sam-onnx"])
def test_nothing_is_claimed_of_other_weights(tmp_path, name):
    kind = name.removesuffix("-onnx")
    same, other = (tmp_path / f"{what}.safetensors" for what in ("same", "other"))
    same.write_bytes((WEIGHTS / f"{kind}.safetensors").read_bytes())
    tensors = load_file(same)
    save_file({key: tensor + 0 if tensor.ndim else tensor for key, tensor in tensors.items()}, other)
    ours, copied, own = (
        AgentSpec(name, {} if file is None else {"checkpoint": str(file)}).make().info
        for file in (None, same, other)
    )
    assert copied == ours
    assert (own.name, own.parameters) == (f"{name}-own", ours.parameters)
    assert own.training_data.startswith("not known")
    assert own.licence.endswith("not known")
    assert own.weights_sha256 != ours.weights_sha256


def test_training_pictures_share_no_case_with_the_suites() -> None:
    assert set(training_families()) == set(FAMILIES) - set(HELD_OUT)
    benchmark = Phantoms(seed=0)
    training = Phantoms(FIRST_SEED, 256, 3, 2, training_families())
    ours = [benchmark.load(reference) for reference in benchmark.references()]
    theirs = [training.load(reference) for reference in training.references()]
    assert not {case.image_sha256() for case in ours} & {case.image_sha256() for case in theirs}
    assert not {case.group for case in ours} & {case.group for case in theirs}
    assert not {case.family for case in theirs} & set(HELD_OUT)


def test_pictures_are_the_same_again_and_survive_a_file(tmp_path: Path) -> None:
    one, other = make_pictures(3, 2), make_pictures(3, 2, workers=2)
    np.testing.assert_array_equal(one.images, other.images)
    assert one.phantom.tolist() == [True] * 3 + [False] * 2
    one.save(tmp_path / "p.npz")
    back = type(one).load(tmp_path / "p.npz")
    image, masks = back.of(0)
    assert image.shape[:2] == masks[0].shape
    assert all(mask.any() for mask in masks)


def test_mosaics_have_targets_of_a_sensible_size() -> None:
    for seed in range(8):
        image, masks = mosaic(np.random.default_rng(seed), 96)
        assert image.shape == (96, 96, 3)
        assert all(0.0008 <= mask.mean() <= 0.5 for mask in masks)


def test_implants_are_seen_and_stand_alone() -> None:
    flat = np.full((96, 128, 3), 90, np.uint8)
    flat[:, 100:] = 0  # beyond the picture's edge
    other = np.zeros((96, 128), bool)
    other[10:90, 10:90] = True
    placed = 0
    for seed in range(40):
        image, masks = implanted(np.random.default_rng(seed), flat, [other])
        if image is flat:
            assert len(masks) == 1
            continue
        placed += 1
        changed = np.abs(image.astype(int) - flat).max(axis=2) > 0
        mask = masks[0]
        near = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert 0.0005 <= mask.mean() <= 0.2
        assert np.abs(image.astype(float) - flat)[near].mean() >= 255 * 0.03
        assert changed[mask].any()
        assert mask[:, 100:].sum() <= 0.05 * mask.sum()
        # A target that the implant touches is no target any more: part of it is hidden.
        assert len(masks) == 1 or not (near & other).any()
    assert placed > 10
    again = implanted(np.random.default_rng(5), flat, [other])
    np.testing.assert_array_equal(again[0], implanted(np.random.default_rng(5), flat, [other])[0])


def test_recolouring_keeps_what_is_grey_in_one_of_two_ways() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    made = [recoloured(np.random.default_rng(seed), image) for seed in range(60)]
    kept = sum(np.array_equal(one, image) for one in made)
    assert 30 <= kept <= 56
    assert all(one.shape == image.shape and one.dtype == np.uint8 for one in made)


@pytest.fixture
def toy_training(tmp_path: Path):
    pytest.importorskip("monai", reason="monai is not installed (extra train)")
    torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make_pictures(2, 2)
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["click", "sam"])
def test_training_resumes_as_if_undisturbed(name: str, toy_training, tmp_path: Path) -> None:
    import torch

    from simclick.baselines.pocket.click_task import ClickTask
    from simclick.baselines.pocket.fitting import Stage, fit
    from simclick.baselines.pocket.sam_task import SamTask

    task = ClickTask(toy_training) if name == "click" else SamTask(toy_training, rounds=2, prompts=2)
    stages = [Stage(64, 2, 1, 1e-3), Stage(128, 2, 1, 1e-3)] if name == "sam" else [Stage(64, 4, 2, 1e-3)]
    whole = fit(task, stages, tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop(done: int, total: int, means: dict[str, float]) -> None:
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        fit(task, stages, tmp_path / "cut", every_seconds=0, report=stop)
    # Taken up by several threads and processes: they change nothing.
    task = ClickTask(toy_training) if name == "click" else SamTask(toy_training, 2, 2, threads=2)
    resumed = fit(task, stages, tmp_path / "cut", workers=2)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    for other in ({"seed": 1}, {"settings": {"name": "another"}}):
        with pytest.raises(ConfigError, match="other settings, other stages or another seed"):
            fit(task, stages, tmp_path / "cut", **other)
    for damage in (b"no checkpoint", (tmp_path / "cut/checkpoint.pt").read_bytes()[:5000]):
        (tmp_path / "cut/checkpoint.pt").write_bytes(damage)
        with pytest.raises(ConfigError, match=r"checkpoint\.pt cannot be read; take it away"):
            fit(task, stages, tmp_path / "cut")


@pytest.mark.parametrize(("steps", "warmup"), [(9, 0.1), (1, 0.5), (3, 0.25)])
def test_no_length_of_a_stage_divides_by_zero(steps: int, warmup: float, toy_training, tmp_path) -> None:
    from simclick.baselines.pocket.click_task import ClickTask
    from simclick.baselines.pocket.fitting import Stage, fit

    assert fit(ClickTask(toy_training), [Stage(32, steps, 1, 1e-3, warmup)], tmp_path)


def test_the_samples_of_a_picture_have_different_targets(toy_training) -> None:
    from simclick.baselines.pocket.sam_task import SamTask

    task = SamTask(toy_training, prompts=2)
    for seed in range(12):
        drawn = task.draw(np.random.default_rng(seed), 64, 1)
        picture = task._picture(np.random.default_rng(seed), 64)
        if len(picture[1]) > 1:
            assert not drawn.truths[0].equal(drawn.truths[1])
            break
    else:
        raise AssertionError("no picture had two targets")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"weight_decay": float("nan")}, "weight_decay"),
        ({"weight_decay": "x"}, "weight_decay"),
        ({"side": "abc"}, "stages.side"),
        ({"side": 64.0}, "stages.side"),
        ({"batch": 0}, "stages.batch"),
        ({"steps": 1.5}, "stages.steps"),
        ({"rate": None}, "stages.rate"),
        ({"warmup": "x"}, "stages.warmup"),
    ],
)
def test_a_wrong_option_of_a_training_is_one_line(changes: dict, key: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra sam)")
    from simclick.baselines.pocket.fitting import Stage
    from simclick.baselines.pocket.training import TrainSpec

    of_stage = {k: v for k, v in changes.items() if k in Stage.__dataclass_fields__}
    stage = Stage(**{"side": 64, "steps": 2, "batch": 1, "rate": 1e-3, **of_stage})
    rest = {k: v for k, v in changes.items() if k not in of_stage}
    with pytest.raises(ConfigError, match=f"^{key}=[^\n]*$"):
        TrainSpec("pocket-sam", tmp_path, (stage,), **rest)


def test_a_training_ends_at_the_side_that_its_agent_takes(tmp_path: Path, capsys) -> None:
    pytest.importorskip("monai", reason="monai is not installed (extra train)")
    pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")
    stage = "stages=[{side: 64, steps: 1, batch: 1, rate: 0.001, warmup: 0.5}]"
    assert cli.main(["train", "pocket-sam", "--quiet", f"out={tmp_path / 'out'}", stage]) == 2
    assert "stages.side=64: the last stage must have side 256" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["pocket-click", "pocket-sam"])
def test_a_weight_is_never_taken_from_the_working_directory(name: str, tmp_path: Path, monkeypatch) -> None:
    onnx()
    tensors = load_file(WEIGHTS / f"{name}.safetensors")
    (tmp_path / "weights").write_bytes(bytes(8_000_000))
    monkeypatch.chdir(tmp_path)
    first = min(tensors)
    for wrong in (
        {k: v for k, v in tensors.items() if k != first},
        {**tensors, "extra": np.ones(3, np.float16)},
    ):
        save_file(wrong, tmp_path / "wrong.safetensors")
        with pytest.raises(ConfigError, match=r"do not fit the graph: .* is missing, too many or of"):
            AgentSpec(f"{name}-onnx", {"checkpoint": str(tmp_path / "wrong.safetensors")}).make()


def test_the_official_decoder_agrees_with_the_batched_one() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra sam)")
    pytest.importorskip("monai", reason="monai is not installed (extra train)")
    pytest.importorskip("segment_anything", reason="segment-anything is not installed (extra sam)")
    from simclick.baselines.pocket.networks import pocket_sam
    from simclick.baselines.pocket.sam_task import decode_many

    torch.manual_seed(0)
    sam = pocket_sam(64).eval()
    with torch.no_grad():
        features = torch.randn(2, 128, 8, 8)
        points = torch.tensor([[[5.0, 9.0]], [[40.0, 3.0]]]), torch.tensor([[1], [0]])
        sparse, dense = sam.prompt_encoder(points=points, boxes=None, masks=None)
        masks, iou = decode_many(sam, features, sparse, dense)
        for i in range(2):
            official, scores = sam.mask_decoder(
                image_embeddings=features[i : i + 1],
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse[i : i + 1],
                dense_prompt_embeddings=dense[i : i + 1],
                multimask_output=True,
            )
            torch.testing.assert_close(masks[i, 1:], official[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(iou[i, 1:], scores[0], atol=1e-5, rtol=1e-4)


def test_every_pocket_agent_is_listed() -> None:
    names = set(registry.agents.entries)
    assert {"pocket-sam", "pocket-click", "pocket-sam-onnx", "pocket-click-onnx"} <= names
