"""One accepted folder, checked by itself: its files, its verdict, its rows.

A folder holds no masks, so this proves no number true. `simclick.leaderboard.changed` does what needs the
archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError
from simclick.harness.store import sha256_of
from simclick.leaderboard.accept import ENTRY_FILE
from simclick.leaderboard.checks import CHECKS, READ, REPLAYED
from simclick.leaderboard.entries import MAX_ENTRY_FILE, TIERS, Entry, load_entry
from simclick.leaderboard.fitting import check_fit, check_stories
from simclick.leaderboard.method import slug
from simclick.leaderboard.pictures import check_picture
from simclick.leaderboard.suites import Suite, load_suite, suite_names
from simclick.leaderboard.summary import summarise

__all__ = ["MAX_FOLDER", "check_folder", "entry_paths"]

MAX_FOLDER = 1 << 20
"""Bytes of an accepted folder."""


def check_folder(folder: Path) -> Entry:
    """Check one accepted folder by itself; return it. What it says of masks and prompts stays unproved.

    Raises:
        SimclickError: When it is not what it must be: a line that says why.
    """
    entry = load_entry(folder)
    _check_files(entry)
    suite = _suite(entry)
    _check_verdict(entry)
    _check_rows(entry, suite)
    check_stories(entry)
    return entry


def entry_paths(entry: Entry) -> dict[str, Path]:
    """Return the files of a folder by their names in it.

    Raises:
        ConfigError: When one is a link.
    """
    return {path.relative_to(entry.folder).as_posix(): path for path in _walk(entry.folder)}


def _check_files(entry: Entry) -> None:
    """Refuse files that the verdict does not name, that changed, and folders that are too large."""
    found = entry_paths(entry)
    total = 0
    for name, path in found.items():
        size = path.stat().st_size
        total += size
        if size > MAX_ENTRY_FILE or total > MAX_FOLDER:
            raise ConfigError(f"{entry.folder}: larger than {MAX_FOLDER} bytes")
        if name == "verdict.json":
            continue
        if ENTRY_FILE.fullmatch(name) is None:
            raise ConfigError(f"{path}: not a file of a submission")
        if entry.verdict["files"].get(name) != sha256_of(path):
            raise ConfigError(f"{path}: not the file that the verdict names")
        if name.endswith(".png"):
            check_picture(path.read_bytes(), str(path))
    if missing := sorted(set(entry.verdict["files"]) - set(found)):
        raise ConfigError(f"{entry.folder}: {str(missing[0])[:80]} is missing")
    shown = set()
    for story in entry.worst():
        shown |= {f"worst/{story['picture']}"} if story["picture"] is not None else set()
    if odd := sorted(shown ^ {name for name in found if name.endswith(".png")}):
        raise ConfigError(f"{entry.folder}: {odd[0][:80]}: pictures and worst episodes do not fit")


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ConfigError(f"{path}: links are not followed")
        if path.is_file():
            yield path


def _suite(entry: Entry) -> Suite:
    about: dict[str, Any] = entry.submission["suite"]
    if about["name"] not in suite_names():
        raise ConfigError(f"{entry.folder}: suite {str(about['name'])[:80]!r} is none that simclick ships")
    suite = load_suite(about["name"])
    if about["digest"] != suite.digest or about["version"] != suite.version:
        raise ConfigError(f"{entry.folder}: the digest or version of suite {suite.name} is another")
    for run in entry.submission["runs"]:
        if dict(suite.protocols).get(run["protocol"]) != run["protocol_digest"]:
            raise ConfigError(f"{entry.folder}: protocol {run['protocol']} is not the suite's")
        noise = suite.protocol(run["protocol"]).noise
        if (run["dataset"], run["noise"]) != (suite.dataset, noise):
            raise ConfigError(f"{entry.folder}: {run['protocol']}: its data set or noise is not the suite's")
    if entry.slug != slug(entry.card.name):
        raise ConfigError(f"{entry.folder}: its folder should be called {slug(entry.card.name)!r}")
    return suite


def _check_verdict(entry: Entry) -> None:
    """Refuse a tier that the listed checks do not carry."""
    checks = entry.verdict["checks"]
    if not isinstance(checks, list) or not all(isinstance(check, dict) for check in checks):
        raise ConfigError(f"{entry.folder}: verdict.json: checks must be a list of mappings")
    verdicts = {str(check.get("name")): check.get("verdict") for check in checks}
    if odd := sorted(set(verdicts) - set(CHECKS)):
        raise ConfigError(f"{entry.folder}: verdict.json: no check is called {odd[0][:60]!r}")
    needed = [*READ]
    if TIERS.index(entry.tier) >= 1:
        needed += REPLAYED
    if TIERS.index(entry.tier) >= 2:
        needed.append("reproduced")
    if bad := [name for name in needed if verdicts.get(name) != "pass"]:
        raise ConfigError(f"{entry.folder}: tier {entry.tier}, but the check {bad[0]!r} did not pass")
    if "fail" in verdicts.values():
        raise ConfigError(f"{entry.folder}: a check failed")


def _check_rows(entry: Entry, suite: Suite) -> None:
    """Refuse rows that are not the suite's episodes, or that do not give the claimed numbers."""
    for name, _ in suite.protocols:
        given = suite.protocol(name).make_annotator().kinds
        if name not in entry.protocols and given <= set(entry.card.prompts):
            raise ConfigError(f"{entry.folder}: {name} is missing, and the method takes its prompts")
    if set(entry.submission["summary"]) != set(entry.protocols):
        raise ConfigError(f"{entry.folder}: submission.json: summary is of other protocols than its runs")
    for name in entry.protocols:
        protocol = suite.protocol(name)
        episodes, steps = entry.episodes(name), entry.steps(name)
        must = {(c.case_id, level, repeat) for c in suite.cases for level, repeat in protocol.cells()}
        rows = list(zip(episodes["case_id"], episodes["level"], episodes["repeat"], strict=True))
        if len(rows) != len(must) or set(rows) != must:
            raise ConfigError(f"{entry.folder}: {name}: not the suite's episodes, each once")
        if len(steps) > len(must) * protocol.budget:
            raise ConfigError(f"{entry.folder}: {name}: more steps than the budget of its episodes")
        check_fit(episodes, steps, suite, protocol, entry.folder)
        if summarise(episodes, steps, protocol) != entry.submission["summary"].get(name):
            raise ConfigError(f"{entry.folder}: {name}: the rows do not give the claimed numbers")
