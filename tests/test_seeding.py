from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kstest

from simclick.seeding import Draws, words_of


def draws(**changes: object) -> Draws:
    values = {"seed": 0, "dataset": "d", "case_id": "c", "repeat": 0, "step": 1, **changes}
    return Draws(**values)  # type: ignore[arg-type]


def test_draws_are_pinned() -> None:
    """These words may never change: every published number hangs on them."""
    assert draws().key("noise").hex()[:16] == "d2799c1b434770d6"
    assert [hex(int(w)) for w in draws().stream("noise").words(2)] == [
        "0x10da88fc03742252",
        "0xfab6bd92b586b5c6",
    ]


@pytest.mark.parametrize(
    "other",
    [
        draws(seed=1).key("noise"),
        draws(dataset="e").key("noise"),
        draws(case_id="d").key("noise"),
        draws(repeat=1).key("noise"),
        draws(step=2).key("noise"),
        draws().key("annotator"),
        draws().key("noise", index=1),
        draws().key("noise", attempt=1),
    ],
)
def test_every_field_changes_the_key(other: bytes) -> None:
    assert other != draws().key("noise")


def test_fields_cannot_run_into_each_other() -> None:
    assert draws(dataset="a", case_id="bc").key("noise") != draws(dataset="ab", case_id="c").key("noise")


def test_same_question_same_draws() -> None:
    assert np.array_equal(draws().stream("agent").uniform(9), draws().stream("agent").uniform(9))
    assert 0 <= draws().agent_seed() < 2**31
    assert draws().agent_seed() == draws().agent_seed() != draws(step=2).agent_seed()


def test_uniform_and_normal_follow_their_distributions() -> None:
    words = words_of("test", 1)
    assert kstest(words.uniform(20_000), "uniform").pvalue > 1e-3
    assert kstest(words.normal(20_000), "norm").pvalue > 1e-3


def test_normal_is_the_inverse_distribution_function() -> None:
    u = ((words_of("x").words(1000) >> np.uint64(11)).astype(float) + 0.5) * 2.0**-53
    np.testing.assert_allclose(words_of("x").normal(1000), ndtri(u), atol=2e-9)


def test_integer_covers_its_range_and_refuses_an_empty_one() -> None:
    words = words_of("i")
    assert {words.integer(5) for _ in range(200)} == {0, 1, 2, 3, 4}
    assert words.integer(1) == 0
    with pytest.raises(ValueError, match="positive"):
        words.integer(0)


@pytest.mark.parametrize("seed", [0, 2**63])
@pytest.mark.parametrize("name", ["plain", 'quoted "é\\ü"\n', ""])
def test_keys_are_hashes_of_json(seed: int, name: str) -> None:
    fields = [seed, name, f"{name}-1", 3, 4, 5, "annotator", 6]
    expected = hashlib.sha256(json.dumps(fields).encode()).digest()
    assert Draws(seed, name, f"{name}-1", 3, 4).key("annotator", 5, 6) == expected
