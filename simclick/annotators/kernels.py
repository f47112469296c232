"""The place of the next centre click: exact, in integers, compiled by numba.

Every pixel is correct (or ignored), a *false negative* or a *false positive*. The squared distance
of a wrong pixel is the squared Euclidean distance to the nearest pixel that is not wrong in the
same way; pixels outside the image are not wrong. `best_click` finds the eligible pixel with the
largest one. No floating-point number decides anything, so the answer does not depend on the
machine, the number of threads, the memory layout or an image library.

How it is fast. One pass compares truth and mask eight pixels at a time and writes the errors down
as *runs*: maximal stretches of one row, each with one label. A pixel's squared distance is the
minimum over rows of (rows between)² + (distance to the nearer end of that row's run)², where a row
without the label counts 0 for the second term. The search for the largest one skips

- runs whose half-length cannot beat the best so far,
- pixels that the row which ruled out the last pixel rules out as well,
- pixels next to a low one: the distance changes by at most 1 from a pixel to the next.

None of these can skip a winner, or a pixel that ties with it and comes before it.

Importing this module compiles the kernel, or loads it from numba's cache; annotators import it
when they first need it. All of the kernel is in this one file: numba's cache notices a change of
the file that it compiled, not of files that it took functions from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["best_click"]

F = TypeVar("F", bound=Callable[..., Any])
Bytes = NDArray[np.uint8]
Runs = NDArray[np.int32]
Offsets = NDArray[np.int64]

_FALSE_NEGATIVE = 1
_FALSE_POSITIVE = 2
_ALL_FALSE = cast("int", np.uint64(0))
_ALL_TRUE = cast("int", np.uint64(0x0101010101010101))
# A variable that starts as a literal would have every function it is passed to compiled twice.
_ZERO = cast("int", np.int64(0))
_NOT_IGNORED = np.zeros((0, 0), dtype=np.uint8)


def _jit(function: F) -> F:
    """Compile a part of the kernel, when the kernel is."""
    return cast("F", numba.njit(function))


def best_click(
    truth: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    ignore: NDArray[np.bool_] | None = None,
    clicked: Sequence[tuple[int, int]] = (),
    radius: int = 0,
    middle: bool = False,
) -> tuple[int, int, bool, int] | None:
    """Return the most central wrong pixel as ``(x, y, positive, squared_distance)``.

    The largest squared distance among eligible false negatives is compared with that among
    eligible false positives; the larger wins, and where they are equal, the false positives.

    Args:
        truth: Bool[H, W], of any memory layout.
        mask: Bool[H, W], the mask to correct.
        ignore: Bool[H, W] of pixels that are never wrong, or None.
        clicked: Places ``(x, y)`` that were clicked before; they may lie outside the image, by less than
            2**29 pixels.
        radius: Pixels at a distance ≤ radius from a clicked place are not eligible (0: only the
            clicked pixel itself). Distances are not affected.
        middle: Among the winners that tie, False takes the first in row-major order, True the one
            nearest to the centroid of all of them (exactly, then the first in row-major order).

    Returns:
        The click, positive on a false negative, or None where no wrong pixel is eligible.

    Raises:
        ValueError: When the arrays differ in shape or are not two-dimensional.
    """
    if truth.ndim != 2 or mask.shape != truth.shape or (ignore is not None and ignore.shape != truth.shape):
        shapes = [list(array.shape) for array in (truth, mask, ignore) if array is not None]
        raise ValueError(f"truth, mask and ignore must be [H, W] of one size, not {shapes}")
    places = np.array(clicked, dtype=np.int64).reshape(-1, 2)
    skipped = _NOT_IGNORED if ignore is None else _bytes(ignore)
    x, y, label, distance = _best_click(
        _bytes(truth), _bytes(mask), skipped, places, int(radius) ** 2, bool(middle)
    )
    return (x, y, label == _FALSE_NEGATIVE, distance) if label else None


def _bytes(array: NDArray[np.bool_]) -> Bytes:
    return np.ascontiguousarray(array, dtype=np.bool_).view(np.uint8)


def _emit_word(typing_context: Any, array: Any, offset: Any) -> Any:
    """Emit the load of eight bytes at any offset (NumPy views of words must be aligned)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        word = context.get_value_type(types.uint64).as_pointer()
        load = builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), word))
        load.align = 1
        return load

    return types.uint64(array, types.intp), generate


