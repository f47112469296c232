"""Does an agent keep its contract? `check_agent`, to be called as `simclick.testing.check_agent`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Embedding, Prediction, Request
from simclick.agent_info import check_info
from simclick.case import Case
from simclick.episode import Ground
from simclick.errors import AgentError
from simclick.harness.select import Selection, select
from simclick.prompts import Round
from simclick.testing_requests import asks_everything, hands_mask, next_prompt, requests_for, sample_cases

__all__ = ["TOLERANCE", "check_agent"]

TOLERANCE = 0.001
"""Share of pixels that may differ between a request alone and in a batch, or in another order."""

_QUICK = frozenset({"click", "scribble", "box"})
"""With one of these a long episode has twenty rounds, else three."""
_Masks = list[NDArray[np.bool_]]


def check_agent(agent: Agent, cases: Sequence[Case] | None = None, tolerance: float = TOLERANCE) -> None:
    """Check that an agent keeps its contract.

    It answers every kind of prompt it accepts, alone, in a second round and beside others in a round, on
    images from 1 × 1 to beyond 512 pixels (everything: alone and before a click, on the first image and the
    smallest): the right number of Bool[H, W] masks, finite scores and memories; the same whether asked again,
    in another order, alone or in a batch, and again after twenty rounds; the previous mask matters exactly if
    `AgentInfo.uses_previous` says so (with a mask prompt it may in any case); images and previous masks are
    left as they were; `AgentInfo` is complete (`check_info`) and its digest does not change; an embedding
    that was packed and unpacked answers as before, where the agent has an `Agent.encoder_digest`; a released
    handle lets go of image and data, and the others answer as before.

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
    requests = requests_for(agent.info, grounds, embeddings)
    owners = {id(e): ground for e, ground in zip(embeddings, grounds, strict=True)}

    def masks(asked: Sequence[Request]) -> _Masks:
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
    first, again = (_long_episode(agent, grounds[0], embeddings[0]) for _ in range(2))
    _check_same(first, again, 0.0, f"{_count(len(first))} rounds played again give other masks")
    _check_previous(agent, requests, masks)
    _check_packing(agent, grounds, embeddings)
    _check_release(embeddings, requests, masks)
    _need(agent.info.digest == digest, "info.digest must not change while the agent works")


def _count(rounds: int) -> str:
    return "twenty" if rounds == 20 else str(rounds)


def _check_release(
    embeddings: Sequence[Embedding], requests: Sequence[Request], masks: Callable[[Sequence[Request]], _Masks]
) -> None:
    """A released handle lets go of what it held, and takes nothing from the others."""
    if len(embeddings) > 1:
        last = [request for request in requests if request.embedding is embeddings[-1]]
        kept = masks(last)
        _release(embeddings[0])
        words = "after another embedding was released, the same question gives another mask"
        _check_same(kept, masks(last), 0.0, words)
    for embedding in embeddings:
        _release(embedding)


def _release(embedding: Embedding) -> None:
    embedding.release()
    held = embedding.image is not None or embedding.data is not None
    _need(not held, "a released embedding must let go of its image and data")


def _check_packing(agent: Agent, grounds: Sequence[Ground], embeddings: Sequence[Embedding]) -> None:
    """An embedding that was packed and unpacked answers as the one that was made."""
    digest = agent.encoder_digest()
    if digest is None:
        return
    _need(isinstance(digest, str) and digest != "", "encoder_digest must return a text, or None")
    for i, (ground, embedding) in enumerate(list(zip(grounds, embeddings, strict=True))[:3]):
        arrays = agent.pack_embedding(embedding)
        _need(
            all(isinstance(array, np.ndarray) for array in arrays.values()),
            "pack_embedding must return arrays by name",
        )
        kept = {name: array.copy() for name, array in arrays.items()}
        for array in kept.values():
            array.setflags(write=False)
        back = agent.unpack_embedding(ground.case.image, kept)
        made, unpacked = (
            [r for r in requests_for(agent.info, [ground], [e]) if i == 0 or not asks_everything(r.rounds)]
            for e in (embedding, back)
        )
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
    try:
        check_info(info)
    except ValueError as error:
        raise AssertionError(str(error)) from None
    batch = agent.batch
    whole = isinstance(batch, int) and not isinstance(batch, bool) and batch >= 1
    _need(whole, "agent.batch must be a whole number ≥ 1")


def _check_same(
    a: Sequence[NDArray[np.bool_]], b: Sequence[NDArray[np.bool_]], tolerance: float, words: str
) -> None:
    for one, other in zip(a, b, strict=True):
        differ = int(np.count_nonzero(one != other))
        _need(differ <= tolerance * one.size, f"{words}: {differ} of {one.size} pixels differ")


def _long_episode(agent: Agent, ground: Ground, embedding: Embedding) -> _Masks:
    """Play a long episode, feeding mask and memory back as the harness does; return the masks."""
    case = ground.case
    rounds: tuple[Round, ...] = ()
    previous: NDArray[np.bool_] | None = None
    memory: Any = None
    played: _Masks = []
    for step in range(20 if agent.info.accepts & _QUICK else 3):
        rounds += (Round((next_prompt(agent.info.accepts, case, step),)),)
        truth = case.truth if agent.info.uses_truth else None
        request = Request(embedding, case.size, rounds, previous, memory, seed=step, truth=truth)
        if previous is None and hands_mask(request):
            request = replace(request, previous=np.zeros(case.size, dtype=np.bool_))
        given = None if previous is None else previous.copy()
        (answer,) = _answers(agent, [request])
        if previous is not None and given is not None:
            _need(bool(np.array_equal(previous, given)), "the agent changed the previous mask")
        chosen = _chosen(answer, ground)
        previous, memory = chosen.mask.copy(), chosen.memory
        played.append(previous)
    return played


def _check_previous(
    agent: Agent, requests: Sequence[Request], masks: Callable[[Sequence[Request]], _Masks]
) -> None:
    """Check that the previous mask, or the memory that came with it, matters exactly if declared."""
    declared = agent.info.uses_previous
    later = [r for r in requests if r.previous is not None and (declared or not hands_mask(r))]
    if not later:
        return
    given, empty = masks(later), masks([_after(request, np.zeros_like) for request in later])
    if declared:
        full = masks([_after(request, np.ones_like) for request in later])
        same = all(
            np.array_equal(a, b) and np.array_equal(a, c) for a, b, c in zip(given, empty, full, strict=True)
        )
        words = "info.uses_previous is True, but neither previous mask nor memory changes any answer"
        _need(not same or _memory_matters(agent, later, masks), words)
        return
    words = "info.uses_previous is False, but the previous mask changes the answer"
    _check_same(given, empty, 0.0, words)


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
