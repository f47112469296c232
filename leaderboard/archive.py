"""The archive of a submission: one ZIP that has one form only, and its strict reader.

The ZIP is *stored* (not compressed; its tables are, inside), with fixed dates and sorted names: equal
contents give equal bytes, and a reader refuses any other bytes. So there is no hidden entry, no
second name, no path out of the folder and nothing to inflate.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclick.leaderboard.entries import SUBMISSION_KEYS
from simclick.leaderboard.limits import (
    MAX_ARCHIVE,
    MAX_FILES,
    MAX_JSON,
    MAX_RUN_JSON,
    SHA256,
    RefusedError,
    canonical_json,
    check_canonical,
    check_keys,
    check_text,
    read_json,
)
from simclick.leaderboard.method import MethodCard, card_from

__all__ = ["FORMAT", "RUN_FILES", "RUN_KEYS", "Archive", "read_archive", "run_folder", "zip_bytes"]

FORMAT = 1
"""Version of the archive's layout."""
RUN_FILES = (
    "cases.parquet",
    "episodes.parquet",
    "masks.parquet",
    "prompts.parquet",
    "run.json",
    "steps.parquet",
)
"""What the folder of a run holds."""
RUN_KEYS = frozenset(
    {
        *("folder", "protocol", "protocol_digest", "dataset", "noise", "agent", "agent_digest"),
        *("seed", "cases", "episodes", "marks"),
    }
)
"""What ``submission.json`` says of a run."""

_SUBMISSION = "submission.json"
_NAME = re.compile(r"(submission\.json|runs/[a-z0-9][a-z0-9-]{0,79}/[a-z]{3,10}\.(json|parquet))")
_END = struct.Struct("<4s4H2IH")
_MAX_DIRECTORY = 64 << 10
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Archive:
    """An archive whose outer form was checked; its tables are still bytes.

    Attributes:
        sha256: Of the whole archive.
        size: Its bytes.
        submission: The content of ``submission.json``.
        card: Its method card.
        files: The bytes of every other file, which have the SHA-256 that the submission says.
    """

    sha256: str
    size: int
    submission: dict[str, Any]
    card: MethodCard
    files: Mapping[str, bytes]


def run_folder(protocol: str) -> str:
    """Return the folder of a protocol's run."""
    return f"runs/{protocol}"