_word = cast("Callable[[Bytes, int], int]", intrinsic(_emit_word))


@_jit
def _row_differs(truth: Bytes, mask: Bytes, y: int) -> bool:
    width = truth.shape[1]
    difference = _ALL_FALSE
    for x in range(0, width - 7, 8):
        at = y * width + x
        difference |= _word(truth, at) ^ _word(mask, at)
    for x in range(width - width % 8, width):
        difference |= truth[y, x] ^ mask[y, x]
    return difference != _ALL_FALSE


@_jit
def _label_at(truth: Bytes, mask: Bytes, ignore: Bytes, y: int, x: int) -> int:
    inside = truth[y, x] != 0
    if inside == (mask[y, x] != 0) or (ignore.size > 0 and ignore[y, x] != 0):
        return 0
    return _FALSE_NEGATIVE if inside else _FALSE_POSITIVE


@_jit
def _next_eight_are(truth: Bytes, mask: Bytes, ignore: Bytes, at: int, label: int) -> bool:
    """Whether eight pixels from flat offset `at` have one label; a yes is sure, a no is not."""
    t, m = _word(truth, at), _word(mask, at)
    if label == 0:
        return t == m
    if ignore.size > 0 and _word(ignore, at) != _ALL_FALSE:
        return False
    if label == _FALSE_NEGATIVE:
        return t == _ALL_TRUE and m == _ALL_FALSE
    return t == _ALL_FALSE and m == _ALL_TRUE


@_jit
def _runs_of_row(truth: Bytes, mask: Bytes, ignore: Bytes, y: int, runs: Runs, n: int) -> int:
    """Append the runs of a row to the first `n` of `runs`; return how many there are then."""
    width = truth.shape[1]
    x = start = label = _ZERO
    while x < width:
        if x + 8 <= width and _next_eight_are(truth, mask, ignore, y * width + x, label):
            x += 8
            continue
        for x in range(x, min(x + 8, width)):  # noqa: B020
            new = _label_at(truth, mask, ignore, y, x)
            if new != label:
                if label:
                    runs[n, 0], runs[n, 1], runs[n, 2] = start, x - 1, label
                    n += 1
                start, label = x, new
        x += 1
    if label:
        runs[n, 0], runs[n, 1], runs[n, 2] = start, width - 1, label
        n += 1
    return n


@_jit
def _grown(table: Any, n: int, rows: int) -> Any:
    """Return a table with more rows that starts with the first n of this one."""
    larger = np.empty((rows, table.shape[1]), table.dtype)
    for k in range(n):
        for column in range(table.shape[1]):
            larger[k, column] = table[k, column]
    return larger


@_jit
def _find_runs(truth: Bytes, mask: Bytes, ignore: Bytes) -> tuple[Offsets, Runs]:
    """Return all runs, Int32[N, 3] of first x, last x, label, and the index of each row's first.

    Runs ``offsets[y]`` to ``offsets[y + 1] - 1`` are those of row y, from left to right.
    """
    height, width = truth.shape
    offsets = np.zeros(height + 1, np.int64)
    runs = np.empty((1024 + width, 3), np.int32)
    n = _ZERO
    for y in range(height):
        if _row_differs(truth, mask, y):
            if n + width > runs.shape[0]:
                runs = _grown(runs, n, 2 * runs.shape[0] + width)
            n = _runs_of_row(truth, mask, ignore, y, runs, n)
        offsets[y + 1] = n
    return offsets, runs


