"""Checkpoints: where they come from, where they are kept, and whether they are what they claim.

A checkpoint is looked for in the cache directory under its official file name, or under the name that
`simclick.weights_import` gives it. It is fetched from its official address only when asked, into a hidden
file that an interrupted transfer continues, and takes its name only once its SHA-256 is right. Where no
official SHA-256 is known, that of the first fetch is recorded beside the file, and later ones must equal it:
this proves that nothing changed since, not that the first file was the official one. Nothing here opens a
checkpoint, let alone unpickles one.
"""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import platformdirs

from simclick.errors import ConfigError, unknown_name

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "cache_folder",
    "checkpoint_named",
    "fetch",
    "find",
    "located",
    "missing_reason",
    "read_record",
    "sha256_of",
    "size_in_words",
    "verify",
    "write_record",
]

_CHUNK = 1 << 20
_META = "https://dl.fbaipublicfiles.com/segment_anything/"
_RITM = "https://github.com/saic-vul/ritm_interactive_segmentation/releases/download/v1.0/"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An official checkpoint.

    Attributes:
        file: Its file name.
        url: Its official address.
        size: Its size in bytes; None where it is not known.
        sha256: Of the whole file; None where it is not known, and recorded at the first fetch then. (The
            digits in SAM's file names are of another hash.)
        licence: Of the weights.
        about: Its size in MB as its authors or a mirror say it, where the exact one is not known.
        commercial: False when the licence forbids commercial use, which is said loudly.
        page: The address is a page for a browser: the file cannot be fetched by a program.
        pickled: The file holds Python objects beside tensors: it must be imported before it can be used.
    """

    file: str
    url: str
    size: int | None
    sha256: str | None
    licence: str
    about: float | None = None
    commercial: bool = True
    page: bool = False
    pickled: bool = False

    @property
    def imported(self) -> str:
        """The name of the file that an import makes of it."""
        return f"{Path(self.file).stem}.safetensors"


def _sam(file: str, size: int, sha256: str) -> Checkpoint:
    return Checkpoint(file, _META + file, size, sha256, "Apache-2.0")


def _ritm(file: str, about: float) -> Checkpoint:
    return Checkpoint(file, _RITM + file, None, None, "MIT", about)


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
    "sam_med2d": Checkpoint(
        "sam-med2d_b.pth",
        "https://drive.google.com/file/d/1ARiB5RkSsWmAB_8mqWnwDF8ZKTtFwsjl/view",
        None,
        None,
        "Apache-2.0",
        about=2560,
        page=True,
        pickled=True,
    ),
    "medsam": Checkpoint(
        "medsam_vit_b.pth",
        "https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        None,
        None,
        "Apache-2.0",
        about=375,
    ),
    "ritm_h18_itermask": _ritm("coco_lvis_h18_itermask.pth", 38.8),
    "ritm_h18s_itermask": _ritm("coco_lvis_h18s_itermask.pth", 16.5),
    "ritm_h32_itermask": _ritm("coco_lvis_h32_itermask.pth", 119),
    "ritm_h18_baseline": _ritm("coco_lvis_h18_baseline.pth", 38.8),
    "ritm_sbd_h18_itermask": _ritm("sbd_h18_itermask.pth", 38.8),
}


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
            f"agent {name!r} has no checkpoint: download {checkpoint.file} from {checkpoint.url} and run "
            f"simclick weights import {name} FILE, or name a safe file with agent.checkpoint=FILE; "
            "agent.checkpoint=random checks the code path alone"
        )
    raise ConfigError(
        f"agent {name!r} has no checkpoint: add agent.fetch=true to fetch {checkpoint.url}"
        f"{_size(checkpoint)}, or put it at {cache_folder() / checkpoint.file}, or name yours with "
        "agent.checkpoint=FILE; agent.checkpoint=random checks the code path alone"
    )


def missing_reason(name: str) -> str | None:
    """Return in one line why a checkpoint cannot be used here and the way out; None where it can."""
    if located(name) is not None:
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
    if checkpoint.page or checkpoint.pickled:
        raise ConfigError(
            f"{checkpoint.file} cannot be fetched by a program: download it from {checkpoint.url} with a "
            f"browser, then run simclick weights import {name} FILE"
        )
    path = cache_folder() / checkpoint.file
    if os.environ.get("SIMCLICK_OFFLINE", "0") not in {"", "0"} if offline is None else offline:
        raise ConfigError(f"offline: {checkpoint.file} is not in the cache; put it at {path}")
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
    expected = _expected(path, checkpoint)
    if expected is not None and found != expected:
        part.unlink()
        raise ConfigError(
            f"{checkpoint.url} gave a file with SHA-256 {found[:16]}…, not {expected[:16]}…; "
            "it was removed, try again"
        )
    part.replace(path)
    write_record(path, {"sha256": found, "from": checkpoint.url, "official": checkpoint.sha256 is not None})
    return path


def _expected(path: Path, checkpoint: Checkpoint) -> str | None:
    """Return the SHA-256 that a file must have: the official one, else the recorded one, else None."""
    if checkpoint.sha256 is not None:
        return checkpoint.sha256
    recorded = read_record(path).get("sha256")
    return str(recorded) if recorded else None


def _transfer(checkpoint: Checkpoint, part: Path) -> None:
    """Append what is missing to a partial file; start anew where the server cannot continue."""
    have = part.stat().st_size if part.is_file() else 0
    if checkpoint.size is not None and have >= checkpoint.size:
        return
    request = urllib.request.Request(checkpoint.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing
            return
        raise
    with answer:
        if "text/html" in (answer.headers.get("Content-Type") or ""):
            raise OSError("the server gave a web page instead of the file")
        continued = have > 0 and answer.status == 206
        announced = answer.headers.get("Content-Length")
        start = have if continued else 0
        size = checkpoint.size if announced is None else start + int(announced)
        _receive(answer, part, checkpoint.file, start, size)
    size = checkpoint.size or size
    found = part.stat().st_size
    if size is not None and found != size:
        raise OSError(f"the transfer broke off after {found} of {size} bytes")


def _receive(answer: Any, part: Path, name: str, start: int, size: int | None) -> None:
    from tqdm import tqdm

    bar = tqdm(desc=name, total=size, initial=start, unit="B", unit_scale=True)
    with bar, part.open("ab" if start else "wb") as stream:
        while chunk := answer.read(_CHUNK):
            stream.write(chunk)
            bar.update(len(chunk))


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


def verify(name: str) -> tuple[bool, str]:
    """Compare a checkpoint in the cache with what it should be.

    Returns:
        Whether nothing is wrong (a file that is not there, or that nothing is known of, is not wrong), and
        what was found, in words.
    """
    path = located(name)
    if path is None:
        return True, "not in the cache"
    checkpoint = CHECKPOINTS[name]
    found, record = sha256_of(path), read_record(path)
    official = checkpoint.sha256 if path.name == checkpoint.file else None
    if official is not None:
        same = found == official
        return same, "the official file" if same else f"WRONG: SHA-256 {found[:16]}…, not {official[:16]}…"
    if not record.get("sha256"):
        return True, f"unknown: SHA-256 {found}; none was recorded when it came"
    if found != record["sha256"]:
        return False, f"CHANGED since {record['recorded']}: SHA-256 {found[:16]}…"
    made = "as imported" if path.name != checkpoint.file else "as first fetched"
    return True, f"{made} on {record['recorded']} (no official SHA-256 is known)"
