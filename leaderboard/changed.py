"""Checking accepted folders that a change touches: what a pull request runs.

A folder holds no masks, so without its archive this proves less than `verify`: that the folder is
whole, that its rows give the numbers it claims, and that verdict, suite and protocols fit. With the
archive at hand (by its SHA-256) the submission is verified anew and the folder compared with it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError, SimclickError
from simclick.harness.store import sha256_of
from simclick.leaderboard.accept import ENTRY_FILE
from simclick.leaderboard.checks import READ, REPLAYED
from simclick.leaderboard.entries import MAX_ENTRY_FILE, TIERS, Entry, load_entry
from simclick.leaderboard.limits import canonical_json, check_keys
from simclick.leaderboard.method import slug
from simclick.leaderboard.suites import Suite, load_suite, suite_names
from simclick.leaderboard.summary import summarise

__all__ = ["MAX_FOLDER", "Outcome", "changed_folders", "check_changed", "check_folder"]

MAX_FOLDER = 1 << 20
"""Bytes of an accepted folder."""
_KEPT = ("README.md", ".gitkeep")
_PNG = b"\x89PNG\r\n\x1a\n"
_WORST_KEYS = frozenset(
    {
        *("protocol", "case_id", "level", "repeat", "target", "group", "status", "final_dice"),
        *("steps", "picture"),
    }
)


@dataclass(frozen=True)
class Outcome:
    """What was found of one folder: whether it passed, and a line."""

    folder: Path
    passed: bool
    detail: str


def check_changed(submissions: Path, base: str, archives: Path | None = None) -> list[Outcome]:
    """Check the accepted folders that differ from a git base, sorted by path.

    Args:
        submissions: The folder of submissions, in a git checkout.
        base: Commit, branch or tag to compare with.
        archives: A folder with archives, found by their SHA-256, to verify anew; or None.

    Raises:
        ConfigError: When there is no such folder, checkout or base.
    """
    known = _archives(archives)
    outcomes = [
        Outcome(submissions / name, False, "belongs to no submission: SUITE/SLUG/ holds all of one")
        for name in _strays(submissions, base)
    ]
    for folder in changed_folders(submissions, base):
        if not folder.exists():
            outcomes.append(Outcome(folder, True, "removed"))
            continue
        try:
            outcomes.append(Outcome(folder, True, check_folder(folder, known)))
        except SimclickError as error:
            outcomes.append(Outcome(folder, False, str(error)))
    return outcomes


def changed_folders(submissions: Path, base: str) -> list[Path]:
    """Return the folders ``SUITE/SLUG`` in which a file differs from a git base, or is new."""
    names = _changed(submissions, base)
    folders = {Path(*Path(name).parts[:2]) for name in names if len(Path(name).parts) > 2}
    return [submissions / folder for folder in sorted(folders)]


def _changed(submissions: Path, base: str) -> set[str]:
    if not submissions.is_dir():
        raise ConfigError(f"no such folder of submissions: {submissions}")
    return {
        *_git(submissions, "diff", "--name-only", "-z", "--relative", base, "--", "."),
        *_git(submissions, "ls-files", "--others", "--exclude-standard", "-z", "--", "."),
    }


def _strays(submissions: Path, base: str) -> list[str]:
    """Return what changed and is in no folder of a submission: plain files and links, by name."""
    names = (name for name in _changed(submissions, base) if len(Path(name).parts) <= 2)
    there = (n for n in names if (submissions / n).exists() or (submissions / n).is_symlink())
    return sorted(name for name in there if name not in _KEPT)


def check_folder(folder: Path, archives: dict[str, Path] | None = None) -> str:
    """Check one accepted folder; return what was found, in a line.

    Raises:
        SimclickError: When it is not what it must be: a line that says why.
    """
    entry = load_entry(folder)
    _check_files(entry)
    suite = _suite(entry)
    _check_verdict(entry)
    _check_rows(entry, suite)
    return _check_archive(entry, archives or {})


def _git(folder: Path, *words: str) -> list[str]:
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise ConfigError(f"git {words[0]} in {folder}: {reason[0] if reason else 'failed'}") from None
    return [name for name in result.stdout.split("\0") if name]


def _archives(folder: Path | None) -> dict[str, Path]:
    if folder is None:
        return {}
    if not folder.is_dir():
        raise ConfigError(f"no such folder of archives: {folder}")
    return {sha256_of(path): path for path in sorted(folder.glob("*.zip"))}


def _check_files(entry: Entry) -> None:
    """Refuse files that the verdict does not name, that changed, and folders that are too large."""
    found = {path.relative_to(entry.folder).as_posix(): path for path in _walk(entry.folder)}
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
        if name.endswith(".png") and path.read_bytes()[:8] != _PNG:
            raise ConfigError(f"{path}: no PNG")
    if missing := sorted(set(entry.verdict["files"]) - set(found)):
        raise ConfigError(f"{entry.folder}: {str(missing[0])[:80]} is missing")
    for story in entry.worst():
        check_keys({k: v for k, v in story.items() if k != "file"}, story["file"], _WORST_KEYS)


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
    if about.get("digest") != suite.digest:
        raise ConfigError(f"{entry.folder}: the digest of suite {suite.name} is another")
    for run in entry.submission["runs"]:
        if dict(suite.protocols).get(run["protocol"]) != run["protocol_digest"]:
            raise ConfigError(f"{entry.folder}: protocol {run['protocol']} is not the suite's")
    if entry.slug != slug(entry.card.name):
        raise ConfigError(f"{entry.folder}: its folder should be called {slug(entry.card.name)!r}")
    return suite


def _check_verdict(entry: Entry) -> None:
    """Refuse a tier that the listed checks do not carry."""
    checks = entry.verdict["checks"]
    if not isinstance(checks, list) or not all(isinstance(check, dict) for check in checks):
        raise ConfigError(f"{entry.folder}: verdict.json: checks must be a list of mappings")
    verdicts = {str(check.get("name")): check.get("verdict") for check in checks}
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
    for name in entry.protocols:
        protocol = suite.protocol(name)
        episodes, steps = entry.episodes(name), entry.steps(name)
        must = {(c.case_id, level, repeat) for c in suite.cases for level, repeat in protocol.cells()}
        rows = list(zip(episodes["case_id"], episodes["level"], episodes["repeat"], strict=True))
        if len(rows) != len(must) or set(rows) != must:
            raise ConfigError(f"{entry.folder}: {name}: not the suite's episodes, each once")
        if summarise(episodes, steps, protocol) != entry.submission["summary"].get(name):
            raise ConfigError(f"{entry.folder}: {name}: the rows do not give the claimed numbers")


def _check_archive(entry: Entry, archives: dict[str, Path]) -> str:
    about = entry.verdict["archive"]
    sha256 = str(about.get("sha256")) if isinstance(about, dict) else ""
    path = archives.get(sha256)
    if path is None:
        return (
            f"{entry.tier}, as its verdict says; rows and numbers fit; the archive {sha256[:12]} is not at "
            "hand, so nothing was replayed (--archives DIR)"
        )
    from simclick.leaderboard.verify import verify

    verdict = verify(path, accept=True)
    if not verdict.passed:
        bad = next(check for check in verdict.checks if check.verdict == "fail")
        raise ConfigError(f"{entry.folder}: its archive fails the check {bad.name!r}: {bad.detail}")
    if verdict.files["submission.json"] != canonical_json(entry.submission):
        raise ConfigError(f"{entry.folder}: submission.json is not the archive's")
    again = _rows_of(verdict.files, entry)
    if not again:
        raise ConfigError(f"{entry.folder}: its rows are not the archive's")
    theirs = {n: data for n, data in verdict.files.items() if n.startswith("worst/") and n.endswith(".json")}
    mine = {path.relative_to(entry.folder).as_posix(): path for path in _walk(entry.folder / "worst")}
    stories = {name: path for name, path in mine.items() if name.endswith(".json")}
    if {name: path.read_bytes() for name, path in stories.items()} != theirs:
        raise ConfigError(f"{entry.folder}: its worst episodes are not the archive's")
    more = "" if TIERS.index(entry.tier) < 2 else "; that it was reproduced is what its verdict says"
    return f"its archive was replayed again{more}"


def _rows_of(files: Any, entry: Entry) -> bool:
    """Whether the rows of a folder are those that its archive gives."""
    import io

    import pyarrow.parquet as pq

    for protocol in entry.protocols:
        for table in ("episodes", "steps"):
            name = f"{protocol}.{table}.parquet"
            mine = pq.read_table(entry.folder / name, partitioning=None)
            if not mine.equals(pq.read_table(io.BytesIO(files[name]))):
                return False
    return True
