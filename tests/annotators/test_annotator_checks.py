"""`check_annotator` looks at every prompt of a round: each annotator here breaks one clause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from simclick.annotators.clicks import CenterClick
from simclick.case import Case
from simclick.prompts import Prompt, Round, box, click, everything, scribble, text
from simclick.testing import check_annotator


@dataclass(frozen=True)
class Several:
    """Adds prompts to those of a good annotator."""

    name: ClassVar[str] = "several"
    version: ClassVar[int] = 1
    draws_chance: ClassVar[bool] = False
    kinds = frozenset({"click", "box", "scribble", "text", "everything"})

    def propose(self, case: Case, masks: Any, histories: Any, draws: Any) -> list[Round | None]:
        given = CenterClick().propose(case, masks, histories, draws)
        return [r and Round((*r.prompts, *self.more(case, r.prompts[0]))) for r in given]

    def more(self, case: Case, first: Prompt) -> Sequence[Prompt]:
        """Every kind, rightly: of the scribbles' vertices one has the label's truth."""
        height, width = case.size
        right = (first.landed[0], first.landed[1])
        line = [(0, 0), right, (width - 1, height - 1), (0, 0)]
        there = box(0, 0, width - 1, height - 1)
        return (
            scribble(line, first.positive),
            scribble([right], first.positive),
            there,
            text("a"),
            everything(),
        )


class OneKind(Several):
    """One more prompt, of whatever form."""

    def __init__(self, prompt: Prompt) -> None:
        object.__setattr__(self, "prompt", prompt)

    def more(self, case: Case, first: Prompt) -> Sequence[Prompt]:
        return (self.prompt,)  # type: ignore[attr-defined, no-any-return]


class WrongSecondClick(Several):
    def more(self, case: Case, first: Prompt) -> Sequence[Prompt]:
        return (click(*first.landed, not first.positive),)


class WrongScribble(Several):
    """Its vertices all lie where the label is wrong."""

    def more(self, case: Case, first: Prompt) -> Sequence[Prompt]:
        x, y = first.landed
        return (scribble([(x, y), (x, y)], not first.positive),)


class WrongOnPurpose(WrongScribble):
    truthful: ClassVar[bool] = False

    def more(self, case: Case, first: Prompt) -> Sequence[Prompt]:
        return (*super().more(case, first), click(*first.landed, not first.positive))


class LateVertexOutside(Several):
    def more(self, case: Case, first: Prompt) -> Sequence[Prompt]:
        x, y = first.landed
        return (scribble([(x, y), (x, y), (x, case.size[0])], first.positive),)


class MeantOutside(Several):
    """Landed inside, meant elsewhere."""

    def more(self, case: Case, first: Prompt) -> Sequence[Prompt]:
        return (replace(first, meant=(-1, 0)),)


def test_a_round_of_every_kind_is_good() -> None:
    check_annotator(Several())


def test_labels_may_contradict_the_truth_on_purpose_alone() -> None:
    check_annotator(WrongOnPurpose())
    check_annotator(WrongOnPurpose(), rounds=1)


def of_form(made: Prompt, *at: Any) -> Prompt:
    return replace(made, landed=at, meant=at)


@pytest.mark.parametrize(
    ("annotator", "message"),
    [
        (WrongSecondClick(), "the click at .* wrong label"),
        (WrongScribble(), "the scribble at .* wrong label"),
        (LateVertexOutside(), "the scribble .* outside the image"),
        (MeantOutside(), "the click .* outside the image"),
        (OneKind(of_form(scribble([(0, 0)]), 0, 0, 0)), "half a point"),
        (OneKind(scribble([])), "a scribble has no points"),
        (OneKind(of_form(click(0, 0), 0)), "a click has 2 coordinates, not 1"),
        (OneKind(of_form(click(0, 0), 0, 0.0)), "whole numbers"),
        (OneKind(of_form(box(0, 0, 0, 0), 0, 0)), "a box has 4 coordinates, not 2"),
        (OneKind(of_form(everything(), 0, 0)), "everything has 0 coordinates"),
        (OneKind(of_form(text("a"), 0, 0)), "text has 0 coordinates"),
        (OneKind(text("")), "a text has text ''"),
        (OneKind(replace(text("a"), label=None)), "a text has text None"),
        (OneKind(replace(everything(), label="a")), "a everything has text 'a'"),
    ],
)
def test_what_is_wrong_is_named(annotator: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_annotator(annotator)
