"""Checkpoints in the cache: found, fetched, recorded.

A checkpoint is looked for in the cache directory under its official file name, or under the name that
`simclick.weights_import` gives it. It is fetched from its official address only when asked, into a hidden
file that an interrupted transfer continues (`simclick.download`), and takes its name only once its SHA-256 is
right. Where no official SHA-256 is known, that of the first fetch or import is recorded beside the file, and
later ones must equal it: this proves that nothing changed since, not that the first file was the official
one. Nothing here opens a checkpoint, let alone unpickles one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import platformdirs

from simclick.checkpoints import CHECKPOINTS, Checkpoint
from simclick.download import RefusedError, download, note_of
from simclick.errors import ConfigError, unknown_name

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "cache_folder",
    "checkpoint_named",
    "fetch",
    "find",
    "forget",
    "kept",
    "located",
    "locked",
    "missing_reason",
    "one_line",
    "read_record",
    "sha256_of",
    "size_in_words",
    "write_record",
]

_CHUNK = 1 << 20


def checkpoint_named(name: str) -> Checkpoint:
    """Return a registered checkpoint.

    Raises:
        ConfigError: When there is none of this name; the message lists the choices.
    """
    try:
        return CHECKPOINTS[name]
    except KeyError:
        raise unknown_name("checkpoint", name, CHECKPOINTS) from None


def cache_folder() -> Path:
    """Return where checkpoints are kept: ``$SIMCLICK_CACHE``, or the platform's cache directory."""
    chosen = os.environ.get("SIMCLICK_CACHE")
    root = Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("simclick"))
    return root / "checkpoints"


def located(name: str) -> Path | None:
    """Return a checkpoint's usable file in the cache, the imported one first, or None."""
    checkpoint = checkpoint_named(name)
    imported = cache_folder() / checkpoint.imported
    if imported.is_file():
        return imported
    path = cache_folder() / checkpoint.file
    return path if path.is_file() and not checkpoint.pickled else None


def find(name: str) -> Path:
    """Return the path of a checkpoint in the cache.

    Raises:
        ConfigError: When it is not there; says what to do.
    """
    path = located(name)
    if path is not None:
        return path
    checkpoint = CHECKPOINTS[name]
    if checkpoint.page or checkpoint.pickled:
        raise ConfigError(
            f"{name} has no checkpoint: download {checkpoint.file} from {checkpoint.url} and run "
            f"simclick weights import {name} FILE, or name a safe file with agent.checkpoint=FILE; "
            "agent.checkpoint=random checks the code path alone"
        )
    raise ConfigError(
        f"{name} has no checkpoint: add agent.fetch=true to fetch {checkpoint.url}{_size(checkpoint)}, or "
        f"bring a file by simclick weights import {name} FILE, or name yours with agent.checkpoint=FILE; "
        "agent.checkpoint=random checks the code path alone"
    )


def missing_reason(name: str) -> str | None:
    """Return in one line why a checkpoint cannot be used here and the way out; None where it can."""
    path = located(name)
    if path is not None:
        if CHECKPOINTS[name].sha256 is None and not read_record(path):
            return f"nothing says what {path.name} in the cache is: simclick weights import {name} {path}"
        return None
    verb = "import" if CHECKPOINTS[name].page or CHECKPOINTS[name].pickled else "fetch"
    return f"no checkpoint: simclick weights {verb} {name}{' FILE' if verb == 'import' else ''}"


def size_in_words(checkpoint: Checkpoint) -> str:
    """Return a checkpoint's size in MB; said to be about that where the exact one is not known."""
    if checkpoint.size is not None:
        return f"{checkpoint.size / 1e6:.0f} MB"
    return "size unknown" if checkpoint.about is None else f"about {checkpoint.about:.0f} MB"


def _size(checkpoint: Checkpoint) -> str:
    return f" ({size_in_words(checkpoint)})" if checkpoint.size or checkpoint.about else ""


