"""Accepted submissions, as ranking and pages read them.

An accepted submission is a folder ``SUITE/SLUG/`` that `simclick verify --accept` wrote: what was
submitted (``submission.json``), what was found (``verdict.json``), the rows of episodes and steps,
and the worst episodes as pictures. Masks stay in the archive, which may live elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from simclick.errors import ConfigError
from simclick.harness.records import SCHEMAS
from simclick.leaderboard.limits import SHA256, RefusedError, check_keys, check_text, check_url, read_json
from simclick.leaderboard.method import MethodCard, card_from, check_name
from simclick.leaderboard.rows import EPISODES, STEPS, read_rows
from simclick.leaderboard.told import NAME, check_story, check_submission

__all__ = [
    "EPISODES",
    "STEPS",
    "SUBMISSION_KEYS",
    "TIERS",
    "VERDICT_KEYS",
    "Entry",
    "MethodCard",
    "entry_folders",
    "load_entries",
    "load_entry",
]

TIERS = ("self-reported", "replayed", "reproduced")
"""How far a submission was checked, weakest first."""

SUBMISSION_KEYS = frozenset({"format", "suite", "method", "runs", "files", "summary", "declared"})
VERDICT_KEYS = frozenset({"tier", "checks", "verified_with", "date", "archive", "files"})
MAX_ENTRY_FILE = 4 << 20
"""Bytes of one file of an accepted folder."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True)
class Entry:
    """One accepted submission.

    Attributes:
        suite: Name of the suite, for example ``phantoms-v1``.
        slug: Its folder's name.
        card: What it says of its method.
        agent: Name of the agent in its runs.
        tier: One of `TIERS`.
        verdict: The content of ``verdict.json``.
        submission: The content of ``submission.json``.
        folder: Where it is.
        oracle: Whether it used the truth (by its card or a run's marks): shown apart.
    """

    suite: str
    slug: str
    card: MethodCard
    agent: str
    tier: str
    verdict: dict[str, Any]
    submission: dict[str, Any]
    folder: Path
    oracle: bool

    @property
    def protocols(self) -> list[str]:
        """Ids of the protocols that it ran, in the submission's order."""
        return [str(run["protocol"]) for run in self.submission["runs"]]

    def run(self, protocol: str) -> dict[str, Any]:
        """Return what the submission says of its run under a protocol.

        Raises:
            ConfigError: When it has none.
        """
        for run in self.submission["runs"]:
            if run["protocol"] == protocol:
                found: dict[str, Any] = run
                return found
        raise ConfigError(f"{self.folder}: no run of protocol {protocol!r} (it has: {self.protocols})")

    def episodes(self, protocol: str) -> pd.DataFrame:
        """Return the episodes of a protocol: columns of the run directory, one row per episode.

        Sorted by case, level and repeat. ``seconds_encode`` is declared, and kept in single precision.

        Raises:
            ConfigError: When there are none, or the file is not what was verified.
        """
        run = self.run(protocol)
        frame = self._table(protocol, "episodes")
        frame = frame.assign(
            agent=run["agent"],
            protocol=protocol,
            dataset=run["dataset"],
            noise=run["noise"],
            agent_digest=run["agent_digest"],
            protocol_digest=run["protocol_digest"],
        )
        ordered: pd.DataFrame = frame[SCHEMAS["episodes"].names]
        return ordered

    def steps(self, protocol: str) -> pd.DataFrame:
        """Return the steps of a protocol: columns of the run directory, one row per step.

        Sorted by case, level, repeat and step. ``iou`` is ``dice / (2 - dice)``; ``mask_sha256`` is
        null, ``seconds_annotate`` missing: they stay in the archive.

        Raises:
            ConfigError: When there are none, or the file is not what was verified.
        """
        run = self.run(protocol)
        frame = self._table(protocol, "steps")
        about = self._table(protocol, "episodes")
        about = about[["case_id", "group", "modality", "target"]].drop_duplicates("case_id")
        frame = frame.merge(about, on="case_id", how="left", validate="many_to_one")
        frame = frame.assign(
            agent=run["agent"],
            protocol=protocol,
            dataset=run["dataset"],
            noise=run["noise"],
            iou=frame["dice"] / (2.0 - frame["dice"]),
            seconds_annotate=float("nan"),
            mask_sha256=None,
        )
        ordered: pd.DataFrame = frame[SCHEMAS["steps"].names]
        return ordered

    def worst(self) -> list[dict[str, Any]]:
        """Return the worst episodes, in the order of their files.

        Each has ``protocol case_id level repeat target group final_dice steps`` (a list of ``step
        cost dice prompts``), ``picture`` (the name of a PNG in ``worst/``, or None) and ``file``.

        Raises:
            ConfigError: When one is not what it must be.
        """
        found = []
        for path in sorted((self.folder / "worst").glob("*.json")):
            try:
                content = check_story(_bytes(path), f"worst/{path.name}")
            except RefusedError as error:
                raise ConfigError(f"{self.folder}: {error}") from None
            found.append({**content, "file": path.name})
        return found

    def rows(self, protocol: str, table: str) -> pa.Table:
        """Return the rows kept of a protocol's ``episodes`` or ``steps``, as they are in the file.

        Raises:
            ConfigError: When there are none, or the file is not what was verified.
        """
        name, schema = f"{protocol}.{table}.parquet", EPISODES if table == "episodes" else STEPS
        path = self.folder / name
        data = _bytes(path)
        if hashlib.sha256(data).hexdigest() != self.verdict["files"].get(name):
            raise ConfigError(f"{path}: its SHA-256 is not the verdict's: verify the submission again")
        try:
            return read_rows(data, schema, name)
        except RefusedError as error:
            raise ConfigError(f"{self.folder}: {error}") from None

    def _table(self, protocol: str, table: str) -> pd.DataFrame:
        frame: pd.DataFrame = self.rows(protocol, table).to_pandas()
        keys = [c for c in ("case_id", "level", "repeat", "step") if c in frame.columns]
        return frame.sort_values(keys, kind="stable", ignore_index=True)


