"""Everything registered passes the public conformance checks, and the checks find what is broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from simclick import registry
from simclick.annotators import Annotator, Noise
from simclick.annotators.clicks import CenterClick, CenterClickDiverse, RandomClick
from simclick.annotators.noise_boxes import BoxEdges
from simclick.annotators.noise_clicks import GaussianClick
from simclick.prompts import Round, click
from simclick.testing_annotator import check_annotator, check_noise


@pytest.mark.parametrize("name", sorted(registry.annotators.entries))
def test_registered_annotator(name: str) -> None:
    cls = registry.annotators.load(name)
    if getattr(cls, "needs_options", False):
        pytest.skip("cannot be made without options: checked with an example in its own test")
    annotator = cls()
    assert isinstance(annotator, Annotator)
    assert annotator.name == name
    check_annotator(annotator)


@pytest.mark.parametrize("options", [{"radius": 0}, {"radius": 40}])
def test_diverse_with_options(options: dict[str, Any]) -> None:
    check_annotator(CenterClickDiverse(**options))


@pytest.mark.parametrize("name", ["tight-box", "box-then-click"])
def test_boxes_of_the_largest_component(name: str) -> None:
    check_annotator(registry.annotators.load(name)(component="largest"))


@pytest.mark.parametrize("name", sorted(registry.noises.entries))
def test_registered_noise(name: str) -> None:
    cls = registry.noises.load(name)
    for options in [{"unit": unit} for unit in getattr(cls, "units", ())] or [{}]:
        noise = cls(**options)
        assert isinstance(noise, Noise)
        assert noise.name == name
        check_noise(noise)


class Broken(CenterClick):
    """Changes the answers of a good annotator."""

    def propose(self, case: Any, masks: Any, histories: Any, draws: Any) -> Any:
        return [
            None if r is None else self.broken(r, case)
            for r in super().propose(case, masks, histories, draws)
        ]

    def broken(self, round_: Round, case: Any) -> Round:
        return round_


class Outside(Broken):
    def broken(self, round_: Round, case: Any) -> Round:
        return Round((click(case.size[1], 0),))


class WrongLabel(Broken):
    def broken(self, round_: Round, case: Any) -> Round:
        [one] = round_.prompts
        return Round((click(*one.landed, not one.positive),))


class Undeclared(Broken):
    kinds = frozenset({"box"})


class NeverDone(CenterClick):
    def propose(self, case: Any, masks: Any, histories: Any, draws: Any) -> Any:
        at = Round((click(0, 0, bool(case.truth[0, 0])),))
        return [r or at for r in super().propose(case, masks, histories, draws)]


class TooFew(CenterClick):
    def propose(self, case: Any, masks: Any, histories: Any, draws: Any) -> Any:
        return super().propose(case, masks, histories, draws)[:1]


class Neighbourly(CenterClick):
    """Its answer depends on the other episodes of the batch."""

    def propose(self, case: Any, masks: Any, histories: Any, draws: Any) -> Any:
        answer = super().propose(case, masks, histories, draws)
        return [answer[0]] * len(answer) if len(answer) > 1 and all(answer) else answer


class Writes(CenterClick):
    def propose(self, case: Any, masks: Any, histories: Any, draws: Any) -> Any:
        masks[:] = False
        return super().propose(case, masks, histories, draws)


class Secretive(RandomClick):
    draws_chance: ClassVar[bool] = False


class Boastful(CenterClick):
    draws_chance: ClassVar[bool] = True


class Nameless(CenterClick):
    name: ClassVar[str] = ""


@dataclass
class Remembers:
    """Counts its calls, so the same question has several answers."""

    calls: int = 0
    name: ClassVar[str] = "remembers"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"click"})

    def propose(self, case: Any, masks: Any, histories: Any, draws: Any) -> Any:
        self.calls += 1
        radius = 3 * (self.calls % 2)
        return CenterClickDiverse(radius).propose(case, masks, histories, draws)


@pytest.mark.parametrize(
    "annotator, message",
    [
        (Outside(), "outside the image"),
        (WrongLabel(), "wrong label"),
        (Undeclared(), "not among its kinds"),
        (NeverDone(), "a right mask must get None"),
        (TooFew(), "1 answers for"),
        (Neighbourly(), "asked alone differs"),
        (Secretive(), "draws_chance is False"),
        (Boastful(), "draws_chance is True"),
        (Nameless(), "must not be empty"),
        (Remembers(), "differs|matters"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_broken_annotators_are_found(annotator: Annotator, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_annotator(annotator)


def test_an_annotator_that_writes_to_the_masks_is_found() -> None:
    with pytest.raises(ValueError, match="read-only"):
        check_annotator(Writes())


class Unclipped(GaussianClick):
    def perturb(self, round_: Any, case: Any, draws: Any, level: float) -> Any:
        moved = super().perturb(round_, case, draws, level)
        if level < 2:
            return moved
        return Round(tuple(p.moved((9999, 0)) if p.kind == "click" else p for p in moved.prompts))


class ChangesMeaning(GaussianClick):
    def perturb(self, round_: Any, case: Any, draws: Any, level: float) -> Any:
        moved = super().perturb(round_, case, draws, level)
        if level == 0:
            return moved
        return Round(tuple(click(*p.landed) if p.kind == "click" else p for p in moved.prompts))


class Disordered(BoxEdges):
    def perturb(self, round_: Any, case: Any, draws: Any, level: float) -> Any:
        if level == 0:
            return round_
        swapped = [p.moved(p.landed[2:] + p.landed[:2]) if p.kind == "box" else p for p in round_.prompts]
        return Round(tuple(swapped))


class Permissive(GaussianClick):
    def perturb(self, round_: Any, case: Any, draws: Any, level: float) -> Any:
        return super().perturb(round_, case, draws, abs(level) if np.isfinite(level) else 0.0)


class AlwaysMoves(GaussianClick):
    def perturb(self, round_: Any, case: Any, draws: Any, level: float) -> Any:
        return super().perturb(round_, case, draws, level + 50.0)


class Drops(GaussianClick):
    def perturb(self, round_: Any, case: Any, draws: Any, level: float) -> Any:
        return round_ if level == 0 else Round(round_.prompts[:1])


class Coin(GaussianClick):
    def perturb(self, round_: Any, case: Any, draws: Any, level: float) -> Any:
        lands = (int(np.random.default_rng().integers(case.size[1])), 0)
        if level == 0:
            return round_
        return Round(tuple(p.moved(lands) if p.kind == "click" else p for p in round_.prompts))


@pytest.mark.parametrize(
    "noise, message",
    [
        (Unclipped(), "outside the image"),
        (ChangesMeaning(), "the meant"),
        (Disordered(), "not in order"),
        (Permissive(), "must be a ValueError"),
        (AlwaysMoves(), "level 0 moved"),
        (Drops(), "number of prompts"),
        (Coin(), "differs"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_broken_noises_are_found(noise: Noise, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_noise(noise)
