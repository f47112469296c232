"""Conformance checks that a third party can call on its own classes.

Each raises `AssertionError` with words that say what is wrong; nothing is returned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Embedding, Prediction, Request
from simclick.case import Case
from simclick.episode import Ground
from simclick.harness.select import select
from simclick.prompts import KINDS, Prompt, Round, box, click, scribble, text
from simclick.testing_annotator import check_annotator, check_noise

__all__ = ["check_agent", "check_annotator", "check_noise", "sample_cases"]

SIZES = ((64, 64), (48, 80), (33, 20), (8, 8))


def sample_cases(sizes: Sequence[tuple[int, int]] = SIZES) -> list[Case]:
    """Return small cases of several sizes: a bright ellipse on a noisy ground."""
    cases = []
    for i, (height, width) in enumerate(sizes):
        rows, columns = np.mgrid[:height, :width]
        y, x = height * 0.55, width * 0.45
        truth = ((rows - y) / (height * 0.25)) ** 2 + ((columns - x) / (width * 0.3)) ** 2 <= 1
        texture = (rows * 7 + columns * 13 + i) % 17
        grey = (truth * 90 + 70 + texture).astype(np.uint8)
        image = np.stack([grey, grey + 5, grey], axis=2)
        cases.append(Case(f"sample-{i}", "samples", image, truth, group="g", modality="", target="ellipse"))
    return cases


def check_agent(agent: Agent, cases: Sequence[Case] | None = None, tolerance: float = 0.001) -> None:
    """Check that an agent keeps its contract.

    Args:
        agent: The agent.
        cases: Cases to ask about; small ones of several sizes by default.
        tolerance: Share of pixels that may differ between a request alone and in a batch (sums
            of floating-point numbers may run in another order there).

    Raises:
        AssertionError: When it does not; says how.
    """
    _check_info(agent)
    grounds = [Ground(case) for case in (sample_cases() if cases is None else cases)]
    before = [ground.case.image.copy() for ground in grounds]
    embeddings = list(agent.encode([ground.case.image for ground in grounds]))
    _need(len(embeddings) == len(grounds), "encode must return one embedding per image")
    _need(all(isinstance(e, Embedding) for e in embeddings), "encode must return Embedding handles")
    requests = [
        request
        for ground, embedding in zip(grounds, embeddings, strict=True)
        for request in _requests(agent.info, ground, embedding)
    ]
    owners = {id(e): ground for e, ground in zip(embeddings, grounds, strict=True)}

    def masks(asked: Sequence[Request]) -> list[NDArray[np.bool_]]:
        answers = list(agent.predict(asked))
        _need(len(answers) == len(asked), "predict must return one prediction per request")
        return [
            select(answer, "score", owners[id(request.embedding)]).mask
            for request, answer in zip(asked, answers, strict=True)
        ]

    together = masks(requests)
    _check_same(together, masks(requests), 0.0, "the same questions again give other masks")
    _check_same(together, masks(requests[::-1])[::-1], tolerance, "the order of requests changes masks")
    alone = [mask for request in requests for mask in masks([request])]
    _check_same(together, alone, tolerance, "a request alone is answered otherwise than in a batch")
    for image, ground in zip(before, grounds, strict=True):
        _need(bool(np.array_equal(image, ground.case.image)), "the agent changed an image")
    _check_twenty_rounds(agent, grounds[0], embeddings[0], masks)
    _check_previous(agent, requests, masks)
    for embedding in embeddings:
        embedding.release()


def _need(condition: bool, words: str) -> None:
    if not condition:
        raise AssertionError(words)


def _check_info(agent: Agent) -> None:
    _need(isinstance(agent, Agent), f"{type(agent).__name__} is not a subclass of simclick.agent.Agent")
    info = getattr(agent, "info", None)
    _need(isinstance(info, AgentInfo), "the agent must set self.info to an AgentInfo")
    assert isinstance(info, AgentInfo)
    _need(bool(info.name), "info.name must not be empty")
    strange = sorted(set(info.accepts) - set(KINDS))
    _need(bool(info.accepts) and not strange, f"info.accepts must be a subset of {KINDS}, not {strange}")
    try:
        json.dumps(dict(info.settings))
    except TypeError as error:
        raise AssertionError(f"info.settings must be JSON-able: {error}") from None
    _need(len(info.digest) == 64, "info.digest must be a SHA-256")
    _need(isinstance(agent.batch, int) and agent.batch >= 1, "agent.batch must be a whole number ≥ 1")


def _rounds(info: AgentInfo, case: Case) -> list[tuple[Round, ...]]:
    """Return histories made of prompts that the agent takes: simple, long and awkward ones."""
    height, width = case.size
    x, y = int(width * 0.45), int(height * 0.55)
    inside, corner = click(x, y), click(0, 0, positive=False)
    far = click(width - 1, height - 1, positive=False)
    frame = box(
        max(0, x - width // 3), max(0, y - height // 4), min(width - 1, x + width // 3), y + height // 4
    )
    line = scribble([(x, y), (x + 2, y + 1)])
    sequences: list[list[Prompt]] = [
        [inside],
        [corner],
        [inside, corner, far],
        [frame],
        [frame, inside],
        [box(x, y, x, y)],
        [box(0, 0, width - 1, height - 1)],
        [line],
        [text("ellipse")],
    ]
    usable = [s for s in sequences if all(p.kind in info.accepts for p in s)]
    return [tuple(Round((prompt,)) for prompt in s) for s in usable]


def _requests(info: AgentInfo, ground: Ground, embedding: Embedding) -> list[Request]:
    case = ground.case
    truth = case.truth if info.uses_truth else None
    previous = np.zeros(case.size, dtype=np.bool_)
    previous[: case.size[0] // 2] = True
    previous.flags.writeable = False
    return [
        Request(
            embedding,
            case.size,
            rounds,
            previous=previous if len(rounds) > 1 else None,
            seed=len(rounds),
            truth=truth,
        )
        for rounds in _rounds(info, case)
    ]


def _check_same(
    a: Sequence[NDArray[np.bool_]], b: Sequence[NDArray[np.bool_]], tolerance: float, words: str
) -> None:
    for one, other in zip(a, b, strict=True):
        share = float(np.mean(one != other))
        _need(share <= tolerance, f"{words}: {share:.1%} of the pixels differ")


def _check_twenty_rounds(
    agent: Agent,
    ground: Ground,
    embedding: Embedding,
    masks: Callable[[Sequence[Request]], list[NDArray[np.bool_]]],
) -> None:
    """Play twenty rounds, feeding mask and memory back as the harness does."""
    if "click" not in agent.info.accepts:
        return
    case = ground.case
    rounds: tuple[Round, ...] = ()
    previous: NDArray[np.bool_] | None = None
    memory: Any = None
    for step in range(20):
        x, y = (step * 17 + 5) % case.size[1], (step * 29 + 3) % case.size[0]
        rounds += (Round((click(x, y, bool(case.truth[y, x])),)),)
        truth = case.truth if agent.info.uses_truth else None
        request = Request(embedding, case.size, rounds, previous, memory, seed=step, truth=truth)
        (answer,) = agent.predict([request])
        _need(isinstance(answer, Prediction), "predict must return Prediction objects")
        chosen = select(answer, "score", ground)
        previous, memory = chosen.mask, chosen.memory
        previous.flags.writeable = False


def _check_previous(
    agent: Agent,
    requests: Sequence[Request],
    masks: Callable[[Sequence[Request]], list[NDArray[np.bool_]]],
) -> None:
    """An agent that says it does not use the previous mask must answer the same without it."""
    later = [request for request in requests if request.previous is not None]
    if agent.info.uses_previous or not later:
        return
    without = [replace(request, previous=np.zeros_like(request.previous)) for request in later]
    words = "info.uses_previous is False, but the previous mask changes the answer"
    _check_same(masks(later), masks(without), 0.0, words)
