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


def test_the_centre_of_mass_is_rounded_half_up_or_cut_off() -> None:
    truth = np.zeros((5, 6), bool)
    truth[1:3, 2:4] = True
    # The mean is (2.5, 1.5).
    assert places(one(CosmosPoints(), truth)) == [((3, 2), True)]
    assert places(one(CosmosPoints(mode="code"), truth)) == [((2, 1), True)]


def test_five_points_of_a_row_by_hand() -> None:
    truth = np.zeros((3, 12), bool)
    truth[1, 1:10] = True
    # The centre is (5, 1). Of the other eight, numbers floor((i + 1/2) 8 / 4) = 1, 3, 5, 7.
    assert places(one(CosmosPoints(5), truth)) == [
        ((5, 1), True), ((2, 1), True), ((4, 1), True), ((7, 1), True), ((9, 1), True)
    ]  # fmt: skip


def test_two_blobs_by_hand() -> None:
    truth = np.zeros((4, 12), bool)
    truth[1:3, 1:3] = truth[1:3, 9:11] = True
    # The mean is (5.5, 1.5), rounded (6, 2): not the object's. So floor((i + 1/2) 8 / 3) = 1, 4, 6 of
    # (1,1) (2,1) (9,1) (10,1) (1,2) (2,2) (9,2) (10,2).
    assert places(one(CosmosPoints(3), truth)) == [((2, 1), True), ((1, 2), True), ((9, 2), True)]
    assert places(one(CosmosPoints(1), truth)) == [((1, 2), True)]
    # The code cuts (5.5, 1.5) off and asks for no more; its stride is 8 // 5 = 1.
    assert places(one(CosmosPoints(mode="code"), truth)) == [((5, 1), True)]
    assert [at for at, _ in places(one(CosmosPoints(5, mode="code"), truth))] == [
        (5, 1), (2, 1), (9, 1), (10, 1), (1, 2)
    ]  # fmt: skip


def test_negatives_lie_beside_the_object_in_the_doubled_box() -> None:
    truth = np.zeros((20, 20), bool)
    truth[8:12, 8:12] = True
    # The doubled box is 6…13 both ways: 64 pixels, 48 of them beside the object, in rows of
    # 8, 8, 4, 4, 4, 4, 8, 8. Numbers floor((i + 1/2) 48 / 5) are 4, 14, 24, 33, 43.
    negatives = [at for at, positive in places(one(CosmosPoints(5, 5), truth)) if not positive]
    assert negatives == [(10, 6), (12, 7), (6, 10), (7, 12), (9, 13)]


def test_the_doubled_box_is_cut_at_the_image() -> None:
    truth = np.zeros((5, 5), bool)
    truth[:2, :2] = True
    # 0…2 both ways without the object: (2,0) (2,1) (0,2) (1,2) (2,2).
    assert [at for at, positive in places(one(CosmosPoints(1, 9), truth)) if not positive] == [
        (2, 0), (2, 1), (0, 2), (1, 2), (2, 2)
    ]  # fmt: skip


@pytest.mark.parametrize("pixels", [1, 3])
def test_fewer_pixels_than_points_are_given_once(pixels: int) -> None:
    truth = np.zeros((9, 9), bool)
    truth[4, 3 : 3 + pixels] = True
    positives = [at for at, positive in places(one(CosmosPoints(5, 5), truth)) if positive]
    assert sorted(positives) == [(3 + k, 4) for k in range(pixels)]


@pytest.mark.parametrize("pixels", [1, 2, 3, 4])
@pytest.mark.parametrize("negative", [0, 5])
def test_where_the_code_fails_every_object_pixel_is_given_once(pixels: int, negative: int) -> None:
    truth = np.zeros((9, 9), bool)
    truth[4, 3 : 3 + pixels] = truth[5, 3] = True
    truth[5, 3] = pixels == 1
    given = places(one(CosmosPoints(5, negative, mode="code"), truth))
    assert len(set(given)) == len(given)
    assert {at for at, positive in given if positive} == {(int(x), int(y)) for y, x in np.argwhere(truth)}
    assert all(not truth[y, x] for (x, y), positive in given if not positive)


def test_the_code_gives_no_more_than_its_numbers_on_an_object_that_fills_the_image() -> None:
    given = places(one(CosmosPoints(5, 5, mode="code"), np.ones((8, 8), bool)))
    # 64 // 5 = 12: numbers 12, 24, 36, 48 after the centre of mass, (3.5, 3.5) cut off.
    assert given == [((3, 3), True), ((4, 1), True), ((0, 3), True), ((4, 4), True), ((0, 6), True)]


def test_nothing_is_left_without_counted_pixels() -> None:
    truth = np.zeros((6, 6), bool)
    truth[2:4, 2:4] = True
    for annotator in (CosmosEverything(), CosmosPoints(5, 5), CosmosPoints(mode="code"), CosmosBoxPoint()):
        assert one(annotator, truth, truth) is None
        given = one(annotator, truth)
        assert ask(annotator, case_of(truth), np.zeros_like(truth), history=(given,), step=2) == [None]
        # A wrong mask does not make an object.
        empty = np.zeros_like(truth)
        assert ask(annotator, case_of(empty), ~empty) == [None]


def test_an_object_that_fills_the_image_has_no_negatives() -> None:
    assert all(positive for _, positive in places(one(CosmosPoints(5, 5), np.ones((8, 8), bool))))


def test_ignored_pixels_are_neither_object_nor_background() -> None:
    truth = np.zeros((20, 20), bool)
    truth[8:12, 8:12] = True
    ignore = np.zeros_like(truth)
    ignore[:8] = ignore[:, 10:] = True
    # The code's box is 7…8 by 6…11, where only four pixels beside the object count.
    for mode, n in (("paper", 10), ("code", 9)):
        given = places(one(CosmosPoints(5, 5, mode), truth, ignore))
        assert len(set(given)) == len(given) == n
        assert not any(ignore[y, x] for (x, y), _ in given)


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


def test_the_codes_points_by_hand() -> None:
    truth = np.zeros((20, 24), bool)
    truth[8:10, 6:17] = True
    # 22 object pixels: numbers 4, 8, 12, 16, 20 after the centre of mass, (11, 8.5) cut off. The box of twice
    # 10 x 1 goes from (1, 7.5) to (21, 9.5): 1…20 by 7…8, with 20 + 9 pixels beside the object, every 5th.
    assert places(one(CosmosPoints(5, 5, mode="code"), truth)) == [
        ((11, 8), True), ((10, 8), True), ((14, 8), True), ((7, 9), True), ((11, 9), True),
        ((15, 9), False), ((1, 7), False), ((6, 7), False), ((11, 7), False), ((16, 7), False),
    ]  # fmt: skip
    # At the left edge the box is cut to 0…14: 15 + 4 pixels beside the object, every 3rd.
    at_the_edge = np.roll(truth, -6, axis=1)
    assert [at for at, _ in places(one(CosmosPoints(5, 5, mode="code"), at_the_edge))][6:] == [
        (0, 7), (3, 7), (6, 7), (9, 7)
    ]  # fmt: skip


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
        assert len(expected) == 10
        assert places(one(CosmosPoints(5, 5, mode="code"), truth)) == expected
        for n in (1, 5):
            assert places(one(CosmosPoints(n, mode="code"), truth)) == expected[:n]
        box = tuple(int(v) for v in theirs.find_box_from_mask(truth))
        assert [p.landed for p in one(CosmosBoxPoint("code"), truth).prompts] == [box, expected[0][0]]
        compared += 1
    assert compared > 300
