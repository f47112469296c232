"""Small cases drawn in text, for the tests of other evaluators' rules."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import strategies as st

from simclick.case import Case
from simclick.prompts import Round
from simclick.seeding import Draws

EVERY_OPTION_FALSE = (1, 0.0, "yes", None)


def case_of(truth: np.ndarray, ignore: np.ndarray | None = None) -> Case:
    image = np.zeros((*truth.shape, 3), np.uint8)
    return Case("c", "hand", image, truth, "g", "none", "shape", ignore=ignore)


def draws_of(n: int, step: int = 1) -> list[Draws]:
    return [Draws(seed, "hand", "c", 0, step) for seed in range(n)]


def drawn(*rows: str) -> tuple[Case, np.ndarray]:
    """Read a picture: ``n`` missed, ``p`` falsely found, ``o`` found, ``.`` neither; ``N`` and ``P``
    are the same wrong pixels, ignored, and ``O`` and ``:`` the right ones."""
    grid = np.array([list(row) for row in rows])
    ignore = np.isin(grid, list("NPO:"))
    case = case_of(np.isin(grid, list("noNO")), ignore if ignore.any() else None)
    return case, np.isin(grid, list("poPO"))


def ask(
    annotator: Any, case: Case, mask: np.ndarray, n: int = 1, history: tuple[Round, ...] = (), step: int = 1
) -> list[Round | None]:
    """Ask for the next round of n episodes that differ in their draws alone."""
    masks = np.repeat(mask[None], n, axis=0)
    masks.flags.writeable = False
    return annotator.propose(case, masks, [history] * n, draws_of(n, step))


def clicks(rounds: list[Round | None], index: int = 0) -> Counter[tuple[int, ...]]:
    """Count the places of one click of every round."""
    return Counter(round_.prompts[index].landed for round_ in rounds if round_ is not None)


def is_uniform(counts: Counter[Any], n_places: int) -> bool:
    """Say whether counts over places look uniform: chi-squared within 5 standard deviations."""
    total = sum(counts.values())
    expected = total / n_places
    chi2 = sum((c - expected) ** 2 / expected for c in counts.values())
    chi2 += (n_places - len(counts)) * expected
    return chi2 < (n_places - 1) + 5 * (2 * max(n_places - 1, 1)) ** 0.5


def set_of(mask: np.ndarray) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for y, x in np.argwhere(mask)}


@st.composite
def episodes(draw: st.DrawFn) -> tuple[Case, np.ndarray]:
    """A small case of any kind, and a mask."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def blob() -> np.ndarray:
        kind = draw(st.sampled_from(["noise", "box", "empty", "full", "pixel", "checkerboard"]))
        mask = np.zeros((height, width), bool)
        if kind == "noise":
            mask = rng.random((height, width)) < rng.random()
        elif kind == "box":
            y, x = np.sort(rng.integers(0, height + 1, 2)), np.sort(rng.integers(0, width + 1, 2))
            mask[y[0] : y[1], x[0] : x[1]] = True
        elif kind == "pixel":
            mask[rng.integers(height), rng.integers(width)] = True
        elif kind == "checkerboard":
            mask = np.indices((height, width)).sum(axis=0) % 2 == 0
        return mask if kind != "full" else ~mask

    truth, mask = blob(), blob()
    ignore = rng.random((height, width)) < 0.3 if draw(st.booleans()) else None
    return case_of(truth, ignore), mask


def check_round(round_: Round | None, case: Case, mask: np.ndarray, only_wrong: bool = True) -> None:
    """Assert that a round is legal: nothing where nothing is wrong, else true labels in the image."""
    counted = np.ones(case.size, bool) if case.ignore is None else ~case.ignore
    wrong = (case.truth != mask) & counted
    if not wrong.any():
        assert round_ is None
        return
    assert round_ is not None
    for prompt in round_.prompts:
        xs, ys = prompt.landed[::2], prompt.landed[1::2]
        assert all(0 <= x < case.size[1] for x in xs)
        assert all(0 <= y < case.size[0] for y in ys)
        if prompt.kind == "click":
            [x], [y] = xs, ys
            assert counted[y, x]
            assert prompt.positive == case.truth[y, x]
            assert wrong[y, x] or not only_wrong
        else:
            assert prompt.kind == "box"
            assert xs[0] <= xs[1]
            assert ys[0] <= ys[1]
