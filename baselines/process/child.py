"""The process of a method: started under limits, asked with a time-out, ended with all its children."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simclick.baselines.process.log import Log
from simclick.baselines.process.wire import HEAD, frame_length
from simclick.errors import AgentError
from simclick.texts import plain

__all__ = ["Child", "ChildError", "Start", "environment", "words"]

_GRACE = 2.0
"""Seconds that a method has to end by itself once its input is closed."""
_CHUNK = 1 << 18


class ChildError(AgentError):
    """The process cannot be asked again: it ended, hung, or broke the form of the messages."""


@dataclass(frozen=True)
class Start:
    """How a method is started.

    Attributes:
        command: Program and arguments; no shell is between.
        folder: Working directory, or None for ours.
        environment: All of its environment.
        memory: Bytes of address space, or None.
        hide: Folders that are out of its reach, as absolute real paths.
        write: With `hide`: the folders that it may write; all else in reach it may read and run.
        read: Folders that it may read although they lie within a hidden one.
        limit: Largest answer, in bytes.
    """

    command: tuple[str, ...]
    folder: str | None
    environment: Mapping[str, str]
    memory: int | None
    hide: tuple[str, ...]
    write: tuple[str, ...]
    read: tuple[str, ...]
    limit: int


class Child:
    """One running process.

    Args:
        start: How to start it.
        log: Where its standard error goes.

    Raises:
        ChildError: When there is no process to be had.
    """

    def __init__(self, start: Start, log: Log) -> None:
        self._limit = start.limit
        self._log = log
        self._last = b""
        settings = {
            "parent": os.getpid(),
            "memory": start.memory,
            "hide": list(start.hide),
            "write": list(start.write),
            "read": list(start.read),
        }
        launcher = str(Path(__file__).with_name("launcher.py"))
        arguments = [sys.executable, "-I", "-S", launcher, json.dumps(settings), *start.command]
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=start.folder,
                env=dict(start.environment),
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise ChildError(f"cannot start the method: {error.strerror or error}") from None
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._in, self._out, words = (pipe.fileno() for pipe in pipes if pipe is not None)
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._listener = threading.Thread(target=self._listen, args=(words,), daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def exchange(self, question: bytes, seconds: float) -> bytearray:
        """Send a framed message and return the body of the answer.

        Raises:
            ChildError: When the process ended, did not answer in time, announced more than the limit, or
                said more than the answer. The process is gone then.
        """
        try:
            return self._exchange(question, time.monotonic() + seconds, seconds)
        except ChildError:
            self.stop(grace=0.0)
            raise
        except AgentError as error:
            self.stop(grace=0.0)
            raise ChildError(str(error)) from None

    def _exchange(self, question: bytes, deadline: float, seconds: float) -> bytearray:
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if poll.poll(0) and not self._ended():
            raise ChildError("the method wrote on standard output unasked")
        poll.register(self._in, select.POLLOUT)
        unsent = memoryview(question)
        answer = bytearray()
        expected = HEAD
        sized = False
        while True:
            left = deadline - time.monotonic()
            events = poll.poll(left * 1000) if left > 0 else []
            if not events:
                raise ChildError(f"the method did not answer within {seconds:g} s")
            for descriptor, _ in events:
                if descriptor == self._in:
                    unsent = unsent[self._send(unsent) :]
                    if not unsent:
                        poll.unregister(self._in)
                    continue
                answer += self._receive()
                if not sized and len(answer) >= HEAD:
                    expected = HEAD + frame_length(answer[:HEAD], self._limit)
                    sized = True
                if len(answer) > expected:
                    raise ChildError("the method wrote more than its answer on standard output")
            if sized and len(answer) == expected:
                if unsent:
                    raise ChildError("the method answered before it was asked")
                del answer[:HEAD]
                return answer

    def _send(self, data: memoryview) -> int:
        try:
            return os.write(self._in, data[: 1 << 20])
        except BlockingIOError:
            return 0
        except OSError:
            raise ChildError(self._obituary()) from None

    def _receive(self) -> bytes:
        try:
            data = os.read(self._out, _CHUNK)
        except BlockingIOError:
            return b""
        if not data:
            raise ChildError(self._obituary())
        return data

    def _ended(self) -> bool:
        """Return whether the process closed its output, which counts as news for `poll` too."""
        try:
            return self._process.poll() is not None or not os.read(self._out, 1)
        except BlockingIOError:
            return False

    def _obituary(self) -> str:
        """Return how the process ended, with its last words."""
        try:
            code = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            return "the method closed its pipe"
        self._listener.join(_GRACE)
        how = f"ended with code {code}" if code >= 0 else f"was killed by {_signal_name(-code)}"
        last = self._last.decode("utf-8", "replace").strip().splitlines()
        return f"the method {how}" + (f"; its last words: {plain(last[-1], 300)}" if last else "")

    def _listen(self, descriptor: int) -> None:
        """Read standard error to its end, whatever comes, so that a flood never blocks the method."""
        try:
            while data := os.read(descriptor, 1 << 16):
                self._log.add(data)
                self._last = (self._last + data)[-2000:]
        except (OSError, ValueError):
            return

    def stop(self, grace: float = _GRACE) -> None:
        """End the process and every process of its session, by itself or by force."""
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if grace > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        with contextlib.suppress(OSError):
            # The session's leader has its number until it is waited for, and its group while a member lives.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._listener.join(_GRACE)
        if process.stdout is not None:
            process.stdout.close()
        if process.stderr is not None and not self._listener.is_alive():
            process.stderr.close()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def environment(
    extra: Mapping[str, object], given: Mapping[str, str], own: Mapping[str, str]
) -> dict[str, str]:
    """Return a method's environment: what a program needs to run, what was asked for, and our own words.

    Args:
        extra: What the user asks for; these win.
        given: The host's environment, of which only well-known names are taken: no place of data, no key.
        own: What the method's side reads.
    """
    kept = {k: v for k, v in given.items() if k in _NAMES or k.startswith(_PREFIXES)}
    return {**kept, **own, **{str(k): str(v) for k, v in extra.items()}}


_NAMES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("LD_LIBRARY_PATH", "LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"),
        "SSL_CERT_FILE",
    )
)
_PREFIXES = (
    *("LC_", "CUDA_", "NVIDIA_", "HIP_", "NCCL_", "TORCH_", "CONDA_", "XDG_"),
    *("OMP_", "MKL_", "OPENBLAS_"),
)


def words(command: object) -> Sequence[str]:
    """Return program and arguments of a command: a text, split as a shell would, or a list.

    Raises:
        ValueError: When it is neither, is empty, or its quotes do not close.
    """
    if isinstance(command, str):
        found = shlex.split(command)
    elif isinstance(command, (list, tuple)):
        found = [str(word) for word in command]
    else:
        raise ValueError("it is neither a text nor a list")
    if not found:
        raise ValueError("it is empty")
    return found
