"""Random and awkward masks through every annotator and every noise.

A prompt inside the image with the right label, or nothing; never an exception; the same twice. A
part of the masks runs by default, all thousand with ``-m slow``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest

from simclick import registry
from simclick.case import Case
from simclick.geometry import bounding_box
from simclick.prompts import Prompt, Round, box, click, scribble, text
from simclick.seeding import Draws, Words, words_of

N = 1000
FEW = 47
"""Stride of the default tests: prime, so that the few hit all kinds of masks and of cases."""

ANNOTATORS = sorted(registry.annotators.entries)
NOISES = sorted(registry.noises.entries)


def holes(words: Words, x: Any, y: Any, width: int, height: int) -> Any:
    inner = (x > 0) & (y > 0) & (x < width - 1) & (y < height - 1)
    return inner & (words.uniform(width * height).reshape(height, width) < 0.85)


def blob(words: Words, x: Any, y: Any, width: int, height: int) -> Any:
    mask = np.zeros((height, width), bool)
    for _ in range(1 + words.integer(3)):
        cx, cy, r = (
            words.integer(width),
            words.integer(height),
            1 + words.integer(max(width, height) // 3 + 1),
        )
        mask |= (x - cx) ** 2 + (y - cy) ** 2 <= r * r
    return mask


SHAPES: dict[str, Any] = {
    "empty": lambda words, x, y, w, h: y < 0,
    "full": lambda words, x, y, w, h: y >= 0,
    "one pixel": lambda words, x, y, w, h: (x == words.integer(w)) & (y == words.integer(h)),
    "border": lambda words, x, y, w, h: (x == 0) | (y == 0) | (x == w - 1) | (y == h - 1),
    "holes": holes,
    "row": lambda words, x, y, w, h: y == words.integer(h),
    "column": lambda words, x, y, w, h: x == words.integer(w),
    "diagonal": lambda words, x, y, w, h: x - y == words.integer(w + h - 1) - h + 1,
    "checkerboard": lambda words, x, y, w, h: (x + y) % 2 == words.integer(2),
    "blobs": blob,
    "more blobs": blob,
    "specks": lambda words, x, y, w, h: words.uniform(w * h).reshape(h, w) < 0.1,
    "noise": lambda words, x, y, w, h: words.uniform(w * h).reshape(h, w) < 0.5,
}


def shape(name: str, words: Words, width: int, height: int) -> np.ndarray:
    y, x = np.indices((height, width))
    return np.broadcast_to(
        np.asarray(SHAPES[name](words, x, y, width, height), np.bool_), (height, width)
    ).copy()


@cache
def case_of(index: int) -> Case:
    """The index-th case: its shape goes round all shapes, the rest is random."""
    words, names = words_of("thousand masks", index), list(SHAPES)
    width, height = (1 + words.integer(28) for _ in range(2))
    truth = shape(names[index % len(names)], words, width, height)
    pixels = (words.uniform(width * height * 3) * 256).astype(np.uint8).reshape(height, width, 3)
    raters = np.stack([truth, np.roll(truth, 1, 0)]) if index % 5 == 0 else None
    return Case(
        f"{index}: {names[index % len(names)]} {width}x{height}",
        "thousand",
        pixels,
        truth,
        "g",
        "none",
        "shape",
        spacing=(0.5 + words.integer(3), 0.7) if index % 3 == 0 else None,
        truths=raters,
        ignore=words.uniform(width * height).reshape(height, width) < 0.2 if index % 4 == 0 else None,
        label="shape",
    )


def masks_of(case: Case, index: int) -> Iterator[np.ndarray]:
    """The current masks of three rounds: none yet, nearly right, any other."""
    words, (height, width) = words_of("masks", index), case.size
    yield np.zeros(case.size, np.bool_)
    yield case.truth ^ (words.uniform(height * width).reshape(height, width) < 0.15)
    yield shape(list(SHAPES)[words.integer(len(SHAPES))], words, width, height)


def check_inside(prompt: Prompt, case: Case) -> None:
    height, width = case.size
    for at in (prompt.landed, prompt.meant):
        assert all(type(v) is int for v in at)
        assert all(0 <= x < width for x in at[::2]), f"{case.case_id}: {prompt}"
        assert all(0 <= y < height for y in at[1::2]), f"{case.case_id}: {prompt}"
    xs, ys = prompt.landed[::2], prompt.landed[1::2]
    assert len(xs) == len(ys)
    if prompt.kind == "box":
        assert xs[0] <= xs[1], f"{case.case_id}: {prompt}"
        assert ys[0] <= ys[1], f"{case.case_id}: {prompt}"
    if prompt.kind in ("click", "scribble"):
        assert len(xs) >= 1


def check_label(prompt: Prompt, case: Case) -> None:
    if prompt.kind == "click":
        x, y = prompt.meant
        assert prompt.meant_positive == case.truth[y, x], f"{case.case_id}: the label of {prompt}"


def play(annotator: Any, index: int) -> int:
    """Three rounds on a case, each asked twice; return how many rounds were given."""
    case, history, given = case_of(index), (), 0
    for step, mask in enumerate(masks_of(case, index), start=1):
        keys = [Draws(index, case.dataset, case.case_id, 0, step)]
        [round_] = annotator.propose(case, mask[None], [history], keys)
        [again] = annotator.propose(case, mask[None].copy(), [history], keys)
        assert round_ == again, f"{case.case_id}: differs when asked twice"
        if round_ is None:
            continue
        for prompt in round_.prompts:
            assert prompt.kind in annotator.kinds
            check_inside(prompt, case)
            if getattr(annotator, "truthful", True):
                check_label(prompt, case)
        history = (*history, round_)
        given += 1
    return given


def made(name: str) -> Any:
    try:
        return registry.annotators.load(name)()
    except (TypeError, ValueError) as error:
        pytest.skip(f"needs options: {error}")


def through(name: str, indices: range) -> None:
    annotator = made(name)
    assert sum(play(annotator, index) for index in indices) > len(indices) / 2, "it has something to say"


@pytest.mark.parametrize("name", ANNOTATORS)
def test_some_masks_through_every_annotator(name: str) -> None:
    through(name, range(0, N, FEW))


@pytest.mark.slow
@pytest.mark.parametrize("name", ANNOTATORS)
def test_all_masks_through_every_annotator(name: str) -> None:
    through(name, range(N))


def round_of(case: Case, index: int) -> Round:
    """Prompts of every kind on a case, some of them at the image's border."""
    words, (height, width) = words_of("prompts", index), case.size
    points = [(words.integer(width), words.integer(height)) for _ in range(2 + words.integer(4))]
    (x, y), (x2, y2) = points[0], points[1]
    at = bounding_box(case.truth) or (min(x, x2), min(y, y2), max(x, x2), max(y, y2))
    return Round(
        (
            click(x, y, bool(case.truth[y, x])),
            box(*at),
            scribble(points, bool(words.integer(2))),
            text("shape"),
            click(width - 1, 0, False),
            scribble([(x2, y2)]),
        )
    )


