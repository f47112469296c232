import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from simclick.metrics.overlap import dice, dice_from_counts, iou, iou_from_counts, overlap_counts

FULL = np.ones((3, 4), dtype=bool)
EMPTY = np.zeros((3, 4), dtype=bool)


def test_two_empty_masks_agree_and_one_empty_mask_does_not():
    assert (dice(EMPTY, EMPTY), iou(EMPTY, EMPTY)) == (1.0, 1.0)
    for a, b in ((EMPTY, FULL), (FULL, EMPTY)):
        assert (dice(a, b), iou(a, b)) == (0.0, 0.0)


def test_hand_computed():
    a = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], dtype=bool)
    b = np.array([[0, 1, 1, 0], [0, 1, 1, 0]], dtype=bool)
    assert overlap_counts(a, b) == (2, 4, 4)
    assert dice(a, b) == 0.5
    assert iou(a, b) == 2 / 6


def test_ignored_pixels_count_in_neither_mask():
    a = np.array([[1, 1, 0, 0]], dtype=bool)
    b = np.array([[0, 1, 1, 0]], dtype=bool)
    ignore = np.array([[1, 0, 0, 0]], dtype=bool)
    assert overlap_counts(a, b, ignore) == (1, 1, 2)
    assert dice(a, b, ignore) == 2 / 3
    assert dice(a, b, np.ones_like(a)) == 1.0
    assert (a[0, 0], ignore[0, 0]) == (True, True)


def test_counts_beyond_32_bits_stay_exact():
    big = 2**31 - 1
    assert dice_from_counts(np.int32(big), np.int32(big), np.int32(big)) == 1.0
    assert iou_from_counts(np.int32(big), np.int32(big), np.int32(big)) == 1.0


@pytest.mark.parametrize(
    "a, b, ignore",
    [
        (FULL, np.ones((4, 3), dtype=bool), None),
        (FULL, FULL.astype(np.uint8), None),
        (FULL, FULL, np.ones((1, 1), dtype=bool)),
    ],
)
def test_wrong_arrays_are_refused(a, b, ignore):
    with pytest.raises(ValueError, match="bool of one shape"):
        dice(a, b, ignore)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_equals_sets_of_pixels(data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=2, max_side=6))
    a, b, ignore = (data.draw(arrays(bool, shape)) for _ in range(3))
    pixels = [{tuple(p) for p in np.argwhere(m & ~ignore)} for m in (a, b)]
    common, union = len(pixels[0] & pixels[1]), len(pixels[0] | pixels[1])
    total = len(pixels[0]) + len(pixels[1])
    assert dice(a, b, ignore) == (2 * common / total if total else 1.0)
    assert iou(a, b, ignore) == (common / union if union else 1.0)
    assert dice(a, b) == dice(b, a)
    assert dice(a.T, b.T) == dice(a, b)
