"""An agent whose embeddings can be kept on disk, and a writer for other processes, for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Agent, AgentInfo, Embedding, Prediction, Request
from simclick.harness.embedding_cache import EmbeddingCache, Entry

DIFFERENT = 20
"""Entries that `write_entries` writes in turn."""


def numbered(i: int) -> dict[str, NDArray[Any]]:
    """Return arrays of their own for every number."""
    return {"features": np.random.default_rng(i).normal(size=(4, 16, 16)).astype(np.float32)}


def write_entries(folder: str, gigabytes: float, first: int, count: int) -> None:
    """Write so many entries, from one on."""
    cache = EmbeddingCache(Path(folder), gigabytes)
    for i in range(first, first + count):
        cache.write(Entry(f"{i % DIFFERENT}", "e"), numbered(i % DIFFERENT))


class Blurry(Agent):
    """Encodes an image as noisy grey values, and answers with those near the last click's; counts encodes.

    Args:
        weight: Its only weight.
        prompt_option: Changes answers, not embeddings.
        says: Whether it says what its encoder is.
    """

    batch = 4
    encoded = 0

    def __init__(self, weight: float = 1.0, prompt_option: float = 0.1, says: bool = True) -> None:
        settings = {"weight": weight, "prompt_option": prompt_option}
        self.info = AgentInfo("blurry", settings=settings)
        self.weight, self.near, self.says = weight, prompt_option, says

    def encoder_digest(self) -> str | None:
        return f"blurry {self.weight!r}" if self.says else None

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Embedding]:
        Blurry.encoded += len(images)
        return [Embedding(image, self.features(image)) for image in images]

    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        wave = np.sin(rows * 0.7 + columns * 1.3)
        return np.asarray(self.weight * (image.mean(axis=2) / 255 + 0.05 * wave), np.float32)

    def pack_embedding(self, embedding: Embedding) -> dict[str, NDArray[Any]]:
        return {"grey": embedding.data}

    def unpack_embedding(self, image: NDArray[np.uint8], arrays: Mapping[str, NDArray[Any]]) -> Embedding:
        if arrays["grey"].shape != image.shape[:2]:
            raise ValueError("not of this image")
        return Embedding(image, arrays["grey"])

    def predict(self, requests: Sequence[Request]) -> Sequence[Prediction]:
        answers = []
        for request in requests:
            x, y = request.prompts[-1].landed[:2]
            grey = request.embedding.data
            answers.append(Prediction((np.abs(grey - grey[y, x]) < self.near)[None]))
        return answers
