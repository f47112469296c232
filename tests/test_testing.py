"""`check_agent` names each breach of the contract: every agent here breaks one clause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Embedding, Prediction, Request
from simclick.prompts import KINDS
from simclick.testing import check_agent, sample_cases
from simclick.testing_requests import histories, next_prompt
from support import Painter

FED_BACK = AgentInfo("x", uses_previous=True)
CASES = sample_cases([(24, 32), (1, 1)])


class LeakyHandle(Embedding):
    def release(self) -> None:
        pass


class Leaky(Painter):
    def encode(self, images: Any) -> Any:
        return [LeakyHandle(image) for image in images]


class DeclaresPrevious(Painter):
    def __init__(self) -> None:
        super().__init__()
        self.info = FED_BACK


class WritesPrevious(DeclaresPrevious):
    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        mask = super().segment(image, request)
        if request.previous is not None and request.previous.flags.writeable:
            request.previous[...] = False
        return mask


class TooManyMemories(Painter):
    def predict(self, requests: Any) -> Any:
        return [Prediction(p.candidates, [0.0], [1, 2]) for p in super().predict(requests)]


class NewDigest(Painter):
    def predict(self, requests: Any) -> Any:
        self.info = AgentInfo("x", settings={"calls": self.info.settings.get("calls", 0) + 1})
        return super().predict(requests)


class Picky(Painter):
    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.low, self.high = low, high

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        if not self.low <= max(request.size) <= self.high:
            raise ValueError("not this size")
        return super().segment(image, request)


class LateDrift(Painter):
    """Goes by a hidden counter, but only in long episodes."""

    late = 0

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        mask = super().segment(image, request)
        if len(request.rounds) > 3:
            self.late += 1
            mask[0, : self.late % 5] ^= True
        return mask


class EarlyRelease(Painter):
    def predict(self, requests: Any) -> Any:
        answers = super().predict(requests)
        for request in requests:
            request.embedding.release()
        return answers


class RememberingMask(Agent):
    """Uses the previous round through its own memory alone, as SAM does."""

    info = FED_BACK

    def predict(self, requests: Any) -> Any:
        answers = []
        for request in requests:
            rounds = 1 if request.memory is None else request.memory + 1
            mask = np.zeros((1, *request.size), dtype=np.bool_)
            mask[0, :rounds] = True
            answers.append(Prediction(mask, [0.0], [rounds]))
        return answers


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (Leaky(), "released embedding"),
        (DeclaresPrevious(), "uses_previous is True"),
        (WritesPrevious(), "changed the previous mask"),
        (TooManyMemories(), "2 memories"),
        (NewDigest(), "digest must not change"),
        (Picky(2, 10**6), r"predict raised ValueError: not this size \(images of 1x1; prompts: click\)"),
        (Picky(1, 512), r"images of 610x520"),
        (LateDrift(), r"twenty rounds played again give other masks: \d+ of 4096 pixels"),
        (EarlyRelease(), "released before it was used"),
    ],
)
def test_each_breach_is_an_assertion_in_words(agent: Agent, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_agent(agent)


def test_memory_counts_as_using_the_previous_round() -> None:
    check_agent(RememberingMask())


class Picks(Agent):
    """Answers every kind of prompt, but one kind in one wrong way."""

    def __init__(self, kind: str, how: str) -> None:
        self.info = AgentInfo("picks", accepts=frozenset(KINDS))
        self.kind, self.how = kind, how
        self.calls = 0

    def predict(self, requests: Any) -> Any:
        return [self.answer(request, len(requests)) for request in requests]

    def answer(self, request: Request, asked: int) -> Prediction:
        mask = np.zeros((1, *request.size), dtype=np.bool_)
        if any(prompt.kind == self.kind for prompt in request.prompts):
            self.calls += 1
            if self.how == "raises":
                raise ValueError("no idea")
            if self.how == "shape":
                mask = mask[:, :0]
            if self.how == "batch":
                mask[:] = asked == 1
            if self.how == "drift":
                mask.flat[self.calls % mask.size] = True
            if self.how == "previous" and request.previous is not None:
                mask[0] = request.previous
        return Prediction(mask)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raises", r"predict raised ValueError: no idea \(images of .*prompts: .*KIND"),
        ("shape", r"candidates are bool"),
        ("batch", "a request alone is answered otherwise than in a batch"),
        ("drift", "same questions again give other masks"),
    ],
)
def test_every_kind_that_is_declared_is_asked(kind: str, how: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words.replace("KIND", kind)):
        check_agent(Picks(kind, how), CASES)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mask"])
def test_no_kind_hides_a_use_of_the_previous_mask(kind: str) -> None:
    with pytest.raises(AssertionError, match="uses_previous is False"):
        check_agent(Picks(kind, "previous"), CASES)


def test_a_mask_prompt_may_use_the_mask_that_it_hands_over() -> None:
    check_agent(Picks("mask", "previous"), CASES)


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_alone_is_enough_to_be_checked(kind: str) -> None:
    agent = Picks(kind, "drift")
    agent.info = AgentInfo("picks", accepts=frozenset({kind}))
    with pytest.raises(AssertionError, match="same questions again"):
        check_agent(agent, CASES)
    sound = Picks("none", "")
    sound.info = agent.info
    check_agent(sound, CASES)


class Sharing(Painter):
    """Loses all embeddings with the first that is released."""

    def encode(self, images: Any) -> Any:
        made = [SharingHandle(image, self) for image in images]
        self.lost = False
        return made

    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        mask = super().segment(image, request)
        return np.zeros_like(mask) if self.lost else mask


class SharingHandle(Embedding):
    def release(self) -> None:
        self.data.lost = True
        super().release()


def test_a_released_handle_takes_nothing_from_the_others() -> None:
    with pytest.raises(AssertionError, match="after another embedding was released"):
        check_agent(Sharing(), CASES)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (33, 20), (520, 610)])
def test_every_prompt_lies_in_the_image(size: tuple[int, int]) -> None:
    (case,) = sample_cases([size])
    asked = histories(frozenset(KINDS), case)
    prompts = [prompt for rounds in asked for round_ in rounds for prompt in round_.prompts]
    prompts += [next_prompt(frozenset({kind}), case, step) for kind in KINDS for step in range(20)]
    assert {prompt.kind for prompt in prompts} == set(KINDS)
    for prompt in prompts:
        assert all(0 <= x < size[1] for x in prompt.landed[::2])
        assert all(0 <= y < size[0] for y in prompt.landed[1::2])
        if prompt.kind == "box":
            assert prompt.landed[0] <= prompt.landed[2]
            assert prompt.landed[1] <= prompt.landed[3]
