"""What an archive keeps of ``run.json``, and its strict reader."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from simclick.agent import AgentInfo
from simclick.leaderboard.limits import RefusedError, check_keys, check_text, read_json
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
"""What must be known of an agent; a version of simclick may say more."""
_TEXT = 4000


def check_run_json(data: bytes, where: str) -> dict[str, Any]:
    """Return the content of an archive's ``run.json``.

    Raises:
        RefusedError: When a key is missing or unknown, or a value may not be there.
    """
    content = check_keys(read_json(data, where), where, RUN_JSON_KEYS)
    _check_plain(content, where)
    agent = content["agent"]
    if not isinstance(agent, dict) or not set(agent) >= _AGENT:
        raise RefusedError(f"{where}: agent: must say {', '.join(sorted(_AGENT))}")
    for key in ("name", "version", "training_data", "licence", "source", "digest"):
        check_text(agent[key], f"{where}: agent: {key}", _TEXT)
    if not isinstance(agent["settings"], dict) or not isinstance(agent["accepts"], list):
        raise RefusedError(f"{where}: agent: settings and accepts are not what they must be")
    content_of = [agent["name"], agent["version"], agent["settings"], agent["weights_sha256"]]
    text = json.dumps([*content_of, agent["random_weights"]], sort_keys=True, ensure_ascii=True)
    if hashlib.sha256(text.encode()).hexdigest() != agent["digest"]:
        raise RefusedError(f"{where}: agent: the digest is not that of name, version, settings and weights")
    if content["save_masks"] is not True:
        raise RefusedError(f"{where}: the run kept no masks")
    return content


def agent_info(content: Mapping[str, Any]) -> AgentInfo:
    """Return the agent that a checked ``run.json`` describes."""
    agent = content["agent"]
    values = {name: agent[name] for name in _AGENT - {"digest", "marks"}}
    return AgentInfo(**{**values, "accepts": frozenset(agent["accepts"])})


def check_protocol(content: Mapping[str, Any], protocol: Protocol, where: str) -> None:
    """Refuse a run of another protocol than the suite's.

    Raises:
        RefusedError: When a key differs; says which.
    """
    claimed = content["protocol"]
    if not isinstance(claimed, dict):
        raise RefusedError(f"{where}: protocol must be a mapping")
    expected = json.loads(json.dumps({**asdict(protocol), "digest": protocol.digest}))
    for key in sorted({*expected, *claimed}):
        if key != "summary" and claimed.get(key) != expected.get(key):
            raise RefusedError(f"{where}: protocol: {key} is not that of {protocol.id}")


def _check_plain(value: object, where: str) -> None:
    """Refuse values that are not plain, long texts, and numbers that are not finite."""
    if isinstance(value, dict):
        if len(value) > 500:
            raise RefusedError(f"{where}: {len(value)} keys")
        for key, inner in value.items():
            _check_plain(inner, f"{where}: {check_text(key, where, 200)}")
    elif isinstance(value, list):
        if len(value) > 10_000:
            raise RefusedError(f"{where}: {len(value)} items")
        for inner in value:
            _check_plain(inner, where)
    elif isinstance(value, str):
        check_text(value, where, _TEXT)
    elif isinstance(value, float) and not math.isfinite(value):
        raise RefusedError(f"{where}: not a finite number")
