from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from peer_cases import ask, case_of, check_round, clicks, drawn, episodes, is_uniform, set_of
from scipy.ndimage import distance_transform_edt

from simclick.annotators.mazurowski import MazurowskiXor
from simclick.prompts import Round, click
from simclick.testing_annotator import check_annotator


def test_misses_and_false_finds_are_one_region() -> None:
    missed_wider = drawn(".......", ".nnnpp.", ".nnnpp.", ".nnnpp.", ".nnnpp.", ".nnnpp.", ".......")
    assert ask(MazurowskiXor(), *missed_wider) == [Round((click(3, 3),))]
    found_wider = drawn(".......", ".nnppp.", ".nnppp.", ".nnppp.", ".nnppp.", ".nnppp.", ".......")
    assert ask(MazurowskiXor(), *found_wider) == [Round((click(3, 3, False),))]


def test_from_an_empty_mask_the_middle_of_the_object() -> None:
    case, mask = drawn("nnnnn", "nnnnn", "nnnnn", "nnnnn", "nnnnn")
    assert ask(MazurowskiXor(), case, mask) == [Round((click(2, 2),))]


def test_ties_are_drawn_uniformly() -> None:
    case, mask = drawn("nnn....", "nnn.ppp", "nnn.ppp", "....ppp")
    found = clicks(ask(MazurowskiXor(), case, mask, n=600))
    assert set(found) == {(1, 1), (5, 2)}
    assert is_uniform(found, 2)
    line, empty = drawn("nnnnnnn")
    found = clicks(ask(MazurowskiXor(), line, empty, n=1400))
    assert set(found) == {(x, 0) for x in range(7)}
    assert is_uniform(found, 7)


def test_ignored_pixels_are_not_wrong_and_end_the_region() -> None:
    case, mask = drawn("nnnnnNN", "nnnnnNN", "nnnnnNN", "nnnnnNN", "nnnnnNN")
    assert ask(MazurowskiXor(), case, mask) == [Round((click(2, 2),))]
    assert ask(MazurowskiXor(), *drawn("NNPP.o")) == [None]


def test_clicked_pixels_are_passed_over_unless_repeats_are_wanted() -> None:
    case, mask = drawn("nnn", "nnn", "nnn")
    middle = (Round((click(1, 1),)),)
    assert (1, 1) not in clicks(ask(MazurowskiXor(), case, mask, n=50, history=middle))
    assert set(clicks(ask(MazurowskiXor(repeats=True), case, mask, n=50, history=middle))) == {(1, 1)}
    one, empty = drawn("...", ".n.", "...")
    assert ask(MazurowskiXor(), one, empty, history=middle) == [None]
    assert ask(MazurowskiXor(repeats=True), one, empty, history=middle) == [Round((click(1, 1),))]


def blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = tuple(int(v) for v in rng.integers(20, 90, 2))
    fields = [cv2.GaussianBlur(rng.standard_normal(shape), (0, 0), 3) for _ in range(2)]
    return fields[0] > 0.05, fields[1] > 0.05


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("transform", ["exact", "5x5"])
def test_same_maxima_as_a_distance_transform_of_the_whole_image(seed: int, transform: Any) -> None:
    truth, mask = blobs(seed)
    padded = np.pad(truth ^ mask, 1)
    if transform == "exact":
        depth = distance_transform_edt(padded)[1:-1, 1:-1]
    else:
        depth = cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    found = clicks(ask(MazurowskiXor(transform=transform), case_of(truth), mask, n=60))
    assert set(found) <= set_of(depth == depth.max())
    assert sum(found.values()) == 60


@given(episodes())
@settings(deadline=None, max_examples=60)
def test_legal_on_anything(episode: Any) -> None:
    case, mask = episode
    for annotator in (MazurowskiXor(), MazurowskiXor(transform="5x5"), MazurowskiXor(repeats=True)):
        [round_] = ask(annotator, case, mask)
        check_round(round_, case, mask)


@pytest.mark.parametrize("options", [{"transform": "5x5"}, {"repeats": True}])
def test_with_options(options: dict[str, Any]) -> None:
    check_annotator(MazurowskiXor(**options))


@pytest.mark.parametrize("options", [{"transform": "3x3"}, {"repeats": 1}])
def test_refuses_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        MazurowskiXor(**options)
