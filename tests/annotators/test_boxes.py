from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simclick.annotators.boxes import BoxThenClick, TightBox
from simclick.case import Case
from simclick.prompts import Round, box, click
from simclick.seeding import Draws


def case_of(truth: np.ndarray, ignore: np.ndarray | None = None) -> Case:
    image = np.zeros((*truth.shape, 3), np.uint8)
    return Case("c", "hand", image, truth, "g", "none", "shape", ignore=ignore)


def draws(n: int) -> list[Draws]:
    return [Draws(0, "hand", "c", repeat, 1) for repeat in range(n)]


@pytest.fixture
def truth() -> np.ndarray:
    """A 3 x 4 block at (2, 1) and a smaller one below."""
    mask = np.zeros((12, 10), bool)
    mask[1:4, 2:6] = True
    mask[8:11, 7:9] = True
    return mask


BOTH = [TightBox, BoxThenClick]


@pytest.mark.parametrize("cls", BOTH)
def test_the_first_round_is_the_tight_box_last_pixel_included(cls: Any, truth: np.ndarray) -> None:
    empty = np.zeros((1, *truth.shape), bool)
    assert cls().propose(case_of(truth), empty, [()], draws(1)) == [Round((box(2, 1, 8, 10),))]
    largest = cls(component="largest").propose(case_of(truth), empty, [()], draws(1))
    assert largest == [Round((box(2, 1, 5, 3),))]


@pytest.mark.parametrize("cls", BOTH)
def test_single_pixel_and_full_image(cls: Any) -> None:
    one = np.zeros((5, 7), bool)
    one[4, 6] = True
    empty = np.zeros((1, 5, 7), bool)
    assert cls().propose(case_of(one), empty, [()], draws(1)) == [Round((box(6, 4, 6, 4),))]
    assert cls().propose(case_of(~empty[0]), empty, [()], draws(1)) == [Round((box(0, 0, 6, 4),))]


@pytest.mark.parametrize("cls", BOTH)
def test_ignored_pixels_are_not_part_of_the_object(cls: Any, truth: np.ndarray) -> None:
    ignore = np.zeros_like(truth)
    ignore[6:] = True
    empty = np.zeros((1, *truth.shape), bool)
    assert cls().propose(case_of(truth, ignore), empty, [()], draws(1)) == [Round((box(2, 1, 5, 3),))]
    assert cls().propose(case_of(truth, truth), empty, [()], draws(1)) == [None]


@pytest.mark.parametrize("cls", BOTH)
def test_equal_components_take_the_first(cls: Any) -> None:
    truth = np.zeros((6, 9), bool)
    truth[0:2, 5:7] = truth[1:3, 1:3] = True
    empty = np.zeros((1, 6, 9), bool)
    found = cls(component="largest").propose(case_of(truth), empty, [()], draws(1))
    assert found == [Round((box(5, 0, 6, 1),))]


@pytest.mark.parametrize("cls", BOTH)
def test_nothing_left(cls: Any, truth: np.ndarray) -> None:
    nothing = np.zeros((1, *truth.shape), bool)
    assert cls().propose(case_of(nothing[0]), nothing, [()], draws(1)) == [None]
    assert cls().propose(case_of(truth), truth[None], [()], draws(1)) == [None]


def test_tight_box_says_nothing_more(truth: np.ndarray) -> None:
    masks = np.zeros((2, *truth.shape), bool)
    histories = [(), (Round((box(0, 0, 1, 1),)),)]
    assert TightBox().propose(case_of(truth), masks, histories, draws(2)) == [
        Round((box(2, 1, 8, 10),)),
        None,
    ]


def test_box_then_clicks(truth: np.ndarray) -> None:
    given = Round((box(2, 1, 8, 10),))
    masks = np.zeros((4, *truth.shape), bool)
    masks[1, 1:4, 2:6] = True
    masks[2] = truth
    histories = [(given,), (given,), (given,), (given, Round((click(3, 2),)))]
    assert BoxThenClick().propose(case_of(truth), masks, histories, draws(4)) == [
        Round((click(3, 2),)),
        Round((click(7, 8),)),
        None,
        Round((click(4, 2),)),
    ]


def test_without_an_object_the_first_round_is_a_click() -> None:
    mask = np.zeros((1, 7, 7), bool)
    mask[0, 2:5, 2:5] = True
    found = BoxThenClick().propose(case_of(np.zeros((7, 7), bool)), mask, [()], draws(1))
    assert found == [Round((click(3, 3, False),))]


def test_kinds_say_what_they_give() -> None:
    assert TightBox().kinds == {"box"}
    assert BoxThenClick().kinds == {"box", "click"}


@pytest.mark.parametrize("cls", BOTH)
def test_refuses_an_unknown_component(cls: Any) -> None:
    with pytest.raises(ValueError, match="component='biggest' must be one of all, largest"):
        cls(component="biggest")
