"""The weights that come with the wheel: safetensors of half-precision numbers, read without torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.errors import ConfigError

__all__ = ["Weights", "read_weights", "shipped"]

_PICTURES = (
    "generated pictures: phantoms (seeds from 1,000,000 on, without the families dermoscopy and "
    "endoscopy) and mosaics of random regions"
)
_TRAINED_ON = {
    "pocket-sam": f"5,600 {_PICTURES}, with random regions laid into them; no patient's image",
    "pocket-click": f"3,200 {_PICTURES}; no patient's image",
}


@dataclass(frozen=True, eq=False)
class Weights:
    """A network's weights.

    Attributes:
        tensors: Float32 arrays by name.
        sha256: Of the file's bytes.
        of: The agent whose network they fit, ``pocket-sam`` or ``pocket-click``.
        own: Whether they are others than the wheel's.
    """

    tensors: dict[str, NDArray[np.float32]]
    sha256: str
    of: str
    own: bool = False

    def facts(self, name: str) -> dict[str, Any]:
        """Return what `AgentInfo` says of an agent with these weights: of one's own, nothing is claimed.

        Args:
            name: The agent's name with the wheel's weights.
        """
        facts: dict[str, Any] = {
            "name": name,
            "parameters": sum(tensor.size for tensor in self.tensors.values()),
            "training_data": _TRAINED_ON[self.of],
            "licence": "Apache-2.0",
            "weights_sha256": self.sha256,
        }
        if self.own:
            facts["name"] = f"{name}-own"
            facts["training_data"] = "not known: other weights than the wheel's"
            facts["licence"] = "Apache-2.0 (code); of the weights not known"
        return facts


def shipped(name: str) -> bytes:
    """Return the bytes of a file in ``simclick.baselines.pocket.weights``.

    Raises:
        ConfigError: When this installation lacks it.
    """
    try:
        return (files("simclick.baselines.pocket.weights") / name).read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{name} is not in this installation of simclick; install it again") from None


def read_weights(name: str, path: str | Path | None = None) -> Weights:
    """Return the weights of ``pocket-sam`` or ``pocket-click``.

    Args:
        name: The agent.
        path: A safetensors file of your own training; None takes the one in the wheel.

    Raises:
        ConfigError: When there is no such file, or it is no safetensors file of plain numbers.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if path is None:
        content = shipped(f"{name}.safetensors")
    else:
        try:
            content = Path(path).expanduser().read_bytes()
        except OSError as error:
            raise ConfigError(f"agent.checkpoint={path}: {error.strerror or error}") from None
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"agent.checkpoint={path}: no safetensors file ({error})") from None
    found = {}
    for key, tensor in tensors.items():
        with np.errstate(over="ignore"):
            found[key] = tensor.astype(np.float32)
        if tensor.dtype.kind != "f" or not np.isfinite(found[key]).all():
            raise ConfigError(f"agent.checkpoint={path}: {key} is not of finite numbers")
    own = path is not None and content != shipped(f"{name}.safetensors")
    return Weights(found, hashlib.sha256(content).hexdigest(), name, own)
