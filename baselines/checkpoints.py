"""Opening checkpoint files safely, and finding the state dict in them; one clear line when there is none.

``torch.load(weights_only=True)`` or safetensors alone opens a file, so nothing in it is ever executed. A file
may hold the state dict itself, or wrap it under ``model`` or ``state_dict``, also one in the other; a
``module.`` prefix of every key (left by data-parallel training) is taken off.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from simclick.baselines.pickle_scan import EndlessError, scan
from simclick.errors import ConfigError

__all__ = [
    "HoldsObjectsError",
    "read_content",
    "read_state",
    "refuse_endless",
    "refuse_odd_archives",
    "shown",
    "unwrapped",
]

_WRAPS = ("model", "state_dict")
_DEPTH = 4
_PREFIX = "module."
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_STRANGERS = {
    b"version https://git-lfs": "a Git LFS pointer",
    b"<!doctype": "a web page",
    b"<html": "a web page",
}


class HoldsObjectsError(ConfigError):
    """A file that names Python objects beside tensors; safe loading refuses it."""


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in a checkpoint file, unwrapped.

    Raises:
        ConfigError: When the file cannot be read safely, or holds something else.
    """
    return unwrapped(read_content(path), path)


def read_content(path: Path) -> Any:
    """Return what a checkpoint file holds: tensors and plain containers.

    Raises:
        HoldsObjectsError: When it names Python objects; none was made.
        ConfigError: When the file cannot be read for another reason.
    """
    if not path.is_file():
        raise ConfigError(f"no such checkpoint: {path}")
    try:
        return _content(path)
    except ConfigError:
        raise
    except Exception as error:  # a damaged file can raise anything; nothing in it was executed
        named = (
            re.search(r"GLOBAL ([\w.]{1,80})", str(error))
            if isinstance(error, pickle.UnpicklingError)
            else None
        )
        if named:
            raise _holds_objects(path, named[1]) from None
        raise _unreadable(path, error) from None


def _holds_objects(path: Path, name: str) -> HoldsObjectsError:
    return HoldsObjectsError(
        f"{path} holds Python objects beside tensors ({shown(name)}), which are never loaded; simclick "
        "weights import NAME FILE takes the tensors out of an official checkpoint, and "
        "torch.save(model.state_dict(), FILE) makes a file without them"
    )


def _unreadable(path: Path, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())
    known = "" if len(reason) < 8 or "weights_only" in reason else f" ({_first(reason)})"
    return ConfigError(
        f"{path} cannot be read as a checkpoint{known}: it is truncated, damaged or of another kind; "
        "copy or fetch it again"
    )


def _first(reason: str) -> str:
    """Return the first sentence of an error, without what is not printable."""
    return shown(reason.split(". ")[0])


def _content(path: Path) -> Any:
    with path.open("rb") as stream:
        begins = stream.read(64)
    for mark, kind in _STRANGERS.items():
        if begins.lstrip().lower().startswith(mark):
            raise ConfigError(f"{path} is {kind}, not the checkpoint; fetch the file itself")
    if begins[8:9] == b"{" and int.from_bytes(begins[:8], "little") < path.stat().st_size:
        from safetensors.torch import load_file

        return load_file(path)
    refuse_odd_archives(path)
    refuse_endless(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of old pickle protocols; we answer in one line
        return torch.load(path, map_location="cpu", weights_only=True)


def refuse_endless(path: Path) -> None:
    """Refuse a pickle that would keep any unpickler busy for ever, or that cannot be looked through.

    Raises:
        HoldsObjectsError: When it is no checkpoint, and names Python objects.
        ConfigError: When it is endless or damaged.
    """
    named: list[str] = []
    try:
        scan(path, named)
    except EndlessError:
        raise ConfigError(
            f"{path} holds tuples in tuples without end, as no checkpoint does; it is not opened"
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        strange = [name for name in named if not name.startswith(("torch.", "collections."))]
        if strange:
            raise _holds_objects(path, strange[0]) from None
        raise _unreadable(path, error) from None


def refuse_odd_archives(path: Path) -> None:
    """Refuse archives that are no plain checkpoint: TorchScript above all.

    `torch.load` hands TorchScript to its own interpreter, past any unpickler, and what that runs is code in
    the file. So an archive must have the records of a checkpoint of one pickle, none of them compressed:
    torch compresses none, and a few bytes could swell to fill the memory. Older files, no archives, pass.

    Raises:
        ConfigError: When it is another archive, or a damaged one.
    """
    with path.open("rb") as stream:
        begins = stream.read(2)
    if begins != b"PK" and not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ConfigError(
            f"{path} is truncated, or a damaged archive ({_first(str(error))}); copy or fetch it again"
        ) from None
    records = [entry.filename.split("/", 1)[-1] for entry in entries]
    if any(record == "constants.pkl" or record.startswith("code/") for record in records):
        raise ConfigError(f"{path} holds a program (TorchScript), not tensors; it is not opened")
    if sum(record.endswith(".pkl") for record in records) != 1 or "data.pkl" not in records:
        raise ConfigError(
            f"{path} is an archive of another kind than a checkpoint, not tensors; it is not opened"
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ConfigError(f"{path} is a compressed archive, as torch makes none; it is not opened")


def unwrapped(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict in what a checkpoint file holds.

    Raises:
        ConfigError: When there is none: an empty one, one with names that are no text, or with values that
            are no plain dense tensors of numbers in memory.
    """
    for _ in range(_DEPTH):
        found = [
            wrap for wrap in _WRAPS if isinstance(content, Mapping) and isinstance(content.get(wrap), Mapping)
        ]
        if len(found) > 1:
            raise ConfigError(
                f"{path} holds two state dicts, under model and under state_dict: save only one"
            )
        if not found:
            break
        content = content[found[0]]
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path} holds no state dict, but {_a(content)}")
    if not content:
        raise ConfigError(f"{path} holds an empty state dict")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            wrong = (
                f"not every value is a tensor, {shown(key)} is {_a(value)}"
                if isinstance(key, str)
                else f"the name {shown(repr(key))} is no text but {_a(key)}"
            )
            raise ConfigError(f"{path} holds no state dict, by itself or under model or state_dict: {wrong}")
        if kind := _odd(value):
            raise ConfigError(f"{path} cannot be loaded: {shown(key)} is {kind}; save plain dense tensors")
    state = dict(content)
    while all(key.startswith(_PREFIX) for key in state):
        state = {key.removeprefix(_PREFIX): value for key, value in state.items()}
    return state


def _odd(value: torch.Tensor) -> str:
    """Return what keeps a tensor from being plain numbers in memory; empty where nothing does."""
    if value.is_quantized:
        return "quantised"
    if value.layout != torch.strided or value.is_nested:
        return f"stored as {str(value.layout).removeprefix('torch.')}"
    if value.is_complex():
        return "complex"
    if value.device.type != "cpu":
        return f"without numbers (device {value.device.type})"
    return "" if type(value) in _PLAIN else f"a {type(value).__name__}"


def _a(thing: Any) -> str:
    name = type(thing).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def shown(name: str) -> str:
    """Return a name from a file for a message: one line, printable, not endless."""
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    return safe if len(safe) <= 120 else f"{safe[:120]}…"
