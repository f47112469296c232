"""Whether a checkpoint's file is what it claims: compared with the official or the recorded SHA-256."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from simclick.checkpoints import Checkpoint
from simclick.errors import ConfigError
from simclick.weights import cache_folder, checkpoint_named, kept, one_line, read_record, sha256_of

__all__ = ["Origin", "Verdict", "origin", "verify"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Whether a file is an official checkpoint.

    Attributes:
        sha256: Of the file.
        official: Its bytes have the official SHA-256, or the one recorded when it came from the official
            address or by import.
        words: What was compared with what.
    """

    sha256: str
    official: bool
    words: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check of one file in the cache found.

    Attributes:
        path: The file.
        right: Nothing is wrong with it (a file of which nothing is known is not wrong).
        words: What was found, and which SHA-256 it was compared with.
    """

    path: Path
    right: bool
    words: str


def verify(name: str) -> list[Verdict]:
    """Compare each file that a checkpoint has in the cache with what it should be.

    The official SHA-256 counts before the one that was recorded when the file came. An imported file has no
    official SHA-256; where that of the file that it was made of is known, it must be the recorded source.

    Returns:
        One verdict per file; none when the cache has nothing.
    """
    checkpoint = checkpoint_named(name)
    verdicts = []
    for path in kept(name):
        try:
            found = sha256_of(path)
        except OSError as error:
            verdicts.append(Verdict(path, False, f"UNREADABLE: {one_line(error)}"))
            continue
        verdicts.append(Verdict(path, *_judged(checkpoint, path, found)))
    return verdicts


def _judged(checkpoint: Checkpoint, path: Path, found: str) -> tuple[bool, str]:
    """Return whether a file in the cache is right, and why, in words."""
    official, record = checkpoint.sha256, read_record(path)
    if path.name == checkpoint.file and official is not None:
        if found == official:
            return True, "the official file (by the official SHA-256)"
        return False, f"WRONG: SHA-256 {found[:16]}…, not {official[:16]}… (the official SHA-256)"
    recorded, day = record.get("sha256"), record.get("recorded", "an unknown day")
    source = record.get("source_sha256")
    if path.name == checkpoint.imported != checkpoint.file and official not in {None, source}:
        made = f"SHA-256 {str(source)[:16]}…" if source else "no recorded SHA-256"
        return False, f"WRONG: made of a file with {made}, not {str(official)[:16]}… (the official SHA-256)"
    if not recorded:
        return True, f"unknown: SHA-256 {found}; none was recorded when it came, and no official one is known"
    if found != recorded:
        return False, f"CHANGED since {day}: SHA-256 {found[:16]}…, not {str(recorded)[:16]}… (as recorded)"
    if official is not None:
        return True, f"as imported on {day} (by the recorded SHA-256) from the official file (by its SHA-256)"
    came = "fetched" if record.get("official") is not None else "imported"
    return True, f"as first {came} on {day} (by the recorded SHA-256; no official one is known)"


def origin(name: str, path: Path) -> Origin:
    """Say whether a file, in the cache or elsewhere, is the official checkpoint of a name.

    Where no official SHA-256 is known, a file counts as the official one only if it equals the file that was
    fetched from the official address, or that was imported under this name.

    Raises:
        ConfigError: When it cannot be read.
    """
    checkpoint = checkpoint_named(name)
    try:
        found = sha256_of(path)
    except OSError as error:
        raise ConfigError(f"{path}: {one_line(error)}") from None
    if found == checkpoint.sha256:
        return Origin(found, True, "the official SHA-256")
    fetched = read_record(cache_folder() / checkpoint.file)
    imported = read_record(cache_folder() / checkpoint.imported)
    source = imported.get("source_sha256")
    if checkpoint.sha256 is None:
        known = {fetched.get("sha256"), imported.get("sha256"), source}
    else:
        known = {imported.get("sha256")} if source == checkpoint.sha256 else set()
    if found in known:
        return Origin(found, True, "the SHA-256 recorded when it came")
    right = "the official one" if checkpoint.sha256 else "one recorded at a fetch or import"
    return Origin(found, False, f"SHA-256 {found[:16]}… is not {right}")
