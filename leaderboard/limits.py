"""The first two walls of a submission: sizes that are never passed, and readers that take nothing odd.

A submission comes from a stranger. Nothing in it is trusted before it passed here: JSON without
double keys, without NaN and infinity, of bounded size and depth; YAML without tags, aliases and
double keys; text of bounded length without markup or control characters.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import yaml

from simclick.errors import SimclickError
from simclick.texts import plain

__all__ = [
    "MAX_ARCHIVE",
    "MAX_CANDIDATES",
    "MAX_FILE",
    "MAX_FILES",
    "MAX_JSON",
    "MAX_MISMATCHES",
    "MAX_RATIO",
    "MAX_RUNS_PER_MASK",
    "MAX_RUN_JSON",
    "MAX_YAML",
    "MEMORY",
    "READ_SECONDS",
    "SHA256",
    "TEXT_BYTES",
    "RefusedError",
    "canonical_json",
    "check_canonical",
    "check_keys",
    "check_text",
    "check_url",
    "read_json",
    "read_yaml",
]

MAX_ARCHIVE = 256 << 20
"""Bytes of an archive: the reader holds it three times. Ours have 4 MB."""
MAX_FILE = 1 << 30
"""Bytes that one table of an archive may unpack to."""
MAX_FILES = 64
"""Files of an archive."""
MAX_RATIO = 100
"""How many times its packed size a file may unpack to, beyond its first MiB."""
TEXT_BYTES = 2100
"""Bytes of a text in a table: why a method failed is 500 characters of up to four bytes, and where."""
SHA256 = re.compile(r"[0-9a-f]{64}")
"""A hash as it is written."""
MAX_JSON = 8 << 20
"""Bytes of a JSON file."""
MAX_RUN_JSON = 256 << 10
"""Bytes of a ``run.json``; those of our agents have 2 kB."""
MAX_YAML = 64 << 10
"""Bytes of a method card."""
MAX_CANDIDATES = 64
"""Candidate masks of one step."""
MAX_RUNS_PER_MASK = 1 << 16
"""Run lengths per mask, on average over a table: far more than any mask that a method paints."""
MAX_MISMATCHES = 1000
"""Mismatches after which nobody looks for more."""
MEMORY = 1 << 30
"""Bytes that reading and replaying may take on top of the program itself."""
READ_SECONDS = 10.0
"""Seconds in which an archive is read, or refused."""

_DEPTH = 12
_MESSAGE = 1000
"""Characters of a refusal."""
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Kinds of characters that cannot be seen, or of which nobody knows how they look."""
_MARKS_IN_A_ROW = 3
_MARKUP = re.compile(r"<[A-Za-z/!?]")
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~:/?#@!$&()*+,;=%-]*)?")


class RefusedError(SimclickError):
    """A submission that is not what it must be: not read any further.

    Its message may quote the submission, so it is made one printable line here, once and for all.
    """

    def __init__(self, message: str) -> None:
        super().__init__(plain(message, _MESSAGE))


def canonical_json(content: object) -> bytes:
    """Return the one JSON text of a content: sorted keys, no blanks, UTF-8, no NaN, a newline at the end."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return (text + "\n").encode()


def check_canonical(content: object, data: bytes, where: str) -> None:
    """Refuse a JSON text that is not the one text of its content.

    Raises:
        RefusedError: When `canonical_json` writes it otherwise, or cannot write it (half a character).
    """
    try:
        same = canonical_json(content) == data
    except ValueError:
        same = False
    if not same:
        raise RefusedError(f"{where}: not in canonical form (sorted keys, no blanks)")


def read_json(data: bytes, where: str, most: int = MAX_JSON) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    Args:
        data: The bytes; UTF-8 without a byte order mark.
        where: What to call it in an error.
        most: Most bytes; more are not parsed.

    Raises:
        RefusedError: On double keys, NaN, infinity, other encodings, more than `most` bytes, deep
            nesting, or anything but an object.
    """
    if len(data) > most:
        raise RefusedError(f"{where}: {len(data)} bytes; at most {most} are read")
    try:
        content = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{where}: {_line(error)}") from None
    if not isinstance(content, dict):
        raise RefusedError(f"{where}: holds a {type(content).__name__}, not an object")
    _check_depth(content, where)
    return content


