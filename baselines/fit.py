"""Loading a state dict into a network strictly: names, shapes, kinds of number, nothing infinite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch

from simclick.baselines.checkpoints import read_state, shown
from simclick.errors import ConfigError

__all__ = ["fit_state", "load_weights", "mismatch"]

_SHAPES = 8
_NAMES = 1000
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_VITS = {768: "sam_vit_b or medsam", 1024: "sam_vit_l", 1280: "sam_vit_h"}


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
        ConfigError: When it does not fit; see `mismatch`.
    """
    if wrong := mismatch(model.state_dict(), state):
        raise ConfigError(f"{path} does not fit {name}: {wrong}")
    model.load_state_dict(state, strict=True)


def mismatch(expected: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> str:
    """Return in words, one line, why a state dict does not fit; empty where it does.

    Every missing and every unexpected name is in it, numbered blocks joined, as in ``blocks.{0-11}.norm``; of
    other shapes the first few. Numbers are looked at only where names and shapes fit.

    Args:
        expected: The network's own state dict; tensors without memory (device ``meta``) will do.
        state: The one to load.
    """
    common = [key for key in expected if key in state]
    if not common:
        first = ", ".join(shown(key) for key in list(state)[:3])
        return f"it has none of the {len(expected)} names, but {len(state)} others ({first} …){_kind(state)}"
    shapes = [
        f"{key} is {list(state[key].shape)}, not {list(expected[key].shape)}"
        for key in common
        if state[key].shape != expected[key].shape
    ]
    problems = [
        _some("misses", [key for key in expected if key not in state], _NAMES),
        _some("has unexpected", [key for key in state if key not in expected], _NAMES),
        _some("has other shapes:", shapes, _SHAPES),
    ]
    if wrong := "; ".join(filter(None, problems)):
        return f"it {wrong}{_kind(state)}"
    kinds = [
        f"{key} is {state[key].dtype}, not {expected[key].dtype}".replace("torch.", "")
        for key in common
        if (state[key].dtype in _FLOATS) != expected[key].is_floating_point()
    ]
    if kinds:
        return f"it {_some('has other kinds of number:', kinds, _SHAPES)}"
    broken = [key for key in common if not bool(torch.isfinite(state[key].to(expected[key].dtype)).all())]
    return f"it {_some('has numbers that are not finite in', broken, _SHAPES)}" if broken else ""


def _kind(state: Mapping[str, torch.Tensor]) -> str:
    """Return a guess at what a state dict of Segment Anything's family is, in words; empty for others."""
    patches = state.get("image_encoder.patch_embed.proj.weight")
    if patches is None or patches.ndim != 4:
        return ""
    adapters = any(".Adapter." in key for key in state)
    name = "sam_med2d" if adapters else _VITS.get(patches.shape[0])
    return f" (its encoder is that of {name})" if name else ""


def _some(words: str, items: list[str], most: int) -> str:
    """Return a list in words, or nothing; names that differ in their first number alone are joined."""
    if not items:
        return ""
    numbers: dict[tuple[str, str], list[int]] = {}
    for item in map(shown, items):
        found = re.search(r"(?<=\.)\d{1,6}(?=\.)", item)
        parts = (item[: found.start()], item[found.end() :]) if found else (item, "")
        numbers.setdefault(parts, []).extend([int(found[0])] if found else [])
    joined = [f"{head}{_ranges(sorted(all_))}{tail}" for (head, tail), all_ in numbers.items()]
    more = f" and {len(joined) - most} more" if len(joined) > most else ""
    return f"{words} {', '.join(joined[:most])}{more}"


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
