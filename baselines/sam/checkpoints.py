"""Loading weights: strictly, safely, and with one clear line when something is wrong.

``torch.load(weights_only=True)`` or safetensors alone opens a file, so nothing in it is ever executed. A
file may hold the state dict itself, or wrap it under ``model`` or ``state_dict``; a ``module.`` prefix of
every key (left by data-parallel training) is taken off. Then keys and shapes must match exactly; the message
names every key that does not.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from simclick.errors import ConfigError

__all__ = ["fit_state", "load_weights", "read_state", "unwrapped"]

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
    fit_state(model, read_state(path), path, name)


def fit_state(model: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path, name: str) -> None:
    """Load a state dict into a model, strictly.

    Args:
        model: The model.
        state: The state dict.
        path: Where it comes from, for messages.
        name: The agent, for messages.

    Raises:
        ConfigError: When a key is missing, unexpected or of another shape; names them all.
    """
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
        content = _content(path)
    except pickle.UnpicklingError:
        raise ConfigError(
            f"{path} is no plain checkpoint: it is damaged, of another kind, or holds Python objects beside "
            "tensors, which are never loaded; simclick weights import takes the tensors out of such a file"
        ) from None
    except Exception as error:  # a damaged file can raise anything; nothing in it was executed
        reason = (str(error).splitlines() or ["unreadable"])[0]
        raise ConfigError(
            f"{path} cannot be read as a checkpoint (truncated, or of another kind): {reason}"
        ) from None
    return unwrapped(content, path)


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of old pickle protocols; we answer in one line
        return torch.load(path, map_location="cpu", weights_only=True)


def unwrapped(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in what a checkpoint file holds.

    Raises:
        ConfigError: When there is none.
    """
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
    """Return a list in words, or nothing; names that differ in their first number alone are joined."""
    if not items:
        return ""
    numbers: dict[tuple[str, str], list[int]] = {}
    for item in items:
        found = re.search(r"(?<=\.)\d+(?=\.)", item)
        parts = (item[: found.start()], item[found.end() :]) if found else (item, "")
        numbers.setdefault(parts, []).extend([int(found[0])] if found else [])
    return f"{words} " + ", ".join(
        f"{head}{_ranges(sorted(all_))}{tail}" for (head, tail), all_ in numbers.items()
    )


def _ranges(numbers: list[int]) -> str:
    """Return ``5`` for one number, ``{0-3,7}`` for several, nothing for none."""
    if len(numbers) < 2:
        return "".join(map(str, numbers))
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return "{" + ",".join("-".join(map(str, run)) for run in runs) + "}"
