"""Conformance checks for annotators and noises; each raises AssertionError with what was broken.

They run the object on degenerate and random cases that they make themselves: empty, full, single
pixels, borders, holes, lines, checkerboards, images of one row, ignored pixels.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from simclick.annotators.base import Annotator, History, Noise
from simclick.case import Case
from simclick.prompts import KINDS, Prompt, Round, box, click, everything, scribble, text
from simclick.seeding import Draws, words_of

__all__ = ["check_annotator", "check_noise"]

Mask = NDArray[np.bool_]

_COORDINATES = {"click": 2, "box": 4, "text": 0, "everything": 0}
"""How many numbers say where a prompt is; a scribble has any number of pairs."""


def check_annotator(annotator: Annotator, rounds: int = 4) -> None:
    """Check that an annotator keeps its contract.

    It gives one answer per episode; every prompt of a round is of a declared kind and has a place of
    that kind's form (two whole numbers for a click, four in order for a box, one pair or more for a
    scribble, none for text and everything), each corner and vertex inside the image, as meant and as
    landed; a text prompt, and no other, has a text. Where it was meant a click has the truth's
    label, and so has one vertex of a scribble or more (unless the annotator has ``truthful = False``:
    copies of faulty rules, replayed people). A right mask gets None; the same arguments give the
    same answer, whatever the memory layout of the masks and whichever episodes are asked together;
    `draws_chance` is true exactly if another draw can change an answer; nothing is written to the
    masks; a pickled copy gives the same answers.

    Args:
        annotator: The annotator.
        rounds: How many rounds to play on every case, each against another mask.

    Raises:
        AssertionError: When the contract is broken; says how and on which case.
    """
    _check_attributes(annotator)
    copy = pickle.loads(pickle.dumps(annotator))
    depends_on_draws = False
    for case, masks in _cases():
        histories: list[History] = [()] * len(masks)
        for step in range(1, rounds + 1):
            answer = _check_answer(annotator, copy, case, masks, histories, step)
            other = annotator.propose(case, masks, histories, _draws(case, step, len(masks), repeat=1))
            depends_on_draws |= list(other) != answer
            histories = [
                history if round_ is None else (*history, round_)
                for history, round_ in zip(histories, answer, strict=True)
            ]
            masks = np.roll(masks, 1, axis=0)
        right = np.repeat(case.truth[None], len(masks), axis=0)
        answer = annotator.propose(case, right, histories, _draws(case, rounds + 1, len(masks)))
        assert list(answer) == [None] * len(masks), f"{case.case_id}: a right mask must get None"
    assert depends_on_draws == annotator.draws_chance, (
        f"draws_chance is {annotator.draws_chance}, but other draws "
        f"{'change' if depends_on_draws else 'never change'} its answers"
    )


def check_noise(noise: Noise, levels: Sequence[float] = (0.3, 1.0, 7.5, 1000.0)) -> None:
    """Check that a noise keeps its contract.

    Level 0 changes nothing; at any level the prompts stay in number, order, kind and meaning, and
    land inside the image, boxes in order (a scribble may land with more or fewer points); the same
    arguments give the same answer; a pickled copy gives the same answers; a level that is negative,
    not finite or above the noise's `max_level` (infinite if it has none) is a ValueError. Cases that
    the noise's `check`, if it has one, says it cannot serve are left out.

    Args:
        noise: The noise.
        levels: Levels to try, in the noise's own unit; those above its `max_level` are not, and
            that one is.

    Raises:
        AssertionError: When the contract is broken; says how and on which case.
    """
    _check_name(noise)
    copy = pickle.loads(pickle.dumps(noise))
    largest = float(getattr(noise, "max_level", math.inf))
    levels = [level for level in levels if level <= largest] + [largest] * math.isfinite(largest)
    why_not = getattr(noise, "check", lambda case: None)
    for case, _ in _cases():
        if why_not(case) is not None:
            continue
        height, width = case.size
        x, y = width // 2, height // 2
        several = (click(x, y), click(0, 0, False), box(0, 0, x, y), click(width - 1, height - 1), text("a"))
        every = (everything(), box(x, y, x, y), scribble([(x, y), (0, y)]))
        for step, prompts in enumerate((several, every), start=1):
            round_ = Round(prompts)
            draws = _draws(case, step, 1)[0]
            assert noise.perturb(round_, case, draws, 0.0) == round_, f"{case.case_id}: level 0 moved"
            for level in levels:
                where = f"{case.case_id} at level {level}"
                moved = noise.perturb(round_, case, draws, level)
                assert noise.perturb(round_, case, draws, level) == moved, f"{where}: differs when repeated"
                assert copy.perturb(round_, case, draws, level) == moved, f"{where}: a pickled copy differs"
                _check_perturbed(round_, moved, case, where)
    for level in (-1.0, math.nan, math.inf, math.nextafter(largest, math.inf)):
        try:
            noise.perturb(round_, case, draws, level)
        except ValueError:
            continue
        raise AssertionError(f"level {level} must be a ValueError")


def _check_name(registered: Annotator | Noise) -> None:
    assert isinstance(registered.name, str), "`name` must be a text"
    assert registered.name, "`name` must not be empty"
    assert type(registered.version) is int, "`version` must be a whole number"
    assert registered.version >= 1, "`version` must be 1 or more"


def _check_attributes(annotator: Annotator) -> None:
    _check_name(annotator)
    assert type(annotator.draws_chance) is bool, "`draws_chance` must be True or False"
    assert isinstance(annotator.kinds, frozenset), "`kinds` must be a frozenset"
    assert annotator.kinds, "`kinds` must not be empty"
    assert annotator.kinds <= set(KINDS), f"`kinds` must be among {', '.join(KINDS)}"


def _check_answer(
    annotator: Annotator,
    copy: Annotator,
    case: Case,
    masks: Mask,
    histories: Sequence[History],
    step: int,
) -> list[Round | None]:
    """Ask for a round of every episode in several ways, check the answers and return them."""
    where = f"{case.case_id}, round {step}"
    draws = _draws(case, step, len(masks))
    frozen = masks.copy()
    frozen.flags.writeable = False
    answer = list(annotator.propose(case, frozen, histories, draws))
    assert len(answer) == len(masks), f"{where}: {len(answer)} answers for {len(masks)} episodes"

    strided = np.zeros((*masks.shape[::-1], 2), dtype=np.bool_)[..., 1].T
    strided[...] = masks
    assert list(annotator.propose(case, strided, histories, draws)) == answer, f"{where}: layout matters"
    assert list(copy.propose(case, frozen, histories, draws)) == answer, f"{where}: a pickled copy differs"
    for b, round_ in enumerate(answer):
        one = slice(b, b + 1)
        alone = annotator.propose(case, frozen[one], histories[one], draws[one])
        assert list(alone) == [round_], f"{where}: episode {b} asked alone differs"
        for prompt in round_.prompts if round_ is not None else ():
            assert prompt.kind in annotator.kinds, f"{where}: {prompt.kind} is not among its kinds"
            has_text = isinstance(prompt.label, str) and prompt.label != ""
            assert has_text == (prompt.kind == "text"), f"{where}: a {prompt.kind} has text {prompt.label!r}"
            _check_place(prompt.kind, prompt.landed, case, where)
            _check_place(prompt.kind, prompt.meant, case, where)
            if getattr(annotator, "truthful", True):
                _check_label(prompt, case, where)
    return answer


def _check_label(prompt: Prompt, case: Case, where: str) -> None:
    """Check that a click, or a vertex of a scribble, was meant where its label is the truth's."""
    if prompt.kind not in ("click", "scribble"):
        return
    vertices = zip(prompt.meant[::2], prompt.meant[1::2], strict=True)
    right = any(prompt.meant_positive == case.truth[y, x] for x, y in vertices)
    assert right, f"{where}: the {prompt.kind} at {prompt.meant} has the wrong label"


