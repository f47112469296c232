"""Annotators and noise whose answers are known by hand, and small cases."""

from __future__ import annotations

from typing import Any

import numpy as np

from simclick import registry
from simclick.case import Case
from simclick.prompts import Round, box, click, scribble, text
from simclick.protocol import Protocol


class FirstError:
    """Clicks the first wrong pixel in row-major order."""

    name = "first-error"
    version = 1
    draws_chance = False
    kinds = frozenset({"click"})

    def propose(self, case: Case, masks: Any, histories: Any, draws: Any) -> list[Round | None]:
        return [self.one(case, mask, history) for mask, history in zip(masks, histories, strict=True)]

    def one(self, case: Case, mask: Any, history: Any) -> Round | None:
        wrong = np.argwhere(mask != case.truth)
        if len(wrong) == 0:
            return None
        y, x = wrong[0]
        return Round((click(x, y, bool(case.truth[y, x])),))


class BoxFirst(FirstError):
    name = "box-first"
    kinds = frozenset({"box", "click"})

    def one(self, case: Case, mask: Any, history: Any) -> Round | None:
        if history:
            return super().one(case, mask, history)
        ys, xs = np.nonzero(case.truth)
        return Round((box(xs.min(), ys.min(), xs.max(), ys.max()),))


class Mixed(FirstError):
    """A scribble with a text, then rounds of two clicks."""

    name = "mixed"
    kinds = frozenset({"click", "scribble", "text"})

    def one(self, case: Case, mask: Any, history: Any) -> Round | None:
        height, width = case.size
        if not history:
            return Round((scribble([(0, 0), (width - 1, 0), (width - 1, height - 1)], False), text("thing")))
        first = super().one(case, mask, history)
        return None if first is None else Round((*first.prompts, click(0, height - 1, False)))


class Shy(FirstError):
    """Gives up after one click though errors are left."""

    name = "shy"

    def one(self, case: Case, mask: Any, history: Any) -> Round | None:
        return None if history else super().one(case, mask, history)


class Shake:
    """Moves every place to a pixel drawn uniformly; flips the label at level 2."""

    name = "shake"
    version = 1

    def perturb(self, round_: Round, case: Case, draws: Any, level: float) -> Round:
        height, width = case.size
        moved = []
        for i, prompt in enumerate(round_.prompts):
            words = draws.stream("noise", i)
            n = len(prompt.landed) // 2
            places = [v for _ in range(n) for v in (words.integer(width), words.integer(height))]
            moved.append(prompt.moved(places, not prompt.positive if level == 2 else None))
        return Round(tuple(moved))


def register(monkeypatch: Any) -> None:
    """Make the stubs known under their names for one test."""
    for cls in (FirstError, BoxFirst, Mixed, Shy):
        entry = registry.Entry(f"{cls.__module__}:{cls.__name__}", "for tests")
        monkeypatch.setitem(registry.annotators.entries, cls.name, entry)
    monkeypatch.setitem(registry.noises.entries, "shake", registry.Entry(f"{__name__}:Shake", "for tests"))


def protocol(annotator: str = "first-error", **changes: Any) -> Protocol:
    return Protocol(id="test-v1", annotator=annotator, **{"budget": 5, **changes})


def shaken(**changes: Any) -> Protocol:
    return protocol(noise="shake", levels=(0.0, 1.0, 2.0), repeats=3, **changes)


def case(size: tuple[int, int] = (7, 13), case_id: str = "a", seed: int = 0, **changes: Any) -> Case:
    """A rectangle that covers the middle of the image (all of a very small one)."""
    height, width = size
    rng = np.random.default_rng(seed)
    truth = np.zeros(size, dtype=bool)
    truth[height // 4 : height // 4 + max(1, height // 2), width // 4 : width // 4 + max(1, width // 2)] = (
        True
    )
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    values = {"image": image, "truth": truth, "group": "g", "modality": "ct", "target": "t"}
    return Case(case_id=case_id, dataset="d", **{**values, **changes})