def variants(name: str) -> list[Any]:
    cls = registry.noises.load(name)
    units, borders = getattr(cls, "units", (None,)), ("clip", "reject") if hasattr(cls, "border") else (None,)
    wanted = [{"unit": unit, "border": border} for unit, border in product(units, borders)]
    return [cls(**{key: value for key, value in options.items() if value is not None}) for options in wanted]


def perturb(noise: Any, index: int) -> int:
    """Perturb one round at several levels, each twice; return how many prompts landed elsewhere."""
    case = case_of(index)
    if getattr(noise, "unit", None) == "mm" and case.spacing is None:
        assert noise.check(case)
        case = replace(case, spacing=(1.5, 0.5))
    round_, moved = round_of(case, index), 0
    keys = Draws(index, case.dataset, case.case_id, 0, 1 + index % 2)
    assert noise.perturb(round_, case, keys, 0.0) is round_
    largest = min(noise.max_level, 1e4)
    for level in (0.02 * largest, 0.4 * largest, largest) if largest == 1 else (0.3, 7.0, largest):
        once = noise.perturb(round_, case, keys, level)
        assert once == noise.perturb(round_, case, keys, level), f"{case.case_id}: differs when asked twice"
        assert len(once.prompts) == len(round_.prompts)
        for before, after in zip(round_.prompts, once.prompts, strict=True):
            assert (after.kind, after.meant, after.meant_positive) == (
                before.kind, before.meant, before.meant_positive)  # fmt: skip
            check_inside(after, case)
            moved += (after.landed, after.positive) != (before.landed, before.positive)
    return moved


def through_noise(name: str, indices: range) -> None:
    """Its units and borders go round."""
    noises = variants(name)
    moved = sum(perturb(noises[i % len(noises)], index) for i, index in enumerate(indices))
    assert moved > len(indices)


@pytest.mark.parametrize("name", NOISES)
def test_some_masks_through_every_noise(name: str) -> None:
    through_noise(name, range(0, N, FEW))


@pytest.mark.slow
@pytest.mark.parametrize("name", NOISES)
def test_all_masks_through_every_noise(name: str) -> None:
    through_noise(name, range(N))
