"""The third wall: a process of its own, with limits of memory, time and file size, reads submissions.

It is started afresh, loads what it needs, and only then takes its limits: memory on top of what the
program has already, no file may be written, processor time. It speaks to its parent in JSON alone.
Where the system has no such limits (Windows), the time-outs remain, and the page of the docs says so.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from simclick.errors import SimclickError
from simclick.leaderboard.checks import Job, examine, job_from, job_values
from simclick.leaderboard.limits import MEMORY, READ_SECONDS, RefusedError
from simclick.texts import plain

__all__ = ["Walls", "messages"]

_MESSAGE = 256 << 20
_START_SECONDS = 300.0
_BUSY = 6.0
_START = threading.Lock()


@dataclass(frozen=True)
class Walls:
    """The worker's limits.

    Attributes:
        memory: Bytes on top of the program itself.
        read_seconds: Processor seconds in which the archive is read, or refused; on the clock it may
            take six times as long, since other programs may keep the machine busy.
        seconds: Seconds for everything.
    """

    memory: int = MEMORY
    read_seconds: float = READ_SECONDS
    seconds: float = 24 * 3600.0


def messages(job: Job, walls: Walls) -> Iterator[dict[str, Any]]:
    """Start a worker on a job and yield what it says, the last being its result.

    Raises:
        RefusedError: When it passes a limit or dies: then the submission is not to be read.
        SimclickError: What the worker says is wrong on this side (data, suite file).
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(there, json.dumps(job_values(job)), walls), daemon=True)
    with _START, _environment("ARROW_DEFAULT_MEMORY_POOL", "system"):
        # Arrow's own allocator reserves a GiB of addresses when it is first used: no limit would fit.
        process.start()
    there.close()
    end = time.monotonic() + _START_SECONDS
    try:
        while True:
            if not here.poll(max(0.0, end - time.monotonic())):
                raise RefusedError("the archive: reading or replaying it took too long")
            try:
                message = json.loads(here.recv_bytes(_MESSAGE))
            except (EOFError, OSError):
                process.join(5)
                raise RefusedError(f"the archive: {_death(process.exitcode)}") from None
            kind = message["kind"]
            if kind == "ready":
                end = time.monotonic() + _BUSY * walls.read_seconds
            elif kind == "read":
                end = time.monotonic() + walls.seconds
            elif kind == "error":
                raise SimclickError(plain(message["text"]))
            else:
                yield message
                if kind == "result":
                    return
    finally:
        here.close()
        process.kill()
        process.join()


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"reading it ended the worker process ({name}): it needs more memory or time than is given"
    return (
        "reading it ended the worker process: it is not what it must be, or needs more memory or time than "
        "is given"
    )


def _main(connection: Connection, job: str, walls: Walls) -> None:
    def say(message: Mapping[str, Any]) -> None:
        if message["kind"] == "read":
            _limit_time(walls.seconds)
        connection.send_bytes(json.dumps(message, allow_nan=False).encode())

    _load()
    sys.setrecursionlimit(1000)
    _limit(walls.memory)
    _limit_time(walls.read_seconds)
    say({"kind": "ready"})
    try:
        examine(job_from(json.loads(job)), say)
    except SimclickError as error:
        say({"kind": "error", "text": str(error)})
    except (MemoryError, RecursionError) as error:
        raise SystemExit(f"{type(error).__name__}") from None
    except Exception as error:  # whatever a stranger's bytes make our code raise is a refusal, not a crash
        raise SystemExit(plain(f"{type(error).__name__}: {error}", 200)) from None


def _load() -> None:
    """Import what is needed before memory and files are limited."""
    import cv2
    import matplotlib.font_manager  # noqa: F401  (writes its cache on first use)
    import pyarrow as pa
    import pyarrow.parquet as pq

    import simclick.leaderboard.accept
    import simclick.leaderboard.rerun
    import simclick.statistics.clicks
    from simclick.leaderboard.parquet import parquet_bytes

    with suppress(ImportError):
        import simclick.annotators.kernels  # noqa: F401
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    pa.set_memory_pool(pa.system_memory_pool())
    warm = pa.table({"a": pa.array(["x", "y"])})  # Arrow starts its thread at the first read
    pq.read_table(io.BytesIO(parquet_bytes(warm)), use_threads=False).to_pandas()


def _limit(memory: int) -> None:
    """Take the limits of memory and files: nothing can be written from here on."""
    try:
        import resource
    except ImportError:
        return
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(seconds: float) -> None:
    """Allow so many processor seconds more; passing them ends the process."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
