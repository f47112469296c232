"""SAM-Med2D's boxes and points, counted by hand; `test_sam_med2d_parity` runs its own functions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from peer_cases import ask, case_of, clicks, drawn, draws_of, is_uniform, set_of

from simclick.annotators.sam_med2d import SamMed2dBox, SamMed2dBoxPoints, SamMed2dPoints
from simclick.prompts import Round, click
from simclick.testing import check_annotator

TWO = ("..........", ".nn.......", ".nn..nnn..", ".....nnn..", "..........")


def boxes(annotator: Any, n: int = 1) -> list[tuple[int, ...]]:
    case, mask = drawn(*TWO)
    return [round_.prompts[0].landed for round_ in ask(annotator, case, mask, n) if round_ is not None]


def test_the_box_is_that_of_the_largest_component() -> None:
    assert boxes(SamMed2dBox()) == [(5, 2, 7, 3)]
    assert boxes(SamMed2dBox(half_open=True)) == [(5, 2, 8, 4)]


def test_degenerate_objects() -> None:
    full = np.ones((5, 7), bool)
    assert ask(SamMed2dBox(), case_of(full), ~full)[0].prompts[0].landed == (0, 0, 6, 4)
    assert ask(SamMed2dBox(half_open=True), case_of(full), ~full)[0].prompts[0].landed == (0, 0, 6, 4)
    pixel = np.zeros((5, 7), bool)
    pixel[3, 2] = True
    nothing = np.zeros_like(pixel)
    # Half of a side of one pixel is none: no jitter.
    for annotator in (SamMed2dBox(), SamMed2dBox(jitter=5)):
        rounds = ask(annotator, case_of(pixel), nothing, 20)
        assert {r.prompts[0].landed for r in rounds} == {(2, 3, 2, 3)}
    assert set(clicks(ask(SamMed2dPoints(), case_of(pixel), nothing, 20))) == {(2, 3)}


def test_pixels_that_touch_at_a_corner_are_one_component_and_the_first_of_equals_counts() -> None:
    case, mask = drawn("n...nn", ".n....", "n...nn", "......")
    assert ask(SamMed2dBox(), case, mask)[0].prompts[0].landed == (0, 0, 1, 2)
    case, mask = drawn("....n", "nn..n", ".....")
    assert ask(SamMed2dBox(), case, mask)[0].prompts[0].landed == (4, 0, 4, 1)


def test_ignored_pixels_are_neither_object_nor_wrong() -> None:
    case, mask = drawn("NNNNN", "..nn.", "pP...")
    assert ask(SamMed2dBox(), case, mask)[0].prompts[0].landed == (2, 1, 3, 1)
    assert set(clicks(ask(SamMed2dPoints(), case, mask, 200))) == {(2, 1), (3, 1)}
    after = ask(SamMed2dPoints(), case, mask, 300, history=(Round((click(2, 1),)),), step=2)
    assert set(clicks(after)) == {(2, 1), (3, 1), (0, 2)}


def test_the_jitter_is_rigid_and_bounded_by_half_the_shorter_side() -> None:
    truth = np.zeros((40, 60), bool)
    truth[10:20, 10:40] = True
    rounds = ask(SamMed2dBox(jitter=20), case_of(truth), np.zeros_like(truth), 3000)
    shifts: Counter[tuple[int, int]] = Counter()
    for round_ in rounds:
        assert round_ is not None
        x0, y0, x1, y1 = round_.prompts[0].landed
        assert (x1 - x0, y1 - y0) == (29, 9)
        shifts[x0 - 10, y0 - 10] += 1
    assert {dx for dx, _ in shifts} == {dy for _, dy in shifts} == set(range(-5, 5))
    assert is_uniform(shifts, 100)


def test_no_jitter_draws_nothing() -> None:
    assert not SamMed2dBox().draws_chance
    assert SamMed2dBox(jitter=5).draws_chance


def test_the_first_point_is_any_object_pixel_and_the_next_any_wrong_one() -> None:
    case, mask = drawn("oonn", "pp..")
    first = clicks(ask(SamMed2dPoints(), case, mask, 2000))
    assert set(first) == set_of(case.truth)
    assert is_uniform(first, 4)
    given = (Round((click(2, 0),)),)
    after = ask(SamMed2dPoints(), case, mask, 2000, history=given, step=2)
    assert is_uniform(clicks(after), 4)
    # With repetition: the pixel that was clicked is drawn again.
    assert (2, 0) in clicks(after)
    assert all(
        r is not None and r.prompts[0].positive == case.truth[r.prompts[0].landed[::-1]] for r in after
    )


def test_box_first_then_corrections() -> None:
    case, mask = drawn(*TWO)
    (start,) = ask(SamMed2dBoxPoints(), case, mask)
    assert start is not None
    assert start.prompts[0].kind == "box"
    (then,) = SamMed2dBoxPoints().propose(case, mask[None], [(start,)], draws_of(1, 2))
    assert then is not None
    assert then.prompts[0].kind == "click"


@pytest.mark.parametrize("annotator", [SamMed2dBox(), SamMed2dPoints(), SamMed2dBoxPoints()])
def test_nothing_is_left_on_a_right_mask_or_without_an_object(annotator: Any) -> None:
    case, _ = drawn(*TWO)
    assert ask(annotator, case, case.truth) == [None]
    empty = case_of(np.zeros((4, 4), bool))
    assert ask(annotator, empty, empty.truth) == [None]


@pytest.mark.parametrize(
    "annotator", [SamMed2dBox(jitter=5), SamMed2dBox(half_open=True), SamMed2dBoxPoints(jitter=3)]
)
def test_conformance_with_options(annotator: Any) -> None:
    check_annotator(annotator)
