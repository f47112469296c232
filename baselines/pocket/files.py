"""The weights that come with the wheel: safetensors of half-precision numbers, read without torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simclick.errors import ConfigError

__all__ = ["Weights", "read_weights", "shipped"]


@dataclass(frozen=True, eq=False)
class Weights:
    """A network's weights.

    Attributes:
        tensors: Float32 arrays by name.
        sha256: Of the file's bytes.
    """

    tensors: dict[str, NDArray[np.float32]]
    sha256: str


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
    for key, tensor in tensors.items():
        if tensor.dtype.kind != "f" or not np.isfinite(tensor).all():
            raise ConfigError(f"agent.checkpoint={path}: {key} is not of finite numbers")
    found = {key: tensor.astype(np.float32) for key, tensor in tensors.items()}
    return Weights(found, hashlib.sha256(content).hexdigest())
