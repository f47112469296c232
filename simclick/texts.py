"""Text for people; what comes from a method, a file or a plug-in is made fit for a terminal and a table."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["listed", "plain", "stray"]

_MARK = "\ufffd"


def plain(text: object, limit: int = 500) -> str:
    """Return a text as one printable line.

    White space becomes single blanks. Any other character that is not printable (control and escape
    characters, marks that turn the writing direction, lone surrogates) becomes U+FFFD, so that nothing steers
    a terminal.

    Args:
        text: What to show; ``str`` is taken of it.
        limit: The most characters; what is longer ends in ``…``.
    """
    # What is cut off is never looked at: a text may be as long as a message.
    head = " ".join(str(text)[: 4 * limit].split())
    shown = "".join(character if character.isprintable() else _MARK for character in head)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def stray(text: str, allowed: str = "") -> str | None:
    """Return the first character of a text that is neither printable nor allowed, as ``U+001B``, or None."""
    found = next((c for c in text if not c.isprintable() and c not in allowed), None)
    return None if found is None else f"U+{ord(found):04X}"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in words: ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
