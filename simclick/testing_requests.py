"""What a conformance check asks an agent: small cases, and histories of every kind of prompt it takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simclick.agent import AgentInfo, Embedding, Request
from simclick.case import Case
from simclick.episode import Ground
from simclick.prompts import Prompt, Round, box, click, everything, mask, scribble, text

__all__ = [
    "SIZES",
    "asks_everything",
    "hands_mask",
    "histories",
    "next_prompt",
    "requests_for",
    "sample_cases",
]

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


def histories(kinds: frozenset[str], case: Case) -> list[tuple[Round, ...]]:
    """Return histories made of prompts of some kinds alone: simple, long and awkward ones.

    Every kind is asked at least once by itself, and all but everything once in a second round. Several
    prompts may share a round; every prompt lies in the image.
    """
    height, width = case.size
    x, y = int(width * 0.45), int(height * 0.55)
    inside, corner = click(x, y), click(0, 0, positive=False)
    far = click(width - 1, height - 1, positive=False)
    frame = box(
        max(0, x - width // 3),
        max(0, y - height // 4),
        min(width - 1, x + width // 3),
        min(height - 1, y + height // 4),
    )
    line = scribble([(x, y), (min(width - 1, x + 2), min(height - 1, y + 1))])
    edge = scribble([(0, 0), (0, height - 1)], positive=False)
    sequences: list[list[list[Prompt]]] = [
        [[inside]],
        [[corner]],
        [[inside], [corner], [far]],
        [[inside, corner, far]],
        [[frame]],
        [[box(x, y, x, y)]],
        [[box(0, 0, width - 1, height - 1)]],
        [[frame], [box(x, y, x, y)]],
        [[frame], [inside]],
        [[frame, inside]],
        [[line]],
        [[line], [edge]],
        [[inside], [line]],
        [[text("ellipse")]],
        [[text("ellipse")], [text("ellipse")]],
        [[text("ellipse")], [inside]],
        [[mask()]],
        [[mask()], [mask()]],
        [[mask()], [inside]],
        [[everything()]],
        [[everything()], [inside]],
    ]
    return [
        tuple(Round(tuple(prompts)) for prompts in rounds)
        for rounds in sequences
        if all(prompt.kind in kinds for prompts in rounds for prompt in prompts)
    ]


def requests_for(
    info: AgentInfo, grounds: Sequence[Ground], embeddings: Sequence[Embedding]
) -> list[Request]:
    """Return the questions about some cases, which are not none.

    To segment everything is asked about the first case and the smallest alone: it takes some methods long.
    """
    small = {0, min(range(len(grounds)), key=lambda i: grounds[i].case.truth.size)}
    return [
        _request(info, ground, embedding, rounds)
        for i, (ground, embedding) in enumerate(zip(grounds, embeddings, strict=True))
        for rounds in histories(info.accepts, ground.case)
        if i in small or not asks_everything(rounds)
    ]


def hands_mask(request: Request) -> bool:
    """Return whether a prompt hands the agent a mask, so that it may look at it whatever it declares."""
    return any(prompt.kind == "mask" for prompt in request.prompts)


def next_prompt(kinds: frozenset[str], case: Case, step: int) -> Prompt:
    """Return the prompt of a step in a long episode: a click where clicks are taken, else what is."""
    x, y = (step * 17 + 5) % case.size[1], (step * 29 + 3) % case.size[0]
    positive = bool(case.truth[y, x])
    if "click" in kinds:
        return click(x, y, positive)
    if "scribble" in kinds:
        return scribble([(x, y), (min(case.size[1] - 1, x + 3), y)], positive)
    if "box" in kinds:
        return box(x // 2, y // 2, x, y)
    return text("ellipse") if "text" in kinds else mask() if "mask" in kinds else everything()


def asks_everything(rounds: Sequence[Round]) -> bool:
    """Return whether one of the rounds asks for everything."""
    return any(prompt.kind == "everything" for round_ in rounds for prompt in round_.prompts)


def _request(info: AgentInfo, ground: Ground, embedding: Embedding, rounds: tuple[Round, ...]) -> Request:
    case = ground.case
    handed = any(prompt.kind == "mask" for round_ in rounds for prompt in round_.prompts)
    return Request(
        embedding,
        case.size,
        rounds,
        previous=_half(case) if len(rounds) > 1 or handed else None,
        seed=len(rounds),
        truth=case.truth if info.uses_truth else None,
    )


def _half(case: Case) -> NDArray[np.bool_]:
    previous = np.zeros(case.size, dtype=np.bool_)
    previous[: case.size[0] // 2] = True
    previous.flags.writeable = False
    return previous
