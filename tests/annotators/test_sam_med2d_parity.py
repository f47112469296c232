"""Side by side with SAM-Med2D's own functions: set SIMCLICK_SAM_MED2D to a checkout of its code.

Its functions run with our draws in place of NumPy's global state, so that equal candidates in equal
order give the same pixel; the ranges that they draw from are compared too. They are taken out of
``utils.py`` one by one, as that file imports what a machine may lack and none of them uses.
"""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peer_cases import case_of
from test_ritm_parity import predictions, real_masks

from simclick.annotators.prompt_sets import read_sam_med2d_prompts, write_sam_med2d_prompts
from simclick.annotators.sam_med2d import SamMed2dBox, SamMed2dPoints
from simclick.prompts import Prompt, Round, click
from simclick.seeding import Draws, Words

SAM_MED2D = os.environ.get("SIMCLICK_SAM_MED2D")
FUNCTIONS = ("get_boxes_from_mask", "init_point_sampling", "select_random_points")

pytestmark = pytest.mark.skipif(
    not SAM_MED2D, reason="SIMCLICK_SAM_MED2D does not name a checkout of SAM-Med2D's code"
)


class Chance:
    """Stands in for ``numpy.random``: answers from our words, and refuses what NumPy refuses."""

    words: Words

    def randint(self, low: int, high: int | None = None) -> int:
        low, high = (0, low) if high is None else (low, high)
        if high <= low:
            raise ValueError("low >= high")
        return low + self.words.integer(high - low)

    def choice(self, n: int, size: int, replace: bool) -> np.ndarray:
        assert replace
        return np.array([self.words.integer(n) for _ in range(size)])


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """Their functions by name, and ``chance``, from which they draw."""
    torch = pytest.importorskip("torch")
    from skimage.measure import label, regionprops

    class Numpy:
        random = Chance()

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

    tree = ast.parse((Path(SAM_MED2D or "") / "utils.py").read_text())
    tree.body = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in FUNCTIONS]
    names: dict[str, Any] = {"torch": torch, "np": Numpy(), "label": label, "regionprops": regionprops}
    exec(compile(tree, "utils.py", "exec"), names)
    return {**{name: names[name] for name in FUNCTIONS}, "chance": Numpy.random}


def masks() -> list[np.ndarray]:
    """Several ellipses each, of all sizes, cut by the image's edge; specks; one pixel; everything."""
    rng = np.random.default_rng(0)
    found = []
    for k in range(300):
        height, width = rng.integers(8, 90, 2)
        rows, columns = np.ogrid[:height, :width]
        mask = rng.random((height, width)) < 0.02 * (k % 3)
        for _ in range(rng.integers(1, 5)):
            y, x, a, b = rng.integers(0, height), rng.integers(0, width), *rng.uniform(0.6, 18, 2)
            mask |= ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1
        found.append(mask)
    pixel = np.zeros((5, 6), bool)
    pixel[2, 3] = True
    return [*found, pixel, np.ones((7, 9), bool)]


def one(annotator: Any, truth: np.ndarray, mask: np.ndarray, history: tuple[Round, ...], seed: int) -> Prompt:
    [round_] = annotator.propose(case_of(truth), mask[None], [history], [draws_of(seed)])
    assert round_ is not None
    [prompt] = round_.prompts
    return prompt


def draws_of(seed: int) -> Draws:
    return Draws(seed, "parity", "c", 0, 1)


@pytest.mark.parametrize("jitter", [0, 5, 40])
def test_the_same_box(theirs: dict[str, Any], jitter: int) -> None:
    for seed, truth in enumerate(masks()):
        theirs["chance"].words = draws_of(seed).stream("annotator")
        [expected] = theirs["get_boxes_from_mask"](truth.astype(np.int64), max_pixel=jitter).int().tolist()
        height, width = truth.shape
        last = np.array([width - 1, height - 1] * 2)
        # Theirs may leave the image; ours is cut off there.
        given = one(SamMed2dBox(jitter, half_open=True), truth, np.zeros_like(truth), (), seed).landed
        assert given == tuple(np.clip(expected, 0, last).tolist())
        closed = one(SamMed2dBox(jitter), truth, np.zeros_like(truth), (), seed).landed
        assert closed == tuple(np.clip(np.array(expected) - [0, 0, 1, 1], 0, last).tolist())


def test_the_same_points(theirs: dict[str, Any]) -> None:
    import torch

    compared = 0
    for seed, truth in enumerate(masks()):
        theirs["chance"].words = draws_of(seed).stream("annotator")
        points, labels = theirs["init_point_sampling"](truth.astype(np.int64))
        nothing = np.zeros_like(truth)
        first = one(SamMed2dPoints(), truth, nothing, (), seed)
        assert (list(first.landed), int(first.positive)) == (points[0].tolist(), int(labels[0]))
        history = (Round((click(*first.landed),)),)
        for mask in predictions(truth, seed, 4):
            if (mask == truth).all():
                continue
            theirs["chance"].words = draws_of(seed).stream("annotator")
            tensors = [torch.from_numpy(m.astype(np.float32))[None, None] for m in (mask, truth)]
            points, labels = theirs["select_random_points"](*tensors, point_num=1)
            given = one(SamMed2dPoints(), truth, mask, history, seed)
            assert (list(given.landed), int(given.positive)) == (points[0, 0].tolist(), int(labels[0, 0]))
            compared += 1
    assert compared > 500


def test_prompt_files_travel_both_ways(theirs: dict[str, Any], tmp_path: Path) -> None:
    from torch.utils.data import default_collate

    file = tmp_path / "256_prompt.json"
    truth = np.zeros((256, 256), np.int64)
    truth[20:60, 30:90] = 1
    theirs["chance"].words = draws_of(0).stream("annotator")
    boxes = theirs["get_boxes_from_mask"](truth, max_pixel=0)
    points, labels = theirs["init_point_sampling"](truth)
    # A batch of one, written as their evaluation does.
    batch = [default_collate([t]).squeeze(1).numpy().tolist() for t in (boxes, points, labels)]
    file.write_text(
        json.dumps({"m": dict(zip(("boxes", "point_coords", "point_labels"), batch, strict=True))})
    )
    found = read_sam_med2d_prompts(file, {"m": (256, 256)})["m"]
    assert found[0].prompts[0].landed == (30, 20, 89, 59)
    assert [list(found[1].prompts[0].landed)] == points.int().tolist()
    # Ours, loaded as their data set does, has the shapes that their prompt encoder takes.
    rounds = (*found, Round((click(3, 4, False),)))
    write_sam_med2d_prompts(file, {"m": rounds}, {"m": (256, 256)})
    read = json.loads(file.read_text())["m"]
    shapes = [tuple(default_collate([np.array(read[key])]).shape) for key in read]
    assert shapes == [(1, 1, 4), (1, 2, 2), (1, 2)]


@pytest.mark.data
@pytest.mark.skipif(not real_masks(), reason="shared/data is not there")
def test_the_same_box_on_published_masks(theirs: dict[str, Any]) -> None:
    import cv2

    for file in real_masks():
        truth = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) > 0
        if not truth.any():
            continue
        theirs["chance"].words = draws_of(0).stream("annotator")
        [expected] = theirs["get_boxes_from_mask"](truth.astype(np.int64), max_pixel=0).int().tolist()
        given = one(SamMed2dBox(), truth, np.zeros_like(truth), (), 0).landed
        assert given == (expected[0], expected[1], expected[2] - 1, expected[3] - 1)
