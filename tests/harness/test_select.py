from __future__ import annotations

import numpy as np
import pytest

from simclick.agent import Prediction
from simclick.episode import Ground
from simclick.errors import AgentError
from simclick.harness.select import select
from simclick.runlength import RunLengths, encode
from support import make_case

GROUND = Ground(make_case())
TRUTH = GROUND.case.truth
MASKS = np.stack([np.zeros_like(TRUTH), TRUTH, np.ones_like(TRUTH)])


@pytest.mark.parametrize(
    ("rule", "scores", "chosen"),
    [
        ("score", [0.1, 0.2, 0.9], 2),
        ("score", [0.9, 0.2, 0.9], 0),
        ("first", [0.1, 0.2, 0.9], 0),
        ("largest", [0.9, 0.2, 0.1], 2),
        ("oracle", [0.9, 0.2, 0.1], 1),
    ],
)
def test_rules(rule: str, scores: list[float], chosen: int) -> None:
    s = select(Prediction(MASKS, scores, ["a", "b", "c"]), rule, GROUND)
    assert (s.chosen, s.memory, s.oracle_dice) == (chosen, "abc"[chosen], 1.0)
    assert np.array_equal(s.mask, MASKS[chosen])
    assert not np.shares_memory(s.mask, MASKS)


def test_run_lengths_are_masks_too() -> None:
    s = select(Prediction([encode(m) for m in MASKS], [0, 1, 0]), "score", GROUND)
    assert np.array_equal(s.mask, TRUTH)
    assert s.memory is None


def test_oracle_is_at_least_as_good_as_every_rule() -> None:
    for rule in ("score", "first", "largest"):
        s = select(Prediction(MASKS, [0.5, 0.1, 0.2]), rule, GROUND)
        assert s.oracle_dice >= GROUND.dice(s.mask)


@pytest.mark.parametrize(
    ("prediction", "why"),
    [
        (Prediction(MASKS[0], [1.0]), "not bool\\[K"),
        (Prediction(MASKS[:, :5], [1.0] * 3), "not bool\\[K"),
        (Prediction(MASKS.astype(np.uint8), [1.0] * 3), "uint8"),
        (Prediction(MASKS, [1.0]), "3 candidates came with scores"),
        (Prediction(MASKS, [1.0, np.inf, 0.0]), "finite"),
        (Prediction(MASKS, [1.0] * 3, [None]), "1 memories"),
        (Prediction([RunLengths((40, 48), np.array([7], np.uint32))], [1.0]), "add up to 7"),
        (Prediction(["mask"], [1.0]), "not RunLengths"),
        ("mask", "returned a str"),
    ],
)
def test_broken_contracts_are_named(prediction: Prediction, why: str) -> None:
    with pytest.raises(AgentError, match=why):
        select(prediction, "score", GROUND)
