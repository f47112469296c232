from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from simclick.geometry import (
    bounding_box,
    clip_box,
    clip_point,
    connected_components,
    equivalent_diameter,
    largest_component,
    squared_distance,
)

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14))


def grid(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def test_bounding_box_includes_the_last_pixel() -> None:
    assert bounding_box(grid(".....", ".##..", "..#..", ".....")) == (1, 1, 2, 2)
    assert bounding_box(grid("#")) == (0, 0, 0, 0)
    assert bounding_box(np.ones((3, 5), bool)) == (0, 0, 4, 2)
    assert bounding_box(np.zeros((3, 5), bool)) is None


@settings(deadline=None, max_examples=60)
@given(MASKS)
def test_bounding_box_is_tight(mask: np.ndarray) -> None:
    ys, xs = np.nonzero(mask)
    expected = (xs.min(), ys.min(), xs.max(), ys.max()) if ys.size else None
    assert bounding_box(mask) == expected


def test_components_touch_at_corners_and_are_numbered_by_first_pixel() -> None:
    mask = grid("..#.#", ".#...", "....#", "##..#")
    labels, n = connected_components(mask)
    assert n == 4
    assert labels.tolist() == [[0, 0, 1, 0, 2], [0, 1, 0, 0, 0], [0, 0, 0, 0, 3], [4, 4, 0, 0, 3]]


@settings(deadline=None, max_examples=100)
@given(MASKS)
def test_components_equal_scipys(mask: np.ndarray) -> None:
    labels, n = connected_components(mask)
    expected, m = ndimage.label(mask, np.ones((3, 3)))
    assert n == m
    assert labels.dtype == np.int32
    assert np.array_equal(labels > 0, mask)
    pairs = set(zip(labels[mask].tolist(), expected[mask].tolist(), strict=True))
    assert len(pairs) == n, "the same pixels belong together"
    first = [int(np.flatnonzero(labels.ravel() == k)[0]) for k in range(1, n + 1)]
    assert first == sorted(first)


def test_components_of_a_strided_mask() -> None:
    mask = np.random.default_rng(0).random((40, 60)) < 0.4
    labels, n = connected_components(mask)
    strided, m = connected_components(np.asfortranarray(mask))
    assert n == m
    assert np.array_equal(labels, strided)


def test_largest_component_and_its_tie() -> None:
    assert (
        largest_component(grid("##...", ".....", "..###")).tolist()
        == grid("." * 5, "." * 5, "..###").tolist()
    )
    assert largest_component(grid("...##", "##...")).tolist() == grid("...##", ".....").tolist()
    assert not largest_component(np.zeros((2, 2), bool)).any()
    assert largest_component(np.ones((2, 2), bool)).all()


def test_largest_component_of_an_empty_mask_is_a_copy() -> None:
    mask = np.zeros((2, 2), bool)
    assert largest_component(mask) is not mask


def test_equivalent_diameter() -> None:
    assert equivalent_diameter(np.zeros((3, 3), bool)) == 0
    assert equivalent_diameter(np.ones((1, 1), bool)) == pytest.approx(2 / math.sqrt(math.pi))
    y, x = np.indices((201, 201))
    assert equivalent_diameter((y - 100) ** 2 + (x - 100) ** 2 <= 80**2) == pytest.approx(160, rel=2e-3)


def test_squared_distance_counts_the_outside_as_false() -> None:
    assert squared_distance(np.ones((5, 5), bool)).tolist() == [
        [1, 1, 1, 1, 1],
        [1, 4, 4, 4, 1],
        [1, 4, 9, 4, 1],
        [1, 4, 4, 4, 1],
        [1, 1, 1, 1, 1],
    ]
    assert squared_distance(np.zeros((2, 3), bool)).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_squared_distance_across_a_corner() -> None:
    mask = np.ones((7, 7), bool)
    mask[2, 2] = False
    assert squared_distance(mask)[3, 3] == 2
    assert squared_distance(mask)[4, 4] == 8


@settings(deadline=None, max_examples=80)
@given(MASKS)
def test_squared_distance_equals_the_definition(mask: np.ndarray) -> None:
    padded = np.pad(mask, 1)
    zeros = np.argwhere(~padded) - 1
    expected = np.zeros(mask.shape, dtype=np.int64)
    for y, x in np.argwhere(mask):
        expected[y, x] = ((zeros - (y, x)) ** 2).sum(axis=1).min()
    found = squared_distance(mask)
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "x, y, expected",
    [(3, 2, (3, 2)), (-4, 2, (0, 2)), (3, -1, (3, 0)), (99, 99, (9, 4)), (10, 5, (9, 4)), (9, 4, (9, 4))],
)
def test_clip_point(x: int, y: int, expected: tuple[int, int]) -> None:
    assert clip_point(x, y, (5, 10)) == expected


@given(st.tuples(*[st.integers(-30, 30)] * 4))
def test_clip_box_keeps_order_and_is_inside(corners: tuple[int, int, int, int]) -> None:
    x0, x1 = sorted(corners[::2])
    y0, y1 = sorted(corners[1::2])
    a, b, c, d = clip_box((x0, y0, x1, y1), (5, 10))
    assert 0 <= a <= c <= 9
    assert 0 <= b <= d <= 4
    if (x0, y0) >= (0, 0) and x1 <= 9 and y1 <= 4 and y0 >= 0:
        assert (a, b, c, d) == (x0, y0, x1, y1)