def read_yaml(data: bytes, where: str, most: int = MAX_YAML) -> dict[str, Any]:
    """Return the mapping that a YAML text holds: plain values only.

    Raises:
        RefusedError: On tags, anchors, aliases, double keys, other encodings, more than `most`
            bytes, several documents, deep nesting, or anything but a mapping.
    """
    if len(data) > most:
        raise RefusedError(f"{where}: {len(data)} bytes; at most {most} are read")
    try:
        text = data.decode("utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEPTH:  # the loader itself is slow where much is nested
                raise RefusedError(f"{where}: nested more than {_DEPTH} deep")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
                raise RefusedError(f"{where}: anchors and aliases are not read")
            if (tag := getattr(event, "tag", None)) is not None:
                raise RefusedError(f"{where}: tags are not read ({str(tag)[:60]})")
        content = yaml.load(text, Loader=_PlainLoader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise RefusedError(f"{where}: {_line(error)}") from None
    if not isinstance(content, dict):
        raise RefusedError(f"{where}: holds a {type(content).__name__}, not a mapping")
    _check_depth(content, where)
    return content


def check_text(value: object, where: str, most: int, *, empty: bool = True) -> str:
    """Return a text that may be shown: bounded, without markup, control and direction characters.

    Args:
        value: What should be a text.
        where: What to call it in an error.
        most: Most characters.
        empty: Whether it may be empty.

    Raises:
        RefusedError: When it is anything else.
    """
    if not isinstance(value, str):
        raise RefusedError(f"{where}: must be a text, not a {type(value).__name__}")
    if len(value) > most:
        raise RefusedError(f"{where}: {len(value)} characters; at most {most}")
    if not empty and not value.strip():
        raise RefusedError(f"{where}: must not be empty")
    for character in value:
        if character in _BIDI or (character != "\n" and unicodedata.category(character) in _UNSEEN):
            raise RefusedError(f"{where}: the character U+{ord(character):04X} is not taken")
    kinds = "".join("m" if unicodedata.combining(c) else "." for c in value)
    if "m" * (_MARKS_IN_A_ROW + 1) in kinds:
        raise RefusedError(f"{where}: more than {_MARKS_IN_A_ROW} combining marks in a row are not taken")
    if (found := _MARKUP.search(value)) is not None:
        raise RefusedError(f"{where}: markup is not taken ({found[0]}…)")
    return value


def check_url(value: object, where: str) -> str:
    """Return an address, or an empty text: ``http`` or ``https``, plain characters.

    Raises:
        RefusedError: When it is anything else.
    """
    address = check_text(value, where, 500)
    if address and _URL.fullmatch(address) is None:
        raise RefusedError(f"{where}: must be an address that begins with https://, or empty")
    return address


def check_keys(content: object, where: str, required: Mapping[str, Any] | frozenset[str]) -> dict[str, Any]:
    """Return a mapping whose keys are exactly those required.

    Raises:
        RefusedError: When it is none, a key is missing, or one is not known.
    """
    if not isinstance(content, dict):
        raise RefusedError(f"{where}: must be a mapping, not a {type(content).__name__}")
    if missing := sorted(set(required) - set(content)):
        raise RefusedError(f"{where}: {missing[0]!r} is missing")
    if extra := sorted(str(key)[:60] for key in set(content) - set(required)):
        raise RefusedError(f"{where}: unknown key {extra[0]!r}")
    return content


class _PlainLoader(yaml.SafeLoader):
    """YAML without double keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = [
            (self.construct_object(key, deep=True), self.construct_object(value, deep=True))
            for key, value in node.value
        ]
        return _unique(pairs)


def _construct_plain(loader: _PlainLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


_PlainLoader.add_constructor("tag:yaml.org,2002:map", _construct_plain)


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise ValueError(f"the key {str(key)[:60]!r} is no text")
        if key in found:
            raise ValueError(f"the key {key[:60]!r} is there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number that is taken")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is out of range")
    return value


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"{text[:20]}… has too many digits")
    return int(text)


def _check_depth(content: object, where: str) -> None:
    level = [content]
    for _ in range(_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise RefusedError(f"{where}: nested more than {_DEPTH} deep")


def _line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    return " ".join(str(error).split())[:200]
