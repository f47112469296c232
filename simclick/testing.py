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
from simclick.errors import AgentError
from simclick.harness.select import Selection, select
from simclick.prompts import KINDS, Prompt, Round, box, click, scribble, text
from simclick.testing_annotator import check_annotator, check_noise

__all__ = ["check_agent", "check_annotator", "check_noise", "sample_cases"]

SIZES = ((64, 64), (48, 80), (33, 20), (8, 8), (1, 1), (520, 610))


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

    It answers every kind of prompt it accepts, on images from 1 × 1 to beyond 512 pixels: the right number
    of Bool[H, W] masks, finite scores and memories; the same whether asked again, in another order, alone
    or in a batch, and again after twenty rounds; the previous mask matters exactly if
    `AgentInfo.uses_previous` says so; images and previous masks are left as they were; `AgentInfo` is
    complete and its digest does not change; an embedding that was packed and unpacked answers as before,
    where the agent has an `Agent.encoder_digest`; a released handle lets go of image and data.

    Args:
        agent: The agent.
        cases: Cases to ask about; small ones of several sizes by default.
        tolerance: Share of pixels that may differ between a request alone and in a batch (sums
            of floating-point numbers may run in another order there).

    Raises:
        AssertionError: When it does not; says how.
    """
    _check_info(agent)
    digest = agent.info.digest
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
        return [
            _chosen(answer, owners[id(request.embedding)]).mask
            for request, answer in zip(asked, _answers(agent, asked), strict=True)
        ]

    # One by one first, so that a request that fails is named.
    alone = [mask for request in requests for mask in masks([request])]
    together = masks(requests)
    _check_same(together, masks(requests), 0.0, "the same questions again give other masks")
    _check_same(together, masks(requests[::-1])[::-1], tolerance, "the order of requests changes masks")
    _check_same(together, alone, tolerance, "a request alone is answered otherwise than in a batch")
    for image, ground in zip(before, grounds, strict=True):
        _need(bool(np.array_equal(image, ground.case.image)), "the agent changed an image")
    first, again = (_twenty_rounds(agent, grounds[0], embeddings[0]) for _ in range(2))
    _check_same(first, again, 0.0, "twenty rounds played again give other masks")
    _check_previous(agent, requests, masks)
    _check_packing(agent, grounds, embeddings)
    for embedding in embeddings:
        embedding.release()
        held = embedding.image is not None or embedding.data is not None
        _need(not held, "a released embedding must let go of its image and data")
    _need(agent.info.digest == digest, "info.digest must not change while the agent works")


def _check_packing(agent: Agent, grounds: Sequence[Ground], embeddings: Sequence[Embedding]) -> None:
    """An embedding that was packed and unpacked answers as the one that was made."""
    digest = agent.encoder_digest()
    if digest is None:
        return
    _need(isinstance(digest, str) and digest != "", "encoder_digest must return a text, or None")
    for ground, embedding in list(zip(grounds, embeddings, strict=True))[:3]:
        arrays = agent.pack_embedding(embedding)
        _need(
            all(isinstance(array, np.ndarray) for array in arrays.values()),
            "pack_embedding must return arrays by name",
        )
        kept = {name: array.copy() for name, array in arrays.items()}
        for array in kept.values():
            array.setflags(write=False)
        back = agent.unpack_embedding(ground.case.image, kept)
        made, unpacked = (_requests(agent.info, ground, e) for e in (embedding, back))
        for one, other in zip(_answers(agent, made), _answers(agent, unpacked), strict=True):
            same = np.array_equal(_chosen(one, ground).mask, _chosen(other, ground).mask)
            _need(same, "an embedding that was packed and unpacked gives other masks")
        back.release()
    _need(agent.encoder_digest() == digest, "encoder_digest must not change while the agent works")


def _need(condition: bool, words: str) -> None:
    if not condition:
        raise AssertionError(words)


def _answers(agent: Agent, asked: Sequence[Request]) -> list[Prediction]:
    """Return the predictions; an exception becomes words that name the images and prompts."""
    try:
        answers = list(agent.predict(asked))
    except (Exception, SystemExit) as error:
        sizes = sorted({f"{request.size[1]}x{request.size[0]}" for request in asked})
        kinds = sorted({prompt.kind for request in asked for prompt in request.prompts})
        raise AssertionError(
            f"predict raised {type(error).__name__}: {error} "
            f"(images of {', '.join(sizes)}; prompts: {', '.join(kinds)})"
        ) from error
    _need(len(answers) == len(asked), "predict must return one prediction per request")
    return answers


def _chosen(answer: Any, ground: Ground) -> Selection:
    """Return the choice by score; a prediction that breaks the contract becomes words."""
    _need(isinstance(answer, Prediction), "predict must return Prediction objects")
    try:
        return select(answer, "score", ground)
    except AgentError as error:
        raise AssertionError(str(error)) from error


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
    _need(bool(usable), f"nothing can be asked of an agent that takes {sorted(info.accepts)} alone")
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
        differ = int(np.count_nonzero(one != other))
        _need(differ <= tolerance * one.size, f"{words}: {differ} of {one.size} pixels differ")


def _twenty_rounds(agent: Agent, ground: Ground, embedding: Embedding) -> list[NDArray[np.bool_]]:
    """Play twenty rounds, feeding mask and memory back as the harness does; return the masks."""
    if "click" not in agent.info.accepts:
        return []
    case = ground.case
    rounds: tuple[Round, ...] = ()
    previous: NDArray[np.bool_] | None = None
    memory: Any = None
    played: list[NDArray[np.bool_]] = []
    for step in range(20):
        x, y = (step * 17 + 5) % case.size[1], (step * 29 + 3) % case.size[0]
        rounds += (Round((click(x, y, bool(case.truth[y, x])),)),)
        truth = case.truth if agent.info.uses_truth else None
        request = Request(embedding, case.size, rounds, previous, memory, seed=step, truth=truth)
        given = None if previous is None else previous.copy()
        (answer,) = _answers(agent, [request])
        if previous is not None and given is not None:
            _need(bool(np.array_equal(previous, given)), "the agent changed the previous mask")
        chosen = _chosen(answer, ground)
        previous, memory = chosen.mask.copy(), chosen.memory
        played.append(previous)
    return played


def _check_previous(
    agent: Agent,
    requests: Sequence[Request],
    masks: Callable[[Sequence[Request]], list[NDArray[np.bool_]]],
) -> None:
    """Check that the previous mask, or the memory that came with it, matters exactly if declared."""
    later = [request for request in requests if request.previous is not None]
    if not later:
        return
    if agent.info.uses_previous:
        answers = masks(later), masks([_after(request, np.zeros_like) for request in later])
        full = masks([_after(request, np.ones_like) for request in later])
        same = all(
            np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(*answers, full, strict=True)
        )
        words = "info.uses_previous is True, but neither previous mask nor memory changes any answer"
        _need(not same or _memory_matters(agent, later, masks), words)
        return
    without = [_after(request, np.zeros_like) for request in later]
    words = "info.uses_previous is False, but the previous mask changes the answer"
    _check_same(masks(later), masks(without), 0.0, words)


def _after(request: Request, fill: Callable[..., NDArray[np.bool_]]) -> Request:
    """Return the request as if the previous mask had been empty, or full."""
    return replace(request, previous=fill(request.previous))


def _memory_matters(
    agent: Agent,
    later: Sequence[Request],
    masks: Callable[[Sequence[Request]], list[NDArray[np.bool_]]],
) -> bool:
    """Return whether a mask's memory changes any answer."""
    answers = _answers(agent, later)
    fed = [
        replace(request, memory=answer.memories[0])
        for request, answer in zip(later, answers, strict=True)
        if answer.memories
    ]
    plain = [replace(request, memory=None) for request in fed]
    return bool(fed) and any(not np.array_equal(a, b) for a, b in zip(masks(fed), masks(plain), strict=True))