def _check_perturbed(round_: Round, moved: Round, case: Case, where: str) -> None:
    assert len(moved.prompts) == len(round_.prompts), f"{where}: the number of prompts changed"
    for before, after in zip(round_.prompts, moved.prompts, strict=True):
        for name in ("kind", "meant", "meant_positive", "label"):
            same = getattr(before, name) == getattr(after, name)
            assert same, f"{where}: the {name} of a {before.kind} changed"
        _check_place(after.kind, after.landed, case, where)


def _check_place(kind: str, place: Sequence[int], case: Case, where: str) -> None:
    """Check that coordinates have the form of their kind and lie inside the image."""
    assert all(type(v) is int for v in place), f"{where}: coordinates must be whole numbers"
    if kind in _COORDINATES:
        n = _COORDINATES[kind]
        assert len(place) == n, f"{where}: a {kind} has {n} coordinates, not {len(place)}"
    if kind == "scribble":
        assert len(place) >= 2, f"{where}: a scribble has no points"
        assert len(place) % 2 == 0, f"{where}: a scribble has half a point"
    height, width = case.size
    xs, ys = place[::2], place[1::2]
    inside = all(0 <= x < width for x in xs) and all(0 <= y < height for y in ys)
    assert inside, f"{where}: the {kind} {place} is outside the image"
    if kind == "box":
        assert xs[0] <= xs[1], f"{where}: the box {place} is not in order"
        assert ys[0] <= ys[1], f"{where}: the box {place} is not in order"


def _draws(case: Case, step: int, n: int, repeat: int = 0) -> list[Draws]:
    return [Draws(b, case.dataset, case.case_id, repeat, step) for b in range(n)]


def _cases() -> Iterator[tuple[Case, Mask]]:
    """Yield cases, each with the masks of several episodes (the first is empty)."""
    for height, width in ((1, 1), (1, 9), (12, 1), (23, 17), (16, 40)):
        shapes = _shapes(height, width)
        masks = np.stack([np.zeros((height, width), dtype=np.bool_), *list(shapes.values())[::3]])
        for k, (name, truth) in enumerate(shapes.items()):
            ignore = shapes["noise"] if k % 3 == 2 else None
            image = np.zeros((height, width, 3), dtype=np.uint8)
            case_id = f"{name} {width}x{height}{'' if ignore is None else ', some ignored'}"
            spacing = (0.5, 2.0) if k % 2 else None
            case = Case(
                case_id, "conformance", image, truth, "g", "none", "shape", spacing=spacing, ignore=ignore
            )
            yield case, masks


def _shapes(height: int, width: int) -> dict[str, Mask]:
    y, x = np.indices((height, width))
    radius2 = (y - height // 2) ** 2 + (x - width // 2) ** 2
    noise = words_of("conformance", height, width).uniform(height * width).reshape(height, width)
    shapes = {
        "empty": y < 0,
        "full": y >= 0,
        "corner pixel": (y == 0) & (x == 0),
        "middle pixel": radius2 == 0,
        "disc": radius2 <= 25,
        "ring": (radius2 <= 49) & (radius2 >= 16),
        "left half": 2 * x < width,
        "row": y == height // 2,
        "column": x == width - 1,
        "diagonal": y == x,
        "checkerboard": (y + x) % 2 == 0,
        "noise": noise < 0.3,
        "two blobs": (radius2 <= 4) | ((y < 3) & (x < 5)),
    }
    return {name: np.asarray(shape, dtype=np.bool_) for name, shape in shapes.items()}
