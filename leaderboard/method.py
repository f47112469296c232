"""The method card: what a submission says of its method. Everything in it is declared, not checked.

Written by a person as ``method.yaml`` (`TEMPLATE`), kept in ``submission.json``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date as calendar_date
from typing import Any

from simclick.agent import AgentInfo
from simclick.leaderboard.limits import RefusedError, check_keys, check_text, check_url, read_yaml
from simclick.leaderboard.names import check_name, shipped_name, slug
from simclick.prompts import KINDS
from simclick.texts import plain

__all__ = [
    "FAMILIES",
    "OVERLAPS",
    "TEMPLATE",
    "MethodCard",
    "card_from",
    "card_of_agent",
    "check_filled",
    "check_name",
    "check_overlap",
    "read_card",
    "shipped_name",
    "slug",
]

FAMILIES = ("promptable", "iterative", "classical", "sanity", "other")
"""Kinds of method: of the SAM kind, clicks with memory, classical, floors and ceilings, others."""
OVERLAPS = ("none", "partial", "full", "unknown")
"""How far the training data overlap a suite's."""


@dataclass(frozen=True)
class MethodCard:
    """What a submission says of its method.

    Attributes:
        name: Name of the method, as it shows on a board.
        version: Its version.
        authors: Names of the authors.
        paper: Address of the paper, or empty.
        code: Address of the code, or empty.
        licence: Licence of code and weights.
        parameters: Number of learned parameters; 0 for a classical method, None if unknown.
        training_data: What it was trained on, in words; empty if it was not trained.
        overlap: Per suite how far the training data overlap it: one of `OVERLAPS`.
        hardware: What the seconds were measured on.
        description: A few sentences.
        prompts: The kinds of prompt it takes.
        family: One of `FAMILIES`.
        date: Day of the submission, ``YYYY-MM-DD``.
        oracle: Whether it uses the truth: then it is shown apart from the board.
    """

    name: str
    version: str
    authors: tuple[str, ...] = ()
    paper: str = ""
    code: str = ""
    licence: str = ""
    parameters: int | None = None
    training_data: str = ""
    overlap: dict[str, str] = field(default_factory=dict)
    hardware: str = ""
    description: str = ""
    prompts: tuple[str, ...] = ("click",)
    family: str = "other"
    date: str = ""
    oracle: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain JSON values, tuples as lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


TEMPLATE = """\
# A method card: what a leaderboard says of your method. Every key must be there.
# Nothing here is checked by replaying: the board marks these columns as declared.
name: My method                  # as it shows on the board, at most 80 characters
version: "1"
authors: [A. Author, B. Author]
paper: ""                        # https://…, or ""
code: ""                         # https://…, or ""
licence: MIT                     # of code and weights
parameters: 0                    # learned parameters; 0 for a classical method, null if unknown
training_data: ""                # what it was trained on, in words; "" if it was not trained
overlap: {phantoms-v1: none}     # per suite: none, partial, full or unknown
hardware: 2 CPU cores            # what the seconds were measured on
description: One or two sentences.
prompts: [click]                 # what it takes: click, box, scribble, mask, text, everything
family: other                    # promptable, iterative, classical, sanity or other
date: 2026-01-31                 # day of this submission
oracle: false                    # true when it uses the truth: shown apart
"""

_PLACEHOLDERS = {
    "name": "My method",
    "authors": ("A. Author", "B. Author"),
    "description": "One or two sentences.",
}
"""What `TEMPLATE` says of a method that nobody has filled in."""
_LENGTHS = {"name": 80, "version": 40, "licence": 200, "training_data": 1000, "hardware": 200}
_DESCRIPTION = 2000


def read_card(data: bytes, where: str = "method.yaml") -> MethodCard:
    """Return the card that a ``method.yaml`` holds.

    Raises:
        RefusedError: When it is not what `TEMPLATE` shows; one line that names the key.
    """
    content = read_yaml(data, where)
    if isinstance(content.get("date"), calendar_date):
        content["date"] = content["date"].isoformat()
    if isinstance(content.get("version"), (int, float)) and not isinstance(content["version"], bool):
        content["version"] = str(content["version"])
    return card_from(content, where)


