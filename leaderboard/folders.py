"""One accepted folder, checked by itself: its files, its verdict, its rows.

A folder holds no masks, so this proves no number true. `simclick.leaderboard.changed` does what needs the
archive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from simclick.errors import ConfigError, SimclickError
from simclick.harness.store import sha256_of
from simclick.leaderboard.checks import CHECKS, READ, REPLAYED
from simclick.leaderboard.entries import TIERS, Entry, entry_folders, load_entry
from simclick.leaderboard.fitting import check_fit, check_stories
from simclick.leaderboard.inventory import list_files
from simclick.leaderboard.method import slug
from simclick.leaderboard.pictures import check_picture
from simclick.leaderboard.suites import Suite, load_suite, suite_names
from simclick.leaderboard.summary import summarise
from simclick.protocol import Protocol

__all__ = ["check_folder", "check_folders"]

Tables = Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]
"""Episodes and steps, by protocol."""


def check_folders(submissions: Path, suites: Mapping[str, Suite] | None = None) -> list[Entry]:
    """Check every accepted folder below a folder by itself; return them, sorted by suite and slug.

    Args:
        submissions: It holds ``SUITE/SLUG/`` folders; names that begin with a dot are passed over.
        suites: Suites by their names, before those that simclick ships.

    Raises:
        ConfigError: When the folder is missing, or one submission is bad: one line that names it.
    """
    known = dict(suites or {})
    found = []
    for folder in entry_folders(submissions):
        name = folder.parent.name
        if name not in known and name in suite_names():
            known[name] = load_suite(name)
        found.append(check_folder(folder, known))
    return found


def check_folder(folder: Path, suites: Mapping[str, Suite] | None = None) -> Entry:
    """Check one accepted folder by itself; return it. What it says of masks and prompts stays unproved.

    Its files are counted and measured before any is opened, and held against the verdict before any table
    is read.

    Args:
        folder: ``SUITE/SLUG/``.
        suites: Suites by their names, before those that simclick ships.

    Raises:
        ConfigError: When it is not what it must be: a line that names it and says why.
    """
    try:
        paths = list_files(folder)
        entry = load_entry(folder)
        stories = _check_files(entry, paths)
        suite = _suite(entry, suites or {})
        protocols = {name: suite.protocol(name) for name, _ in suite.protocols}
        _check_runs(entry, suite, protocols)
        _check_verdict(entry)
        tables = _check_rows(entry, suite, protocols)
        check_stories(entry, stories, tables, protocols)
    except ConfigError:  # names the folder already
        raise
    except SimclickError as error:
        raise ConfigError(f"{folder}: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # What no check foresaw: a stranger's folder still is refused in a line.
        raise ConfigError(f"{folder}: it cannot be read: {type(error).__name__}: {error}") from error
    return entry


def _check_files(entry: Entry, found: Mapping[str, Path]) -> Sequence[Mapping[str, Any]]:
    """Refuse files that the verdict does not name, and that changed; return the worst episodes' stories."""
    for name, path in found.items():
        if name == "verdict.json":
            continue
        if entry.verdict["files"].get(name) != sha256_of(path):
            raise ConfigError(f"{path}: not the file that the verdict names")
        if name.endswith(".png"):
            check_picture(path.read_bytes(), str(path))
    if missing := sorted(set(entry.verdict["files"]) - set(found)):
        raise ConfigError(f"{entry.folder}: {str(missing[0])[:80]} is missing")
    stories = entry.worst()
    shown = {f"worst/{story['picture']}" for story in stories if story["picture"] is not None}
    if odd := sorted(shown ^ {name for name in found if name.endswith(".png")}):
        raise ConfigError(f"{entry.folder}: {odd[0][:80]}: pictures and worst episodes do not fit")
    return stories


def _suite(entry: Entry, suites: Mapping[str, Suite]) -> Suite:
    about: dict[str, Any] = entry.submission["suite"]
    if about["name"] not in suites and about["name"] not in suite_names():
        raise ConfigError(f"{entry.folder}: suite {str(about['name'])[:80]!r} is none that simclick ships")
    suite = suites[about["name"]] if about["name"] in suites else load_suite(about["name"])
    if about["digest"] != suite.digest or about["version"] != suite.version:
        raise ConfigError(f"{entry.folder}: the digest or version of suite {suite.name} is another")
    if entry.slug != slug(entry.card.name):
        raise ConfigError(f"{entry.folder}: its folder should be called {slug(entry.card.name)!r}")
    return suite


def _check_runs(entry: Entry, suite: Suite, protocols: Mapping[str, Protocol]) -> None:
    """Refuse runs of other protocols, data or noise than the suite's, and marks that no archive has."""
    for run in entry.submission["runs"]:
        if dict(suite.protocols).get(run["protocol"]) != run["protocol_digest"]:
            raise ConfigError(f"{entry.folder}: protocol {run['protocol']} is not the suite's")
        protocol = protocols[run["protocol"]]
        if (run["dataset"], run["noise"]) != (suite.dataset, protocol.noise):
            raise ConfigError(f"{entry.folder}: {run['protocol']}: its data set or noise is not the suite's")
        if ("oracle selection" in run["marks"]) != (protocol.select == "oracle"):
            raise ConfigError(f"{entry.folder}: {run['protocol']}: its marks are not those of the protocol")
    runs = entry.submission["runs"]
    if len({"uses truth" in run["marks"] for run in runs}) > 1:
        raise ConfigError(f"{entry.folder}: submission.json: marks of one agent, and other ones")
    marked = [run["marks"] for run in runs if run["marks"]]
    if marked and not entry.card.oracle:
        raise ConfigError(f"{entry.folder}: a run is marked {marked[0]}, the card says no oracle")


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


def _check_rows(entry: Entry, suite: Suite, protocols: Mapping[str, Protocol]) -> Tables:
    """Refuse rows that are not the suite's episodes, or that do not give the claimed numbers; return them."""
    tables = {}
    for name, protocol in protocols.items():
        given = protocol.make_annotator().kinds
        if name not in entry.protocols and given <= set(entry.card.prompts):
            raise ConfigError(f"{entry.folder}: {name} is missing, and the method takes its prompts")
    if set(entry.submission["summary"]) != set(entry.protocols):
        raise ConfigError(f"{entry.folder}: submission.json: summary is of other protocols than its runs")
    for name in entry.protocols:
        protocol = protocols[name]
        episodes, steps = entry.episodes(name), entry.steps(name)
        must = {(c.case_id, level, repeat) for c in suite.cases for level, repeat in protocol.cells()}
        rows = list(zip(episodes["case_id"], episodes["level"], episodes["repeat"], strict=True))
        if len(rows) != len(must) or set(rows) != must:
            raise ConfigError(f"{entry.folder}: {name}: not the suite's episodes, each once")
        if len(steps) > len(must) * protocol.budget:
            raise ConfigError(f"{entry.folder}: {name}: more steps than the budget of its episodes")
        check_fit(episodes, steps, suite, protocol, entry.folder)
        tables[name] = episodes, steps
        if summarise(episodes, steps, protocol) != entry.submission["summary"].get(name):
            raise ConfigError(f"{entry.folder}: {name}: the rows do not give the claimed numbers")
    return tables
