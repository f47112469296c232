"""The kernel against an independent reference: scipy's exact transform on padded masks."""

from __future__ import annotations

import threading

import cv2
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import caching
from scipy.ndimage import distance_transform_edt

from simclick.annotators import kernels
from simclick.annotators.kernels import best_click

Click = tuple[int, int, bool, int]


def depths(error: np.ndarray) -> np.ndarray:
    padded = np.pad(error, 1)
    return np.rint(distance_transform_edt(padded) ** 2).astype(np.int64)[1:-1, 1:-1]


def reference(
    truth: np.ndarray,
    mask: np.ndarray,
    ignore: np.ndarray | None = None,
    clicked: list[tuple[int, int]] | None = None,
    radius: int = 0,
    middle: bool = False,
) -> Click | None:
    known = np.ones_like(truth) if ignore is None else ~ignore
    rows, columns = np.indices(truth.shape)
    eligible = np.ones_like(truth)
    for x, y in clicked or []:
        eligible &= (rows - y) ** 2 + (columns - x) ** 2 > radius**2
    negatives = depths(truth & ~mask & known) * eligible
    positives = depths(mask & ~truth & known) * eligible
    if max(negatives.max(), positives.max()) == 0:
        return None
    positive = bool(negatives.max() > positives.max())
    winner = negatives if positive else positives
    tied = np.argwhere(winner == winner.max())
    if middle:
        offsets = len(tied) * tied.astype(object) - tied.sum(axis=0).astype(object)
        away = (offsets**2).sum(axis=1)
        tied = tied[np.flatnonzero(away == min(away))]
    y, x = (int(v) for v in tied[0])
    return x, y, positive, int(winner.max())


def pattern(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """One of many kinds of mask, simple and nasty."""
    y, x = np.indices((height, width))
    kind = rng.integers(14)
    if kind < 6:
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0.5, 0.6 * max(height, width))
        disc = (y - cy) ** 2 + (x - cx) ** 2 <= r * r
        return [
            disc,
            disc & ((y - cy) ** 2 + (x - cx) ** 2 >= (0.7 * r) ** 2),
            disc & (rng.random(disc.shape) < 0.9),
            disc ^ (rng.random(disc.shape) < 0.02),
            abs(y - cy) + abs(x - cx) <= r,
            (abs(y - cy) <= r) & (abs(x - cx) <= r / 2),
        ][kind]
    period = int(rng.integers(2, 12))
    return [
        np.zeros((height, width), bool),
        np.ones((height, width), bool),
        (y == height // 2) & (x == width // 2),
        (y * width + x) == rng.integers(height * width),
        rng.random((height, width)) < rng.random(),
        (y % period) < period - 1,
        (x + y) % period < (period + 1) // 2,
        (x % period) == 0,
    ][kind - 6]


def random_inputs(seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    height, width = (int(v) for v in rng.integers(1, 70, 2))
    truth, mask = pattern(rng, height, width), pattern(rng, height, width)
    if seed % 5 == 0:
        mask = np.roll(truth, (1, 2), (0, 1))
    ignore = pattern(rng, height, width) if rng.random() < 0.3 else None
    n = int(rng.integers(0, 12))
    clicked = [
        (int(x), int(y))
        for x, y in zip(rng.integers(width, size=n), rng.integers(height, size=n), strict=True)
    ]
    return {
        "truth": truth,
        "mask": mask,
        "ignore": ignore,
        "clicked": clicked,
        "radius": int(rng.integers(0, 9)) * int(rng.integers(0, 2)),
        "middle": bool(rng.integers(0, 2)),
    }


@pytest.mark.parametrize("block", range(4))
def test_equals_the_reference_on_random_masks(block: int) -> None:
    for seed in range(300 * block, 300 * (block + 1)):
        inputs = random_inputs(seed)
        assert best_click(**inputs) == reference(**inputs), f"seed {seed}"


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_equals_the_reference_pixel_by_pixel(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 20))
    size = height * width
    bits = st.integers(0, 2**size - 1)
    truth, mask = (
        np.array([value >> k & 1 for k in range(size)], bool).reshape(height, width)
        for value in (data.draw(bits), data.draw(bits))
    )
    middle = data.draw(st.booleans())
    assert best_click(truth, mask, middle=middle) == reference(truth, mask, middle=middle)


def test_whole_sequences_until_nothing_is_left() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth, mask = pattern(rng, 9, 11), pattern(rng, 9, 11)
        clicked: list[tuple[int, int]] = []
        while (found := best_click(truth, mask, None, clicked)) is not None:
            assert found == reference(truth, mask, None, clicked)
            assert found[:2] not in clicked
            assert truth[found[1], found[0]] == found[2] != mask[found[1], found[0]]
            clicked.append(found[:2])
        assert len(clicked) == np.count_nonzero(truth != mask)


@pytest.mark.parametrize("size", [256, 391])
def test_equals_the_reference_on_large_smooth_masks(size: int) -> None:
    rng = np.random.default_rng(size)
    fields = [cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), s) for s in (3, 9, 25, 60)]
    for k, field in enumerate(fields):
        truth, mask = field > 0, fields[(k + 1) % 4] > fields[k].std()
        for other in (mask, np.zeros_like(mask), np.roll(truth, 3, axis=1)):
            for middle in (False, True):
                assert best_click(truth, other, middle=middle) == reference(truth, other, middle=middle)


