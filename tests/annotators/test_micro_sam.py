from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from peer_cases import ask, case_of, check_round, clicks, drawn, episodes, is_uniform, set_of

from simclick.annotators.micro_sam import MicroSam
from simclick.prompts import Round, box, click
from simclick.testing_annotator import check_annotator

BOX = (Round((box(0, 0, 1, 1),)),)


def test_starts_with_the_tight_box() -> None:
    case, mask = drawn("......", "..nnN.", "..nn..", "......")
    assert ask(MicroSam(), case, mask) == [Round((box(2, 1, 3, 2),))]
    assert ask(MicroSam(), case, case.truth) == [None]


@pytest.mark.parametrize(
    ("rows", "x", "y"),
    [
        (["nnnnn", "nnnnn", "nnnnn", "nnnnn", "nnnnn"], 2, 2),
        (["......", ".nnnn.", ".nnnn.", ".nnnn.", ".nnnn.", "......"], 2, 2),
        (["......", ".nnnn.", ".nnnn.", "......"], 1, 1),
        (["..nnnn"], 2, 0),
        # The middle pixel of each plus is inside; the second one is no deeper.
        ([".n..n.", "nnnnnn", ".n..n."], 1, 1),
        # (4, 3) is √5 from the boundary pixels (3, 1) and (2, 2), (5, 3) is 2 from (7, 3).
        (["...nnnnn", "...nnnnn", "nnnnnnnn", "nnnnnnnn", "nnnnnnnn", "...nnnnn", "...nnnnn"], 4, 3),
    ],
)
def test_starts_with_the_point_farthest_from_the_boundary(rows: list[str], x: int, y: int) -> None:
    case, mask = drawn(*rows)
    assert ask(MicroSam(first="point"), case, mask, n=3) == [Round((click(x, y),))] * 3


def test_starts_with_any_pixel_of_the_object() -> None:
    case, mask = drawn(".nn.", ".Nn.", "....")
    found = clicks(ask(MicroSam(first="random"), case, mask, n=900))
    assert set(found) == {(1, 0), (2, 0), (2, 1)}
    assert is_uniform(found, 3)


def test_without_an_object_the_first_round_is_a_correction() -> None:
    for first in ("box", "point", "random"):
        assert ask(MicroSam(first=first), *drawn("..p")) == [Round((click(2, 0, False),))]


def test_two_clicks_uniform_in_misses_and_in_false_finds() -> None:
    case, mask = drawn("nnoopp", "nNoo.p", "......")
    rounds = ask(MicroSam(), case, mask, n=1500, history=BOX)
    assert {tuple(p.positive for p in round_.prompts) for round_ in rounds if round_} == {(True, False)}
    positive, negative = clicks(rounds, 0), clicks(rounds, 1)
    assert set(positive) == {(0, 0), (1, 0), (0, 1)}
    assert set(negative) == {(4, 0), (5, 0), (5, 1)}
    assert is_uniform(positive, 3)
    assert is_uniform(negative, 3)
    together = [tuple(p.landed for p in round_.prompts) for round_ in rounds if round_]
    assert len(set(together)) == 9, "the two clicks are drawn apart"
    assert rounds[0] is not None
    assert rounds[0].cost() == 2


def test_without_misses_the_positive_click_lies_where_the_mask_is_right() -> None:
    case, mask = drawn("ooO..p")
    found = clicks(ask(MicroSam(), case, mask, n=400, history=BOX))
    assert set(found) == {(0, 0), (1, 0)}
    assert is_uniform(found, 2)


def test_without_false_finds_the_negative_click_lies_near_the_box() -> None:
    truth = np.zeros((20, 30), bool)
    truth[8:11, 10:13] = True
    truth[8, 10] = False
    near = np.zeros_like(truth)
    near[5:14, 7:16] = True
    found = clicks(ask(MicroSam(), case_of(truth), np.zeros_like(truth), n=8000, history=BOX), 1)
    assert set(found) == set_of(near & ~truth)
    assert is_uniform(found, int((near & ~truth).sum()))
    tight = clicks(ask(MicroSam(margin=0), case_of(truth), np.zeros_like(truth), n=20, history=BOX), 1)
    assert set(tight) == {(10, 8)}


def test_where_the_box_has_no_background_any_will_do() -> None:
    case, mask = drawn("nn...", "nn...")
    found = clicks(ask(MicroSam(margin=0), case, mask, n=900, history=BOX), 1)
    assert set(found) == {(x, y) for x in (2, 3, 4) for y in (0, 1)}
    assert is_uniform(found, 6)


def test_a_click_without_any_place_is_left_out() -> None:
    assert ask(MicroSam(), *drawn("o", "n"), history=BOX) == [Round((click(0, 1),))]
    assert ask(MicroSam(), *drawn("p."), history=BOX) == [Round((click(0, 0, False),))]
    assert ask(MicroSam(), *drawn("oNP."), history=BOX) == [None]


def test_clicked_pixels_are_passed_over_unless_repeats_are_wanted() -> None:
    case, mask = drawn("nop.")
    first = Round((click(0, 0), click(2, 0, False)))
    assert ask(MicroSam(), case, mask, history=(*BOX, first)) == [None]
    assert ask(MicroSam(repeats=True), case, mask, history=(*BOX, first)) == [first]
    half = (*BOX, Round((click(0, 0),)))
    assert ask(MicroSam(), case, mask, history=half) == [Round((click(1, 0), click(2, 0, False)))]


def test_kinds_follow_the_start() -> None:
    assert MicroSam().kinds == {"box", "click"}
    assert MicroSam(first="point").kinds == {"click"}
    assert MicroSam(first="random").kinds == {"click"}


@given(episodes())
@settings(deadline=None, max_examples=80)
def test_legal_on_anything(episode: Any) -> None:
    case, mask = episode
    for first in ("box", "point", "random"):
        for history in ((), BOX):
            [round_] = ask(MicroSam(first=first), case, mask, history=history)
            check_round(round_, case, mask, only_wrong=False)


@pytest.mark.parametrize(
    "options", [{"first": "point"}, {"first": "random", "repeats": True}, {"margin": 0}, {"margin": 1000}]
)
def test_with_options(options: dict[str, Any]) -> None:
    check_annotator(MicroSam(**options))


@pytest.mark.parametrize("options", [{"first": "centre"}, {"margin": -1}, {"margin": 1.5}, {"repeats": "no"}])
def test_refuses_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        MicroSam(**options)