def zip_bytes(contents: Mapping[str, bytes]) -> bytes:
    """Return the one archive that holds these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, contents[name], zipfile.ZIP_STORED)
    return stream.getvalue()


def read_archive(path: Path) -> Archive:
    """Read an archive's outer form: sizes, names, hashes, ``submission.json``.

    Raises:
        RefusedError: When it is anything but an archive of the one form; one line that says why.
    """
    data = _bytes(path)
    contents = _unpacked(data)
    try:
        same = zip_bytes(contents) == data
    except (ValueError, zipfile.LargeZipFile) as error:
        raise RefusedError(f"the archive: {error}") from None
    if not same:
        raise RefusedError("the archive's bytes are not those that simclick writes for its contents")
    text = contents.pop(_SUBMISSION)
    submission = check_keys(read_json(text, _SUBMISSION), _SUBMISSION, SUBMISSION_KEYS)
    check_canonical(submission, text, _SUBMISSION)
    if not _is_whole(submission["format"]) or submission["format"] != FORMAT:
        raise RefusedError(f"{_SUBMISSION}: format must be {FORMAT}")
    _check_files(submission["files"], contents)
    _check_runs(submission["runs"], contents)
    suite = check_keys(submission["suite"], "suite", frozenset({"name", "version", "digest"}))
    check_text(suite["name"], "suite: name", 80, empty=False)
    card = card_from(submission["method"], "method")
    if canonical_json(card.as_dict()) != canonical_json(submission["method"]):
        raise RefusedError("method: not as simclick writes it (the order of prompts)")
    return Archive(hashlib.sha256(data).hexdigest(), len(data), submission, card, contents)


def _bytes(path: Path) -> bytes:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise RefusedError(f"{path.name}: not a plain file")
        if about.st_size > MAX_ARCHIVE:
            raise RefusedError(f"{path.name}: {about.st_size} bytes; at most {MAX_ARCHIVE}")
        with path.open("rb") as stream:
            return stream.read(about.st_size)
    except OSError as error:
        raise RefusedError(f"{path.name}: {error.strerror or error}") from None


def _unpacked(data: bytes) -> dict[str, bytes]:
    """Return the files of a ZIP; nothing is parsed before the end record said how much there is."""
    if len(data) < _END.size or data[-_END.size :][:4] != b"PK\x05\x06":
        raise RefusedError("the archive: not a ZIP file, or something follows its end")
    _, disk, first, here, count, size, offset, comment = _END.unpack(data[-_END.size :])
    if disk or first or comment or here != count or not 1 <= count <= MAX_FILES:
        raise RefusedError(f"the archive: its end record is odd ({count} files; at most {MAX_FILES})")
    if size > _MAX_DIRECTORY or offset + size + _END.size != len(data):
        raise RefusedError("the archive: its directory is not where it must be")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_infos(infos)
            return {info.filename: archive.read(info) for info in infos}
    except RefusedError:
        raise
    except Exception as error:  # a parser meets a stranger's bytes: whatever it raises is a refusal
        raise RefusedError(
            f"the archive: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from None


def _check_infos(infos: list[zipfile.ZipInfo]) -> None:
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        raise RefusedError("the archive: a name is there twice")
    for info in infos:
        name = info.filename[:80]
        if _NAME.fullmatch(info.filename) is None or info.orig_filename != info.filename:
            raise RefusedError(f"the archive: {name!r} is no name of a submission's file")
        if stat.S_IFMT(info.external_attr >> 16) != stat.S_IFREG:
            raise RefusedError(f"the archive: {name!r} is not a plain file")
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise RefusedError(f"the archive: {name!r} is compressed; files are stored")
        if info.flag_bits or info.extra or info.comment or info.date_time != _DATE:
            raise RefusedError(f"the archive: {name!r} has flags, comments or a date")
        most = _most(info.filename)
        if info.file_size > most:
            raise RefusedError(f"the archive: {name!r} has {info.file_size} bytes; at most {most}")
    if _SUBMISSION not in names:
        raise RefusedError(f"the archive: it has no {_SUBMISSION}")


def _most(name: str) -> int:
    """Return the most bytes that a file may have."""
    if name == _SUBMISSION:
        return MAX_JSON
    return MAX_RUN_JSON if name.endswith(".json") else MAX_ARCHIVE


def _check_files(declared: object, contents: Mapping[str, bytes]) -> None:
    """Refuse files that are not exactly those that the submission names, with their hashes."""
    if not isinstance(declared, dict):
        raise RefusedError(f"{_SUBMISSION}: files must be a mapping")
    if odd := sorted(set(declared) ^ set(contents)):
        where = "the archive lacks it" if odd[0] in declared else f"{_SUBMISSION} does not name it"
        raise RefusedError(f"{odd[0][:80]!r}: {where}")
    for name, data in contents.items():
        about = check_keys(declared[name], f"files: {name}", frozenset({"sha256", "bytes"}))
        size = about["bytes"]
        if not _is_whole(size) or size != len(data) or about["sha256"] != hashlib.sha256(data).hexdigest():
            raise RefusedError(f"{name}: its size or SHA-256 is not what {_SUBMISSION} says")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_runs(runs: object, contents: Iterable[str]) -> None:
    if not isinstance(runs, list) or not runs:
        raise RefusedError(f"{_SUBMISSION}: runs must be a list with at least one item")
    expected = set()
    for run in runs:
        _check_run(run)
        expected |= {f"{run['folder']}/{name}" for name in RUN_FILES}
    if len(expected) != len(runs) * len(RUN_FILES):
        raise RefusedError("runs: a protocol is there twice")
    if odd := sorted(expected ^ set(contents)):
        raise RefusedError(f"{odd[0][:80]!r}: missing, or of no run")


def _check_run(run: object) -> None:
    values = check_keys(run, "runs", RUN_KEYS)
    for key in ("protocol", "dataset", "noise", "agent"):
        check_text(values[key], f"runs: {key}", 200, empty=False)
    for key in ("protocol_digest", "agent_digest"):
        if not isinstance(values[key], str) or SHA256.fullmatch(values[key]) is None:
            raise RefusedError(f"runs: {key} must be a SHA-256")
    for key in ("seed", "cases", "episodes"):
        if not _is_whole(values[key]) or values[key] < 0:
            raise RefusedError(f"runs: {key} must be a whole number ≥ 0")
    if not isinstance(values["marks"], list) or len(values["marks"]) > 8:
        raise RefusedError("runs: marks must be a short list")
    for mark in values["marks"]:
        check_text(mark, "runs: marks", 80)
    if values["folder"] != run_folder(values["protocol"]):
        raise RefusedError(f"runs: folder must be {run_folder(values['protocol'])!r}")