def test_more_runs_than_the_first_buffer_holds() -> None:
    y, x = np.indices((130, 101))
    truth, mask = (x + y) % 2 == 0, (x + y) % 2 == 1
    assert best_click(truth, mask) == (1, 0, False, 1)
    assert best_click(truth, np.zeros_like(mask), middle=True) == reference(
        truth, np.zeros_like(mask), middle=True
    )


def test_layout_alignment_and_writability_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    for width in (8, 31, 64, 77):
        truth, mask = pattern(rng, 40, width) | (rng.random((40, width)) < 0.05), pattern(rng, 40, width)
        ignore = rng.random((40, width)) < 0.1
        expected = best_click(truth, mask, ignore)
        assert expected == reference(truth, mask, ignore)
        for shift in range(9):
            moved = []
            for array in (truth, mask, ignore):
                buffer = np.zeros(array.size + 16, bool)
                view = buffer[shift : shift + array.size].reshape(array.shape)
                view[...] = array
                view.flags.writeable = shift % 2 == 0
                moved.append(view)
            assert best_click(*moved) == expected
        assert best_click(np.asfortranarray(truth), mask[::-1][::-1], ignore.T.copy().T) == expected
        twice = np.repeat(mask, 2, axis=1)[:, ::2]
        assert best_click(truth, twice, ignore) == expected


def test_one_specialisation_serves_all() -> None:
    best_click(np.ones((3, 3), bool), np.zeros((3, 3), bool))
    read_only = np.ones((3, 3), bool)
    read_only.flags.writeable = False
    best_click(read_only, np.zeros((3, 3), bool), read_only, [(1, 1)])
    assert len(kernels._best_click.signatures) == 1


def test_true_may_be_any_byte_but_zero() -> None:
    rng = np.random.default_rng(4)
    truth, mask = rng.random((20, 33)) < 0.5, rng.random((20, 33)) < 0.5
    odd = (mask * np.uint8(255)).view(bool)
    assert best_click(truth, odd) == best_click(truth, mask)
    large = np.ones((20, 33), bool)
    assert best_click(large, (large * np.uint8(2)).view(bool)) is None


def test_threads_give_the_same_answer() -> None:
    inputs = [random_inputs(seed) for seed in range(60)]
    expected = [best_click(**one) for one in inputs]
    found: dict[int, list[Click | None]] = {}

    def work(k: int) -> None:
        found[k] = [best_click(**one) for one in inputs]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[k] == expected for k in range(4))


def test_inputs_are_not_written() -> None:
    truth, mask = np.ones((6, 6), bool), np.zeros((6, 6), bool)
    best_click(truth, mask, mask.copy(), [(0, 0)], 2, True)
    assert truth.all()
    assert not mask.any()


def test_places_outside_the_image_are_allowed() -> None:
    truth, mask = np.ones((5, 5), bool), np.zeros((5, 5), bool)
    assert best_click(truth, mask, None, [(-3, 2), (40, 40)], 4) == (2, 2, True, 9)
    assert best_click(truth, mask, None, [(-3, 2)], 5) == (2, 1, True, 4)


def test_wrong_shapes_are_one_line() -> None:
    with pytest.raises(ValueError, match=r"one size, not \[\[3, 3\], \[3, 4\]\]"):
        best_click(np.ones((3, 3), bool), np.ones((3, 4), bool))
    with pytest.raises(ValueError, match="one size"):
        best_click(np.ones((3, 3), bool), np.ones((3, 3), bool), np.ones((3, 1), bool))


def plain(truth, mask, ignore, places, radius2, middle):  # type: ignore[no-untyped-def]
    return truth.shape[0], mask.shape[1], places.shape[0], radius2


@pytest.mark.parametrize("failure", ["no place for a cache", "disk full"])
def test_compiles_where_no_cache_can_be_written(failure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    if failure == "disk full":
        monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    else:
        monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
        with pytest.raises(RuntimeError, match="cannot cache"):
            numba.njit(cache=True)(plain)
    compiled = kernels._compile(plain)
    image = np.zeros((3, 4), np.uint8)
    assert compiled(image, image, image, np.zeros((2, 2), np.int64), 7, False) == (3, 4, 2, 7)
