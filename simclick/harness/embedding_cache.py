"""Encoded images kept on disk, so that a second run over the same images does no encode.

An entry is found by the hash of the image's pixels, the agent's own digest of its encoder (the weights'
values, preprocessing, precision: `simclick.agent.Agent.encoder_digest`) and whether it is kept in half
precision. Nothing else can find it, so an entry is never stale, as far as that digest knows what matters:
another image, other weights or other preprocessing are another name. What a protocol asks plays no part.

Several processes may share a folder. An entry is written under a hidden name, flushed and renamed; the
lock is held for that and for making room, never while an image is encoded, so two processes may encode
the same image at once, and the later entry replaces an equal one. An entry that does not hold exactly
what was written (a damaged disk, a foreign file) is a miss and is removed. Files are safetensors.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import uuid
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from simclick.errors import ConfigError

__all__ = ["EmbeddingCache", "Entry", "narrowed"]

_FOLDER = "embeddings-v1"
"""All that the cache makes or removes lies below this: the folder given may hold other things."""
_LAYOUT = "1"
_SUFFIX = ".safetensors"
_KEPT = 0.9
"""Share of the bound that is filled when room has been made: a scan is not needed at every entry."""
_LOCK_SECONDS = 60
_ABANDONED_SECONDS = 3600
_HEADER = 8

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Entry:
    """What an entry is found by.

    Attributes:
        image: SHA-256 of the image's shape and pixels.
        encoder: What `Agent.encoder_digest` says.
        fp16: Whether floating-point arrays are kept in half precision.
    """

    image: str
    encoder: str
    fp16: bool = False

    @property
    def name(self) -> str:
        """The entry's file name without suffix, a SHA-256."""
        content = [_LAYOUT, self.image, self.encoder, self.fp16]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


