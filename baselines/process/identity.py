"""A command and its options as a table may know them: what runs, not where it lies on somebody's machine.

A file becomes its name and the start of its SHA-256 (``method.py sha256:0123456789abcdef``), any other
absolute path its last part. So settings are equal on two machines where the same files run, and a changed
file shows.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["named_command", "plain_paths", "portable", "public_options"]

_DIGITS = 16
_ABSOLUTE = re.compile(r"(?<![\w.:/])~?/(?:[^/:=,\s]+/)*([^/:=,\s]+)/?")
"""An absolute path inside a word, as in ``--volume=/home/me/data:/data``; not the slashes of an address."""
_LOCAL = ("folder", "shared_folder", "hide", "write")
"""Options of the agent that are places on the machine, and change no mask."""


def named_command(words: Sequence[str], folder: str | None = None) -> list[str]:
    """Return a command's words: its program by name alone, its files by name and content.

    Args:
        words: Program and arguments.
        folder: Where it runs; None for here.
    """
    if not words:
        return []
    return [_last_part(words[0]), *(_word(word, folder) for word in words[1:])]


def portable(value: Any, folder: str | None = None) -> Any:
    """Return an option's value with every text in it that names a file or an absolute path made portable.

    Keys of mappings too; where two become equal the later one gets a number.
    """
    return _mapped(value, lambda text: _path(text, folder))


def plain_paths(value: Any) -> Any:
    """Return a value that a method reported, with the last part of every absolute path in its place.

    No file is opened: which ones there are, and what they hold, is not for a method to ask.
    """
    return _mapped(value, _without_folders)


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        found: dict[Any, Any] = {}
        for key, inner in value.items():
            name = wanted = change(key) if isinstance(key, str) else key
            for number in itertools.count(2):
                if name not in found:
                    break
                name = f"{wanted} ({number})"
            found[name] = _mapped(inner, change)
        return found
    if isinstance(value, (list, tuple)):
        return [_mapped(inner, change) for inner in value]
    return value


def public_options(options: Mapping[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """Return the agent's own options without places and without values of environment variables.

    Args:
        options: Keywords of `ProcessAgent`.
        words: Its command, split.
    """
    folder = options.get("folder")
    public = {key: value for key, value in options.items() if key not in _LOCAL}
    if words:
        public["command"] = " ".join(named_command(words, folder))
    if public.get("options"):
        public["options"] = portable(dict(public["options"]), folder)
    if public.get("environment"):
        public["environment"] = dict.fromkeys(map(str, public["environment"]), "not kept")
    return public


def _word(word: str, folder: str | None) -> str:
    """Return an argument; in ``--key=value`` the value alone is looked at."""
    key, equals, value = word.partition("=")
    if equals and key.startswith("-"):
        return f"{key}={_path(value, folder)}"
    return _path(word, folder)


def _path(text: str, folder: str | None) -> str:
    found = _existing(text, folder)
    if found is not None and found.is_file():
        state = found.stat()
        return f"{Path(text).name} sha256:{_sha256(str(found), state.st_size, state.st_mtime_ns)}"
    return _without_folders(text)


def _without_folders(text: str) -> str:
    if text.startswith(("/", "~/")) and " " in text:  # a path with blanks in it; where it ends is not known
        return _last_part(text)
    return _ABSOLUTE.sub(lambda match: match[1], text)


def _existing(text: str, folder: str | None) -> Path | None:
    """Return the path that a text names, if there is one."""
    if not text or len(text) > 4096 or "\0" in text:
        return None
    try:
        path = (Path(folder or ".").expanduser() / Path(text).expanduser()).resolve()
        return path if path.exists() else None
    except (OSError, RuntimeError):
        return None


def _last_part(program: str) -> str:
    return program.rstrip("/").rpartition("/")[2] or program


@lru_cache(maxsize=64)
def _sha256(path: str, size: int, changed: int) -> str:
    """Return the first digits of a file's SHA-256; size and time of change tell files of one name apart."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:_DIGITS]
