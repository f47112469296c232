"""The rules that the classical agents share, on hand-made images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simclick.agent import Request
from simclick.baselines.random_walker import RandomWalker
from simclick.baselines.region import BACKGROUND, OBJECT, RegionAgent, smoothed
from simclick.harness.specs import AgentSpec
from simclick.prompts import Prompt, Round, box, click

CLASSICAL = ["grabcut", "random-walker", "geodesic", "watershed", "graph-cut"]
SIZE = (200, 300)


class Spy(RegionAgent):
    """Keeps what it was asked, and answers with its object markers."""

    resolution = 1000

    def solve(self, image: NDArray[np.uint8], markers: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
        self.markers = markers
        return np.where(markers == OBJECT, 1.0, -1.0).astype(np.float32)


def seen(prompts: list[Prompt], previous: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    spy = Spy()
    image = np.zeros((*SIZE, 3), np.uint8)
    (embedding,) = spy.encode([image])
    spy.segment(image, Request(embedding, SIZE, tuple(Round((p,)) for p in prompts), previous))
    return spy.markers


def test_a_click_reaches_the_margin_on_each_side() -> None:
    assert seen([click(150, 100)]).shape == (61, 61)  # 15 % of 200 each way, and the click


def test_a_box_is_grown_by_its_own_sides() -> None:
    assert seen([box(100, 80, 139, 119)]).shape == (52, 52)  # 40 + 2 x 6


@pytest.mark.parametrize("at", [(120, 100), (95, 75)])
def test_a_click_inside_the_grown_box_adds_no_room(at: tuple[int, int]) -> None:
    assert seen([box(100, 80, 139, 119), click(*at)]).shape == (52, 52)


def test_a_click_outside_the_box_does() -> None:
    # Columns 94 to 230 + 30; rows 70 (100 - 30) to 130 (100 + 30).
    assert seen([box(100, 80, 139, 119), click(230, 100)]).shape == (61, 167)


def test_the_ellipse_of_the_box_stays_under_later_clicks() -> None:
    alone = seen([box(100, 60, 179, 139)])
    both = seen([box(100, 60, 179, 139), click(105, 65)])
    middle = alone.shape[0] // 2
    assert alone[middle, middle] == both[middle, middle] == OBJECT
    assert ((both == OBJECT) >= (alone == OBJECT)).all()


def test_a_negative_click_cuts_the_ellipse() -> None:
    markers = seen([box(100, 60, 179, 139), click(139, 99, positive=False)])
    middle = markers.shape[0] // 2
    assert markers[middle, middle] == BACKGROUND
    assert (markers == OBJECT).any()


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_correcting_click_keeps_what_the_box_found(name: str) -> None:
    """An object like its surroundings: only the box says where it ends."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    truth = ((rows - 100) / 30) ** 2 + ((columns - 150) / 40) ** 2 <= 1
    noise = np.random.default_rng(0).normal(0, 6, SIZE)
    grey = np.clip(100 + 14 * truth + noise, 0, 255).astype(np.uint8)
    image = np.repeat(grey[..., None], 3, axis=2)
    agent: Any = AgentSpec(name).make()
    (embedding,) = agent.encode([image])
    rounds = (Round((box(110, 70, 190, 130),)),)

    def dice(mask: NDArray[np.bool_]) -> float:
        return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))

    first = np.asarray(agent.predict([Request(embedding, SIZE, rounds, seed=1)])[0].candidates)[0]
    rounds += (Round((click(120, 100),)),)
    second = np.asarray(agent.predict([Request(embedding, SIZE, rounds, first, seed=2)])[0].candidates)[0]
    assert dice(second) > dice(first) - 0.05


def dense_walker(grey: NDArray[np.floating], markers: NDArray[np.uint8], beta: float) -> NDArray[np.float64]:
    """Grady's Dirichlet problem as one dense float64 system, with scikit-image's edge weights."""
    values = grey.astype(np.float64)
    index = np.arange(values.size).reshape(values.shape)
    laplacian = np.zeros((values.size, values.size))
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        steps = (values[here] - values[there]).ravel() ** 2
        weights = np.exp(-beta / (10 * values.std()) * steps) + 1e-10
        i, j = index[here].ravel(), index[there].ravel()
        laplacian[i, j] -= weights
        laplacian[j, i] -= weights
        np.add.at(laplacian, (i, i), weights)
        np.add.at(laplacian, (j, j), weights)
    unknown, inside = markers.ravel() == 0, markers.ravel() == OBJECT
    share = inside.astype(np.float64)
    system, right = laplacian[np.ix_(unknown, unknown)], laplacian[np.ix_(unknown, inside)]
    share[unknown] = np.linalg.solve(system, -right.sum(axis=1))
    return (2 * share - 1).reshape(values.shape)


@pytest.mark.parametrize("contrast", [0, 60])
def test_random_walker_is_solved_to_the_end(contrast: int) -> None:
    """On pure noise too, where conjugate gradients stop far from the solution."""
    rng = np.random.default_rng(1)
    rows, columns = np.mgrid[:24, :30]
    disc = (rows - 12) ** 2 + (columns - 15) ** 2 <= 49
    grey = contrast * disc + rng.integers(0, 256 - contrast, (24, 30))
    image = np.repeat(grey[..., None].astype(np.uint8), 3, axis=2)
    markers = np.zeros((24, 30), np.uint8)
    markers[[0, -1]] = BACKGROUND
    markers[10:14, 13:17] = OBJECT
    agent = RandomWalker()
    expected = dense_walker(smoothed(image).mean(axis=2), markers, agent.beta)
    np.testing.assert_allclose(agent.solve(image, markers, 0), expected, atol=1e-4)
