from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from peer_cases import ask, case_of, check_round, clicks, drawn, episodes, is_uniform, set_of
from scipy import ndimage

from simclick.annotators.cvpr25 import Cvpr25
from simclick.prompts import Round, box, click
from simclick.testing_annotator import check_annotator

BOX = (Round((box(0, 0, 1, 1),)),)


def test_the_tight_box_comes_first() -> None:
    case, mask = drawn("......", "..nn..", "..nnn.", "......")
    assert ask(Cvpr25(), case, mask) == [Round((box(2, 1, 4, 2),))]
    assert ask(Cvpr25(), case, case.truth) == [None]


def test_the_box_leaves_ignored_pixels_out() -> None:
    assert ask(Cvpr25(), *drawn("Nn..", "Nn..")) == [Round((box(1, 0, 1, 1),))]


def test_without_an_object_the_first_round_is_a_click() -> None:
    assert ask(Cvpr25(), *drawn("ppp", "ppp", "ppp")) == [Round((click(1, 1, False),))]


def test_the_largest_region_is_that_of_the_merged_error() -> None:
    """The block of misses is larger than either part of the mixed region, but not than both."""
    case, mask = drawn(
        "nnnnn........",
        "nnnnn.nnnnppp",
        "nnnnn.nnnnppp",
        "......nnnnppp",
    )
    assert set(clicks(ask(Cvpr25(), case, mask, n=200, history=BOX))) == {(x, 2) for x in range(7, 12)}


def test_the_largest_region_wins_not_the_deepest() -> None:
    case, mask = drawn(
        "............", "nnnnnnnnnnnn", "............", "ppp.........", "ppp.........", "ppp........."
    )
    found = clicks(ask(Cvpr25(), case, mask, n=1800, history=BOX))
    assert set(found) == {(x, 1) for x in range(12)}
    assert is_uniform(found, 12)


def test_regions_that_touch_at_a_corner_are_one_and_ties_go_to_the_first() -> None:
    corner = drawn("nn...ppp", "nn......", "..pp....", "..pp....")
    assert set(clicks(ask(Cvpr25(), *corner, n=200, history=BOX))) <= {
        *((x, y) for x in (0, 1) for y in (0, 1)),
        *((x, y) for x in (2, 3) for y in (2, 3)),
    }
    assert ask(Cvpr25(), *drawn("....n", "p...."), history=BOX) == [Round((click(4, 0),))]


def test_clicked_pixels_are_passed_over_and_a_spent_region_gives_way() -> None:
    case, mask = drawn("nn..p")
    both = (*BOX, Round((click(0, 0),)), Round((click(1, 0),)))
    assert ask(Cvpr25(), case, mask, history=both[:2]) == [Round((click(1, 0),))]
    assert ask(Cvpr25(), case, mask, history=both) == [Round((click(4, 0, False),))]
    assert ask(Cvpr25(), case, mask, history=(*both, Round((click(4, 0, False),)))) == [None]
    assert set(clicks(ask(Cvpr25(repeats=True), case, mask, n=40, history=both))) == {(0, 0), (1, 0)}


def test_the_shift_is_one_number_scaled_to_each_side() -> None:
    truth = np.zeros((256, 640), bool)
    truth[100:120, 200:300] = True
    case = case_of(truth)
    rounds = ask(Cvpr25(shift=5), case, np.zeros_like(truth), n=600)
    found = clicks(rounds)
    growths = [(0, 0), (2, 1), (5, 2), (7, 3), (10, 4), (12, 5)]
    assert set(found) == {(200 - dx, 100 - dy, 299 + dx, 119 + dy) for dx, dy in growths}
    assert is_uniform(found, 6)


def test_a_shifted_box_stays_in_the_image() -> None:
    case = case_of(np.ones((300, 300), bool))
    found = clicks(ask(Cvpr25(shift=9), case, np.zeros((300, 300), bool), n=30))
    assert set(found) == {(0, 0, 299, 299)}


@pytest.mark.parametrize("seed", range(15))
def test_same_places_as_an_independent_computation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, mask = (ndimage.gaussian_filter(rng.standard_normal((60, 70)), 2) > 0.08 for _ in range(2))
    labels, n = ndimage.label(np.pad(truth != mask, 1), structure=np.ones((3, 3)))
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel(), minlength=n + 1)[1:])
    depth = ndimage.distance_transform_edt(largest)[1:-1, 1:-1]
    rounds = ask(Cvpr25(), case_of(truth), mask, n=40, history=BOX)
    assert set(clicks(rounds)) <= set_of(depth == depth.max())
    assert None not in rounds


@given(episodes())
@settings(deadline=None, max_examples=60)
def test_legal_on_anything(episode: Any) -> None:
    case, mask = episode
    for annotator in (Cvpr25(), Cvpr25(shift=5, repeats=True)):
        for history in ((), BOX):
            [round_] = ask(annotator, case, mask, history=history)
            check_round(round_, case, mask)


def test_with_options() -> None:
    check_annotator(Cvpr25(shift=40, repeats=True))


@pytest.mark.parametrize("options", [{"shift": -1}, {"shift": 2.5}, {"shift": True}, {"repeats": 0}])
def test_refuses_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        Cvpr25(**options)
