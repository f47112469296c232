"""What a method's process says on standard output and standard error, kept from the verifier's own.

A method that prints would break `--json`, and could steer a terminal. Both streams of its process, and of
whatever it starts, go into one bounded log; what is read from there is made plain. (A process may still open
the terminal by its name: a method that is run again is code that runs as you.)
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from multiprocessing.connection import Connection

from simclick.baselines.process.log import Log
from simclick.texts import plain

__all__ = ["Captured", "speak_into"]

_KEPT = 1 << 16
_SHOWN = 160
_WAIT = 0.5


class Captured:
    """The verifier's side.

    Attributes:
        there: The end that the process gets, for `speak_into`.
    """

    def __init__(self) -> None:
        self._log = Log(_KEPT)
        self._here, self.there = multiprocessing.get_context("spawn").Pipe(duplex=False)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def listen(self) -> None:
        """Read from now on: the process has its end."""
        self.there.close()
        self._thread.start()

    def close(self) -> None:
        """Read what is left of an ended process; what it started and left behind is no longer heard."""
        self._thread.join(_WAIT)
        self._enough.set()
        self._thread.join(_WAIT)

    def last_words(self) -> str:
        """Return the end of what was said as one printable line; nothing where nothing was said."""
        words = plain(self._log.text()[-4 * _SHOWN :], 4 * _SHOWN)
        return words if len(words) <= _SHOWN else "…" + words[1 - _SHOWN :]

    def _listen(self) -> None:
        with self._here:
            while os.name != "nt" and not self._enough.is_set():
                if self._here.poll(_WAIT / 5):
                    data = os.read(self._here.fileno(), 1 << 16)
                    if not data:
                        return
                    self._log.add(data)


def speak_into(pipe: Connection) -> None:
    """Let this process's standard output and error be the pipe, its standard input empty.

    What a process may write to a pipe of Windows needs another kind of handle: there both are thrown away.

    Args:
        pipe: `Captured.there`; closed afterwards.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    target = nothing if os.name == "nt" else pipe.fileno()
    for standard, ours in ((0, nothing), (1, target), (2, target)):
        os.dup2(ours, standard)
    os.close(nothing)
    pipe.close()
    # New ones: the old may be buffers over a file, and the last words would die with a buffer.
    sys.stdout = open(1, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