@_jit
def _through_row(offsets: Offsets, runs: Runs, x: int, y: int, row: int, label: int) -> int:
    """Return the least squared distance from (x, y) to a pixel of `row` that is not `label`.

    Where that lies further away in the row than straight above or below, a nearer row has a
    smaller value; the minimum over all rows is the pixel's squared distance.
    """
    gap = 0
    if 0 <= row < offsets.size - 1:
        low, high = offsets[row], offsets[row + 1]
        while low < high:
            half = (low + high) >> 1
            if runs[half, 0] <= x:
                low = half + 1
            else:
                high = half
        i = low - 1
        if i >= offsets[row] and runs[i, 1] >= x and runs[i, 2] == label:
            gap = min(x - runs[i, 0], runs[i, 1] - x) + 1
    return (row - y) * (row - y) + gap * gap


@_jit
def _squared_distance(
    offsets: Offsets, runs: Runs, i: int, x: int, y: int, floor: int, witness: int
) -> tuple[int, int]:
    """Return the squared distance of pixel (x, y) of run i if it exceeds `floor`.

    Otherwise return an upper bound of it that does not exceed `floor`. The second value is a row
    that holds the nearest pixel found; given to the next call as `witness`, it is tried first.
    """
    label = runs[i, 2]
    if witness != y:
        value = _through_row(offsets, runs, x, y, witness, label)
        if value <= floor:
            return value, witness
    best, witness = _through_row(offsets, runs, x, y, y, label), y
    away = 1
    while away * away < best and best > floor:
        for row in (y - away, y + away):
            value = _through_row(offsets, runs, x, y, row, label)
            if value < best:
                best, witness = value, row
        away += 1
    return best, witness


@_jit
def _is_excluded(places: Offsets, radius2: int, x: int, y: int) -> bool:
    for k in range(places.shape[0]):
        dx, dy = x - places[k, 0], y - places[k, 1]
        if dx * dx + dy * dy <= radius2:
            return True
    return False


@_jit
def _next_above(
    offsets: Offsets,
    runs: Runs,
    i: int,
    x: int,
    y: int,
    floor: int,
    places: Offsets,
    radius2: int,
    witness: int,
) -> tuple[int, int, int]:
    """Return the first eligible pixel of run i from x on whose squared distance exceeds `floor`.

    Returns:
        Its x (-1 where there is none), its squared distance, and the next witness.
    """
    reach = int(math.sqrt(floor))  # a pixel this near to an end of its run cannot exceed floor
    x = max(x, runs[i, 0] + reach)
    while x <= runs[i, 1] - reach:
        if _is_excluded(places, radius2, x, y):
            x += 1
            continue
        value, witness = _squared_distance(offsets, runs, i, x, y, floor, witness)
        if value > floor:
            return x, value, witness
        # The distance grows by at most 1 per pixel; rounding may only shorten the jump.
        x += 1 + max(0, int(math.sqrt(floor) - math.sqrt(value) - 1e-6))
    return -1, 0, witness


# A squared distance d and its label are compared as one number, 2 d + (label is false positive).


@_jit
def _floor_of(key: int, label: int) -> int:
    """Return the d that a pixel of this label must exceed for its key to exceed `key`."""
    return (key - (label == _FALSE_POSITIVE)) >> 1


