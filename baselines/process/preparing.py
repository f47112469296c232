"""What has to be right before a method is started: its command, its places, what it is told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simclick.baselines.process import child
from simclick.baselines.process.child import Start
from simclick.baselines.process.place import Place
from simclick.errors import ConfigError

__all__ = [
    "command_words",
    "hidden_folders",
    "in_place",
    "need_posix",
    "told",
    "working_folder",
    "writable_folders",
]


def need_posix() -> None:
    """Refuse a system without pipes that can be waited for."""
    if os.name != "posix":
        raise ConfigError(
            "agent=process needs pipes with time-outs, which this system lacks; run it under WSL"
        )


def command_words(command: object) -> tuple[str, ...]:
    """Return program and arguments.

    Raises:
        ConfigError: When there is none, or it cannot be split.
    """
    if command is None or command == "":
        raise ConfigError("agent 'process' needs its program: agent.command='python my_method.py'")
    try:
        return tuple(child.words(command))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"agent.command={command}: {error}") from None


def working_folder(folder: str | None) -> str | None:
    """Return the folder that a method runs in; None is ours."""
    if folder is None:
        return None
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ConfigError(f"agent.folder={folder}: no such folder")
    return str(path)


def hidden_folders(folders: Sequence[str]) -> tuple[str, ...]:
    """Return the folders to hide as absolute real paths."""
    return _real_folders("hide", folders)


def _real_folders(option: str, folders: Sequence[str]) -> tuple[str, ...]:
    found = []
    for folder in [folders] if isinstance(folders, str) else folders:
        path = Path(folder).expanduser()
        if not path.exists():
            raise ConfigError(f"agent.{option}: no such folder: {folder}")
        found.append(str(path.resolve()))
    return tuple(found)


def writable_folders(folders: Sequence[str], hidden: Sequence[str]) -> tuple[str, ...]:
    """Return the folders that a confined method may write, as absolute real paths.

    Raises:
        ConfigError: When one is not there, nothing is hidden, or one lies within or above what is hidden.
    """
    found = _real_folders("write", folders)
    if found and not hidden:
        raise ConfigError("agent.write is of use with agent.hide alone: without it everything may be written")
    for path in found:
        for secret in hidden:
            if Path(path).is_relative_to(secret) or Path(secret).is_relative_to(path):
                raise ConfigError(f"agent.write={path}: it overlaps with agent.hide={secret}")
    return found


def in_place(start: Start, place: Place) -> Start:
    """Return the start of a method in a place; a confined one has its temporary files there."""
    if not start.hide:
        return start
    own = str(place.own)
    return replace(
        start,
        write=(own, *start.write),
        read=(str(place.images),),
        environment={**start.environment, "TMPDIR": own},
    )


def told(device: str, threads: int) -> dict[str, str]:
    """Return what the method's side reads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {
        "SIMCLICK_PROCESS": "1",
        "SIMCLICK_DEVICE": device,
        **{name: str(threads) for name in names},
    }
