"""Where a run may be written: a folder that can be made, or is empty, or holds this very run."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simclick.errors import StoreError

__all__ = ["CASES", "RUN", "check_writable", "refuse_strangers", "run_around"]

RUN = "run.json"
CASES = "cases.parquet"
_SHOWN = 4
"""At most so many differences are named."""


def check_writable(path: Path, option: str = "out=") -> None:
    """Refuse an output directory that could not be made, before any work begins.

    Where the nearest existing ancestor takes no new folder is found out by making one and removing it:
    rights alone do not say it of ``/proc``, or of a medium that can only be read.

    Args:
        path: The directory.
        option: What the user gave it by, for the message.

    Raises:
        StoreError: When the nearest existing ancestor is a file or may not be written.
    """
    try:
        nearest = path
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not nearest.is_dir():
            raise StoreError(
                f"cannot write {path}: {nearest} is a file, not a folder; choose another {option}"
            )
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise StoreError(f"cannot write {path}: no permission in {nearest}; choose another {option}")
        Path(tempfile.mkdtemp(prefix=".simclick-", dir=nearest)).rmdir()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write {path}: {reason}; choose another {option}") from None


def run_around(path: Path) -> Path | None:
    """Return the run directory that a path is or lies within, links followed; None where there is none.

    A folder with a damaged ``run.json`` beside ``cases.parquet`` is a run directory as well.
    """
    whole = path.resolve()
    return next((folder for folder in (whole, *whole.parents) if _is_run(folder)), None)


def _is_run(folder: Path) -> bool:
    if not (folder / RUN).is_file():
        return False
    try:
        content = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return (folder / CASES).exists()
    return isinstance(content, dict) and "plan_digest" in content


def refuse_strangers(path: Path, description: Mapping[str, Any]) -> None:
    """Refuse a folder that holds something else than a run of this plan.

    Args:
        path: The run directory; may be missing.
        description: What ``run.json`` would hold, or the part of it that is known before the data are read.
            Without ``plan_digest`` only what is there in both is compared.

    Raises:
        StoreError: When it holds another run (the message names what differs), a damaged ``run.json``, or
            anything visible and no run; or when it lies within another run directory.
    """
    around = run_around(path.resolve().parent)
    if around is not None:
        raise StoreError(f"{path} lies within {around}, which is a run directory; choose another out=")
    run = path / RUN
    if run.is_file():
        other = _read(run)
        wanted = description.get("plan_digest")
        different = list(_differences(other, description))
        if (other["plan_digest"] != wanted) if wanted is not None else different:
            some = "; ".join(different[:_SHOWN]) or "its data or options differ"
            more = f"; and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
            raise StoreError(
                f"{path} holds another run ({some}{more}); choose another out=, or remove the folder"
            )
    elif path.is_dir() and any(not file.name.startswith(".") for file in path.iterdir()):
        raise StoreError(f"{path} is not empty and holds no run; choose another out=")


def _read(run: Path) -> dict[str, Any]:
    try:
        content = json.loads(run.read_text(encoding="utf-8"))
        content["plan_digest"]
    except KeyError as error:
        raise StoreError(f"{run} is damaged (no {error}); choose another out=") from None
    except (ValueError, TypeError) as error:
        raise StoreError(f"{run} is damaged ({error}); choose another out=") from None
    found: dict[str, Any] = content
    return found


def _differences(other: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words what differs of what decides a run's rows; ``other`` is there, ``wanted`` was asked."""
    for key, word, ids in (
        ("agent", "agent", ("name", "digest")),
        ("protocol", "protocol", ("id", "digest")),
        ("dataset", "dataset", ("name", "sha256")),
    ):
        there, here = other.get(key), wanted.get(key)
        if not isinstance(there, Mapping) or not isinstance(here, Mapping):
            continue
        first, second = ids
        if there.get(first) != here.get(first):
            yield f"{word}={there.get(first)}, not {here.get(first)}"
        elif second in there and second in here and there[second] != here[second]:
            yield from _inner(word, there, here)
    for key in ("seed", "save_masks"):
        if key in other and key in wanted and other[key] != wanted[key]:
            yield f"{key}={_said(other[key])}, not {_said(wanted[key])}"


def _inner(word: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options of one agent, protocol or data set that differ."""
    if word == "dataset":
        counts = there.get("cases"), here.get("cases")
        yield (
            f"dataset: {counts[0]} cases, not {counts[1]}"
            if counts[0] != counts[1]
            else ("dataset: the content of its cases differs")
        )
        return
    if word == "agent":
        there, here = there.get("settings") or {}, here.get("settings") or {}
    keys = sorted((there.keys() | here.keys()) - {"digest", "summary"})
    found = [key for key in keys if _said(there.get(key)) != _said(here.get(key))]
    for key in found:
        yield f"{word}.{key}={_said(there.get(key))}, not {_said(here.get(key))}"
    if not found:
        yield f"{word}: its version or its weights differ"


def _said(value: Any) -> str:
    """Return a value as a word on the command line, not too long."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 60 else text[:59] + "…"
