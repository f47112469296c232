"""What there is: agents, annotators, noises, data sets and protocols, and whether each can run here."""

from __future__ import annotations

import json
from collections.abc import Sequence

from simclick import registry
from simclick.errors import ConfigError
from simclick.prompts import KINDS as KINDS_OF_PROMPT
from simclick.protocol import FROZEN, load_protocol
from simclick.texts import plain

__all__ = ["listing", "notes", "rows"]

WHY = "its code needs an environment of its own: agent=process, see docs/agents-out-of-process.md"
KINDS = ("agents", "annotators", "noises", "datasets", "protocols")


def rows(kind: str) -> list[dict[str, str]]:
    """Return one row per thing of a kind: its name, what it is, and what it needs to run here."""
    if kind == "protocols":
        return [_protocol_row(name, entry) for name, entry in registry.protocols.entries.items()]
    if kind == "agents":
        return [_agent_row(name, entry) for name, entry in registry.agents.entries.items()] + _recipes()
    things: registry.Registry = getattr(registry, kind)
    return [
        {
            "name": name,
            "summary": entry.summary,
            "ready": "yes" if (obstacle := entry.obstacle()) is None else f"no: {obstacle}",
        }
        for name, entry in things.entries.items()
    ]


def notes(kind: str | None) -> list[str]:
    """Return what is wrong with the plug-ins of a kind, or of all, one line each."""
    kinds = KINDS if kind is None else (kind,)
    return [plain(note) for name in kinds for note in getattr(registry, name).notes]


def _agent_row(name: str, entry: registry.Entry) -> dict[str, str]:
    """Return an agent's row: a missing package counts before a missing checkpoint."""
    from simclick.weights import missing_reason

    why = entry.obstacle()
    if why is None and entry.checkpoint is not None:
        why = missing_reason(entry.checkpoint)
    return {
        "name": name,
        "summary": entry.summary,
        "accepts": _takes(entry.accepts),
        "ready": "yes" if why is None else f"no: {why}",
    }


def _takes(kinds: Sequence[str]) -> str:
    """Return kinds of prompt in words."""
    if not kinds:
        return "as it says itself"
    return "all prompts" if set(kinds) == set(KINDS_OF_PROMPT) else ", ".join(kinds)


def _recipes() -> list[dict[str, str]]:
    """Return rows of methods that run in an environment of their own."""
    from simclick.baselines import RECIPES

    return [
        {"name": name, "summary": recipe.summary, "accepts": _takes(recipe.accepts), "ready": f"no: {WHY}"}
        for name, recipe in RECIPES.items()
    ]


def _protocol_row(name: str, entry: registry.Entry) -> dict[str, str]:
    try:
        protocol = load_protocol(name)
        ready = "yes"
        if entry.plugin is None and FROZEN.get(protocol.id) != protocol.digest:
            ready = "no: not frozen"
        summary = protocol.summary if entry.plugin is None else f"{protocol.summary} ({entry.summary})"
        return {"name": protocol.id, "summary": summary.strip(), "ready": ready}
    except ConfigError as error:
        if entry.plugin is None:
            raise
        return {"name": name, "summary": entry.summary, "ready": f"no: {error}"}


def listing(kind: str | None, *, as_json: bool = False) -> str:
    """Return the list of one kind, or of all, as text or JSON."""
    kinds = KINDS if kind is None else (kind,)
    tables = {name: rows(name) for name in kinds}
    if as_json:
        return json.dumps(tables if kind is None else tables[kind], indent=2)
    return "\n\n".join(_text(name, table) for name, table in tables.items())


def _text(kind: str, table: list[dict[str, str]]) -> str:
    width = max((len(row["name"]) for row in table), default=0)
    lines = [f"{kind}:"]
    for row in table:
        note = "" if row["ready"] == "yes" else f"  [{plain(row['ready'])}]"
        takes = f"  ({row['accepts']})" if "accepts" in row else ""
        lines.append(f"  {plain(row['name']):<{width}}  {plain(row['summary'])}{takes}{note}")
    return "\n".join(lines)
