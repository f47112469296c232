"""The contract of an agent: the segmenter under test.

An agent encodes an image once and answers prompts with masks. It never sees the truth. One file
per method; see ``docs/add-a-method.md`` for a whole one in thirty lines.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.prompts import Prompt, Round
from simclick.runlength import RunLengths

__all__ = ["FAMILIES", "Agent", "AgentInfo", "Embedding", "Prediction", "Request", "SimpleAgent"]


FAMILIES = ("promptable", "iterative", "classical", "floor")
"""Promptable: encodes an image once and answers any prompt from that (Segment Anything). Iterative: a network
made to correct, which sees image, clicks and mask at every step (RITM). Classical: nothing is learned. Floor:
does not look at the image."""


@dataclass(frozen=True)
class AgentInfo:
    """What a table, a leaderboard and a reviewer need to know of an agent.

    Attributes:
        name: Its name in every table.
        version: Version of the implementation; part of the digest.
        accepts: The kinds of prompt it takes, a subset of `simclick.prompts.KINDS`. What it does
            not take is refused when a run is planned.
        settings: Every option that changes its masks (JSON-able); part of the digest.
        parameters: Number of learned parameters (0 for a classical method, None if unknown).
        image_size: Longest side of what the network sees, in pixels; None where that is the image itself.
        training_data: What it was trained on, in words; empty if it was not trained.
        overlap: What is known of its training data's overlap with a data set, in words, by the data set's
            name; a data set that is not named: nothing is known.
        licence: Licence of method and weights.
        weights_sha256: SHA-256 of the weights file, or None where there is none.
        random_weights: True when its weights are random: its masks prove a code path, no quality.
        uses_truth: True for an oracle: it is given the truth, and is marked wherever it shows.
        uses_previous: False when the answer does not depend on the previous mask.
        source: Paper or page of the method.
        citation: Its papers as BibTeX, printed by ``simclick cite``; empty where there is none.
        family: How it works, one of `FAMILIES`, or empty: what a report compares when it asks which kind
            is ahead.
    """

    name: str
    version: str = "1"
    accepts: frozenset[str] = frozenset({"click"})
    settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    image_size: int | None = None
    training_data: str = ""
    overlap: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    weights_sha256: str | None = None
    random_weights: bool = False
    uses_truth: bool = False
    uses_previous: bool = False
    source: str = ""
    citation: str = ""
    family: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of name, version, settings and weights: equal digests, equal masks."""
        content = [self.name, self.version, dict(self.settings), self.weights_sha256, self.random_weights]
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()

    @property
    def marks(self) -> tuple[str, ...]:
        """What must be said wherever the agent shows."""
        flags = {"random weights": self.random_weights, "uses truth": self.uses_truth}
        return tuple(mark for mark, on in flags.items() if on)


