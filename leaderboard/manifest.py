"""What an archive keeps of ``run.json``, and its strict reader: one spelling, every key of its type."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from simclick.agent import AgentInfo
from simclick.baselines import AGENTS
from simclick.leaderboard.limits import (
    MAX_RUN_JSON,
    SHA256,
    RefusedError,
    canonical_json,
    check_canonical,
    check_keys,
    check_text,
    read_json,
)
from simclick.prompts import KINDS
from simclick.protocol import Protocol

__all__ = ["RUN_JSON_KEYS", "agent_info", "check_protocol", "check_run_json"]

RUN_JSON_KEYS = frozenset(
    {
        *("schema", "created", "agent", "agent_spec", "dataset", "protocol", "marks", "seed"),
        *("save_masks", "episodes", "engine", "versions", "git", "hardware"),
    }
)
_AGENT = frozenset(
    {
        *("name", "version", "accepts", "settings", "parameters", "training_data", "licence", "source"),
        *("weights_sha256", "random_weights", "uses_truth", "uses_previous", "digest", "marks"),
    }
)
"""What must be said of an agent."""
_MORE = frozenset({"image_size", "overlap", "citation", "family"})
"""What may be said of an agent besides."""
_OPEN = frozenset({"custom", "process"})
"""Names under which any method runs."""
_MARKS = ("random weights", "uses truth", "oracle selection")
_SCHEMA = 1
_TEXT = 4000
_SHORT = 200
_COMMIT = re.compile(r"[0-9a-f]{7,64}")

Check = Callable[[object, str], object]


def check_run_json(data: bytes, where: str) -> dict[str, Any]:
    """Return the content of an archive's ``run.json``.

    Raises:
        RefusedError: When it is longer than `MAX_RUN_JSON`, not in canonical form, a key is missing or
            unknown, a value is not of its type, or what it says of the agent does not fit together.
    """
    content = check_keys(read_json(data, where, MAX_RUN_JSON), where, RUN_JSON_KEYS)
    check_canonical(content, data, where)
    for key, check in _RUN.items():
        check(content[key], f"{where}: {key}")
    if content["schema"] != _SCHEMA:
        raise RefusedError(f"{where}: schema must be {_SCHEMA}")
    if content["save_masks"] is not True:
        raise RefusedError(f"{where}: the run kept no masks")
    _check_agent(content["agent"], f"{where}: agent")
    _check_spec(content["agent_spec"]["name"], content["agent"]["name"], where)
    return content


def agent_info(content: Mapping[str, Any]) -> AgentInfo:
    """Return the agent that a checked ``run.json`` describes."""
    agent = content["agent"]
    values = {name: agent[name] for name in _AGENT - {"digest", "marks"}}
    return AgentInfo(**{**values, "accepts": frozenset(agent["accepts"])})


def check_protocol(content: Mapping[str, Any], protocol: Protocol, where: str) -> None:
    """Refuse a run of another protocol than the suite's.

    Raises:
        RefusedError: When a key differs; says which. The summary, which no digest covers, may.
    """
    claimed = content["protocol"]
    expected = {**asdict(protocol), "digest": protocol.digest}
    for key in sorted({*expected, *claimed}):
        if key != "summary" and (
            key not in claimed or key not in expected or _other(claimed[key], expected[key])
        ):
            raise RefusedError(f"{where}: protocol: {key[:80]} is not that of {protocol.id}")
    check_text(claimed.get("summary"), f"{where}: protocol: summary", _TEXT)


def _other(claim: object, must: object) -> bool:
    """Return whether two values differ as JSON, where 1, 1.0 and true are three things."""
    return canonical_json(claim) != canonical_json(must)


def _check_agent(agent: dict[str, Any], where: str) -> None:
    if missing := sorted(_AGENT - set(agent)):
        raise RefusedError(f"{where}: {missing[0]!r} is missing")
    check_keys({**dict.fromkeys(_MORE), **agent}, where, _AGENT | _MORE)
    for key, value in agent.items():
        _OF_AGENT[key](value, f"{where}: {key}")
    if agent["accepts"] != sorted(set(agent["accepts"])) or not set(agent["accepts"]) <= set(KINDS):
        raise RefusedError(f"{where}: accepts must name kinds of prompt, sorted, each once")
    content = [agent[key] for key in ("name", "version", "settings", "weights_sha256", "random_weights")]
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    if hashlib.sha256(text.encode()).hexdigest() != agent["digest"]:
        raise RefusedError(f"{where}: the digest is not that of name, version, settings and weights")


def _check_spec(spec: str, name: str, where: str) -> None:
    """Refuse a stranger under the name of one of our agents, and one of ours under another name."""
    ours = set(AGENTS) - _OPEN
    if spec != name and (spec in ours or name in ours):
        raise RefusedError(f"{where}: agent {name[:80]!r} was run as {spec[:80]!r}: that is another agent")


def _a_text(most: int, *, empty: bool = True) -> Check:
    return lambda value, where: check_text(value, where, most, empty=empty)


def _a_flag(value: object, where: str) -> None:
    if not isinstance(value, bool):
        raise RefusedError(f"{where}: must be true or false")


def _a_number(value: object, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise RefusedError(f"{where}: must be a whole number ≥ 0")


def _a_match(pattern: re.Pattern[str], words: str) -> Check:
    def check(value: object, where: str) -> None:
        if not isinstance(value, str) or pattern.fullmatch(value) is None:
            raise RefusedError(f"{where}: must be {words}")

    return check


def _or_null(check: Check) -> Check:
    return lambda value, where: None if value is None else check(value, where)


def _a_list(check: Check, most: int) -> Check:
    def each(value: object, where: str) -> None:
        if not isinstance(value, list) or len(value) > most:
            raise RefusedError(f"{where}: must be a list of at most {most}")
        for item in value:
            check(item, where)

    return each


def _a_mapping(check: Check, most: int = 500) -> Check:
    def each(value: object, where: str) -> None:
        if not isinstance(value, dict) or len(value) > most:
            raise RefusedError(f"{where}: must be a mapping of at most {most} keys")
        for key, inner in value.items():
            check(inner, f"{where}: {check_text(key, where, _SHORT)}")

    return each


def _an_object(**checks: Check) -> Check:
    def each(value: object, where: str) -> None:
        found = check_keys(value, where, frozenset(checks))
        for key, check in checks.items():
            check(found[key], f"{where}: {key}")

    return each


def _plain(value: object, where: str) -> None:
    """Take any plain value whose texts, lists and mappings are of bounded size."""
    if isinstance(value, dict):
        _a_mapping(_plain)(value, where)
    elif isinstance(value, list):
        _a_list(_plain, 10_000)(value, where)
    elif isinstance(value, str):
        check_text(value, where, _TEXT)


def _a_time(value: object, where: str) -> None:
    _TIME_TEXT(value, where)
    try:
        datetime.fromisoformat(str(value))
    except ValueError as error:
        raise RefusedError(f"{where}: {error}") from None


def _a_mark(value: object, where: str) -> None:
    if value not in _MARKS:
        raise RefusedError(f"{where}: must be one of {', '.join(_MARKS)}")


_NAME = _a_text(_SHORT, empty=False)
_TIME_TEXT = _a_match(
    re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", re.ASCII), "a time, YYYY-MM-DDThh:mm:ss+00:00"
)
_OF_AGENT: dict[str, Check] = {
    **dict.fromkeys(("name", "version"), _NAME),
    **dict.fromkeys(("training_data", "licence", "source", "family"), _a_text(_TEXT)),
    "citation": _a_text(20 * _TEXT),
    "accepts": _a_list(_a_text(20), len(KINDS)),
    "settings": _a_mapping(_plain),
    "overlap": _a_mapping(_a_text(_TEXT)),
    **dict.fromkeys(("parameters", "image_size"), _or_null(_a_number)),
    **dict.fromkeys(("random_weights", "uses_truth", "uses_previous"), _a_flag),
    "digest": _a_match(SHA256, "a SHA-256"),
    "weights_sha256": _or_null(_a_match(SHA256, "a SHA-256")),
    "marks": _a_list(_a_mark, len(_MARKS)),
}
_RUN: dict[str, Check] = {
    **dict.fromkeys(("schema", "seed", "episodes"), _a_number),
    "created": _a_time,
    "agent": _a_mapping(_plain, 64),
    "agent_spec": _an_object(name=_NAME, options=_a_mapping(_plain)),
    "dataset": _an_object(name=_NAME, version=_a_text(_SHORT)),
    "protocol": _a_mapping(_plain, 64),
    "marks": _a_list(_a_mark, len(_MARKS)),
    "save_masks": _a_flag,
    "engine": _a_mapping(_plain, 64),
    "versions": _a_mapping(_a_text(_SHORT)),
    "git": _or_null(_an_object(commit=_or_null(_a_match(_COMMIT, "a commit")), dirty=_a_flag)),
    "hardware": _an_object(
        system=_a_text(_TEXT),
        processor=_a_text(_TEXT),
        cores=_or_null(_a_number),
        gpu=_or_null(_a_text(_TEXT)),
    ),
}
