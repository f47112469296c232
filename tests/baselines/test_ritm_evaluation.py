"""Clicks and NoC equal to RITM's own evaluation loop on the same random-weight network and images.

The loop is ritm_annotation's (RITM's maintained fork); where SIMCLICK_RITM names a checkout of the original
repository, also the original's. Distances are computed without Intel's IPP, whose last bits depend on memory
alignment.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra ritm)")
pytest.importorskip("ritm_annotation", reason="ritm_annotation is not installed (extra ritm)")

from ritm_networks import images, network, save  # noqa: E402

from simclick.agent import AgentInfo, Request  # noqa: E402
from simclick.baselines.ritm.agent import RitmAgent, load_by_hub  # noqa: E402
from simclick.baselines.ritm.zoom import ZoomOptions  # noqa: E402
from simclick.episode import Rules  # noqa: E402
from simclick.harness.lockstep import Lockstep  # noqa: E402
from simclick.harness.plan import make_plan  # noqa: E402
from simclick.prompts import Round, click  # noqa: E402
from simclick.protocol import load_protocol  # noqa: E402
from simclick.statistics.clicks import noc  # noqa: E402
from support import ToyDataset, make_case  # noqa: E402

RITM = os.environ.get("SIMCLICK_RITM")
CLICKS = 5
ZOOMS: dict[str, ZoomOptions | None] = {
    "plain": None,
    "zoom": ZoomOptions(target=48, min_crop=20),
    "fixed": ZoomOptions(target=40, square=True, skip_clicks=-1, min_crop=20),
}


@pytest.fixture(autouse=True)
def steady() -> Iterator[None]:
    threads, ipp = torch.get_num_threads(), cv2.ipp.useIPP()
    torch.set_num_threads(1)
    cv2.ipp.setUseIPP(False)
    yield
    torch.set_num_threads(threads)
    cv2.ipp.setUseIPP(ipp)


class Two(ToyDataset):
    def load(self, reference: int) -> Any:
        picture, truth = images()[reference]
        return make_case(reference, image=picture, truth=truth)


@pytest.fixture(params=["ritm_annotation", "isegm"])
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The fork, or the original, which names types that numpy has lost."""
    if request.param == "isegm":
        if not RITM:
            pytest.skip("SIMCLICK_RITM does not name a checkout of RITM's code")
        monkeypatch.syspath_prepend(str(Path(RITM).resolve()))
        for module in [name for name in sys.modules if name.split(".")[0] == "isegm"]:
            monkeypatch.delitem(sys.modules, module)
    for name, kind in (("int", int), ("float", float), ("bool", bool)):
        if name not in np.__dict__:
            monkeypatch.setattr(np, name, kind, raising=False)
    return str(request.param)


def theirs(package: str, path: Path, zoom: ZoomOptions | None, flip: bool) -> list[tuple[Any, Any, Any]]:
    """Clicks, IoUs and last probabilities of every image, by the method's own code."""
    serialization = importlib.import_module(f"{package}.utils.serialization")
    predictors = importlib.import_module(f"{package}.inference.predictors")
    evaluation = importlib.import_module(f"{package}.inference.evaluation")
    content = torch.load(path, weights_only=True)
    model = serialization.load_model(content["config"])
    model.load_state_dict(content["state_dict"])
    model.eval().requires_grad_(False)
    parameters = None
    if zoom is not None:
        parameters = {
            "target_size": (zoom.target, zoom.target) if zoom.square else zoom.target,
            "skip_clicks": zoom.skip_clicks,
            "expansion_ratio": zoom.expansion,
            "min_crop_size": zoom.min_crop,
        }
    predictor = predictors.get_predictor(
        model, "NoBRS", torch.device("cpu"), prob_thresh=0.49, with_flip=flip, zoom_in_params=parameters
    )
    return [
        evaluation.evaluate_sample(
            picture, truth.astype(np.int32), predictor, max_iou_thr=2.0, pred_thr=0.49, max_clicks=CLICKS
        )
        for picture, truth in images()
    ]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", ZOOMS)
def test_clicks_and_noc_equal_the_evaluator(
    tmp_path: Path, package: str, name: str, flip: bool, record_property: Any
) -> None:
    path = save(network(0, square=40 if name == "fixed" else None), tmp_path / "w.pth", package)
    expected = theirs(package, path, ZOOMS[name], flip)
    agent = RitmAgent(
        load_by_hub(None, path, "cpu", strict=True),
        AgentInfo("small-ritm", random_weights=True, uses_previous=True),
        flip=flip,
        zoom=ZOOMS[name],
    )
    protocol = load_protocol("noc-v1").with_overrides({"budget": CLICKS, "surface_at": []})
    dataset, worst, curves = Two(2), 0.0, []
    lockstep = Lockstep(agent, dataset, Rules(protocol, 0))
    for (clicks, ious, last), block in zip(expected, make_plan(agent, dataset, protocol).blocks, strict=True):
        rows = lockstep.run(block)
        given = rows.table("prompts").to_pylist()
        placed = [(tuple(row["landed"]), row["positive"]) for row in given]
        assert placed == [((c.coords[1], c.coords[0]), bool(c.is_positive)) for c in clicks]
        found = rows.table("steps")["iou"].to_pylist()
        np.testing.assert_allclose(found, ious, atol=1e-6)
        curves.append(found)
        assert np.isfinite(last).all()
        assert last.std() > 0
        worst = max(worst, float(np.abs(replayed(agent, block, clicks) - last).max()))
    assert len({round(float(iou), 3) for _, ious, _ in expected for iou in ious}) >= 2  # masks change
    utils = importlib.import_module(f"{package}.inference.utils")
    thresholds = [0.05, 0.2, 0.35, 0.5, 0.8]
    means, _ = utils.compute_noc_metric([e[1] for e in expected], thresholds, max_clicks=CLICKS)
    for threshold, mean in zip(thresholds, means, strict=True):
        # RITM's number is the budget where the threshold is not reached, as ours is.
        counts, _ = noc(np.insert(np.array(curves), 0, 0.0, axis=1), threshold)
        assert counts.mean() == pytest.approx(mean)
    record_property("largest difference", worst)
    print(f"RITM, {package}, {name}, flip {flip}: largest difference {worst:.2e}")
    assert worst < 1e-4


def replayed(agent: RitmAgent, block: Any, clicks: list[Any]) -> np.ndarray:
    """The probabilities after the last of the clicks."""
    picture, truth = images()[block.cases[0].reference]
    (embedding,) = agent.encode([picture])
    rounds: tuple[Round, ...] = ()
    memory = None
    for one in clicks:
        rounds += (Round((click(int(one.coords[1]), int(one.coords[0]), bool(one.is_positive)),)),)
        (answer,) = agent.predict([Request(embedding, truth.shape, rounds, memory=memory)])
        assert answer.memories is not None
        memory = answer.memories[0]
    return np.asarray(memory.probabilities[0, 0].numpy())  # type: ignore[union-attr]
