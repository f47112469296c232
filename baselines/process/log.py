"""The log of a method's process: bounded, and harmless on a terminal."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import stat
import threading
from pathlib import Path

__all__ = ["Log"]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class Log:
    """What a method says on standard error: its first words and its last, within bounds.

    Control characters other than line ends and tabs become U+FFFD: a log may be read on a terminal.

    The first half of the bound is written as it comes; of the rest the last half is kept, and written when
    the log is closed, after a line that says how much was left out.

    Args:
        limit: Largest size in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0
        self._file: int | None = None
        self._lock = threading.Lock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, data: bytes) -> None:
        """Keep what was said; a character may come in pieces."""
        with self._lock:
            data = _CONTROL.sub("\ufffd", self._decoder.decode(data)).encode()
            room = self._half - len(self._head)
            head, rest = data[:room], data[room:]
            if head:
                self._head += head
                self._write(head)
            if rest:
                self._tail += rest
                if (over := len(self._tail) - self._half) > 0:
                    del self._tail[:over]
                    self._dropped += over

    def note(self, text: str) -> None:
        """Keep a line of our own."""
        self.add(f"[simclick] {text}\n".encode())

    def write_to(self, path: Path) -> None:
        """Write to a file from now on, beginning with what was kept so far.

        It is opened once: what a method puts in its place (a pipe that nobody reads) is never opened.
        """
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._lock, contextlib.suppress(OSError):  # a run survives a log that cannot be written
            if self._file is not None:
                return
            file = os.open(path, flags, 0o644)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                return
            self._file = file
            self._write(bytes(self._head))

    def close(self) -> None:
        """Write what was held back."""
        with self._lock:
            if self._tail:
                self._write(f"\n[simclick] {self._dropped} bytes left out\n".encode() + bytes(self._tail))
            self._tail.clear()
            self._dropped = 0
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def text(self) -> str:
        """Return what is kept, for a person."""
        with self._lock:
            return (bytes(self._head) + bytes(self._tail)).decode("utf-8", "replace")

    def _write(self, data: bytes) -> None:
        # A full disk must not end a run that its rows may survive.
        with contextlib.suppress(OSError):
            while self._file is not None and data:
                data = data[os.write(self._file, data) :]
