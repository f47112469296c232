"""Fourteen ways to get at the truth, or to change it. Each returns the mask that it found, or None.

They are generous to the cheat: it knows where everything lies, and what marks a truth. The same functions run
inside the harness, in a process of their own, and in a confined one: see test_process_cheats.py.
Runs by itself as a method: ``python cheating_agents.py``, with the options ``cheat`` and ``known``.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

MARK = b"HERE-IS-THE-" + b"TRUTH-"
"""Stands, with the case's key, before every truth that is kept as bytes."""

Known = dict[str, Any]
"""What the cheat knows: ``size`` and ``key`` of the truth, and the places that a function needs."""


def frames(known: Known, image: Any) -> Any:
    """Walk the callers' local variables."""
    frame: Any = sys._getframe()
    while frame is not None:
        for value in list(frame.f_locals.values()):
            if (mask := _truth_of(value)) is not None:
                return mask
        frame = frame.f_back
    return None


def collector(known: Known, image: Any) -> Any:
    """Go through every object that the garbage collector knows."""
    cases = (value for value in gc.get_objects() if type(value).__name__ == "Case")
    return next((case.truth for case in cases if np.array_equal(case.image, image)), None)


def data_files(known: Known, image: Any) -> Any:
    """Open the data set's files."""
    return _in_files(Path(known["data"]).rglob("*"), known)


def run_files(known: Known, image: Any) -> Any:
    """Open the run directory's files."""
    return _in_files(Path(known["run"]).rglob("*"), known)


def parent_memory(known: Known, image: Any) -> Any:
    """Read the harness's memory through /proc."""
    parent = os.getppid()
    try:
        regions = Path(f"/proc/{parent}/maps").read_text().splitlines()
        with Path(f"/proc/{parent}/mem").open("rb") as memory:
            for region in regions:
                low, high = (int(part, 16) for part in region.split()[0].split("-"))
                if " rw-p " not in region or high - low > 1 << 28:
                    continue
                try:
                    memory.seek(low)
                    mask = _in_bytes(memory.read(high - low), known)
                except OSError:
                    continue
                if mask is not None:
                    return mask
    except OSError:
        pass
    return None


def trace(known: Known, image: Any) -> Any:
    """Attach to the harness as a debugger, and read its memory then."""
    seize = 0x4206
    libc = ctypes.CDLL(None, use_errno=True)
    attached = libc.ptrace(seize, os.getppid(), ctypes.c_void_p(0), ctypes.c_void_p(0)) == 0
    return parent_memory(known, image) if attached else None


def environment(known: Known, image: Any) -> Any:
    """Read the environment: our own, and the harness's."""
    own = "".join(os.environ.values()).encode("utf-8", "surrogateescape")
    try:
        parents = Path(f"/proc/{os.getppid()}/environ").read_bytes()
    except OSError:
        parents = b""
    for text in (own, parents):
        if (match := re.search(rb"TRUTH-IN-HEX:([0-9a-f]+)", text)) is not None:
            flat = np.frombuffer(bytes.fromhex(match[1].decode()), dtype=np.bool_)
            return flat.reshape(known["size"])
    return None


def descriptors(known: Known, image: Any) -> Any:
    """Read from every open file that was inherited."""
    for number in range(3, 256):
        try:
            mask = _in_bytes(os.pread(number, 1 << 20, 0), known)
        except OSError:
            continue
        if mask is not None:
            return mask
    return None


def shared_memory(known: Known, image: Any) -> Any:
    """Open every block of shared memory."""
    return _in_files(Path("/dev/shm").rglob("*"), known)


def fork(known: Known, image: Any) -> Any:
    """Let a child that has left our session do the reading."""
    mark = MARK + known["key"].encode()
    out, into = os.pipe()
    if os.fork() == 0:
        try:
            os.setsid()
            mask = data_files(known, image)
            os.write(into, b"" if mask is None else mark + mask.tobytes())
        finally:
            os._exit(0)
    os.close(into)
    data = b""
    while part := os.read(out, 65536):
        data += part
    os.close(out)
    os.wait()
    return _in_bytes(data, known)


def overwrite(known: Known, image: Any) -> Any:
    """Write over the data set's and the run's files."""
    for place in ("data", "run"):
        for path in Path(known[place], "masks").glob("*.bin"):
            with contextlib.suppress(OSError):
                path.write_bytes(b"changed")
    return None


def plant_links(known: Known, image: Any) -> Any:
    """Let the harness write over the run's files: links where it may put the next image."""
    target = Path(known["run"]) / "masks" / "c.bin"
    folders = {os.environ.get("TMPDIR", "")}
    with contextlib.suppress(OSError):
        maps = Path("/proc/self/maps").read_text().splitlines()
        folders |= {str(Path(line.split()[5]).parent) for line in maps if ".image" in line}
    for folder in filter(None, folders):
        for number in range(200):
            with contextlib.suppress(OSError):
                Path(folder, f"{number}.image").symlink_to(target)
    for folder in (folder for folder in folders if folder.endswith("images")):
        with contextlib.suppress(OSError):  # and the whole folder
            Path(folder).rename(folder + "-moved")
            Path(folder).symlink_to(target.parent)
    return None


def clock(known: Known, image: Any) -> Any:
    """Take the time that the harness spends between questions for a hint, and guess."""
    gap = time.perf_counter() - known.setdefault("clock", time.perf_counter())
    return np.arange(np.prod(known["size"])).reshape(known["size"]) % 100 < gap * 1000 % 100


def rebuild(known: Known, image: Any) -> Any:
    """Make the public generated data again, and look the image up."""
    from simclick.datasets.phantoms import Phantoms

    dataset = Phantoms(**known["phantoms"])
    for case in dataset:
        if np.array_equal(case.image, image):
            return case.truth
    return None


CHEATS: dict[str, Callable[[Known, Any], Any]] = {
    function.__name__: function
    for function in (
        *(frames, collector, data_files, run_files, parent_memory, trace),
        *(environment, descriptors, shared_memory, fork, clock, rebuild, overwrite, plant_links),
    )
}


def _truth_of(value: Any) -> Any:
    for owner in (value, getattr(value, "case", None)):
        mask = getattr(owner, "truth", None)
        if isinstance(mask, np.ndarray):
            return mask
    return None


def _in_files(paths: Iterable[Path], known: Known) -> Any:
    try:
        for path in paths:
            try:
                mask = _in_bytes(path.read_bytes(), known)
            except OSError:
                continue
            if mask is not None:
                return mask
    except OSError:
        pass
    return None


def _in_bytes(data: bytes, known: Known) -> Any:
    mark = MARK + known["key"].encode()
    pixels = int(np.prod(known["size"]))
    at = data.find(mark)
    while at >= 0:
        mask = np.frombuffer(data[at + len(mark) : at + len(mark) + pixels], dtype=np.uint8)
        if len(mask) == pixels and mask.max() <= 1:
            return mask.astype(np.bool_).reshape(known["size"])
        at = data.find(mark, at + 1)
    return None


def serve_cheat() -> None:
    """Answer as a method in a process of its own."""
    from simclick_method import Answer, Method, serve  # type: ignore[import-not-found]

    class Cheat(Method):  # type: ignore[misc]
        name = "cheat"

        def __init__(self, cheat: str, known: Known) -> None:
            self.cheat = CHEATS[cheat]
            self.known = known

        def segment(self, request: Any) -> Any:
            mask = self.cheat(self.known, request.features)
            found = mask is not None
            return Answer([mask if found else np.zeros(request.size, bool)], [float(found)])

    serve(Cheat)


if __name__ == "__main__":
    serve_cheat()