@_jit
def _lower_bound(offsets: Offsets, runs: Runs, places: Offsets, radius2: int) -> int:
    """Return a key that some eligible pixel has, or 1: from the middles of runs in a few rows."""
    key = _ZERO + 1
    top, bottom = 0, offsets.size - 1
    while top < bottom and offsets[top + 1] == 0:
        top += 1
    while bottom > top and offsets[bottom - 1] == offsets[-1]:
        bottom -= 1
    for y in range(top, bottom, max(1, (bottom - top) // 64)):
        for i in range(offsets[y], offsets[y + 1]):
            x, label = (runs[i, 0] + runs[i, 1]) // 2, runs[i, 2]
            floor = _floor_of(key, label)
            if (runs[i, 1] - x + 1) ** 2 <= floor or _is_excluded(places, radius2, x, y):
                continue
            value, _ = _squared_distance(offsets, runs, i, x, y, floor, y)
            if value > floor:
                key = 2 * value + (label == _FALSE_POSITIVE)
    return key


@_jit
def _largest(offsets: Offsets, runs: Runs, places: Offsets, radius2: int) -> tuple[int, int, int]:
    """Return the largest key and the first pixel (x, y) that has it; key 1 where there is none."""
    key = max(1, _lower_bound(offsets, runs, places, radius2) - 1)
    reach = int(math.sqrt(_floor_of(key, _FALSE_POSITIVE)))
    best_x = best_y = witness = _ZERO - 1
    for y in range(offsets.size - 1):
        for i in range(offsets[y], offsets[y + 1]):
            if runs[i, 0] + reach > runs[i, 1] - reach:
                continue
            label = runs[i, 2]
            x = _ZERO - 1
            while True:
                floor = _floor_of(key, label)
                x, value, witness = _next_above(offsets, runs, i, x + 1, y, floor, places, radius2, witness)
                if x < 0:
                    break
                key, best_x, best_y = 2 * value + (label == _FALSE_POSITIVE), x, y
            reach = int(math.sqrt(_floor_of(key, _FALSE_POSITIVE)))
    return key, best_x, best_y


@_jit
def _tied(
    offsets: Offsets, runs: Runs, places: Offsets, radius2: int, label: int, distance: int
) -> tuple[Offsets, int]:
    """Return Int64[capacity, 2] and how many of its rows are the (x, y) with the largest distance."""
    found = np.empty((64, 2), np.int64)
    n = witness = _ZERO
    for y in range(offsets.size - 1):
        for i in range(offsets[y], offsets[y + 1]):
            if runs[i, 2] != label:
                continue
            x = _ZERO - 1
            while True:
                x, _, witness = _next_above(
                    offsets, runs, i, x + 1, y, distance - 1, places, radius2, witness
                )
                if x < 0:
                    break
                if n == found.shape[0]:
                    found = _grown(found, n, 2 * n)
                found[n, 0], found[n, 1] = x, y
                n += 1
    return found, n


@_jit
def _nearest_to_centroid(found: Offsets, n: int) -> tuple[int, int]:
    """Return the first of n places that is nearest to their centroid.

    With S the sum of all places, |p - S/n|² orders places p as n |p|² - 2 p·S does, in integers.
    """
    sum_x = sum_y = best = least = 0
    for k in range(n):
        sum_x += found[k, 0]
        sum_y += found[k, 1]
    for k in range(n):
        x, y = found[k, 0], found[k, 1]
        value = n * (x * x + y * y) - 2 * (x * sum_x + y * sum_y)
        if k == 0 or value < least:
            best, least = k, value
    return found[best, 0], found[best, 1]


def _best_click_body(
    truth: Bytes, mask: Bytes, ignore: Bytes, places: Offsets, radius2: int, middle: bool
) -> tuple[int, int, int, int]:
    """Return x, y, label and squared distance of the best click; label 0 where there is none."""
    offsets, runs = _find_runs(truth, mask, ignore)
    key, x, y = _largest(offsets, runs, places, radius2)
    if x < 0:
        return -1, -1, 0, 0
    label, distance = (_FALSE_POSITIVE if key & 1 else _FALSE_NEGATIVE), key >> 1
    if middle:
        x, y = _nearest_to_centroid(*_tied(offsets, runs, places, radius2, label, distance))
    return x, y, label, distance


def _compile(function: F) -> F:
    """Compile the kernel once, for read-only arrays, which writable ones may stand in for.

    The machine code is kept in numba's cache where one can be written, else in memory alone.
    """
    image, places = (f"Array({dtype}, 2, 'C', readonly=True)" for dtype in ("uint8", "int64"))
    signature = f"UniTuple(int64, 4)({image}, {image}, {image}, {places}, int64, boolean)"
    try:
        return cast("F", numba.njit(signature, nogil=True, cache=True)(function))
    except (RuntimeError, OSError):
        return cast("F", numba.njit(signature, nogil=True)(function))


_best_click = _compile(_best_click_body)
