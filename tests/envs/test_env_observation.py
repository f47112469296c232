from __future__ import annotations

import env_stubs as stubs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.envs.observation import SCRIBBLE_POINTS, Layout, prompt_row, resample
from simclick.episode import Episode, Ground, Rules
from simclick.prompts import KINDS, Round, box, click, everything, scribble, text

POINTS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=9)


@pytest.fixture(autouse=True)
def _stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs.register(monkeypatch)


def test_the_kinds_are_numbered_as_documented():
    assert KINDS == ("click", "box", "scribble", "mask", "text", "everything")


def test_rows_by_hand():
    assert prompt_row(click(3, 4)) == [0, 1, 3, 4]
    assert prompt_row(click(3, 4, False).moved((5, 6))) == [0, 0, 5, 6]
    assert prompt_row(click(3, 4).moved((5, 6), positive=False)) == [0, 0, 5, 6]
    assert prompt_row(box(1, 2, 3, 4)) == [1, 1, 1, 2, 3, 4]
    assert prompt_row(text("liver")) == [4, 1]
    assert prompt_row(everything()) == [5, 1]
    straight = prompt_row(scribble([(0, 0), (30, 0)], False))
    assert straight == [2, 0, *(v for x in range(0, 31, 2) for v in (x, 0))]


def test_resampling_by_hand():
    # An L of 3 + 3 pixels in four points, 2 pixels apart along it.
    assert resample([0, 0, 3, 0, 3, 3], 4) == (0, 0, 2, 0, 3, 1, 3, 3)
    assert resample([7, 9], 3) == (7, 9) * 3
    assert resample([7, 9, 7, 9], 2) == (7, 9) * 2
    assert resample([0, 0, 5, 0], 3) == (0, 0, 2, 0, 5, 0)  # 2.5 goes to the even 2.


@settings(deadline=None)
@given(POINTS, st.integers(2, 20))
def test_resampling_keeps_both_ends_and_stays_on_the_line(points, n):
    flat = [v for point in points for v in point]
    places = np.array(resample(flat, n)).reshape(-1, 2)
    assert len(places) == n
    assert tuple(places[0]) == points[0]
    assert tuple(places[-1]) == points[-1]
    starts, ends = np.array([points[0], *points[:-1]], float), np.array(points, float)
    for place in places:
        along = np.einsum("ij,ij->i", place - starts, ends - starts) / np.maximum(
            ((ends - starts) ** 2).sum(1), 1
        )
        nearest = starts + np.clip(along, 0, 1)[:, None] * (ends - starts)
        assert np.hypot(*(nearest - place).T).min() <= 0.5**0.5 + 1e-6


@pytest.mark.parametrize(
    "protocol,shape",
    [
        (stubs.protocol(budget=20), (20, 6)),
        (stubs.protocol("box-first", budget=20), (20, 6)),
        (stubs.protocol("box-first", budget=20, costs={"click": 3, "box": 5}), (6, 6)),
        (stubs.protocol(budget=1, costs={"click": 2}), (1, 6)),
        (stubs.protocol("mixed", budget=9), (9, 2 + 2 * SCRIBBLE_POINTS)),
    ],
)
def test_the_size_of_the_table(protocol, shape):
    layout = Layout((7, 13), Rules(protocol, seed=0))
    assert layout.observation_space["prompts"].shape == shape
    assert layout.observation_space["count"].n == shape[0] + 1


def test_the_bounds_of_the_table_are_those_of_the_image():
    space = Layout((7, 13), Rules(stubs.protocol("mixed"), seed=0)).observation_space["prompts"]
    assert (space.low == -1).all()
    assert space.high[0].tolist() == [5, 1, *([12, 6] * SCRIBBLE_POINTS)]


def test_free_prompts_that_overflow_leave_the_newest():
    rules = Rules(stubs.protocol(budget=2), seed=0)
    episode = Episode(Ground(stubs.case()), rules)
    episode.rounds = [Round((click(i, 0),)) for i in range(5)]
    observation = Layout((7, 13), rules).observe([episode])
    assert observation["prompts"][0].tolist() == [[0, 1, 3, 0, -1, -1], [0, 1, 4, 0, -1, -1]]
    assert observation["count"].tolist() == [2]
