"""Checking accepted folders that a change touches: what a pull request runs.

A folder holds no masks. By itself it proves only that it is whole and that its rows fit each other, the suite
and the numbers it claims, so no more than ``self-reported`` is passed on its word. ``replayed`` needs its
archive, found by its SHA-256: that is verified anew, and the folder compared with what it gives.
``reproduced`` needs the method as well, run again here.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from simclick.errors import ConfigError, SimclickError
from simclick.harness.specs import AgentSpec
from simclick.harness.store import sha256_of
from simclick.leaderboard.entries import TIERS, Entry
from simclick.leaderboard.folders import check_folder
from simclick.leaderboard.inventory import list_files
from simclick.leaderboard.limits import canonical_json
from simclick.leaderboard.pictures import same_picture
from simclick.leaderboard.rows import EPISODES, STEPS, read_rows
from simclick.texts import plain

__all__ = ["Evidence", "Outcome", "changed_folders", "check_changed", "established"]

_KEPT = ("README.md", ".gitkeep")
_WAY_OUT = "see simclick verify --help"


@dataclass(frozen=True)
class Evidence:
    """What a check of folders may lean on.

    Attributes:
        archives: Archives by their SHA-256.
        agent: The method, to run again where a folder claims ``reproduced``.
        episodes: How many episodes to run again.
        seed: Which; drawn afresh unless given.
    """

    archives: Mapping[str, Path] = field(default_factory=dict)
    agent: AgentSpec | None = None
    episodes: int = 32
    seed: int | None = None

    @classmethod
    def of(cls, archives: Path | None, agent: AgentSpec | None = None, episodes: int = 32,
           seed: int | None = None) -> Evidence:  # fmt: skip
        """Return evidence with the archives of a folder, `archives`; None: no archive.

        What is called ``NAME.zip`` and is no file (a folder, a link to nothing) is passed over.

        Raises:
            ConfigError: When there is no such folder, or an archive cannot be read.
        """
        if archives is not None and not archives.is_dir():
            raise ConfigError(f"no such folder of archives: {archives}")
        paths = [] if archives is None else sorted(p for p in archives.glob("*.zip") if p.is_file())
        try:
            return cls({sha256_of(path): path for path in paths}, agent, episodes, seed)
        except OSError as error:
            raise ConfigError(f"{plain(error.filename)}: {error.strerror or error}") from None


@dataclass(frozen=True)
class Outcome:
    """What was found of one folder: whether it passed, and a line that steers no terminal."""

    folder: Path
    passed: bool
    detail: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", plain(self.detail, 2000))


def check_changed(
    submissions: Path,
    base: str,
    evidence: Evidence | None = None,
    *,
    allow_unreplayed: bool = False,
    allow_removal: bool = False,
) -> list[Outcome]:
    """Check the accepted folders that differ from a git base, sorted by path.

    Args:
        submissions: The folder of submissions, in a git checkout.
        base: Commit, branch or tag to compare with: what this checkout changed since it left the base.
        evidence: Archives and method to check anew with.
        allow_unreplayed: Whether a folder passes whose tier nothing here established.
        allow_removal: Whether a folder of the base may be removed or replaced.

    Raises:
        ConfigError: When there is no such folder, checkout or base.
    """
    found = _changed(submissions, base)
    outcomes = [
        Outcome(submissions / name, False, "belongs to no submission: SUITE/SLUG/ holds all of one")
        for name in _strays(submissions, found)
    ]
    for name, there_before in _folders(found).items():
        folder = submissions / name
        if there_before and not allow_removal:
            what = "replaced" if folder.exists() else "removed"
            detail = f"a submission of {base} is {what}: --allow-removal lets it ({_WAY_OUT})"
            outcomes.append(Outcome(folder, False, detail))
        elif not folder.exists():
            outcomes.append(Outcome(folder, True, "removed, as --allow-removal lets it"))
        else:
            outcomes.append(_outcome(folder, evidence or Evidence(), allow_unreplayed))
    return outcomes


def changed_folders(submissions: Path, base: str) -> list[Path]:
    """Return the folders ``SUITE/SLUG`` in which a file differs from a git base, or is new."""
    return [submissions / folder for folder in _folders(_changed(submissions, base))]


def _outcome(folder: Path, evidence: Evidence, allow_unreplayed: bool) -> Outcome:
    try:
        entry = check_folder(folder)
        tier, how = established(entry, evidence)
    except SimclickError as error:
        return Outcome(folder, False, str(error))
    except Exception as error:  # what no check foresaw must not hide the other folders
        return Outcome(folder, False, f"{folder}: it cannot be read: {type(error).__name__}: {error}")
    if TIERS.index(tier) >= TIERS.index(entry.tier):
        return Outcome(folder, True, f"{entry.tier}: {how}")
    claim = f"it claims {entry.tier}, established here is {tier}: {how}"
    if allow_unreplayed:
        return Outcome(folder, True, f"NOT PROVED, let pass by --allow-unreplayed: {claim}")
    return Outcome(folder, False, f"{claim} ({_WAY_OUT})")


def established(entry: Entry, evidence: Evidence) -> tuple[str, str]:
    """Return the tier that a checked folder has by what is at hand here, never above what it claims, and how.

    Raises:
        SimclickError: When its archive, or the method, contradicts it.
    """
    sha256 = str(entry.verdict["archive"]["sha256"])
    path = evidence.archives.get(sha256)
    if path is None:
        return TIERS[0], (
            f"rows and numbers fit each other, but its archive {sha256[:12]} is not at hand: give the folder "
            "that holds it with --archives DIR"
        )
    wanted = TIERS.index(entry.tier)
    agent = evidence.agent if wanted == 2 else None
    _check_archive(entry, path, evidence, agent)
    if agent is not None:
        return TIERS[2], "its archive was replayed and its method run again, here"
    how = "its archive was replayed here" if wanted else "its archive was read here, and not replayed"
    return TIERS[min(wanted, 1)], how + ("; give its method with --rerun agent=…" if wanted == 2 else "")


def _check_archive(entry: Entry, path: Path, evidence: Evidence, agent: AgentSpec | None) -> None:
    """Verify an archive anew, and refuse a folder that is not what it gives."""
    from simclick.leaderboard.verify import verify

    verdict = verify(
        path,
        replay=entry.tier != TIERS[0],
        agent=agent,
        episodes=evidence.episodes,
        seed=evidence.seed,
        accept=True,
    )
    if not verdict.passed:
        bad = next(check for check in verdict.checks if check.verdict == "fail")
        raise ConfigError(f"{entry.folder}: its archive fails the check {bad.name!r}: {bad.detail}")
    if (verdict.about or {}).get("bytes") != entry.verdict["archive"]["bytes"]:
        raise ConfigError(f"{entry.folder}: verdict.json: archive: bytes are not the archive's")
    if verdict.files["submission.json"] != canonical_json(entry.submission):
        raise ConfigError(f"{entry.folder}: submission.json is not the archive's")
    if not _same_rows(verdict.files, entry):
        raise ConfigError(f"{entry.folder}: its rows are not the archive's")
    mine = {n: p.read_bytes() for n, p in list_files(entry.folder).items() if n.startswith("worst/")}
    theirs = {n: data for n, data in verdict.files.items() if n.startswith("worst/")}
    if {n: d for n, d in mine.items() if n.endswith(".json")} != {
        n: d for n, d in theirs.items() if n.endswith(".json")
    }:
        raise ConfigError(f"{entry.folder}: its worst episodes are not the archive's")
    for name, data in sorted(theirs.items()):
        if name.endswith(".png") and not same_picture(mine[name], data):
            raise ConfigError(
                f"{entry.folder}: {name} does not show what the archive gives (or was drawn with other "
                "libraries: `simclick verify NAME.zip --accept DIR --replace` draws it anew)"
            )


def _same_rows(files: Mapping[str, bytes], entry: Entry) -> bool:
    """Whether the rows of a folder are those that its archive gives."""
    for protocol in entry.protocols:
        for table, schema in (("episodes", EPISODES), ("steps", STEPS)):
            name = f"{protocol}.{table}.parquet"
            if not entry.rows(protocol, table).equals(read_rows(files[name], schema, name)):
                return False
    return True


def _changed(submissions: Path, base: str) -> dict[str, bool]:
    """Return the files that differ, by name, with whether the base has them."""
    if not submissions.is_dir():
        raise ConfigError(f"no such folder of submissions: {submissions}")
    _git(
        submissions, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}", failed=f"no such base: {base}"
    )
    try:
        start = _git(submissions, "merge-base", base, "HEAD")[0].strip()
    except (ConfigError, IndexError):
        start = base  # histories without a common commit: all that differs counts
    words = ("diff", "--no-renames", "--name-status", "-z", "--relative", start, "--", ".")
    fields = _git(submissions, *words)
    found = {name: status != "A" for status, name in zip(fields[::2], fields[1::2], strict=True)}
    others = _git(submissions, "ls-files", "--others", "--exclude-standard", "-z", "--", ".")
    return {**dict.fromkeys(others, False), **found}


def _folders(found: Mapping[str, bool]) -> dict[Path, bool]:
    """Return the folders ``SUITE/SLUG`` of changed files, with whether the base has a changed one of it."""
    folders: dict[Path, bool] = {}
    for name in sorted(found):
        if len(Path(name).parts) > 2:
            folder = Path(*Path(name).parts[:2])
            folders[folder] = folders.get(folder, False) or found[name]
    return folders


def _strays(submissions: Path, found: Mapping[str, bool]) -> list[str]:
    """Return what changed and is in no folder of a submission: plain files and links, by name."""
    names = (name for name in found if len(Path(name).parts) <= 2)
    there = (n for n in names if (submissions / n).exists() or (submissions / n).is_symlink())
    return sorted(name for name in there if name not in _KEPT)


def _git(folder: Path, *words: str, failed: str = "") -> list[str]:
    try:
        result = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # a name may be any bytes
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", "") or failed or error).strip().splitlines()
        raise ConfigError(f"git {words[0]} in {folder}: {reason[0] if reason else 'failed'}") from None
    return [name for name in result.stdout.split("\0") if name]
