"""Is an `AgentInfo` fit for a table, a leaderboard and a reviewer? One rule for every way an agent comes in.

The conformance check and the handshake with a method in a process of its own both ask here.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from simclick.agent import FAMILIES, AgentInfo
from simclick.prompts import KINDS
from simclick.texts import plain, stray

__all__ = ["LONGEST", "check_info", "is_shipped", "refuse_shipped_name"]

LONGEST: Mapping[str, int] = {
    "name": 80,
    "version": 100,
    "family": 100,
    "licence": 500,
    "source": 500,
    "training_data": 2000,
    "citation": 20_000,
}
"""The most characters of each text."""

_LONGEST_SETTINGS = 100_000
"""Characters of the settings as JSON."""
_MOST_OVERLAPS = 1000
_LONGEST_OVERLAP = 1000


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_ANYTHING = frozenset({"custom", "process"})
"""Names under which anybody's method runs."""


def is_shipped(name: str) -> bool:
    """Return whether the registered name of an agent stands for a method that simclick itself ships.

    A plug-in's does not, nor do ``custom`` and ``process``, behind which any method may be.
    """
    from simclick.registry import agents

    entry = agents.entries.get(name)
    return entry is not None and entry.plugin is None and name not in _ANYTHING


def refuse_shipped_name(name: str) -> None:
    """Refuse the name of a shipped agent, or of one with own weights (``NAME-own``), to anybody else's.

    Names are compared without regard to case, form of letters (NFKC) and ``_ . + -``: what looks alike
    in a table is one name.

    Raises:
        ValueError: When it is taken.
    """
    from simclick.registry import agents

    for taken in (*_ANYTHING, *(entry for entry in agents.entries if is_shipped(entry))):
        if _alike(name) in (_alike(taken), _alike(f"{taken}-own")):
            raise ValueError(
                f"info.name {plain(name, 100)!r} is that of simclick's own {taken!r}: choose another"
            )


def _alike(name: str) -> str:
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", name).casefold())


def check_info(info: AgentInfo) -> None:
    """Check every field of an agent's information: its type, its range and its length.

    `name` has letters and digits of ASCII and ``_ . + -``, and begins with one of the former. Texts are
    printable and on one line; `citation` alone may have several. `settings` is what JSON can
    write: texts as keys, finite numbers. `parameters` is a whole number from 0, `image_size` one from 1, or
    None; `weights_sha256` is 64 small hexadecimal digits, or None.

    Raises:
        ValueError: On the first field that is wrong; says which, and what it must be, without saying whose.
    """
    for field, check in _CHECKS.items():
        words = check(getattr(info, field), field)
        if words:
            raise ValueError(f"info.{field} {words}")


def _text(value: Any, field: str) -> str | None:
    if not isinstance(value, str):
        return _must("be a text", value)
    return _faulty_text(value, LONGEST[field])


def _faulty_text(value: str, limit: int, allowed: str = "") -> str | None:
    if len(value) > limit:
        return f"must have at most {limit} characters, not {len(value)}"
    if (character := stray(value, allowed)) is not None:
        return f"must be printable text on one line; it holds {character}"
    return None


def _name(value: Any, field: str) -> str | None:
    if isinstance(value, str) and (not value or value != value.strip()):
        return "must not be empty" if not value.strip() else "must not begin or end with white space"
    return _text(value, field)


def _agent_name(value: Any, field: str) -> str | None:
    words = _name(value, field)
    if words is None and not _NAME.fullmatch(value):
        return _must("have ASCII letters, digits and _ . + - alone, a letter or digit first", value)
    return words


def _citation(value: Any, field: str) -> str | None:
    if not isinstance(value, str):
        return _must("be a text", value)
    if value.strip() and not value.lstrip().startswith(("@", "%")):
        return "must be BibTeX, which begins with @"
    return _faulty_text(value, LONGEST[field], "\n\t")


def _family(value: Any, field: str) -> str | None:
    if isinstance(value, str) and value and value not in FAMILIES:
        return _must(f"be one of {', '.join(FAMILIES)}, or empty", value)
    return _text(value, field)


def _accepts(value: Any, field: str) -> str | None:
    if not isinstance(value, (frozenset, set, tuple, list)):
        return _must("be a set of kinds of prompt", value)
    strange = sorted(str(kind) for kind in value if kind not in KINDS)
    if not value or strange:
        return _must(f"hold one or more of {', '.join(KINDS)}", ", ".join(strange) or "none")
    return None


def _settings(value: Any, field: str) -> str | None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return _must("be a mapping with texts as keys", value)
    try:
        written = json.dumps(dict(value), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return f"must be JSON-able: {plain(error, 200)}"
    if len(written) > _LONGEST_SETTINGS:
        return f"must have at most {_LONGEST_SETTINGS} characters as JSON, not {len(written)}"
    return None


def _overlap(value: Any, field: str) -> str | None:
    if not isinstance(value, Mapping):
        return _must("be a mapping from data sets to words", value)
    if len(value) > _MOST_OVERLAPS:
        return f"must name at most {_MOST_OVERLAPS} data sets, not {len(value)}"
    for pair in value.items():
        if not all(isinstance(text, str) for text in pair):
            return _must("be a mapping from data sets to words", dict([pair]))
        for text in pair:
            if words := _faulty_text(text, _LONGEST_OVERLAP):
                return words
    return None


def _count(least: int) -> Callable[[Any, str], str | None]:
    def check(value: Any, field: str) -> str | None:
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= least):
            return None
        return _must(f"be a whole number from {least}, or None", value)

    return check


def _sha256(value: Any, field: str) -> str | None:
    if value is None or (isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value)):
        return None
    return _must("be a SHA-256 of 64 hexadecimal digits (small letters), or None", value)


def _flag(value: Any, field: str) -> str | None:
    return None if isinstance(value, bool) else _must("be True or False", value)


def _must(what: str, value: object) -> str:
    shown = value if isinstance(value, str) else f"{value!r} ({type(value).__name__})"
    return f"must {what}, not {plain(shown, 100)}"


_CHECKS: Mapping[str, Callable[[Any, str], str | None]] = {
    "name": _agent_name,
    "version": _name,
    "accepts": _accepts,
    "settings": _settings,
    "parameters": _count(0),
    "image_size": _count(1),
    "training_data": _text,
    "overlap": _overlap,
    "licence": _text,
    "weights_sha256": _sha256,
    "random_weights": _flag,
    "uses_truth": _flag,
    "uses_previous": _flag,
    "source": _text,
    "citation": _citation,
    "family": _family,
}
"""One check per field of `AgentInfo`: what it finds wrong, in words, or None."""
