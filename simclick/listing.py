"""What there is: agents, annotators, noises, data sets and protocols, and whether each can run here."""

from __future__ import annotations

import json

from simclick import registry
from simclick.protocol import FROZEN, load_protocol, protocol_names

__all__ = ["listing", "rows"]

KINDS = ("agents", "annotators", "noises", "datasets", "protocols")


def rows(kind: str) -> list[dict[str, str]]:
    """Return one row per thing of a kind: its name, what it is, and what it needs to run here."""
    if kind == "protocols":
        return [_protocol_row(name) for name in protocol_names()]
    things: registry.Registry = getattr(registry, kind)
    return [
        {
            "name": name,
            "summary": entry.summary,
            "ready": "yes" if not entry.missing() else f"no: {entry.install_hint()}",
        }
        for name, entry in things.entries.items()
    ]


def _protocol_row(name: str) -> dict[str, str]:
    protocol = load_protocol(name)
    frozen = "yes" if FROZEN.get(protocol.id) == protocol.digest else "no: not frozen"
    return {"name": protocol.id, "summary": protocol.summary, "ready": frozen}


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
        note = "" if row["ready"] == "yes" else f"  [{row['ready']}]"
        lines.append(f"  {row['name']:<{width}}  {row['summary']}{note}")
    return "\n".join(lines)
