"""Encoding the images of a run: once each, or not at all where an earlier run left the embedding.

What is kept, and under which name, is said in `simclick.harness.embedding_cache`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simclick.agent import Agent, Embedding
from simclick.errors import AgentError
from simclick.harness.embedding_cache import EmbeddingCache, Entry, narrowed

__all__ = ["Encoder", "Encodes", "settle"]


@dataclass(frozen=True)
class Encodes:
    """How images came by their embeddings.

    Attributes:
        read: Taken from the cache.
        encoded: Encoded by the agent.
    """

    read: int = 0
    encoded: int = 0

    def __add__(self, other: Encodes) -> Encodes:
        return Encodes(self.read + other.read, self.encoded + other.encoded)

    def __sub__(self, other: Encodes) -> Encodes:
        return Encodes(self.read - other.read, self.encoded - other.encoded)


class Encoder:
    """Encodes images for an agent, through a cache where there is one and the agent takes part.

    Args:
        agent: The agent.
        cache: The cache, or None.
        fp16: Keep embeddings in half precision. Then all embeddings are rounded, those just made as well,
            so that rows do not depend on what the cache held; `settle` makes the agent's digest say so.

    Attributes:
        done: How images came by their embeddings so far.
    """

    def __init__(self, agent: Agent, cache: EmbeddingCache | None = None, fp16: bool = False) -> None:
        self.agent = agent
        self.done = Encodes()
        self._fp16 = fp16
        self._cache = cache
        self._digest = None if cache is None else agent.encoder_digest()

    @property
    def cached(self) -> bool:
        """Whether the cache is used: there is one, and the agent says what its encoder is."""
        return self._digest is not None

    def encode(self, images: Mapping[str, NDArray[np.uint8]]) -> dict[str, Embedding]:
        """Return an embedding of every image, those of the cache and the agent's own.

        Args:
            images: UInt8[H, W, 3] by `simclick.case.Case.image_sha256`.

        Raises:
            AgentError: When the agent returns another number of embeddings.
            Exception: What the agent raises.
        """
        found = {name: e for name, image in images.items() if (e := self._read(name, image)) is not None}
        missing = [name for name in images if name not in found]
        made = list(self.agent.encode([images[name] for name in missing])) if missing else []
        if len(made) != len(missing):
            raise AgentError(f"encode returned {len(made)} embeddings for {len(missing)} images")
        for name, embedding in zip(missing, made, strict=True):
            found[name] = self._keep(name, images[name], embedding)
        self.done += Encodes(len(images) - len(missing), len(missing))
        return {name: found[name] for name in images}

    def _read(self, image_sha256: str, image: NDArray[np.uint8]) -> Embedding | None:
        if self._cache is None or self._digest is None:
            return None
        entry = Entry(image_sha256, self._digest, self._fp16)
        arrays = self._cache.read(entry)
        if arrays is None:
            return None
        try:
            return self.agent.unpack_embedding(image, arrays)
        except (KeyError, TypeError, ValueError):  # not what the agent packs today
            self._cache.remove(entry)
            return None

    def _keep(self, image_sha256: str, image: NDArray[np.uint8], embedding: Embedding) -> Embedding:
        if self._cache is None or self._digest is None:
            return embedding
        arrays = self.agent.pack_embedding(embedding)
        self._cache.write(Entry(image_sha256, self._digest, self._fp16), arrays)
        if not self._fp16:
            return embedding
        embedding.release()
        rounded = {name: narrowed(array).astype(array.dtype) for name, array in arrays.items()}
        return self.agent.unpack_embedding(image, rounded)


def settle(agent: Agent, fp16: bool) -> None:
    """Let the agent's settings, and so its digest, say that its embeddings are kept in half precision.

    Nothing changes where they are not, or where the agent takes no part in the cache.
    """
    if fp16 and agent.encoder_digest() is not None:
        agent.info = replace(agent.info, settings={**agent.info.settings, "embeddings": "fp16"})