def card_from(content: object, where: str) -> MethodCard:
    """Return a card from plain values, every one checked.

    Raises:
        RefusedError: When a key is missing or unknown, or a value is not what it must be.
    """
    values = check_keys(content, where, frozenset(MethodCard.__dataclass_fields__))
    texts = {
        key: check_text(values[key], f"{where}: {key}", most, empty=key not in {"name", "version"})
        for key, most in _LENGTHS.items()
    }
    if "\n" in texts["name"] or "\n" in texts["version"]:
        raise RefusedError(f"{where}: name and version must be one line")
    if slug(texts["name"]) == "":
        raise RefusedError(f"{where}: name needs a letter or a digit")
    return MethodCard(
        **texts,
        authors=tuple(_texts(values["authors"], f"{where}: authors", 100)),
        paper=check_url(values["paper"], f"{where}: paper"),
        code=check_url(values["code"], f"{where}: code"),
        parameters=_parameters(values["parameters"], where),
        overlap=_overlap(values["overlap"], where),
        description=check_text(values["description"], f"{where}: description", _DESCRIPTION),
        prompts=_prompts(values["prompts"], where),
        family=_choice(values["family"], FAMILIES, f"{where}: family"),
        date=_date(values["date"], where),
        oracle=_flag(values["oracle"], f"{where}: oracle"),
    )


def check_filled(card: MethodCard) -> None:
    """Refuse a card that still holds what `TEMPLATE` puts in.

    Raises:
        RefusedError: Naming the keys that are left to fill in.
    """
    left = [key for key in ("name", "description") if getattr(card, key) == _PLACEHOLDERS[key]]
    left += ["authors"] if set(card.authors) & set(_PLACEHOLDERS["authors"]) else []
    if left:
        raise RefusedError(f"method card: {', '.join(left)}: still the template's words; write your own")


def check_overlap(card: MethodCard, suite: str, dataset: str, told: object) -> None:
    """Refuse a card that says ``none`` of a training overlap where the agent itself says otherwise.

    An agent's words say ``none`` if they begin with it, or with ``no``; what it does not mention it says
    nothing of.

    Args:
        card: The card.
        suite: Name of the suite.
        dataset: Name of its data set.
        told: `AgentInfo.overlap` of the runs: words by the name of a data set, or of the suite.

    Raises:
        RefusedError: Quoting the agent; one line with the way out.
    """
    if card.overlap.get(suite) != "none" or not isinstance(told, Mapping):
        return
    for name in (suite, dataset):
        words = str(told.get(name, ""))
        if words.strip() and re.match(r"\s*(no|none)\b", words, re.IGNORECASE) is None:
            raise RefusedError(
                f"method card: overlap: it says none for {suite}, but the agent says of {plain(name, 60)}: "
                f"{plain(words, 120)!r}: say partial, full or unknown"
            )


def card_of_agent(info: AgentInfo, **changes: Any) -> MethodCard:
    """Return the card of one of our own agents, from what its `AgentInfo` says.

    Args:
        info: What the agent is.
        **changes: Values of the card that the info does not know (family, description, date, …).
    """
    address = info.source if info.source.startswith("https://") else ""
    values: dict[str, Any] = {
        "name": info.name,
        "version": info.version,
        "authors": ("The simclick authors",),
        "paper": address,
        "licence": info.licence or "Apache-2.0",
        "parameters": info.parameters,
        "training_data": info.training_data,
        "prompts": tuple(kind for kind in KINDS if kind in info.accepts),
        "description": "" if address else info.source,
        "oracle": info.uses_truth,
    }
    return MethodCard(**{**values, **changes})


def _texts(value: object, where: str, most: int) -> list[str]:
    if not isinstance(value, list) or len(value) > 100:
        raise RefusedError(f"{where}: must be a list of at most 100 texts")
    return [check_text(item, where, most, empty=False) for item in value]


def _choice(value: object, choices: tuple[str, ...], where: str) -> str:
    if not isinstance(value, str) or value not in choices:
        raise RefusedError(f"{where}: must be one of {', '.join(choices)}")
    return value


def _parameters(value: object, where: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**13:
        raise RefusedError(f"{where}: parameters: must be a whole number ≥ 0, or null")
    return value


def _overlap(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > 100:
        raise RefusedError(f"{where}: overlap: must name suites, with one of {', '.join(OVERLAPS)} each")
    return {
        check_text(suite, f"{where}: overlap", 80): _choice(how, OVERLAPS, f"{where}: overlap")
        for suite, how in value.items()
    }


def _prompts(value: object, where: str) -> tuple[str, ...]:
    kinds = [_choice(kind, KINDS, f"{where}: prompts") for kind in _texts(value, f"{where}: prompts", 20)]
    if not kinds or len(set(kinds)) < len(kinds):
        raise RefusedError(f"{where}: prompts: must name each kind once, and at least one")
    return tuple(kind for kind in KINDS if kind in kinds)


def _date(value: object, where: str) -> str:
    text = check_text(value, f"{where}: date", 10)
    try:
        if calendar_date.fromisoformat(text).isoformat() != text:
            raise ValueError
    except ValueError:
        raise RefusedError(f"{where}: date: must be a day, YYYY-MM-DD") from None
    return text


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise RefusedError(f"{where}: must be true or false")
    return value
