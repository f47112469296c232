"""Loading SAM weights: strictly, safely, and with one clear line when something is wrong.

``torch.load(weights_only=True)`` alone opens a file, so nothing in it is ever executed. A file may hold the
state dict itself, or wrap it under ``model`` or ``state_dict``; a ``module.`` prefix of every key (left
by data-parallel training) is taken off. Then keys and shapes must match exactly.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from simclick.errors import ConfigError

__all__ = ["load_weights", "read_state"]

_WRAPS = ("model", "state_dict")
_PREFIX = "module."


def load_weights(model: torch.nn.Module, path: Path, name: str) -> None:
    """Load a checkpoint into a model, strictly.

    Args:
        model: The model.
        path: The checkpoint.
        name: The agent, for messages.

    Raises:
        ConfigError: When the file is no checkpoint, or one of another architecture.
    """
    state = read_state(path)
    expected = model.state_dict()
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f"{key} is {list(state[key].shape)}, not {list(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    problems = [
        _some("misses", missing),
        _some("has unexpected", unexpected),
        _some("has other shapes:", shapes),
    ]
    if wrong := "; ".join(filter(None, problems)):
        raise ConfigError(f"{path} does not fit {name}: it {wrong}")
    model.load_state_dict(state, strict=True)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in a checkpoint file, unwrapped.

    Raises:
        ConfigError: When the file cannot be read safely, or holds something else.
    """
    if not path.is_file():
        raise ConfigError(f"no such checkpoint: {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of old pickle protocols; we answer in one line
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ConfigError(
            f"{path} is no plain checkpoint: it is damaged, of another kind, or holds Python objects beside "
            "tensors, which are never loaded; export its state_dict alone"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise ConfigError(
            f"{path} cannot be read as a checkpoint (truncated, or of another kind): {reason}"
        ) from None
    return _tensors(content, path)


def _tensors(content: Any, path: Path) -> dict[str, torch.Tensor]:
    for wrap in _WRAPS:
        if isinstance(content, Mapping) and isinstance(content.get(wrap), Mapping):
            content = content[wrap]
    if not isinstance(content, Mapping) or not content:
        raise ConfigError(f"{path} holds no state dict, but a {type(content).__name__}")
    if not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise ConfigError(f"{path} holds no state dict: not every value is a tensor")
    if all(str(key).startswith(_PREFIX) for key in content):
        content = {str(key).removeprefix(_PREFIX): value for key, value in content.items()}
    return dict(content)


def _some(words: str, items: list[str]) -> str:
    """Return the first few of a list in words, or nothing."""
    if not items:
        return ""
    more = f" and {len(items) - 3} more" if len(items) > 3 else ""
    return f"{words} {', '.join(items[:3])}{more}"
