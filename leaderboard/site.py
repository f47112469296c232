"""The static site: built from accepted submissions, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from simclick.errors import ConfigError
from simclick.leaderboard.boards import SuiteFacts
from simclick.leaderboard.downloads import Files
from simclick.leaderboard.entries import Entry
from simclick.leaderboard.folders import check_folders
from simclick.leaderboard.pages import add_pages
from simclick.leaderboard.standings import compute_standings, facts_of
from simclick.leaderboard.suites import Suite, load_suite

__all__ = ["SiteResult", "build_site", "write_site"]


@dataclass(frozen=True)
class SiteResult:
    """What was built.

    Attributes:
        index: Its first page.
        entries: Number of submissions.
        boards: Number of boards over all cases.
        files: All files, relative to the site's folder.
        notes: What a reader of the site would miss: suites and protocols that feed no board, a line each.
    """

    index: Path
    entries: int
    boards: int
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()


def build_site(
    submissions: Path,
    out: Path,
    suite_files: Sequence[Path] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> SiteResult:
    """Build the site of a folder of accepted submissions, each checked by itself first.

    Args:
        submissions: It holds ``SUITE/SLUG/`` folders.
        out: The site's folder: new, empty, or holding a site, whose files are replaced.
        suite_files: Suites that simclick does not ship.
        progress: Called with each board's name before it is computed.

    Raises:
        ConfigError: When a submission or suite is bad, or `out` holds something else.
        StoreError: When the site cannot be written.
    """
    own = {suite.name: suite for suite in (load_suite(str(path)) for path in suite_files)}
    progress("checking the submissions")
    entries = check_folders(submissions, own)
    names = sorted({entry.suite for entry in entries})
    suites = {name: own[name] if name in own else load_suite(name) for name in names}
    facts = {name: facts_of(suite) for name, suite in suites.items()}
    result = write_site(entries, facts, out, progress)
    return replace(result, notes=tuple(note for suite in suites.values() for note in _boardless(suite)))


def _boardless(suite: Suite) -> list[str]:
    """Say which protocols of a suite feed no board."""
    if not suite.roles:
        return [f"suite {suite.name}: no role, no board (freeze its next version with roles)"]
    return [f"suite {suite.name}: protocol {name} has no role, no board" for name in suite.idle]


def write_site(
    entries: Sequence[Entry],
    suites: Mapping[str, SuiteFacts],
    out: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> SiteResult:
    """Write the site of some entries that were checked; arguments and errors as of `build_site`."""
    if out.is_dir() and (out / "run.json").exists():
        raise ConfigError(f"--out {out} is a run directory: choose another folder")
    standings = compute_standings(entries, suites, progress)
    files = Files()
    progress("pages")
    add_pages(files, standings)
    written = files.write(out)
    boards = sum(len(standing.boards) for standing in standings)
    return SiteResult(out / "index.html", len(entries), boards, tuple(written))
