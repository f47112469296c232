"""`check_agent` names each breach of the contract: every agent here breaks one clause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Embedding, Prediction, Request
from simclick.testing import check_agent
from support import Painter

FED_BACK = AgentInfo("x", uses_previous=True)


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
