"""Side by side with micro-sam's own generators: set SIMCLICK_MICRO_SAM to a checkout of its code.

Its generators run with our draws in place of NumPy's global state, so that equal candidates in
equal order give the same pixel; the number of candidates is compared too. What their file imports
and the machine lacks is stood in for: none of it takes part in what is compared.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from peer_cases import case_of
from test_ritm_parity import DATA, predictions, real_masks

from simclick.annotators.micro_sam import MicroSam
from simclick.case import Case
from simclick.prompts import Round, box
from simclick.seeding import Draws

MICRO_SAM = os.environ.get("SIMCLICK_MICRO_SAM")
BOX = (Round((box(0, 0, 0, 0),)),)

pytestmark = pytest.mark.skipif(
    not MICRO_SAM, reason="SIMCLICK_MICRO_SAM does not name a checkout of micro-sam's code"
)


@pytest.fixture(scope="module")
def theirs() -> Iterator[Any]:
    """Their module of generators, with their function for centres and boxes beside it."""
    pytest.importorskip("torch")
    from scipy.ndimage import distance_transform_edt
    from skimage.measure import regionprops
    from skimage.segmentation import find_boundaries

    folder = Path(MICRO_SAM or "") / "micro_sam"
    stub = importlib.util.find_spec("kornia") is None
    if stub:
        # Only negative points of the first round are dilated with it; there are none.
        sys.modules["kornia"] = types.ModuleType("kornia")
        sys.modules["kornia"].morphology = types.ModuleType("morphology")  # type: ignore[attr-defined]
    specification = importlib.util.spec_from_file_location(
        "their_generators", folder / "prompt_generators.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    tree = ast.parse((folder / "util.py").read_text())
    [function] = [n for n in tree.body if getattr(n, "name", "") == "get_centers_and_bounding_boxes"]
    function.returns = None  # type: ignore[attr-defined]
    names: dict[str, Any] = {
        "np": np,
        "regionprops": regionprops,
        "find_boundaries": find_boundaries,
        "distance_transform": distance_transform_edt,
    }
    exec(compile(ast.Module([function], []), "util.py", "exec"), names)
    module.get_centers_and_bounding_boxes = names["get_centers_and_bounding_boxes"]
    yield module
    if stub:
        del sys.modules["kornia"]


class OurDraws:
    """Stands in for ``numpy.random.choice``: the n-th call draws from our n-th stream."""

    def __init__(self, draw: Draws) -> None:
        self.draw = draw
        self.sizes: list[int] = []

    def __call__(self, n: int) -> int:
        words = self.draw.stream("annotator", len(self.sizes))
        self.sizes.append(n)
        return words.integer(n)


def their_round(theirs: Any, truth: np.ndarray, mask: np.ndarray, draw: Draws) -> list[tuple[int, int, bool]]:
    import torch

    segmentation, prediction = (torch.from_numpy(m.astype(np.float32))[None, None] for m in (truth, mask))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs.np.random, "choice", OurDraws(draw))
        points, labels, *_ = theirs.IterativePromptGenerator()(segmentation, prediction)
    return [(int(x), int(y), bool(p)) for (x, y), p in zip(points[0], labels[0], strict=True)]


def compare_rounds(theirs: Any, case: Case, masks: list[np.ndarray], first_seed: int = 0) -> int:
    """Compare the two clicks on each mask that is not right; return how many were compared."""
    compared = 0
    for seed, mask in enumerate(masks, start=first_seed):
        draw = Draws(seed, "parity", "c", 0, 2)
        [round_] = MicroSam().propose(case, mask[None], [BOX], [draw])
        if np.array_equal(mask, case.truth):
            assert round_ is None
            continue
        assert round_ is not None
        ours = [(*prompt.landed, prompt.positive) for prompt in round_.prompts]
        assert ours == their_round(theirs, case.truth, mask, draw)
        compared += 2
    return compared


def compare_starts(theirs: Any, case: Case) -> None:
    import torch

    labels = case.truth.astype(np.int32)
    centers, boxes = theirs.get_centers_and_bounding_boxes(labels)
    start = theirs.PointAndBoxPromptGenerator(1, 0, 5, get_point_prompts=True, get_box_prompts=True)
    masks = torch.from_numpy(case.truth.astype(np.float32))[None, None]
    points, point_labels, box_prompts, _ = start(masks, [boxes[1]], [centers[1]])
    empty = np.zeros((1, *case.size), bool)
    draws = [Draws(0, "parity", "c", 0, 1)]
    [[point]] = [r.prompts for r in MicroSam(first="point").propose(case, empty, [()], draws) if r]
    assert [*point.landed, point.positive] == [*points[0, 0].tolist(), bool(point_labels[0, 0])]
    [[tight]] = [r.prompts for r in MicroSam().propose(case, empty, [()], draws) if r]
    x0, y0, x1, y1 = box_prompts[0].tolist()
    assert tight.landed == (x0, y0, x1 - 1, y1 - 1), "theirs ends one pixel later"


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="no shared real images beside the project")
@pytest.mark.parametrize("size", [96, 256])
def test_same_prompts_on_real_masks(theirs: Any, size: int) -> None:
    starts = compared = 0
    for seed, file in enumerate(real_masks()):
        image = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        truth = cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST) > 127
        if not truth.any():
            continue
        case = case_of(truth)
        compare_starts(theirs, case)
        starts += 1
        eroded = cv2.erode(truth.astype(np.uint8), np.ones((3, 3))) > 0
        dilated = cv2.dilate(truth.astype(np.uint8), np.ones((3, 3))) > 0
        masks = [*predictions(truth, seed, 20), eroded, dilated]
        compared += compare_rounds(theirs, case, masks, 100 * seed)
    print(f"\n{size}: {starts} starts, {compared} clicks")
    assert starts >= 8
    assert compared > 300


@pytest.mark.parametrize("seed", range(40))
def test_same_prompts_on_generated_masks(theirs: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(v) for v in rng.integers(8, 90, 2))
    field = cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 1 + seed % 5)
    truth = field > np.quantile(field, (0.2, 0.5, 0.9)[seed % 3])
    case = case_of(truth)
    compare_starts(theirs, case)
    masks = [*predictions(truth, seed, 12), ~truth, np.ones_like(truth)]
    wrong = sum(not np.array_equal(mask, truth) for mask in masks)
    assert compare_rounds(theirs, case, masks) == 2 * wrong >= 6


@pytest.mark.parametrize("margin_is_full", [False, True])
def test_same_background_where_the_box_is_full(theirs: Any, margin_is_full: bool) -> None:
    """An object that fills its image but for one far corner leaves that corner alone."""
    truth = np.ones((9, 14), bool)
    if margin_is_full:
        truth[:, 10:] = False
    else:
        truth[0, 13] = False
    eroded = truth.copy()
    eroded[3:6, 2:5] = False
    assert compare_rounds(theirs, case_of(truth), [eroded, np.zeros_like(truth)]) == 4


@pytest.mark.parametrize("seed", range(20))
def test_same_number_of_candidates(theirs: Any, seed: int) -> None:
    """Counted from the truth and the mask, not from our code."""
    import torch

    rng = np.random.default_rng(seed)
    truth, mask = rng.random((2, 30, 40)) < 0.4
    counter = OurDraws(Draws(seed, "parity", "c", 0, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs.np.random, "choice", counter)
        theirs.IterativePromptGenerator()(
            *(torch.from_numpy(m.astype(np.float32))[None, None] for m in (truth, mask))
        )
    assert counter.sizes == [(truth & ~mask).sum(), (mask & ~truth).sum()]
