"""MedSAM: its formula, its prompt; side by side with its own script (SIMCLICK_MEDSAM names a checkout)."""

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

from segment_anything.modeling import Sam  # noqa: E402

from simclick.agent import AgentInfo, Request  # noqa: E402
from simclick.baselines.sam.medsam import MedSamAgent, MedSamModel  # noqa: E402
from simclick.baselines.sam.predictor import SamOptions  # noqa: E402
from simclick.baselines.sam.reduced import reduced_sam  # noqa: E402
from simclick.errors import ConfigError  # noqa: E402
from simclick.harness.plan import make_plan  # noqa: E402
from simclick.prompts import Round, box  # noqa: E402
from simclick.protocol import load_protocol  # noqa: E402
from simclick.testing import check_agent  # noqa: E402
from support import ToyDataset  # noqa: E402

MEDSAM = os.environ.get("SIMCLICK_MEDSAM")


pytestmark = pytest.mark.usefixtures("one_thread")


def tiny(side: int) -> Sam:
    return reduced_sam(side, global_at=())


def agent(side: int = 128) -> MedSamAgent:
    info = AgentInfo("tiny-medsam", accepts=frozenset({"box"}), random_weights=True)
    return MedSamAgent(MedSamModel.of(tiny(side)), info, SamOptions(multimask="never", feed_logits=False))


def image(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([40 + (rows * 3) % 150, (columns * 5) % 200, (rows + columns) % 99], axis=2).astype(
        np.uint8
    )


def test_conforms() -> None:
    check_agent(agent())


def test_a_click_is_refused_when_the_run_is_planned() -> None:
    with pytest.raises(ConfigError, match=r"'tiny-medsam' does not take click prompts.*it takes box"):
        make_plan(agent(), ToyDataset(2), load_protocol("noc-v1"))
    assert make_plan(agent(), ToyDataset(2), load_protocol("cosmos-s5-v1")).episodes == 2


def test_each_image_is_scaled_by_its_own_range() -> None:
    frame = agent()._resize
    flat = frame.apply_image(np.full((20, 30, 3), 77, np.uint8))
    assert flat.shape == (128, 128, 3)
    assert not flat.any()
    made = frame.apply_image(image(128, 128))  # the size of the frame: nothing is resampled
    given = image(128, 128).astype(np.float64)
    expected = (given - given.min()) / (given.max() - given.min())
    assert np.abs(made - expected).max() <= 1 / 150  # splines may lose a grey value to truncation
    assert made.min() == 0.0
    assert made.max() == 1.0
    np.testing.assert_allclose(
        frame.apply_boxes(np.array([[10.0, 5.0, 20.0, 15.0]]), (64, 32)), [[40.0, 10.0, 80.0, 30.0]]
    )


def test_the_image_is_not_normalised_by_the_statistics_of_sam() -> None:
    pixels = torch.rand(3, 128, 128)
    assert torch.equal(MedSamModel.of(tiny(128)).preprocess(pixels), pixels)


SCRIPT = r"""
import runpy, sys
import matplotlib
matplotlib.use("Agg")
import numpy as np, torch, segment_anything
torch.set_num_threads(1)
checkout, folder, tests, box = sys.argv[1:]
sys.path.insert(0, tests)
import test_medsam as own
def build(checkpoint):
    model = own.tiny(1024)
    model.load_state_dict(torch.load(checkpoint, weights_only=True), strict=True)
    return model
segment_anything.sam_model_registry["vit_b"] = build
sys.argv = ["MedSAM_Inference.py", "-i", folder + "/image.png", "-o", folder, "--box", box,
            "--device", "cpu", "-chk", folder + "/w.pth"]
found = runpy.run_path(checkout + "/MedSAM_Inference.py", run_name="__main__")
model = found["medsam_model"]
with torch.no_grad():
    boxes = torch.as_tensor(found["box_1024"], dtype=torch.float)[:, None, :]
    sparse, dense = model.prompt_encoder(points=None, boxes=boxes, masks=None)
    low, _ = model.mask_decoder(image_embeddings=found["image_embedding"],
        image_pe=model.prompt_encoder.get_dense_pe(), sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense, multimask_output=False)
np.savez(folder + "/out.npz", pixels=found["img_1024_tensor"].numpy(), mask=found["medsam_seg"],
         embedding=found["image_embedding"].numpy(), low=low.numpy())
"""


@pytest.mark.slow
@pytest.mark.skipif(not MEDSAM, reason="SIMCLICK_MEDSAM does not name a checkout of MedSAM's code")
@pytest.mark.parametrize("size", [(90, 140), (200, 120)])
def test_outputs_equal_the_official_script(
    tmp_path: Path, size: tuple[int, int], record_property: Any
) -> None:
    from PIL import Image

    mine = agent(1024)
    torch.save(mine.model.state_dict(), tmp_path / "w.pth")
    picture = image(*size)
    Image.fromarray(picture).save(tmp_path / "image.png")
    where = (20, 15, 95, 70)
    here = str(Path(__file__).resolve().parent)
    command = [
        sys.executable,
        "-c",
        SCRIPT,
        str(Path(MEDSAM or "").resolve()),
        str(tmp_path),
        here,
        str(list(where)),
    ]
    paths = os.pathsep.join([here, str(Path(here).parent)])
    subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}
    )
    official = np.load(tmp_path / "out.npz")

    (embedding,) = mine.encode([picture])
    (answer,) = mine.predict([Request(embedding, size, (Round((box(*where),)),))])
    assert answer.memories is not None
    pixels = mine._resize.apply_image(picture).transpose(2, 0, 1)[None]
    pairs = (
        (pixels, official["pixels"]),
        (embedding.data.features.numpy(), official["embedding"]),
        (answer.memories[0].numpy(), official["low"][0, 0]),
    )
    assert all(np.isfinite(b).all() and b.std() > 0 for _, b in pairs)
    worst = max(float(np.abs(a - b).max()) for a, b in pairs)
    record_property("largest difference", worst)
    print(f"MedSAM: largest difference {worst:.2e}")
    assert worst < 1e-4
    assert np.array_equal(np.asarray(answer.candidates)[0], official["mask"] == 1)