def entry_folders(folder: Path) -> list[Path]:
    """Return the folders ``SUITE/SLUG/`` below a folder, sorted; names that begin with a dot are passed over.

    Raises:
        ConfigError: When the folder is missing, or one of them is a link or has another name.
    """
    if not folder.is_dir():
        raise ConfigError(f"no such folder of submissions: {folder}")
    return [entry for suite in _folders(folder) for entry in _folders(suite)]


def load_entries(folder: Path) -> list[Entry]:
    """Return all accepted submissions below a folder, sorted by suite and slug.

    Their shape is checked, not what they say: that is `simclick.leaderboard.folders.check_folders`.

    Args:
        folder: It holds ``SUITE/SLUG/`` folders; names that begin with a dot are passed over.

    Raises:
        ConfigError: When the folder is missing, or one submission is bad: one line that names it.
    """
    return [load_entry(entry) for entry in entry_folders(folder)]


def load_entry(folder: Path) -> Entry:
    """Return one accepted submission.

    Raises:
        ConfigError: When a file is missing, changed or not what it must be.
    """
    try:
        submission = check_keys(
            read_json(_bytes(folder / "submission.json"), "submission.json"),
            "submission.json",
            SUBMISSION_KEYS,
        )
        verdict = check_keys(
            read_json(_bytes(folder / "verdict.json"), "verdict.json"), "verdict.json", VERDICT_KEYS
        )
        card = card_from(submission["method"], "method")
        suite, runs, tier = submission["suite"], submission["runs"], verdict["tier"]
        if tier not in TIERS:
            raise RefusedError(f"verdict.json: tier must be one of {', '.join(TIERS)}")
        check_submission(submission)
        if suite["name"] != folder.parent.name:
            raise RefusedError(f"it lies under {folder.parent.name!r}, which is not its suite")
        _check_verdict(verdict)
        agent = check_text(runs[0]["agent"], "agent", 200, empty=False)
        check_name(agent, agent, "agent")
        check_name(card.name, agent)
        oracle = card.oracle or any(run["marks"] for run in runs)
        for run in runs:
            for table in ("episodes", "steps"):
                name = f"{run['protocol']}.{table}.parquet"
                if not (folder / name).is_file() or name not in verdict["files"]:
                    raise RefusedError(f"{name} is missing")
    except RefusedError as error:
        raise ConfigError(f"{folder}: {error}") from None
    return Entry(
        suite=folder.parent.name,
        slug=folder.name,
        card=card,
        agent=agent,
        tier=tier,
        verdict=verdict,
        submission=submission,
        folder=folder,
        oracle=oracle,
    )


def _check_verdict(verdict: dict[str, Any]) -> None:
    """Refuse a verdict that a page could not show."""
    check_text(verdict["verified_with"], "verdict.json: verified_with", 40, empty=False)
    if _DATE.fullmatch(check_text(verdict["date"], "verdict.json: date", 10)) is None:
        raise RefusedError("verdict.json: date must be a day, YYYY-MM-DD")
    archive = check_keys(verdict["archive"], "verdict.json: archive", frozenset({"sha256", "bytes", "url"}))
    if not isinstance(archive["sha256"], str) or SHA256.fullmatch(archive["sha256"]) is None:
        raise RefusedError("verdict.json: archive: sha256 must be a SHA-256")
    size = archive["bytes"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise RefusedError("verdict.json: archive: bytes must be a whole number ≥ 0")
    if archive["url"] is not None:
        check_url(archive["url"], "verdict.json: archive: url")
    checks = verdict["checks"]
    if not isinstance(checks, list) or len(checks) > 64:
        raise RefusedError("verdict.json: checks must be a short list")
    for check in checks:
        for key, text in check_keys(
            check, "verdict.json: checks", frozenset({"name", "verdict", "detail"})
        ).items():
            check_text(text, f"verdict.json: checks: {key}", 2000)
    files = verdict["files"]
    if not isinstance(files, dict) or not all(
        isinstance(sha, str) and SHA256.fullmatch(sha) is not None for sha in files.values()
    ):
        raise RefusedError("verdict.json: files must be a mapping of names to SHA-256s")


def _folders(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for path in found:
        if path.is_symlink() or NAME.fullmatch(path.name) is None:
            raise ConfigError(f"{path}: not the name of a suite or submission")
    return found


def _bytes(path: Path) -> bytes:
    try:
        if path.is_symlink():
            raise ConfigError(f"{path}: links are not followed")
        size = path.stat().st_size
        if size > MAX_ENTRY_FILE:
            raise ConfigError(f"{path}: {size} bytes; at most {MAX_ENTRY_FILE}")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