class EmbeddingCache:
    """A folder of entries of bounded size; the ones used least recently make room.

    Args:
        folder: Where; made when missing. One folder may serve any number of agents and processes.
        gigabytes: Most that entries take together, in units of 10⁹ bytes; files that are just being written
            come on top. An entry larger than this is not kept.

    Raises:
        ConfigError: When the folder cannot be made or written, or the size is not a positive number.
    """

    def __init__(self, folder: Path, gigabytes: float = 20.0) -> None:
        if isinstance(gigabytes, bool) or not math.isfinite(gigabytes) or gigabytes <= 0:
            raise ConfigError(f"engine.cache_gb={gigabytes}: must be a number > 0")
        self.folder = folder / _FOLDER
        self.limit = int(gigabytes * 1e9)
        self._tally = self.folder / ".size"
        self._scanned = False
        self._warned = False
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"engine.cache={folder}: {error.strerror or error}; choose another folder"
            ) from None
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise ConfigError(f"engine.cache={folder}: no permission to write; choose another folder")
        self._lock = filelock.FileLock(self.folder / ".lock", timeout=_LOCK_SECONDS)

    def read(self, entry: Entry) -> dict[str, NDArray[Any]] | None:
        """Return an entry's arrays, bit for bit as they were given; None where there is none.

        Floating-point arrays of an entry in half precision have their first precision again, rounded.
        """
        path = self._path(entry)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError:
            self.remove(entry)
            return None
        arrays = _unpacked(data, entry)
        if arrays is None:
            self.remove(entry)
            return None
        with suppress(OSError):  # removed meanwhile, or not ours: it was read all the same
            os.utime(path)  # used now: what was not goes first
        return arrays

    def write(self, entry: Entry, arrays: Arrays) -> None:
        """Keep an entry; it is on disk once this returns.

        A disk that refuses costs a warning, once, not the run: an entry only saves time.
        """
        data = _packed(entry, arrays)
        if len(data) > self.limit:
            return
        path = self._path(entry)
        hidden = path.with_name(f".{entry.name[:16]}.{os.getpid()}.{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(exist_ok=True)
            with hidden.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            with self._lock:
                # Counted before it is there: a crash in between leaves a sum that is too large, which the
                # next scan mends, never one that is too small.
                self._count(len(data))
                hidden.replace(path)
        except (OSError, filelock.Timeout) as error:
            hidden.unlink(missing_ok=True)
            self._warn(error)

    def remove(self, entry: Entry) -> None:
        """Remove an entry, if it is there."""
        try:
            self._path(entry).unlink(missing_ok=True)
        except OSError as error:
            self._warn(error)

    def size(self) -> int:
        """Return how many bytes all entries take."""
        return sum(size for _, size, _ in self._entries())

    def _path(self, entry: Entry) -> Path:
        return self.folder / entry.name[:2] / f"{entry.name}{_SUFFIX}"

    def _count(self, needed: int) -> None:
        """Make room for an entry and add it to the sum of all; the lock is held."""
        total = self._sum() if self._scanned else None
        if total is None or total + needed > self.limit:
            total = self._make_room(needed)
            self._scanned = True
        hidden = self._tally.with_name(".size.tmp")
        hidden.write_text(str(total + needed), encoding="ascii")
        hidden.replace(self._tally)

    def _sum(self) -> int | None:
        """Return the sum that all processes keep, or None where it cannot be read."""
        try:
            return int(self._tally.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def _make_room(self, needed: int) -> int:
        """Remove what was used least recently until an entry fits; return the size of the rest."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        if total + needed <= self.limit:
            return total
        goal = max(int(self.limit * _KEPT), needed)
        for _, size, path in entries:
            if total + needed <= goal:
                break
            path.unlink(missing_ok=True)
            total -= size
        return total

    def _entries(self) -> list[tuple[int, int, Path]]:
        """Return time of last use, size and path of every entry; remove what a crash left behind."""
        found = []
        now = time.time()
        for path in self.folder.glob("??/*"):
            try:
                status = path.stat()
                if path.suffix == _SUFFIX:
                    found.append((status.st_mtime_ns, status.st_size, path))
                elif path.suffix == ".tmp" and now - status.st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue
        return found

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"the embedding cache {self.folder.parent} cannot be used: {error}", stacklevel=3)


def narrowed(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in half precision; as it is where it holds no numbers of more, or they do not fit."""
    if array.dtype not in (np.float32, np.float64):
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.array_equal(np.isfinite(half), np.isfinite(array)) else array


def _packed(entry: Entry, arrays: Arrays) -> bytes:
    """Return an entry's file: what it is found by and a hash of its arrays go with it."""
    from safetensors.numpy import save

    kept = {name: np.asarray(narrowed(a) if entry.fp16 else a, order="C") for name, a in arrays.items()}
    dtypes = json.dumps({name: array.dtype.str for name, array in arrays.items()})
    about = {**_about(entry), "dtypes": dtypes, "sha256": _sha256(kept, dtypes)}
    data: bytes = save(kept, metadata=about)
    return data


def _unpacked(data: bytes, entry: Entry) -> dict[str, NDArray[Any]] | None:
    """Return the arrays in an entry's file, or None where it is not what was written for this entry."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        length = int.from_bytes(data[:_HEADER], "little")
        about = json.loads(data[_HEADER : _HEADER + length])["__metadata__"]
        kept = load(data)
        if {**about, **_about(entry)} != about or about["sha256"] != _sha256(kept, about["dtypes"]):
            return None
        dtypes = json.loads(about["dtypes"])
        return {name: array.astype(dtypes[name], copy=False) for name, array in kept.items()}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _about(entry: Entry) -> dict[str, str]:
    return {
        "layout": _LAYOUT,
        "image": entry.image,
        "encoder": entry.encoder,
        "fp16": str(entry.fp16).lower(),
    }


def _sha256(arrays: Arrays, dtypes: str) -> str:
    digest = hashlib.sha256(dtypes.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
