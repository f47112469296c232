"""Whose weights an agent runs with: the official ones, one's own, or random; and what may be said of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclick import weights
from simclick.errors import ConfigError
from simclick.weights_proof import origin

__all__ = ["Chosen", "choose"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The weights of an agent.

    Attributes:
        path: Their file; None for random weights.
        sha256: Of the file.
        official: The file is the official checkpoint, byte by byte or as imported from it.
    """

    path: Path | None
    sha256: str | None = None
    official: bool = False

    def facts(
        self, name: str, training_data: str, overlap: Mapping[str, str], licence: str, source: str
    ) -> dict[str, Any]:
        """Return what `AgentInfo` says of an agent with these weights.

        What is known of the official weights (training data, overlap with data sets, licence) is said of the
        official weights alone. Other weights show in the agent's name, and nothing is claimed of them.

        Args:
            name: The agent's name with the official weights.
            training_data: What the official weights were trained on.
            overlap: What is known of its overlap with data sets.
            licence: Of the official code and weights.
            source: The method's paper.
        """
        facts: dict[str, Any] = {
            "name": name,
            "training_data": training_data,
            "overlap": overlap,
            "licence": licence,
            "source": source,
            "weights_sha256": self.sha256,
            "random_weights": self.path is None,
        }
        if self.path is None:
            return {**facts, "training_data": "random weights", "overlap": {}}
        if self.official:
            return facts
        return {
            **facts,
            "name": f"{name}-own",
            "training_data": "not known: other weights than the official ones",
            "overlap": {},
            "licence": f"{licence} (code); of the weights not known",
            "source": f"other weights in the architecture of {source}",
        }


def choose(name: str | None, checkpoint: str | None, fetch: bool) -> Chosen:
    """Return an agent's weights.

    Args:
        name: Name of the official checkpoint in `simclick.weights.CHECKPOINTS`; None: there is none.
        checkpoint: The agent's option: a file, ``random``, or None for the official one.
        fetch: Fetch the official one where the cache lacks it.

    Raises:
        ConfigError: When a file is not there, or the one in the cache is not what it should be; says what to
            do.
    """
    if checkpoint == "random":
        return Chosen(None)
    if checkpoint is not None:
        path = Path(str(checkpoint)).expanduser()
        if not path.is_file():
            raise ConfigError(f"agent.checkpoint={checkpoint}: no such checkpoint")
        if name is None:
            return Chosen(path, weights.sha256_of(path))
        found = origin(name, path)
        return Chosen(path, found.sha256, found.official)
    if name is None:
        raise ConfigError("agent.checkpoint=null: name a file, there is no official checkpoint of this kind")
    path = weights.fetch(name) if fetch else weights.find(name)
    found = origin(name, path)
    if not found.official:
        raise ConfigError(
            f"{path} in the cache is not the checkpoint {name}: {found.words}; remove it and fetch or import "
            f"it (simclick weights), or run it as weights of your own: agent.checkpoint={path}"
        )
    return Chosen(path, found.sha256, True)
