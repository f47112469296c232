"""What has to be right before a method is started: its command, its places, what it is told."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simclick.baselines.process import child
from simclick.baselines.process.child import Start
from simclick.errors import ConfigError

__all__ = [
    "allowed",
    "command_words",
    "hidden_folders",
    "need_posix",
    "private_folder",
    "told",
    "working_folder",
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
    if isinstance(folders, str):
        folders = [folders]
    found = []
    for folder in folders:
        path = Path(folder).expanduser()
        if not path.exists():
            raise ConfigError(f"agent.hide: no such folder: {folder}")
        found.append(str(path.resolve()))
    return tuple(found)


def private_folder(wanted: str | None) -> Path:
    """Return a new folder, ours alone, in memory where there is a memory file system."""
    memory = "/dev/shm"
    place = wanted or (memory if os.access(memory, os.W_OK | os.X_OK) else None)
    try:
        folder = Path(tempfile.mkdtemp(prefix="simclick-", dir=place))
    except OSError as error:
        raise ConfigError(f"agent.shared_folder={place}: {error.strerror}") from None
    return folder.resolve()


def allowed(start: Start, folder: str) -> Start:
    """Return the start of a confined method with a folder of its own, for temporary files too."""
    return replace(start, allow=(folder,), environment={**start.environment, "TMPDIR": folder})


def told(device: str, threads: int) -> dict[str, str]:
    """Return what the method's side reads."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {
        "SIMCLICK_PROCESS": "1",
        "SIMCLICK_DEVICE": device,
        **{name: str(threads) for name in names},
    }
