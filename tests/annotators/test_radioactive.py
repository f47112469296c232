from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from peer_cases import ask, case_of, check_round, clicks, drawn, episodes, is_uniform, set_of
from scipy import ndimage

from simclick.annotators.radioactive import RadioActive
from simclick.prompts import Round, click
from simclick.testing_annotator import check_annotator


def test_polarity_follows_the_share_of_false_finds() -> None:
    case, mask = drawn("nnnnnnnnn", "ooooooooo", ".......pp", ".......Pp")
    rounds = ask(RadioActive(), case, mask, n=4000)
    negative = sum(not round_.prompts[0].positive for round_ in rounds if round_)
    assert abs(negative / 4000 - 3 / 12) < 5 * (0.25 * 0.75 / 4000) ** 0.5


def test_one_sided_errors_leave_no_choice() -> None:
    assert {r.prompts[0].positive for r in ask(RadioActive(), *drawn("nno."), n=50) if r} == {True}
    assert {r.prompts[0].positive for r in ask(RadioActive(), *drawn("oo.pp"), n=50) if r} == {False}


@pytest.mark.parametrize(
    ("rows", "x", "y"),
    [
        (["nnn", "nnn", "nnn"], 1, 1),
        # Centroid of a C: x = (5 + 5·0 … )/11: rows 0 and 4 hold 0..3, the rest column 0.
        (["nnnn", "n...", "n...", "n...", "nnnn"], 0, 2),
        # 1.5 rounds to 2 and 0.5 to 0: halves go to the even number.
        (["nnnn", "nnnn"], 2, 0),
        # The larger component counts, not the first.
        (["nn......", ".....nnn", ".....nnn", ".....nnn"], 6, 2),
        # Equally large: the first.
        (["....nnn", "nnn...."], 5, 0),
    ],
)
def test_positive_clicks_lie_nearest_to_the_centroid(rows: list[str], x: int, y: int) -> None:
    case, mask = drawn(*rows)
    assert ask(RadioActive(), case, mask, n=4) == [Round((click(x, y),))] * 4


def test_nearest_pixels_that_tie_are_taken_in_row_major_order() -> None:
    """The centroid of a ring lies in its hole, one pixel from four of its pixels."""
    case, mask = drawn("nnn", "n.n", "nnn")
    assert ask(RadioActive(), case, mask) == [Round((click(1, 0),))]


def test_the_contour_is_the_rim_of_a_disc_around_a_pixel() -> None:
    truth = np.zeros((11, 11), bool)
    truth[5, 5] = True
    found = clicks(ask(RadioActive(), case_of(truth), np.ones_like(truth), n=1600))
    rim = {
        (5 + dx, 5 + dy) for dx, dy in [(2, 0), (-2, 0), (0, 2), (0, -2), (1, 1), (1, -1), (-1, 1), (-1, -1)]
    }
    assert set(found) == rim
    assert is_uniform(found, 8)
    wider = clicks(ask(RadioActive(contour_distance=1), case_of(truth), np.ones_like(truth), n=200))
    assert set(wider) == {(6, 5), (4, 5), (5, 6), (5, 4)}


def test_the_image_border_is_no_contour() -> None:
    case, mask = drawn(*["oppppp"] * 5)
    assert set(clicks(ask(RadioActive(), case, mask, n=200))) == {(2, y) for y in range(5)}


def test_only_false_finds_of_the_contour_are_clicked() -> None:
    case, mask = drawn(".......", "o.p.ppp", "o......", "o.P....")
    assert set(clicks(ask(RadioActive(), case, mask, n=50))) == {(2, 1)}


def test_where_the_contour_meets_none_any_false_find_will_do() -> None:
    case, mask = drawn("o....pp", "o....p.")
    found = clicks(ask(RadioActive(), case, mask, n=900))
    assert set(found) == {(5, 0), (6, 0), (5, 1)}
    assert is_uniform(found, 3)


def test_without_an_object_the_fullest_column() -> None:
    case, mask = drawn("p.p.p", "..p.p", "....P")
    assert set(clicks(ask(RadioActive(), case, mask, n=60))) == {(2, 0), (2, 1)}
    both = (Round((click(2, 0, False),)), Round((click(2, 1, False),)))
    assert set(clicks(ask(RadioActive(), case, mask, n=200, history=both))) == {(0, 0), (4, 0), (4, 1)}


@pytest.mark.parametrize("seed", range(6))
def test_same_contour_as_an_independent_computation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.standard_normal((40, 50)), 3) > 0.12
    mask = truth | (ndimage.gaussian_filter(rng.standard_normal((40, 50)), 3) > 0)
    r = 2 + seed % 3
    far = ndimage.distance_transform_edt(~truth) > r
    contour = ~far & ndimage.binary_dilation(far)
    found = clicks(ask(RadioActive(contour_distance=r), case_of(truth), mask, n=1500))
    assert set(found) <= set_of(contour & mask & ~truth)
    assert len(found) > 0.9 * (contour & mask & ~truth).sum()


def test_unrealistic_is_any_wrong_pixel() -> None:
    case, mask = drawn("nnoP", "p..N")
    rounds = ask(RadioActive(mode="unrealistic"), case, mask, n=900)
    found = clicks(rounds)
    assert set(found) == {(0, 0), (1, 0), (0, 1)}
    assert is_uniform(found, 3)


def test_clicked_pixels_are_passed_over_unless_repeats_are_wanted() -> None:
    case, mask = drawn("nnn.n", "....n")
    middle = Round((click(1, 0),))
    assert ask(RadioActive(), case, mask) == [middle]
    assert ask(RadioActive(repeats=True), case, mask, history=(middle,)) == [middle]
    rest = [Round((click(0, 0),)), Round((click(2, 0),)), Round((click(4, 0),)), Round((click(4, 1),))]
    history = (middle,)
    for expected in rest:
        assert ask(RadioActive(), case, mask, history=history) == [expected]
        history = (*history, expected)
    assert ask(RadioActive(), case, mask, history=history) == [None]


def test_a_side_that_was_clicked_all_over_gives_way() -> None:
    case, mask = drawn("n.pppppp")
    clicked = (Round((click(0, 0),)),)
    assert {r.prompts[0].positive for r in ask(RadioActive(), case, mask, n=60, history=clicked) if r} == {
        False
    }


@given(episodes())
@settings(deadline=None, max_examples=80)
def test_legal_on_anything(episode: Any) -> None:
    case, mask = episode
    for options in ({}, {"mode": "unrealistic"}, {"contour_distance": 30}, {"repeats": True}):
        [round_] = ask(RadioActive(**options), case, mask)
        check_round(round_, case, mask)


@pytest.mark.parametrize("options", [{"mode": "unrealistic"}, {"contour_distance": 5, "repeats": True}])
def test_with_options(options: dict[str, Any]) -> None:
    check_annotator(RadioActive(**options))


@pytest.mark.parametrize("options", [{"mode": "real"}, {"contour_distance": 0}, {"repeats": None}])
def test_refuses_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        RadioActive(**options)
