"""The folder that the harness shares with one start of a method: images to read, and room to write.

`Place.images` is written by the harness alone: each file is new, has a name that nobody can guess, and is
made and removed through the folder that was opened at the start, so that no link, pipe or folder that a
method puts in the way is ever followed or waited for. `Place.own` is the method's, for temporary files.

A place holds a lock while its process lives. What a process left behind that was killed is found by its free
lock, and removed when the next place is made beside it; SIGTERM removes its own first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import signal
import stat
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError

__all__ = ["Place"]

_PREFIX = "simclick-process-"
_NAME = re.compile(_PREFIX + r"\w{8}")
_PARTS = frozenset({"images", "own"})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_YOUNG = 60.0
"""Seconds in which a place without a lock may be one that is being made."""


class Place:
    """A new folder, readable by this user alone; in memory where there is a memory file system.

    Args:
        wanted: The folder to make it in, or None for the usual one.

    Attributes:
        root: The folder.
        images: Where images are put.
        own: The method's own.

    Raises:
        ConfigError: When it cannot be made.
    """

    def __init__(self, wanted: str | None) -> None:
        memory = "/dev/shm"
        where = wanted or (memory if os.access(memory, os.W_OK | os.X_OK) else tempfile.gettempdir())
        _remove_left_behind(where)
        try:
            self.root = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where)).resolve()
            self._lock = os.open(self.root, _FOLDER)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.images, self.own = self.root / "images", self.root / "own"
            self.images.mkdir(0o700)
            self.own.mkdir(0o700)
            self._images = os.open(self.images, _FOLDER)
        except OSError as error:
            raise ConfigError(f"agent.shared_folder={where}: {error.strerror}") from None
        self._process = os.getpid()
        self._open = True
        _LIVE.add(self)
        _remove_on_termination()

    def put(self, data: Any) -> str:
        """Write bytes into a new file and return its name.

        Raises:
            OSError: When there is no room, or the folder is gone.
        """
        name = f"{secrets.token_hex(16)}.image"
        with os.fdopen(os.open(name, _NEW_FILE, 0o600, dir_fd=self._images), "wb") as stream:
            try:
                stream.write(data)
                stream.flush()
            except OSError:
                self.take_back(name)
                raise
        return name

    def take_back(self, name: str) -> None:
        """Remove a file; what a method put in its place stays until the folder goes."""
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._images)

    def remove(self) -> None:
        """Remove the folder and all in it; only in the process that made it."""
        if self._open and self._process == os.getpid():
            self._open = False
            _LIVE.discard(self)
            _remove(self.root)
            os.close(self._images)
            os.close(self._lock)


_LIVE: weakref.WeakSet[Place] = weakref.WeakSet()


def _remove(folder: str | Path) -> None:
    """Remove a folder in which a method may have done anything: links are not followed (`shutil.rmtree`)."""
    with contextlib.suppress(RecursionError):  # folders in folders without end
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left_behind(where: str) -> None:
    """Remove places whose process is gone: ours by user, name, content and mode, and not locked."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(where)):
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    _remove_if_dead(entry.path)


def _remove_if_dead(path: str) -> None:
    descriptor = os.open(path, _FOLDER)
    try:
        state = os.fstat(descriptor)
        mine = state.st_uid == os.geteuid() and stat.S_IMODE(state.st_mode) == 0o700
        if (
            not mine
            or time.time() - state.st_mtime < _YOUNG
            or not {entry.name for entry in os.scandir(descriptor)} <= _PARTS
        ):
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove(path)
    finally:
        os.close(descriptor)


def _remove_on_termination() -> None:
    """Let SIGTERM remove this process's places and then end it as before; a handler of others stays."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: object) -> None:
    for place in list(_LIVE):
        place.remove()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
