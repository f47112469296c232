"""Side by side with RITM's own ``Clicker``: set SIMCLICK_RITM to a checkout of its repository.

Its distance transform runs without Intel's IPP, whose last bits depend on memory alignment.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from simclick.annotators.clicks import CenterClick
from simclick.case import Case
from simclick.prompts import Round
from simclick.seeding import Draws

RITM = os.environ.get("SIMCLICK_RITM")
DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
FALLBACK = (0, 0, False)

pytestmark = pytest.mark.skipif(not RITM, reason="SIMCLICK_RITM does not name a checkout of RITM's code")


@pytest.fixture(scope="module")
def ritm() -> Iterator[Any]:
    file = Path(RITM or "") / "isegm" / "inference" / "clicker.py"
    specification = importlib.util.spec_from_file_location("ritm_clicker", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    before = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    yield module
    cv2.ipp.setUseIPP(before)


def predictions(truth: np.ndarray, seed: int, steps: int) -> list[np.ndarray]:
    """An empty mask, then masks whose smooth error shrinks, and vanishes at the end."""
    rng = np.random.default_rng(seed)
    signed = cv2.distanceTransform(truth.astype(np.uint8), cv2.DIST_L2, 5)
    signed -= cv2.distanceTransform((~truth).astype(np.uint8), cv2.DIST_L2, 5)
    scale = max(truth.shape) / 256
    field = cv2.resize(rng.standard_normal((24, 24)).astype(np.float32), truth.shape[::-1])
    shrinking = [signed + field * 12 * scale * 0.88**k > 0 for k in range(steps - 2)]
    return [np.zeros_like(truth), *shrinking, truth]


def compare(ritm: Any, truth: np.ndarray, ignore: np.ndarray | None, masks: list[np.ndarray]) -> int:
    """Play both, and compare click by click; return how many were compared."""
    labels = truth.astype(np.int32)
    if ignore is not None:
        labels[ignore] = -1
    clicker = ritm.Clicker(gt_mask=labels)
    case = Case("c", "parity", np.zeros((*truth.shape, 3), np.uint8), truth, "g", "", "", ignore=ignore)
    history: list[Round] = []
    for k, mask in enumerate(masks):
        clicker.make_next_click(mask)
        y, x = clicker.clicks_list[-1].coords
        expected = int(x), int(y), bool(clicker.clicks_list[-1].is_positive)
        [round_] = CenterClick().propose(case, mask[None], [history], [Draws(0, "parity", "c", 0, k + 1)])
        if round_ is None:
            assert expected == FALLBACK
            return k
        [prompt] = round_.prompts
        assert (*prompt.landed, prompt.positive) == expected
        history.append(round_)
    return len(masks)


def real_masks() -> list[Path]:
    folders = ("sam_med2d_demo/data_demo/masks", "yuhoo0302_sam_medical/data/test_data/22_Heart/labels")
    return [file for folder in folders for file in sorted((DATA / folder).glob("*.png"))[::3]]


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="no shared real images beside the project")
@pytest.mark.parametrize("size", [96, 256, 512])
@pytest.mark.parametrize("threads", [1, 2])
def test_same_clicks_on_real_masks(ritm: Any, size: int, threads: int) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    compared = 0
    for seed, file in enumerate(real_masks()):
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        truth = cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST) > 127
        if truth.any():
            compared += compare(ritm, truth, None, predictions(truth, seed, 20))
    cv2.setNumThreads(before)
    assert compared > 150


@pytest.mark.parametrize("seed", range(8))
def test_same_clicks_on_generated_masks(ritm: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(v) for v in rng.integers(40, 200, 2))
    field = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 2 + seed)
    truth = field > field.std()
    ignore = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 4) > 0.06 if seed % 2 else None
    assert compare(ritm, truth, ignore, predictions(truth, seed, 20)) >= 10


def test_same_clicks_when_the_agent_does_not_respond(ritm: Any) -> None:
    y, x = np.indices((40, 50))
    truth = (y - 20) ** 2 + (x - 25) ** 2 <= 144
    stuck = [np.zeros_like(truth)] * (np.count_nonzero(truth) + 1)
    assert compare(ritm, truth, None, stuck) == np.count_nonzero(truth)
