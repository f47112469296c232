"""A method's worst episodes, click by click."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError
from simclick.leaderboard.boards import Method
from simclick.report.grid import Column, Grid, Row, Value
from simclick.report.tables import slug
from simclick.texts import plain

__all__ = ["Strip", "strips"]

_REASON = 300
"""Characters of a reason."""
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Strip:
    """One episode.

    Attributes:
        heading: Case, target, level.
        alt: What its picture shows, in words.
        picture: The picture as a data address, or "".
        grid: Its steps: prompts, cost and Dice, or that there was no answer.
        reason: Why the method failed, in its own words; "" where it did not.
    """

    heading: str
    alt: str
    picture: str
    grid: Grid
    reason: str = ""


def strips(method: Method) -> dict[str, list[Strip]]:
    """Return the worst episodes by protocol.

    Raises:
        ConfigError: When a file is not what it must be, or a picture is missing or no PNG.
    """
    found: dict[str, list[Strip]] = {}
    for film in method.entry.worst():
        mine = found.setdefault(str(film.get("protocol")), [])
        try:
            mine.append(_strip(method, film, len(mine) + 1))
        except (KeyError, TypeError, ValueError) as error:
            where = f"{method.entry.folder}: worst/{film['file']}"
            raise ConfigError(f"{where} is not an episode: {type(error).__name__} {error}") from None
    return found


def _strip(method: Method, film: Mapping[str, Any], number: int) -> Strip:
    noise = f", noise {film['level']:g}, repeat {film['repeat']}" if film["level"] else ""
    end = "failed" if film["status"] == "failed" else f"Dice {film['final_dice']:.3f} at the end"
    heading = f"{film['case_id']}, {film['target']}{noise}: {end}"
    unanswered, reason = _failure(method, film)
    rows = []
    for step in film["steps"]:
        dice = Value(text="no answer") if step["step"] in unanswered else Value(float(step["dice"]))
        cells = {
            "prompts": Value(text="; ".join(_said(prompt) for prompt in step["prompts"])),
            "cost": Value(float(step["cost"])),
            "dice": dice,
        }
        rows.append(Row(str(step["step"]), cells))
    columns = (
        Column("prompts", "prompt", "text"),
        Column("cost", "cost, clicks", "count"),
        Column("dice", "Dice", "dice"),
    )
    name = slug(method.slug, method.entry.suite, str(film["protocol"]), f"worst-{number}").replace("_", "-")
    grid = Grid(
        name, f"Step by step: {film['case_id']} under {film['protocol']}", "step", columns, tuple(rows)
    )
    alt = f"{method.label} on {heading}; the steps are in the table below"
    return Strip(heading, alt, _picture(method.entry.folder, film.get("picture")), grid, reason)


def _failure(method: Method, film: Mapping[str, Any]) -> tuple[set[int], str]:
    """Return the steps that a method left without an answer, and why, from the rows of its entry."""
    if film["status"] != "failed":
        return set(), ""
    protocol, key = str(film["protocol"]), ("case_id", "level", "repeat")
    steps, episodes = (
        table[(table[list(key)] == [film[name] for name in key]).all(axis=1)]
        for table in (method.entry.steps(protocol), method.entry.episodes(protocol))
    )
    said = [plain(error, _REASON) for error in episodes["error"] if isinstance(error, str) and error]
    return set(steps.loc[steps["chosen"] < 0, "step"].astype(int)), said[0] if said else "no reason was given"


def _said(prompt: Mapping[str, Any]) -> str:
    """Return a prompt in words: where it landed, and where it was meant if that differs."""
    sign = "positive" if prompt["positive"] else "negative"
    text = f"{sign} {prompt['kind']}" + (f" at {_at(prompt['landed'])}" if prompt["landed"] else "")
    if list(prompt["meant"]) != list(prompt["landed"]):
        text += f", meant {_at(prompt['meant'])}"
    if prompt.get("meant_positive", prompt["positive"]) != prompt["positive"]:
        text += ", label flipped"
    return text


def _at(place: Any) -> str:
    numbers = ", ".join(str(int(v)) for v in list(place)[:8])
    return f"({numbers}{', …' if len(place) > 8 else ''})"


def _picture(folder: Path, name: object) -> str:
    """Return a picture of the entry as a data address."""
    if name is None:
        return ""
    path = folder / "worst" / str(name)
    if Path(str(name)).name != str(name) or path.is_symlink() or not path.is_file():
        raise ConfigError(f"{folder}: worst/{name} is missing")
    data = path.read_bytes()
    if not data.startswith(_PNG):
        raise ConfigError(f"{path}: not a PNG picture")
    return "data:image/png;base64," + base64.b64encode(data).decode()
