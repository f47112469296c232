"""Click for click the clicks of RITM's own code, stored with the masks that they answered.

`tests/golden/ritm_clicks.json` holds 950 clicks of RITM's ``Clicker``, run with an exact distance
transform. Masks are row-major run lengths that start with zeros.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simclick.annotators.clicks import CenterClick
from simclick.case import Case
from simclick.prompts import Round, click
from simclick.seeding import Draws

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "ritm_clicks.json"
FALLBACK = (0, 0, False)


def decoded(counts: list[int], height: int, width: int) -> np.ndarray:
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)


@pytest.fixture(scope="module")
def golden() -> list[dict]:  # type: ignore[type-arg]
    return json.loads(GOLDEN.read_text())["cases"]  # type: ignore[no-any-return]


def test_every_click_is_equal_but_ritms_fallback(golden: list[dict]) -> None:  # type: ignore[type-arg]
    clicks, fallbacks = 0, 0
    for number, record in enumerate(golden):
        size = record["height"], record["width"]
        truth = decoded(record["truth"], *size)
        case = Case(str(number), "golden", np.zeros((*size, 3), np.uint8), truth, "g", "", "")
        masks = np.stack([decoded(step["mask"], *size) for step in record["steps"]])
        landed = [(step["x"], step["y"], step["positive"]) for step in record["steps"]]
        histories = [[Round((click(*one),)) for one in landed[:k]] for k in range(len(landed))]
        draws = [Draws(0, "golden", case.case_id, 0, k + 1) for k in range(len(landed))]
        # All steps at once: each is an episode in the state that RITM's clicker met.
        answers = CenterClick().propose(case, masks, histories, draws)
        for k, (answer, expected) in enumerate(zip(answers, landed, strict=True)):
            clicks += 1
            if answer is None:
                left = {(int(x), int(y)) for y, x in np.argwhere(masks[k] != truth)}
                assert left <= {one[:2] for one in landed[:k]}, "only where nothing is left to click"
                assert expected == FALLBACK
                fallbacks += 1
            else:
                assert answer == Round((click(*expected),)), f"case {number}, step {k + 1}"
    assert (clicks, fallbacks) == (950, 1)
