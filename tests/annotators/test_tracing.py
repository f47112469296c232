"""Paths: hand-computed, and against what they must cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simclick.annotators.tracing import joined, longest_path, longest_run, skeleton, vertices, walk
from simclick.geometry import largest_component


def grid(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def blob(seed: int, height: int = 14, width: int = 18) -> np.ndarray:
    """One connected, irregular region."""
    mask = np.random.default_rng(seed).random((height, width)) < 0.55
    return largest_component(mask)


def test_longest_path_of_a_cross_with_one_long_arm() -> None:
    cross = grid("..#...", "..#...", "######", "..#...")
    # From the first pixel, (2, 0), the right end is farthest; from there the left end is.
    path = longest_path(cross).tolist()
    assert path == [[5, 2], [4, 2], [3, 2], [2, 2], [1, 2], [0, 2]]


def test_longest_path_of_a_ring_is_half_of_it() -> None:
    ring = grid("####", "#..#", "#..#", "####")
    path = longest_path(ring)
    assert len(path) == 6  # corners are cut: ten pixels' steps around, five to the other side
    assert np.abs(np.diff(path, axis=0)).max() == 1


def test_walk_of_a_branch_goes_there_and_back() -> None:
    tee = grid("#####", "..#..", "..#..")
    path = walk(tee).tolist()
    # It begins at the row's far end; from (1, 0), on the way back, the branch is one corner away.
    assert path == [[4, 0], [3, 0], [2, 0], [1, 0], [0, 0], [1, 0], [2, 1], [2, 2]]


def test_walk_of_a_line_and_of_one_pixel() -> None:
    assert walk(grid("....", ".###")).tolist() in ([[1, 1], [2, 1], [3, 1]], [[3, 1], [2, 1], [1, 1]])
    assert walk(grid("..", ".#")).tolist() == [[1, 1]]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_a_walk_covers_a_set_and_its_vertices_draw_it_again(seed: int, thin: bool) -> None:
    pixels = skeleton(blob(seed)) if thin else blob(seed)
    path = walk(pixels)
    steps = np.abs(np.diff(path, axis=0))
    assert (steps.max(axis=1) == 1).all()
    covered = np.zeros_like(pixels)
    covered[path[:, 1], path[:, 0]] = True
    np.testing.assert_array_equal(covered, pixels)
    again = joined(np.array(vertices(path)))
    np.testing.assert_array_equal(again, path)
    assert len(vertices(path)) <= len(path)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_longest_path_is_a_shortest_path_between_its_ends(seed: int) -> None:
    pixels = skeleton(blob(seed))
    path = longest_path(pixels)
    assert pixels[path[:, 1], path[:, 0]].all()
    # Dilate from one end: the other end is reached after exactly as many steps as the path has.
    from scipy.ndimage import binary_dilation

    reached = np.zeros_like(pixels)
    reached[path[0, 1], path[0, 0]] = True
    count = 0
    while not reached[path[-1, 1], path[-1, 0]]:
        reached = binary_dilation(reached, np.ones((3, 3)), mask=pixels)
        count += 1
    assert count == len(path) - 1
    assert reached.all() or (reached == pixels).all(), "no pixel is farther away than the end"


@pytest.mark.parametrize(
    ("keep", "closed", "expected"),
    [
        ("1101110", False, [3, 4, 5]),
        ("110110", False, [0, 1]),
        ("0000", False, []),
        ("0000", True, []),
        ("1111", False, [0, 1, 2, 3]),
        ("1111", True, [0, 1, 2, 3, 0]),
        ("11", True, [0, 1]),
        ("1", True, [0]),
        ("1101101", True, [6, 0, 1]),
        ("1011011", True, [5, 6, 0]),
        ("0110110", True, [1, 2]),
    ],
)
def test_longest_run(keep: str, closed: bool, expected: list[int]) -> None:
    assert longest_run(np.array([c == "1" for c in keep]), closed).tolist() == expected


def test_vertices() -> None:
    path = np.array([[0, 0], [1, 0], [2, 0], [2, 0], [3, 1], [4, 2], [4, 3]])
    assert vertices(path) == [(0, 0), (2, 0), (4, 2), (4, 3)]
    assert vertices(path[:1]) == [(0, 0)]
    assert vertices(path[:2]) == [(0, 0), (1, 0)]
    back = np.array([[0, 0], [1, 0], [2, 0], [1, 0], [0, 0]])
    assert vertices(back) == [(0, 0), (2, 0), (0, 0)]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 3), (3, 3), (1, 7), (5, 20)])
def test_skeletons_are_never_empty_and_inside(size: tuple[int, int]) -> None:
    region = np.ones(size, bool)
    thin = skeleton(region)
    assert thin.any()
    assert thin.shape == size
    assert not skeleton(np.zeros(size, bool)).any()


def test_skeleton_of_a_bar_is_in_its_middle() -> None:
    bar = np.zeros((9, 30), bool)
    bar[2:7, 3:27] = True
    path = longest_path(skeleton(bar))
    assert set(path[3:-3, 1].tolist()) == {4}
    assert len(path) >= 18
