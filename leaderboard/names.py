"""Names of methods: as part of a path, and which of them stand for simclick's own agents alone."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from simclick.baselines import AGENTS
from simclick.leaderboard.limits import RefusedError

__all__ = ["OPEN", "check_name", "shipped_name", "slug"]

OPEN = frozenset({"custom", "process"})
"""Registered names under which any method runs: they stand for nobody."""
_LENGTH = 60
_HASH = 8
_EAST_ASIAN = frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO", "LATIN"})
"""Scripts that are written together in one word, Latin among them; none looks like Latin."""
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
"""Letters and symbols of no width or no ink."""
_ALIKE = str.maketrans(
    "аеорсхуіѕԁһјԝԛкмтнвгьαορνικτυωεχγıɩɡɑℓᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ",
    "aeopcxyisdhjwqkmthbrbaopviktuwexyiigalabcdefghijklmnoprstuvwyz",
)
"""Small letters of other scripts, and small capitals, that look like Latin small letters."""
_OTHERS = frozenset({"medsam2"})
"""Published methods that are no version of an agent of ours, though their names say so."""
_VERSION = re.compile(r"(v|version)?(\d*|i{1,3}|iv|vi{0,3}|ix)")
"""A number, also a Roman one below ten."""


def slug(name: str) -> str:
    """Return a name as part of a path: lower-case letters a–z, digits and single dashes.

    Where that loses letters (of other scripts, with accents, or beyond 60 characters) the first eight digits
    of the name's SHA-256 (UTF-8, NFC) stand at the end, so that two names do not become one. Empty for
    a name without any letter or digit.
    """
    whole = unicodedata.normalize("NFC", name)
    short = re.sub(r"[^a-z0-9]+", "-", whole.lower()).strip("-")
    lost = any(c.isalnum() and not c.isascii() for c in whole) or len(short) > _LENGTH
    if not lost:
        return short
    head = short[: _LENGTH - _HASH - 1].strip("-")
    return "-".join(part for part in (head, hashlib.sha256(whole.encode()).hexdigest()[:_HASH]) if part)


def shipped_name(name: str) -> str | None:
    """Return the agent of simclick's own that a name would be taken for, or None.

    Compared are letters and digits: after NFKC, in small letters, without accents, spaces and marks, letters
    that look like Latin ones as these; signs such as ™ count as their letters, and as none; a version at the
    end, set off from the rest, is left out. So ``Disc``, ``disc™``, ``graph-cut II`` and ``Graph Cut (v3)``
    are taken for ours, ``MedSAM-2`` and ``disc net`` not. So is a name whose `slug` is that of ours.
    """
    shipped = [agent for agent in sorted(AGENTS) if agent not in OPEN]
    if "".join(_words(name)) in _OTHERS:
        return None
    ours = {re.sub(r"[^a-z0-9]", "", agent): agent for agent in shipped}
    for text in (name, "".join(c if c.isalnum() else " " for c in name)):
        words = _words(text)
        for end in range(len(words), 0, -1):
            if all(_VERSION.fullmatch(word) for word in words[end:]) and (
                agent := ours.get("".join(words[:end]))
            ):
                return agent
    return next((agent for agent in shipped if slug(agent) == slug(name)), None)


def _words(text: str) -> list[str]:
    """Return the words of a name as `shipped_name` compares them; numbers that are one sign stand apart."""
    apart = "".join(f" {c} " if unicodedata.category(c) in ("Nl", "No") else c for c in text)
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", apart).casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c)).translate(_ALIKE)
    return re.findall(r"[^\W_]+", plain)


def check_name(name: str, agent: str, where: str = "method card: name") -> None:
    """Refuse a method's name that would be taken for another's.

    Args:
        name: The name on the card, or that of the agent itself.
        agent: Name of the agent in the runs.
        where: What to call it in an error.

    Raises:
        RefusedError: When it is that of an agent of simclick's own and the agent is another, or mixes
            scripts within a word (Latin and East Asian ones may stand together); one line with the way out.
    """
    if any(character in _BLANK for character in name):
        raise RefusedError(f"{where}: it holds a letter that cannot be seen")
    for word in re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name)):
        scripts = {unicodedata.name(c, "?").split()[0] for c in word if c.isalpha()}
        if len(scripts) > 1 and not scripts <= _EAST_ASIAN:
            mixed = " and ".join(sorted(script.capitalize() for script in scripts))
            raise RefusedError(f"{where}: {word!r} mixes {mixed} letters in a word: write it in one script")
    ours = shipped_name(name)
    if ours is not None and ours != agent:
        raise RefusedError(
            f"{where}: {name!r} would be taken for simclick's own agent {ours!r}, and the runs are of "
            f"{agent[:80]!r}: choose another name"
        )
