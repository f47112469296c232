"""COSMOS's strategies: counted by hand, and beside the released code where a checkout is given."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peer_cases import ask, case_of

from simclick.annotators.cosmos import CosmosBoxPoint, CosmosEverything, CosmosPoints
from simclick.testing import check_annotator


def one(annotator: Any, truth: np.ndarray, ignore: np.ndarray | None = None) -> Any:
    (round_,) = ask(annotator, case_of(truth, ignore), np.zeros_like(truth))
    return round_


def disc(size: int = 41, radius: int = 10) -> np.ndarray:
    rows, columns = np.ogrid[:size, :size]
    return (rows - size // 2) ** 2 + (columns - size // 2) ** 2 <= radius**2


def places(round_: Any) -> list[tuple[tuple[int, ...], bool]]:
    return [(p.landed, p.positive) for p in round_.prompts]


def test_everything_is_asked_once() -> None:
    round_ = one(CosmosEverything(), disc())
    assert [p.kind for p in round_.prompts] == ["everything"]
    case = case_of(disc())
    assert ask(CosmosEverything(), case, np.zeros((41, 41), bool), history=(round_,)) == [None]
    assert ask(CosmosEverything(), case, case.truth) == [None]


def test_the_first_point_is_the_centre_of_mass_if_it_is_inside() -> None:
    assert places(one(CosmosPoints(), disc())) == [((20, 20), True)]
    ring = disc(41, 12) & ~disc(41, 6)
    ((at, _),) = places(one(CosmosPoints(), ring))
    pixels = np.argwhere(ring)
    assert at == tuple(int(v) for v in pixels[len(pixels) // 2][::-1])


def test_five_points_of_a_row_by_hand() -> None:
    truth = np.zeros((3, 12), bool)
    truth[1, 1:10] = True
    # The centre is (5, 1). Of the other eight, numbers floor((i + 1/2) 8 / 4) = 1, 3, 5, 7.
    assert places(one(CosmosPoints(5), truth)) == [
        ((5, 1), True), ((2, 1), True), ((4, 1), True), ((7, 1), True), ((9, 1), True)
    ]  # fmt: skip


def test_negatives_lie_beside_the_object_in_the_doubled_box() -> None:
    truth = np.zeros((20, 20), bool)
    truth[8:12, 8:12] = True
    round_ = one(CosmosPoints(5, 5), truth)
    labels = [p.positive for p in round_.prompts]
    assert labels == [True] * 5 + [False] * 5
    for prompt in round_.prompts[5:]:
        x, y = prompt.landed
        assert 6 <= x <= 13
        assert 6 <= y <= 13
        assert not truth[y, x]


@pytest.mark.parametrize("pixels", [1, 3])
def test_fewer_pixels_than_points_are_given_once(pixels: int) -> None:
    truth = np.zeros((9, 9), bool)
    truth[4, 3 : 3 + pixels] = True
    positives = [at for at, positive in places(one(CosmosPoints(5, 5), truth)) if positive]
    assert sorted(positives) == [(3 + k, 4) for k in range(pixels)]


def test_an_object_that_fills_the_image_has_no_negatives() -> None:
    assert all(positive for _, positive in places(one(CosmosPoints(5, 5), np.ones((8, 8), bool))))


def test_ignored_pixels_are_neither_object_nor_background() -> None:
    truth = np.zeros((20, 20), bool)
    truth[8:12, 8:12] = True
    ignore = np.zeros_like(truth)
    ignore[:8] = ignore[:, 10:] = True
    for (x, y), _ in places(one(CosmosPoints(5, 5), truth, ignore)):
        assert not ignore[y, x]


def test_the_codes_sixth_object_pixel_is_labelled_background_and_only_there() -> None:
    truth = np.zeros((40, 40), bool)
    truth[10:14, 10:21] = True  # 44 pixels: every 8th gives six
    faulty = one(CosmosPoints(5, 5, mode="code"), truth)
    assert [p.positive for p in faulty.prompts] == [True] * 5 + [False] * 5
    assert [bool(truth[p.landed[1], p.landed[0]]) for p in faulty.prompts] == [True] * 6 + [False] * 4
    right = one(CosmosPoints(5, 5), truth)
    assert all(truth[p.landed[1], p.landed[0]] == p.positive for p in right.prompts)
    assert CosmosPoints(5, 5).truthful
    assert not CosmosPoints(5, 5, mode="code").truthful


def test_the_codes_centre_may_lie_beside_the_object() -> None:
    ring = disc(41, 12) & ~disc(41, 6)
    ((at, positive),) = places(one(CosmosPoints(mode="code"), ring))
    assert (at, positive) == ((20, 20), True)


def test_box_and_point_are_one_round() -> None:
    round_ = one(CosmosBoxPoint(), disc())
    assert [(p.kind, p.landed) for p in round_.prompts] == [("box", (10, 10, 30, 30)), ("click", (20, 20))]


@pytest.mark.parametrize(
    "annotator",
    [
        CosmosPoints(5),
        CosmosPoints(5, 5),
        CosmosPoints(1, 3),
        CosmosPoints(5, 5, "code"),
        CosmosBoxPoint("code"),
    ],
)
def test_conformance(annotator: Any) -> None:
    check_annotator(annotator)


@pytest.mark.parametrize(
    "options", [{"positive": 0}, {"negative": -1}, {"mode": "other"}, {"positive": 3, "mode": "code"}]
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mode|positive|negative"):
        CosmosPoints(**options)


def test_the_code_mode_equals_the_released_code() -> None:
    root = os.environ.get("SIMCLICK_COSMOS")
    if not root:
        pytest.skip("SIMCLICK_COSMOS names no checkout of the authors' repository")
    path = Path(root) / "utils" / "get_prompts.py"
    spec = importlib.util.spec_from_file_location("cosmos_prompts", path)
    assert spec is not None
    assert spec.loader is not None
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(500):
        h, w = rng.integers(12, 60, 2)
        rows, columns = np.ogrid[:h, :w]
        truth = np.zeros((h, w), bool)
        for _ in range(rng.integers(1, 4)):
            y, x, a, b = rng.integers(0, h), rng.integers(0, w), *rng.uniform(2, 15, 2)
            truth |= ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 <= 1
        if truth.sum() < 5 or truth.all():
            continue
        try:
            coordinates, labels, *_ = theirs.find_center_from_mask_new(truth.astype(np.uint8))
        except ValueError:
            continue  # theirs divides by zero where hardly any background is left
        expected = [
            (tuple(int(v) for v in at), bool(label))
            for at, label in zip(coordinates[:10], labels, strict=False)
        ]
        assert places(one(CosmosPoints(5, 5, mode="code"), truth))[: len(expected)] == expected
        compared += 1
    assert compared > 300
