"""The pictures of worst episodes: their colours, their size, and what they say of a failure."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from simclick.case import Case
from simclick.envs.rendering import COLOURS, draw
from simclick.leaderboard.pictures import MAX_PICTURE, check_picture
from simclick.leaderboard.strip_pictures import GAP, MOST, SIDE, strip_png
from simclick.prompts import Round, click
from simclick.report.films import Film, Shot

TOP = 34


def picture_of(kind: str, size: tuple[int, int] = (96, 128)) -> NDArray[np.uint8]:
    """Return noise: grey, or in the colours of an eye's ground, orange as a negative click."""
    draws = np.random.default_rng(4)
    grey = draws.normal(120, 45, size).clip(0, 255)
    if kind == "grey":
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    shares = np.array((1.5, 0.7, 0.1)) if kind == "orange" else draws.uniform(0.3, 1.6, (*size, 3))
    return (grey[..., None] * shares).clip(0, 255).astype(np.uint8)


def case_of(kind: str = "grey") -> Case:
    truth = np.zeros((96, 128), dtype=np.bool_)
    truth[30:60, 40:90] = True
    return Case("made-up", "toy", picture_of(kind), truth, "patient", "ct", "liver")


def film_of(case: Case, answered: int = 20, error: str = "") -> Film:
    places = [(10 + 5 * i, 8 + (37 * i) % 80) for i in range(answered + bool(error))]
    rounds = tuple(Round((click(*xy, positive=i % 2 == 0),)) for i, xy in enumerate(places))
    mask = np.roll(case.truth, 12, axis=1)
    shots = tuple(Shot(i, i, 0.5, mask) for i in range(1, answered + 1))
    return Film(case.case_id, 0.0, 0, "liver", shots, rounds, error)


def tiles_of(data: bytes) -> list[NDArray[np.uint8]]:
    sheet = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    return [sheet[TOP : TOP + 180, x : x + SIDE] for x in range(GAP, sheet.shape[1] - GAP, SIDE + GAP)]


def count(tile: NDArray[np.uint8], name: str) -> int:
    return int((tile == COLOURS[name]).all(axis=2).sum())


@pytest.mark.parametrize("kind", ["grey", "orange", "any colour"])
def test_marks_have_the_colours_that_the_legend_names_on_any_image(kind: str) -> None:
    case = case_of(kind)
    data = strip_png(film_of(case), case, "made-up")
    truth, one, five, end = tiles_of(data)
    for tile in (truth, one, five, end):
        assert count(tile, "truth") > 100
    for tile in (one, five, end):
        assert count(tile, "mask") > 100
    assert count(one, "positive") > 20
    # From one click to ten of each kind; an image in orange has no orange of its own that could be mistaken.
    assert count(one, "negative") < 5
    assert count(truth, "negative") == 0
    assert count(five, "negative") > 40
    assert count(end, "negative") > 200
    assert count(end, "positive") > 200
    assert count(truth, "mask") < 5
    assert count(truth, "positive") == 0


def test_the_same_episode_gives_the_same_bytes_within_the_bounds() -> None:
    for kind in ("grey", "orange", "any colour"):
        case = case_of(kind)
        data = strip_png(film_of(case), case, "a case with a name that goes on " * 9)
        assert data == strip_png(film_of(case), case, "a case with a name that goes on " * 9)
        assert len(data) <= MOST < MAX_PICTURE, kind
        check_picture(data, kind)


def test_not_even_an_image_of_nothing_but_noise_is_too_large() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (240, 240, 3), dtype=np.uint8)
    truth = np.zeros((240, 240), dtype=np.bool_)
    truth[40:200, 40:200] = True
    case = Case("noise", "toy", noise, truth, "patient", "ct", "liver")
    check_picture(strip_png(film_of(case), case, "noise"), "noise")


def test_bare_parts_of_an_image_are_not_tinted() -> None:
    case = case_of("grey")
    truth = tiles_of(strip_png(film_of(case), case, "made-up"))[0]
    corner = truth[:40, :40].astype(int)
    assert int(np.ptp(corner, axis=2).max()) == 0
    large = case.image[:21, :21].mean()
    assert abs(corner.mean() - large) < 8


def test_a_failure_is_the_last_picture_without_a_mask() -> None:
    case = case_of()
    whole = tiles_of(strip_png(film_of(case, 3), case, "made-up"))
    tiles = tiles_of(strip_png(film_of(case, 3, "out of memory"), case, "made-up"))
    assert [len(whole), len(tiles)] == [3, 4]  # truth, 1 and 3 clicks; and the fourth without an answer
    assert count(tiles[2], "mask") > 100
    assert count(tiles[3], "mask") == 0
    assert count(tiles[3], "negative") > count(tiles[2], "negative") > 0
    first = tiles_of(strip_png(film_of(case, 0, "at once"), case, "made-up"))
    assert len(first) == 2


def test_an_episode_without_steps_is_its_truth() -> None:
    case = case_of()
    tiles = tiles_of(strip_png(film_of(case, 0), case, "made-up"))
    assert count(tiles[0], "truth") > 100
    assert [int(tile.min()) for tile in tiles[1:]] == [255]  # a strip is never narrower than two


def test_marks_grow_by_their_factor() -> None:
    image, film = np.zeros((512, 512, 3), dtype=np.uint8), (Round((click(250, 250),)),)
    plain, large = (count(draw(image, rounds=film, marks=marks), "positive") for marks in (1.0, 3.0))
    assert 6 * plain < large < 20 * plain
    np.testing.assert_array_equal(draw(image, rounds=film), draw(image, rounds=film, marks=1.0))
