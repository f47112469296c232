"""Checkpoints: where they come from, where they are kept, and whether they are what they claim.

A checkpoint is looked for in the cache directory under its official file name. It is fetched from its
official address only when asked, into a hidden file that an interrupted transfer continues, and takes its
name only once its SHA-256 is right. Nothing here opens a checkpoint, let alone unpickles one.
"""

from __future__ import annotations

import hashlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from simclick.errors import ConfigError

__all__ = ["CHECKPOINTS", "Checkpoint", "cache_folder", "fetch", "find", "sha256_of"]

_CHUNK = 1 << 20
_META = "https://dl.fbaipublicfiles.com/segment_anything/"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An official checkpoint.

    Attributes:
        file: Its file name.
        url: Its official address.
        size: Its size in bytes.
        sha256: Of the whole file. (The digits in SAM's file names are of another hash.)
        licence: Of the weights.
    """

    file: str
    url: str
    size: int
    sha256: str
    licence: str


def _sam(file: str, size: int, sha256: str) -> Checkpoint:
    return Checkpoint(file, _META + file, size, sha256, "Apache-2.0")


CHECKPOINTS: dict[str, Checkpoint] = {
    "sam_vit_b": _sam(
        "sam_vit_b_01ec64.pth", 375042383, "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"
    ),
    "sam_vit_l": _sam(
        "sam_vit_l_0b3195.pth", 1249524607, "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"
    ),
    "sam_vit_h": _sam(
        "sam_vit_h_4b8939.pth", 2564550879, "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"
    ),
}


def cache_folder() -> Path:
    """Return where checkpoints are kept: ``$SIMCLICK_CACHE``, or the platform's cache directory."""
    chosen = os.environ.get("SIMCLICK_CACHE")
    root = Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("simclick"))
    return root / "checkpoints"


def find(name: str) -> Path:
    """Return the path of a checkpoint in the cache.

    Raises:
        ConfigError: When it is not there; says what to do.
    """
    checkpoint = CHECKPOINTS[name]
    path = cache_folder() / checkpoint.file
    if not path.is_file():
        raise ConfigError(
            f"agent {name!r} has no checkpoint: add agent.fetch=true to fetch {checkpoint.url} "
            f"({checkpoint.size / 1e6:.0f} MB), or put it at {path}, or name yours with "
            "agent.checkpoint=FILE; agent.checkpoint=random checks the code path alone"
        )
    return path


def fetch(name: str) -> Path:
    """Return a checkpoint's path, after fetching what is missing of it, with a progress bar.

    Raises:
        ConfigError: When it cannot be fetched, or is not what it should be.
    """
    checkpoint = CHECKPOINTS[name]
    path = cache_folder() / checkpoint.file
    if path.is_file():
        return path
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _transfer(checkpoint, part)
    except (OSError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"cannot fetch {checkpoint.url}: {reason}; the same command continues where it stopped, "
            f"or put the file at {path}"
        ) from None
    found = sha256_of(part)
    if found != checkpoint.sha256:
        part.unlink()
        raise ConfigError(
            f"{checkpoint.url} gave a file with SHA-256 {found[:16]}…, not {checkpoint.sha256[:16]}…; "
            "it was removed, try again"
        )
    part.replace(path)
    return path


def _transfer(checkpoint: Checkpoint, part: Path) -> None:
    """Append what is missing to a partial file; start anew where the server cannot continue."""
    from tqdm import tqdm

    have = part.stat().st_size if part.is_file() else 0
    if have >= checkpoint.size:
        return
    request = urllib.request.Request(checkpoint.url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=60) as answer:
        continued = have > 0 and answer.status == 206
        bar = tqdm(
            desc=checkpoint.file,
            total=checkpoint.size,
            initial=have if continued else 0,
            unit="B",
            unit_scale=True,
        )
        with bar, part.open("ab" if continued else "wb") as stream:
            while chunk := answer.read(_CHUNK):
                stream.write(chunk)
                bar.update(len(chunk))
    size = part.stat().st_size
    if size != checkpoint.size:
        raise OSError(f"the transfer broke off after {size} of {checkpoint.size} bytes")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
