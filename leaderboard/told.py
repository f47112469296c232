"""What the JSON files of an accepted folder must be, so that whoever reads on meets no surprise.

Nothing here proves a word true. It settles the type of everything that ranking and pages use, and that each
text can be shown.
"""

from __future__ import annotations

import re
from typing import Any

from simclick.leaderboard.limits import SHA256, RefusedError, check_keys, check_text, read_json
from simclick.leaderboard.possible import fits_kind
from simclick.prompts import KINDS

__all__ = ["NAME", "check_story", "check_submission"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
"""A name of a suite, submission or protocol."""

_FORMAT = 1
_MARKS = ("uses truth", "oracle selection")
"""Marks of a run that an archive can have, in its order; random weights are no method."""
_TEXT = 4000
_SHORT = 200
_RUNS = 64
_STORY = frozenset(
    {
        *("protocol", "case_id", "level", "repeat", "target", "group", "status", "final_dice"),
        *("steps", "picture"),
    }
)
_STEP = frozenset({"step", "cost", "dice", "prompts"})
_PROMPT = frozenset({"kind", "positive", "landed", "meant"})
_PICTURE = re.compile(r"[a-z0-9-]+\.png")


def check_submission(content: dict[str, Any]) -> None:
    """Refuse a ``submission.json`` that could not be read on; its keys are those that it must have.

    Raises:
        RefusedError: On another format; a suite, run, summary or declaration of another type; a run that is
            there twice; runs of several agents; texts that cannot be shown.
    """
    where = "submission.json"
    if not _is_whole(content["format"]) or content["format"] != _FORMAT:
        raise RefusedError(f"{where}: format must be {_FORMAT}")
    suite = check_keys(content["suite"], f"{where}: suite", frozenset({"name", "version", "digest"}))
    check_text(suite["name"], f"{where}: suite: name", _SHORT, empty=False)
    _check_sha256(suite["digest"], f"{where}: suite: digest")
    if not _is_whole(suite["version"]):
        raise RefusedError(f"{where}: suite: version must be a whole number")
    for key in ("files", "summary", "declared"):
        if not isinstance(content[key], dict):
            raise RefusedError(f"{where}: {key} must be a mapping, not a {type(content[key]).__name__}")
        _check_shown(content[key], f"{where}: {key}")
    _check_runs(content["runs"], f"{where}: runs")


def _check_runs(runs: object, where: str) -> None:
    if not isinstance(runs, list) or not 0 < len(runs) <= _RUNS:
        raise RefusedError(f"{where}: must be a list of 1 to {_RUNS}")
    for run in runs:
        if not isinstance(run, dict):
            raise RefusedError(f"{where}: must be mappings")
        for key in ("protocol", "dataset", "agent", "noise"):
            check_text(run.get(key), f"{where}: {key}", _SHORT, empty=False)
        if NAME.fullmatch(run["protocol"]) is None:
            raise RefusedError(f"{where}: protocol {run['protocol'][:80]!r} is no name")
        for key in ("agent_digest", "protocol_digest"):
            _check_sha256(run.get(key), f"{where}: {key}")
        if not isinstance(run.get("marks"), list):
            raise RefusedError(f"{where}: marks must be a list")
        for mark in run["marks"]:
            check_text(mark, f"{where}: marks", _SHORT, empty=False)
        if run["marks"] != [mark for mark in _MARKS if mark in run["marks"]]:
            raise RefusedError(f"{where}: marks may be {' and '.join(_MARKS)}, in this order")
        _check_shown(run, where)
    names = [run["protocol"] for run in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RefusedError(f"{where}: {twice} is there twice")
    if len({(run["agent"], run["agent_digest"]) for run in runs}) > 1:
        raise RefusedError(f"{where}: they are of different agents")


def check_story(data: bytes, where: str) -> dict[str, Any]:
    """Return the content of a file ``worst/NAME.json``.

    Raises:
        RefusedError: When a key is missing or unknown, a value is not of its type, or a text cannot be shown.
    """
    story = check_keys(read_json(data, where), where, _STORY)
    for key in ("protocol", "case_id", "target", "group", "status"):
        check_text(story[key], f"{where}: {key}", 600)
    for key in ("level", "final_dice"):
        _check_number(story[key], f"{where}: {key}")
    picture = story["picture"]
    if picture is not None and (not isinstance(picture, str) or _PICTURE.fullmatch(picture) is None):
        raise RefusedError(f"{where}: picture must be the name of a PNG, or null")
    _check_whole(story["repeat"], f"{where}: repeat")
    for step in _a_list(story["steps"], f"{where}: steps"):
        check_keys(step, f"{where}: steps", _STEP)
        _check_whole(step["step"], f"{where}: step")
        _check_whole(step["cost"], f"{where}: cost")
        _check_number(step["dice"], f"{where}: dice")
        for prompt in _a_list(step["prompts"], f"{where}: prompts"):
            _check_prompt(prompt, f"{where}: prompts")
    return story


def _check_prompt(prompt: object, where: str) -> None:
    about = check_keys(prompt, where, _PROMPT)
    if not isinstance(about["kind"], str) or about["kind"] not in KINDS:
        raise RefusedError(f"{where}: kind must be one of {', '.join(KINDS)}")
    if not isinstance(about["positive"], bool):
        raise RefusedError(f"{where}: positive must be true or false")
    for key in ("landed", "meant"):
        places = _a_list(about[key], f"{where}: {key}")
        if not fits_kind(about["kind"], len(places)):
            raise RefusedError(f"{where}: {key}: {len(places)} coordinates are no {about['kind']}")
        for place in places:
            _check_whole(place, f"{where}: {key}")


def _check_shown(value: object, where: str) -> None:
    """Refuse texts, anywhere in a plain value, that cannot be shown."""
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_shown(inner, f"{where}: {check_text(key, where, _SHORT)}")
    elif isinstance(value, list):
        for inner in value:
            _check_shown(inner, where)
    elif isinstance(value, str):
        check_text(value, where, _TEXT)


def _check_sha256(value: object, where: str) -> None:
    if not isinstance(value, str) or SHA256.fullmatch(value) is None:
        raise RefusedError(f"{where}: must be a SHA-256")


def _check_whole(value: object, where: str) -> None:
    if not _is_whole(value) or not -(1 << 31) <= int(str(value)) < 1 << 31:
        raise RefusedError(f"{where}: must be whole numbers of 32 bits")


def _check_number(value: object, where: str) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise RefusedError(f"{where}: must be a number")


def _a_list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise RefusedError(f"{where}: must be a list, not a {type(value).__name__}")
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
