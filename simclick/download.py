"""Fetching a file over HTTP so that going on after an interruption can never mix two files.

What is there of a file lies in a partial file; beside it a note says which version of the file the bytes are
of: the server's ETag (or its date) and the whole length. A transfer goes on only where that can be trusted:
the server is asked to send the rest of that version alone (``If-Range``), and its answer must say that it
begins at the right byte of a file of the right length and version (``Content-Range``). Whatever else comes
back, the transfer starts anew. Where there is no note, a partial file is used only when the caller knows the
SHA-256 of the whole.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["RefusedError", "download", "note_of"]

_CHUNK = 1 << 20
_TIMEOUT = 60.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class RefusedError(OSError):
    """The server does not give this file: trying again will not help."""


@dataclass(frozen=True, slots=True)
class _Note:
    """What a partial file is a part of."""

    etag: str = ""
    date: str = ""
    total: int | None = None

    @property
    def validator(self) -> str:
        """What ``If-Range`` is given: a strong ETag, else a date; empty where there is none."""
        return self.date if not self.etag or self.etag.startswith("W/") else self.etag


def note_of(part: Path) -> Path:
    """Return the path of the note beside a partial file."""
    return part.with_name(f"{part.name}.json")


def download(url: str, part: Path, label: str, size: int | None, proven: bool) -> None:
    """Bring what is missing of a file, with a progress bar; on return `part` is whole.

    Args:
        url: Its address.
        part: The partial file; what an interrupted transfer left of it is used where that is safe.
        label: What the progress bar is called.
        size: The file's size in bytes, or None where it is not known.
        proven: The caller compares the whole with a SHA-256 that it knows beforehand.

    Raises:
        RefusedError: When the server has no such file, or another one.
        OSError: When the transfer broke off; the next call continues it.
    """
    try:
        if not _attempt(url, part, label, size, proven) and not _attempt(url, part, label, size, proven):
            raise OSError("the server's answers contradict each other")
    except urllib.error.HTTPError as error:
        kind = RefusedError if 400 <= error.code < 500 and error.code not in {408, 429} else OSError
        raise kind(f"the server answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise OSError(str(error.reason) or "no connection") from None
    except http.client.HTTPException as error:
        raise OSError(f"the transfer broke off ({type(error).__name__})") from None
    note_of(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path, label: str, size: int | None, proven: bool) -> bool:
    """Try once; return False when the partial file was thrown away and the transfer must start anew."""
    note = _read_note(part, url)
    have = _usable(part, note, size, proven)
    whole = size or note.total
    if have and have == whole:
        return True
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and note.validator:
        headers["If-Range"] = note.validator
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":  # of this version: nothing is missing
            return True
        part.unlink()
        return False
    with answer:
        _check_kind(answer, url)
        start = _start(answer, have, note, whole)
        if start is None:
            part.unlink()
            return False
        total = _total(answer, start)
        if total is None and not (size or proven or answer.chunked):
            raise RefusedError("the server does not say how long the file is")
        if size is not None and total is not None and total != size:
            raise RefusedError(f"the server has a file of {total} bytes, not of {size}")
        if start == 0:
            part.write_bytes(b"")  # first: a note must never lie beside bytes of another version
            _write_note(part, url, answer, total)
        _receive(answer, part, label, start, total or size)
    return True


def _usable(part: Path, note: _Note, size: int | None, proven: bool) -> int:
    """Return how many bytes of a partial file can be built upon."""
    have = part.stat().st_size if part.is_file() else 0
    whole = size or note.total
    if whole is not None and have > whole:
        return 0
    return have if proven or note.validator else 0


def _check_kind(answer: Any, url: str) -> None:
    if "text/html" in (answer.headers.get("Content-Type") or ""):
        raise RefusedError("the server gave a web page instead of the file")
    if (answer.headers.get("Content-Encoding") or "identity").lower() != "identity":
        raise RefusedError(f"the server gave the file encoded as {answer.headers['Content-Encoding']}")
    if url.startswith("https:") and not answer.geturl().startswith("https:"):
        raise RefusedError("the server sent us on to an address without encryption")


def _start(answer: Any, have: int, note: _Note, whole: int | None) -> int | None:
    """Return the byte at which an answer begins, or None when it does not fit what is there."""
    if answer.status == 200:
        return 0
    if answer.status != 206 or not have:
        raise OSError(f"the server answered {answer.status}, which was not asked for")
    found = _CONTENT_RANGE.fullmatch((answer.headers.get("Content-Range") or "").strip())
    if found is None or int(found[1]) != have:
        return None
    total = None if found[3] == "*" else int(found[3])
    if whole is not None and total is not None and total != whole:
        return None
    etag = answer.headers.get("ETag") or ""
    if note.etag and not note.etag.startswith("W/") and etag != note.etag:
        return None
    date = answer.headers.get("Last-Modified") or note.date
    return None if note.date and date != note.date else have


def _total(answer: Any, start: int) -> int | None:
    """Return the whole length that an answer announces; None where it announces none."""
    found = _CONTENT_RANGE.fullmatch((answer.headers.get("Content-Range") or "").strip())
    if answer.status == 206 and found is not None and found[3] != "*":
        return int(found[3])
    announced = answer.headers.get("Content-Length") or ""
    return start + int(announced) if announced.isdecimal() and not answer.chunked else None


def _receive(answer: Any, part: Path, label: str, start: int, total: int | None) -> None:
    """Append an answer to the partial file.

    Raises:
        OSError: When less came than was announced; what came is kept.
        RefusedError: When more came; nothing is kept.
    """
    from tqdm import tqdm

    found = start
    bar = tqdm(desc=label, total=total, initial=start, unit="B", unit_scale=True)
    with bar, part.open("ab") as stream:
        while (total is None or found <= total) and (chunk := answer.read(_CHUNK)):
            stream.write(chunk)
            found += len(chunk)
            bar.update(len(chunk))
    if total is not None and found > total:
        part.unlink()
        raise RefusedError(f"the server sent more than the {total} bytes that the file has")
    if total is not None and found < total:
        raise OSError(f"the transfer broke off after {found} of {total} bytes")


def _read_note(part: Path, url: str) -> _Note:
    """Return the note beside a partial file; an empty one where there is none of this address."""
    try:
        content = json.loads(note_of(part).read_text(encoding="utf-8"))
        if content["url"] == url:
            total = content["total"]
            return _Note(str(content["etag"]), str(content["date"]), None if total is None else int(total))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return _Note()


def _write_note(part: Path, url: str, answer: Any, total: int | None) -> None:
    content = {
        "url": url,
        "etag": answer.headers.get("ETag") or "",
        "date": answer.headers.get("Last-Modified") or "",
        "total": total,
    }
    temporary = part.with_name(f"{part.name}.json.new")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(note_of(part))
