"""ScribblePrompt's clicks, against the libraries that the original uses."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.annotators.scribbleprompt import ScribblePromptClick
from simclick.case import Case
from simclick.protocol import load_protocol
from simclick.seeding import Draws
from simclick.testing_annotator import check_annotator


def clicks(annotator: Any, truth: np.ndarray, mask: np.ndarray, n: int = 60) -> set[tuple[int, int, bool]]:
    """All clicks that n draws give."""
    case = Case("c", "hand", np.zeros((*truth.shape, 3), np.uint8), truth, "g", "none", "shape")
    masks = np.repeat(mask[None], n, axis=0)
    rounds = annotator.propose(case, masks, [()] * n, [Draws(s, "hand", "c", 0, 1) for s in range(n)])
    return {(*p.landed, p.positive) for r in rounds if r is not None for p in r.prompts}


def left_half() -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros((6, 8), bool)
    truth[:, :4] = True
    return truth, np.zeros_like(truth)


def test_the_image_edge_is_no_border() -> None:
    truth, empty = left_half()
    assert clicks(ScribblePromptClick(), truth, empty) == {(0, y, True) for y in range(6)}
    # With a border the deepest pixels are two from the edges.
    padded = {(x, y, True) for x in (1, 2) for y in (1, 2, 3, 4)}
    assert clicks(ScribblePromptClick(pad_border=True), truth, empty, 200) == padded


def test_everything_wrong_ties_everywhere() -> None:
    full = np.ones((2, 3), bool)
    assert clicks(ScribblePromptClick(), full, ~full) == {(x, y, True) for x in range(3) for y in range(2)}


def test_largest_region_not_the_deepest() -> None:
    truth = np.zeros((12, 40), bool)
    truth[1, 1:39] = True  # 38 pixels, one wide
    extra = np.zeros_like(truth)
    extra[5:10, 5:10] = True  # 25 pixels, three deep
    found = clicks(ScribblePromptClick(), truth, extra, 400)
    assert found == {(x, 1, True) for x in range(1, 39)}


def test_equal_regions_first_pixel_first() -> None:
    truth, extra = (np.zeros((9, 20), bool) for _ in range(2))
    truth[1:4, 10:13] = True
    extra[2:5, 1:4] = True
    assert clicks(ScribblePromptClick(), truth, extra) == {(11, 2, True)}
    assert clicks(ScribblePromptClick(), extra, truth) == {(11, 2, False)}


def test_random_is_any_wrong_pixel_again_and_again() -> None:
    truth, mask = np.zeros((4, 5), bool), np.zeros((4, 5), bool)
    truth[1, 1:3] = True
    mask[3, 4] = True
    expected = {(1, 1, True), (2, 1, True), (4, 3, False)}
    assert clicks(ScribblePromptClick(rule="random"), truth, mask) == expected
    assert clicks(ScribblePromptClick(rule="random"), truth, truth) == set()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0.1, 0.9))
def test_the_candidates_are_those_of_skimage_and_opencv(seed: int, share: float) -> None:
    from skimage.measure import label

    rng = np.random.default_rng(seed)
    truth, mask = rng.random((11, 13)) < share, rng.random((11, 13)) < 0.3
    signed = mask.astype(np.int8) - truth.astype(np.int8)
    depth = sum(
        cv2.distanceTransform((signed == sign).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for sign in (1, -1)
    )
    labels = label(signed)
    areas = np.bincount(labels.ravel())[1:]
    if not areas.size:
        return
    allowed = set()
    for k in np.flatnonzero(areas == areas.max()):
        region = labels == k + 1
        deep = region & np.isclose(depth, depth[region].max(), atol=1e-4)
        allowed |= {(int(x), int(y), bool(truth[y, x])) for y, x in np.argwhere(deep)}
        if k == np.argmax(areas):
            first = set(allowed)
    found = clicks(ScribblePromptClick(), truth, mask, 200)
    assert found <= first
    if len(first) <= 10:
        assert found == first


def test_options_and_protocols() -> None:
    with pytest.raises(ValueError, match="rule"):
        ScribblePromptClick(rule="middle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pad_border"):
        ScribblePromptClick(pad_border=1)  # type: ignore[arg-type]
    for rule in ("center", "random"):
        assert load_protocol(f"scribbleprompt-{rule}-v1").make_annotator() == ScribblePromptClick(rule)  # type: ignore[arg-type]
    check_annotator(ScribblePromptClick(rule="random"), rounds=2)
    check_annotator(ScribblePromptClick(pad_border=True), rounds=2)