@contextmanager
def locked(name: str) -> Iterator[Path]:
    """Keep others from changing a checkpoint's files in the cache; gives the cache directory.

    Raises:
        ConfigError: When another process is at it, or the cache cannot be written.
    """
    import filelock

    folder = cache_folder()
    lock = filelock.FileLock(folder / f".{checkpoint_named(name).file}.lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise ConfigError(f"{name} is being fetched or imported by another process; wait for it") from None
    except OSError as error:
        raise ConfigError(
            f"{folder}: {error.strerror or error}; choose another with SIMCLICK_CACHE"
        ) from None
    try:
        yield folder
    finally:
        lock.release()


def fetch(name: str, offline: bool | None = None) -> Path:
    """Return a checkpoint's path, after fetching what is missing of it, with a progress bar.

    Args:
        name: Its name.
        offline: Use no network; None asks the environment (``SIMCLICK_OFFLINE=1``).

    Raises:
        ConfigError: When it cannot be fetched, or is not what it should be.
    """
    checkpoint = checkpoint_named(name)
    path = located(name)
    if path is not None:
        return path
    by_hand = f"simclick weights import {name} FILE"
    if checkpoint.page or checkpoint.pickled:
        raise ConfigError(
            f"{checkpoint.file} cannot be fetched by a program: download it from {checkpoint.url} with a "
            f"browser, then run {by_hand}"
        )
    if os.environ.get("SIMCLICK_OFFLINE", "0") not in {"", "0"} if offline is None else offline:
        raise ConfigError(f"offline: {checkpoint.file} is not in the cache; bring it by {by_hand}")
    with locked(name) as folder:
        return _fetched(checkpoint, folder / checkpoint.file, by_hand)


def _fetched(checkpoint: Checkpoint, path: Path, by_hand: str) -> Path:
    """Fetch a file whose lock is held."""
    if path.is_file():  # another process was faster
        return path
    part = path.with_name(f".{path.name}.part")
    expected = _expected(path, checkpoint)
    try:
        download(checkpoint.url, part, checkpoint.file, checkpoint.size, proven=expected is not None)
        found = sha256_of(part)
    except RefusedError as error:
        raise ConfigError(
            f"cannot fetch {checkpoint.url}: {one_line(error)}; download the file elsewhere and run {by_hand}"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"cannot fetch {checkpoint.url}: {one_line(error)}; the same command continues where it stopped, "
            f"or download the file and run {by_hand}"
        ) from None
    if expected is not None and found != expected:
        part.unlink()
        note_of(part).unlink(missing_ok=True)
        which = "the official one" if checkpoint.sha256 is not None else "the one recorded earlier"
        raise ConfigError(
            f"{checkpoint.url} gave a file with SHA-256 {found[:16]}…, not {expected[:16]}… ({which}); "
            "it was removed, try again"
        )
    write_record(path, {"sha256": found, "from": checkpoint.url, "official": checkpoint.sha256 is not None})
    part.replace(path)
    return path


def one_line(error: OSError) -> str:
    """Return an error in one line; what a server says may hold anything."""
    text = " ".join((error.strerror or str(error)).split())
    return "".join(c if c.isprintable() else "?" for c in text)[:300] or type(error).__name__


def _expected(path: Path, checkpoint: Checkpoint) -> str | None:
    """Return the SHA-256 that a file must have: the official one, else the recorded one, else None."""
    if checkpoint.sha256 is not None:
        return checkpoint.sha256
    recorded = read_record(path).get("sha256")
    return str(recorded) if recorded else None


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def read_record(path: Path) -> dict[str, Any]:
    """Return what was recorded of a file in the cache when it came; empty where nothing was."""
    try:
        content = json.loads(_record_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Record where a file came from and its SHA-256, with the date."""
    content = {**content, "recorded": datetime.now(timezone.utc).strftime("%Y-%m-%d")}
    temporary = path.with_name(f".{path.name}.json.part")
    temporary.write_text(json.dumps(content, indent=2), encoding="utf-8")
    temporary.replace(_record_path(path))


def kept(name: str) -> list[Path]:
    """Return a checkpoint's files in the cache, the fetched one and the imported one, usable or not."""
    checkpoint = checkpoint_named(name)
    paths = (cache_folder() / checkpoint.file, cache_folder() / checkpoint.imported)
    return [path for path in dict.fromkeys(paths) if path.is_file()]


def forget(path: Path) -> None:
    """Remove a file of the cache and its record, where they are there."""
    path.unlink(missing_ok=True)
    _record_path(path).unlink(missing_ok=True)
