from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simclick.runlength import decode, encode


def test_hand_computed_column_major_zeros_first() -> None:
    mask = np.array([[0, 1, 1], [1, 1, 0]], dtype=bool)  # columns: 01, 11, 10
    assert encode(mask).counts.tolist() == [1, 4, 1]
    assert encode(np.ones((2, 2), dtype=bool)).counts.tolist() == [0, 4]
    assert encode(np.zeros((2, 3), dtype=bool)).counts.tolist() == [6]


@settings(deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_round_trip(mask: np.ndarray) -> None:
    runs = encode(mask)
    assert np.array_equal(decode(runs.counts, runs.size), mask)
    assert runs.counts.sum() == mask.size


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ([3], "add up to 3"),
        ([2, 3], "add up to 5"),
        ([-1, 5], "negative"),
        ([2**40, 4], "add up to"),
        ([1.0, 3.0], "whole numbers"),
        ([[4]], "flat"),
        ([0] * 9, "runs cannot fit"),
        ([], "flat list"),
    ],
)
def test_hostile_counts_are_refused(counts: list[int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode(np.asarray(counts), (2, 2))
