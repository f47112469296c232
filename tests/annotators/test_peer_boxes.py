from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from peer_cases import ask, case_of, check_round, clicks, drawn, draws_of, episodes

from simclick.annotators.boxes import TightBox
from simclick.annotators.peer_boxes import MedSamBox, SamHqBox
from simclick.prompts import Round, box, click
from simclick.testing_annotator import check_annotator

BOTH = [MedSamBox, SamHqBox]


def block(height: int, width: int, x0: int, y0: int, x1: int, y1: int) -> tuple[Any, np.ndarray]:
    truth = np.zeros((height, width), bool)
    truth[y0 : y1 + 1, x0 : x1 + 1] = True
    return case_of(truth), np.zeros_like(truth)


@pytest.mark.parametrize(
    ("height", "width", "dx", "dy"),
    [(1024, 1024, 20, 20), (256, 256, 5, 5), (512, 1024, 20, 10), (300, 128, 3, 6), (200, 100, 2, 4)],
)
def test_medsam_grows_by_twenty_of_1024(height: int, width: int, dx: int, dy: int) -> None:
    found = ask(MedSamBox(), *block(height, width, 40, 50, 60, 80))
    assert found == [Round((box(40 - dx, 50 - dy, 60 + dx, 80 + dy),))]


def test_medsam_stays_in_the_image() -> None:
    assert ask(MedSamBox(), *block(1024, 1024, 3, 10, 1020, 1023)) == [Round((box(0, 0, 1023, 1023),))]


def test_medsam_in_training_moves_every_edge_for_itself() -> None:
    """Eight steps of 1024 are one pixel of 128: after rounding the ends get 4 and 5 of 161 steps."""
    case, mask = block(128, 128, 50, 60, 70, 80)
    rounds = ask(MedSamBox(growth=160, random=True), case, mask, n=2400)
    edges = np.array([round_.prompts[0].landed for round_ in rounds if round_])
    growth = (edges - [50, 60, 70, 80]) * [-1, -1, 1, 1]
    expected = np.array([4] + [8] * 19 + [5]) / 161 * 2400
    for values in growth.T:
        counts = np.bincount(values, minlength=21)
        assert counts.size == 21
        assert ((counts - expected) ** 2 / expected).sum() < 20 + 5 * 40**0.5
    assert np.abs(np.corrcoef(growth.T) - np.eye(4)).max() < 5 / math.sqrt(2400)


def test_samhq_follows_its_formula() -> None:
    case, mask = block(900, 1000, 300, 400, 420, 440)
    for draw, round_ in zip(draws_of(50), ask(SamHqBox(scale=0.4), case, mask, n=50), strict=True):
        u = 2 * draw.stream("annotator").uniform(4) - 1
        size = np.array([120.0, 40.0])
        centre = np.array([360.0, 420.0]) + 0.4 * u[:2] * size / 2
        size = size + 0.4 * u[2:] * size
        expected = np.floor(np.concatenate([centre - size / 2, centre + size / 2]) + 0.5)
        assert round_ == Round((box(*expected.astype(int)),))


def test_samhq_at_full_scale_stays_in_the_image() -> None:
    case, mask = block(20, 20, 0, 0, 19, 19)
    rounds = ask(SamHqBox(scale=1), case, mask, n=200)
    for round_ in rounds:
        check_round(round_, case, mask)
    assert len(clicks(rounds)) > 100


@given(episodes())
@settings(deadline=None, max_examples=60)
def test_without_disturbance_they_are_the_tight_box(episode: Any) -> None:
    case, mask = episode
    tight = ask(TightBox(), case, mask)
    assert ask(SamHqBox(), case, mask) == tight
    assert ask(MedSamBox(growth=0), case, mask) == tight
    assert ask(MedSamBox(growth=0, random=True), case, mask) == tight
    grown = ask(MedSamBox(growth=400), case, mask)
    assert [r is None for r in grown] == [r is None for r in tight]


@pytest.mark.parametrize("cls", BOTH)
def test_nothing_afterwards(cls: Any) -> None:
    case, mask = drawn("nnn.", "....")
    assert ask(cls(), case, mask, history=(Round((click(0, 0),)),)) == [None]
    assert ask(cls(), case, case.truth) == [None]
    assert ask(cls(), *drawn("pp..")) == [None]
    assert ask(cls(), *drawn("NN..")) == [None]


@pytest.mark.parametrize(
    "annotator",
    [
        MedSamBox(),
        MedSamBox(random=True, growth=300),
        MedSamBox(random=True, growth=0),
        SamHqBox(),
        SamHqBox(scale=0.4),
        SamHqBox(scale=1),
    ],
    ids=repr,
)
def test_with_options(annotator: Any) -> None:
    check_annotator(annotator)


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (MedSamBox, {"growth": -1}),
        (MedSamBox, {"growth": 2.5}),
        (MedSamBox, {"random": 1}),
        (SamHqBox, {"scale": -0.1}),
        (SamHqBox, {"scale": 1.5}),
        (SamHqBox, {"scale": float("nan")}),
        (SamHqBox, {"scale": True}),
        (SamHqBox, {"scale": "0.4"}),
    ],
)
def test_refuses_bad_options(cls: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        cls(**options)