class Embedding:
    """An opaque handle on an encoded image.

    The default holds a reference to the image itself, for agents with nothing to encode.

    Attributes:
        image: UInt8[H, W, 3], read-only, or None once released.
        data: Whatever the agent keeps.
    """

    def __init__(self, image: NDArray[np.uint8], data: Any = None) -> None:
        self.image: NDArray[np.uint8] | None = image
        self.data = data

    def release(self) -> None:
        """Let go of memory; the handle must not be used afterwards."""
        self.image = None
        self.data = None


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One question to an agent: the next mask of one episode.

    Attributes:
        embedding: What `Agent.encode` returned for this image.
        size: ``(height, width)`` of the image.
        rounds: All rounds so far, as they landed, oldest first; the last one is new.
        previous: Bool[H, W], the mask chosen at the previous step; None at the first.
        memory: The agent's own memory that came with that mask; None at the first step.
        seed: For an agent that draws at random: the same question has the same seed.
        samples: How many masks are wanted from an agent that samples.
        truth: Bool[H, W] for an agent whose `AgentInfo.uses_truth` is set; None for all others.
    """

    embedding: Embedding
    size: tuple[int, int]
    rounds: tuple[Round, ...]
    previous: NDArray[np.bool_] | None = None
    memory: Any = None
    seed: int = 0
    samples: int = 1
    truth: NDArray[np.bool_] | None = None

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """All prompts so far, oldest first."""
        return tuple(prompt for round_ in self.rounds for prompt in round_.prompts)


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """An agent's answer.

    Attributes:
        candidates: Bool[K, H, W], or K masks as run lengths; K ≥ 1.
        scores: Float[K], the agent's own estimate of quality, higher is better; finite.
        memories: K memories (for example low-resolution logits), opaque; the chosen candidate's
            comes back in the next request. None where the agent keeps none.
    """

    candidates: NDArray[np.bool_] | Sequence[RunLengths]
    scores: NDArray[np.floating] | Sequence[float] = (0.0,)
    memories: Sequence[Any] | None = None


class Agent(ABC):
    """A segmenter under test.

    Attributes:
        info: What it is; set by the constructor.
        batch: How many requests `predict` digests well at once: 1 for classical methods. It sets
            the size of lockstep groups, and so must not depend on the machine's load.
    """

    info: AgentInfo
    batch: int = 1

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Embedding]:
        """Encode images, once each.

        Args:
            images: UInt8[H, W, 3] each, read-only, sizes may differ.

        Returns:
            One handle per image, in order.
        """
        return [Embedding(image) for image in images]

    @abstractmethod
    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        """Answer many requests at once, over any images.

        The answer to a request must not depend on the others in the call, nor on earlier calls.

        Returns:
            One prediction per request, in order.
        """

    def encoder_digest(self) -> str | None:
        """Return what names the encoder: equal digests, equal embeddings of an image, bit for bit.

        It must tell apart everything that changes an embedding: the values of the weights (not only the name
        of a file), architecture, preprocessing, image size, precision, device, versions of libraries. What
        only changes how prompts are answered should stay out, so that such agents share embeddings.

        Returns:
            A text, or None (the default): embeddings are not kept on disk.
        """
        return None

    def pack_embedding(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        """Return an embedding as named arrays, without the image; `unpack_embedding` takes them back.

        Only asked of an agent with an `encoder_digest`. Nothing may be lost: answers from what comes back
        are the same. Booleans, whole numbers and floating-point numbers of numpy's own types are kept.
        """
        raise NotImplementedError(f"{type(self).__name__} does not pack embeddings")

    def unpack_embedding(self, image: NDArray[np.uint8], arrays: Mapping[str, NDArray[Any]]) -> Embedding:
        """Return the embedding that was packed.

        Args:
            image: UInt8[H, W, 3], read-only: the image that was encoded.
            arrays: What `pack_embedding` returned; not to be written to.

        Raises:
            ValueError: When they are not of its kind (also KeyError, TypeError): then the image is encoded.
        """
        raise NotImplementedError(f"{type(self).__name__} does not unpack embeddings")

    @classmethod
    def public_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a run as its record keeps them, and as they may travel on to others.

        An agent whose options hold places or secrets of the machine replaces them here by what matters.
        """
        return dict(options)

    def log_to(self, folder: Path) -> None:  # noqa: B027  (optional for an agent)
        """Take note of the run's folder, once it is open: an agent with a log of its own keeps it there.

        Called once in each process that runs episodes, before the first `encode`.
        """

    def close(self) -> None:  # noqa: B027  (optional for an agent)
        """Let go of everything held (processes, device memory)."""


class SimpleAgent(Agent):
    """An agent that answers one request with one mask: write `segment`, no more."""

    @abstractmethod
    def segment(self, image: NDArray[np.uint8], request: Request) -> NDArray[np.bool_]:
        """Return the mask for a request, Bool[H, W].

        Args:
            image: UInt8[H, W, 3], read-only.
            request: The prompts so far and the previous mask.
        """

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        """Answer requests one by one."""
        answers = []
        for request in requests:
            image = request.embedding.image
            if image is None:
                raise ValueError("the embedding was released before it was used")
            answers.append(Prediction(self.segment(image, request)[None]))
        return answers
