"""What a submission declares of its method, and how far it was checked, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simclick.leaderboard.boards import Method
from simclick.leaderboard.standings import Standing
from simclick.report.grid import Column, Grid, Row, Value

__all__ = ["TIER_WORDS", "Fact", "card_facts", "checks_grid"]

TIER_WORDS = {
    "self-reported": "Numbers as submitted: nothing was recomputed.",
    "replayed": "Every score was recomputed from the submitted masks, and every prompt is the one that "
    "the annotator gives to them. Masks that were invented to fit would pass, and so would a method that "
    "peeks at public truth.",
    "reproduced": "As replayed, and the method was run again on a random sample of episodes: "
    "its masks agree.",
}
"""What each tier proves, and what it does not."""


@dataclass(frozen=True)
class Fact:
    """One thing that is said of a method.

    Attributes:
        term: What it is about.
        lines: What is said; empty for nothing.
        links: Whether the lines are addresses.
        declared: Whether only the authors vouch for it.
    """

    term: str
    lines: tuple[str, ...]
    links: bool = False
    declared: bool = True


def card_facts(method: Method, standing: Standing) -> list[Fact]:
    """Return what the card and the verdict say."""
    card, entry = method.entry.card, method.entry
    archive: dict[str, Any] = entry.verdict.get("archive") or {}
    sha = f"SHA-256 {archive['sha256']}, {archive['bytes']:,} bytes" if archive.get("sha256") else ""
    digest = str(entry.submission["runs"][0]["agent_digest"])
    verified = f"{entry.verdict['date']}, with simclick {entry.verdict['verified_with']}"
    parameters = "unknown" if card.parameters is None else f"{card.parameters:,}"
    facts = [
        Fact("Version", (card.version,)),
        Fact("Authors", (", ".join(card.authors),)),
        Fact("Paper", (card.paper,), links=True),
        Fact("Code", (card.code,), links=True),
        Fact("Licence", (card.licence,)),
        Fact("Family", (card.family,)),
        Fact("Prompts it takes", (", ".join(card.prompts),)),
        Fact("Parameters", (parameters,)),
        Fact("Trained on", (card.training_data or "nothing was said",)),
        Fact("Training overlap", (card.overlap.get(standing.suite.name, "unknown"),)),
        Fact("Hardware of the seconds", (card.hardware,)),
        Fact("Submitted", (card.date,)),
        Fact("Verified", (verified,), declared=False),
        Fact("Agent", (f"{entry.agent}, digest {digest[:12]}",), declared=False),
        Fact("Archive", (str(archive.get("url") or ""), sha), links=True, declared=False),
    ]  # fmt: skip
    kept = [Fact(f.term, tuple(line for line in f.lines if line), f.links, f.declared) for f in facts]
    return [fact for fact in kept if fact.lines]


def checks_grid(method: Method) -> Grid:
    """Return the checks of the verdict."""
    columns = (Column("verdict", "verdict", "text"), Column("detail", "what was found", "text"))
    rows = []
    for check in method.entry.verdict["checks"]:
        detail = Value(text=str(check.get("detail") or ""))
        rows.append(Row(str(check["name"]), {"verdict": Value(text=str(check["verdict"])), "detail": detail}))
    title = f"What was checked: {method.label} on {method.entry.suite}"
    return Grid(f"{method.slug}-{method.entry.suite}-checks", title, "check", columns, tuple(rows))
