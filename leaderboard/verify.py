"""Verifying a submission: the verdict of every check, the tier, and accepted folders checked again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from simclick import __version__
from simclick.errors import ConfigError
from simclick.harness.specs import AgentSpec
from simclick.leaderboard.accept import hashes
from simclick.leaderboard.checks import CHECKS, REPLAYED, Job
from simclick.leaderboard.limits import RefusedError
from simclick.leaderboard.rerun import rerun
from simclick.leaderboard.suites import load_suite
from simclick.leaderboard.summary import share_text
from simclick.leaderboard.worker import Walls, messages
from simclick.texts import plain

__all__ = ["Check", "Verdict", "verify"]

_LINE = 600
"""Characters of a mismatch."""
_DETAIL = 1500
"""Characters of a check's line."""


@dataclass(frozen=True)
class Check:
    """One check: its name, ``pass``, ``fail`` or ``skipped``, and a line.

    The line may hold words of a stranger's archive or method: whatever could steer a terminal is taken out.
    """

    name: str
    verdict: str
    detail: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", plain(self.detail, _DETAIL))


@dataclass(frozen=True)
class Verdict:
    """What verifying found.

    Attributes:
        checks: Every check, in order.
        tier: ``self-reported``, ``replayed`` or ``reproduced``; None where a check failed.
        about: Of the archive: ``sha256 bytes suite method digests``; None where it was refused.
        files: Files of an accepted folder, where these were asked for.
        suite: The file of a suite that simclick does not ship, where one was given.
    """

    checks: tuple[Check, ...]
    tier: str | None
    about: Mapping[str, Any] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    suite: str | None = None

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.verdict != "fail" for check in self.checks)

    def as_dict(self, url: str | None = None) -> dict[str, Any]:
        """Return the content of ``verdict.json``.

        Args:
            url: Where the archive is kept.
        """
        about = self.about or {}
        return {
            "tier": self.tier,
            "checks": [{"name": c.name, "verdict": c.verdict, "detail": c.detail} for c in self.checks],
            "verified_with": __version__,
            "date": datetime.now(timezone.utc).date().isoformat(),
            "archive": {"sha256": about.get("sha256"), "bytes": about.get("bytes"), "url": url},
            "files": hashes(self.files),
        }


def verify(
    path: str | Path,
    *,
    suite: str | None = None,
    local: Mapping[str, Any] | None = None,
    replay: bool = True,
    agent: AgentSpec | None = None,
    episodes: int = 32,
    seed: int | None = None,
    workers: int = 1,
    accept: bool = False,
    walls: Walls | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verdict:
    """Check a submission without its method; and with it, where one is given.

    Args:
        path: The archive.
        suite: The file of a suite that simclick does not ship.
        local: Options of the data set that depend on the machine, for example ``{"root": folder}``.
        replay: False checks only what needs no data: the tier is then ``self-reported``.
        agent: A method to run again on a sample of the recorded prompts.
        episodes: How many episodes to run again.
        seed: Which; drawn afresh unless given, so that nobody knows beforehand.
        workers: Worker processes; each replays its share of the cases.
        accept: Whether to make the files of an accepted folder.
        walls: Limits of the worker processes.
        progress: Called with (cases replayed, cases in all).

    Raises:
        ConfigError: When the archive is missing, or what was asked cannot be.
        SimclickError: When suite, data or method cannot be loaded.
    """
    if not Path(path).is_file():
        raise ConfigError(f"no such archive: {path}")
    if agent is not None and not replay:
        raise ConfigError("a rerun needs the data: leave --no-replay out")
    seed = secrets.randbits(32) if seed is None else seed
    job = Job(
        Path(path).resolve(),
        suite,
        dict(local or {}),
        replay,
        sample=episodes if agent is not None else 0,
        sample_seed=seed,
        accept=accept,
    )
    parts = [replace(job, part=(i, workers)) for i in range(workers if replay else 1)]
    told = _Told(progress, len(parts))
    with ThreadPoolExecutor(len(parts)) as pool:
        results = list(pool.map(lambda part: _run(part, walls or Walls(), told), parts))
    merged = _merged(results)
    reproduced = Check("reproduced", "skipped", "no method was given to run again")
    if agent is not None and not merged["findings"]:
        found = rerun(
            agent,
            told.episodes,
            load_suite(suite or merged["archive"]["suite"]),
            job.local,
            merged["archive"]["digests"][0],
            merged["archive"]["told"],
        )
        verdict = "pass" if found.passed else "fail"
        reproduced = Check("reproduced", verdict, f"{plain(found.detail, _LINE)} (sample {seed})")
    return replace(_verdict(merged, reproduced, replay), suite=suite)


class _Told:
    """What the workers tell on the way."""

    def __init__(self, progress: Callable[[int, int], None] | None, parts: int) -> None:
        self.episodes: list[dict[str, Any]] = []
        self._progress = progress
        self._done = dict.fromkeys(range(parts), (0, 0))

    def take(self, part: int, message: dict[str, Any]) -> None:
        if message["kind"] == "episode":
            self.episodes.append(message)
        elif message["kind"] == "progress" and self._progress is not None:
            self._done[part] = (message["done"], message["of"])
            self._progress(sum(d for d, _ in self._done.values()), sum(n for _, n in self._done.values()))


def _run(job: Job, walls: Walls, told: _Told) -> dict[str, Any]:
    """Return one worker's result; a worker that passes a limit refuses the archive."""
    try:
        for message in messages(job, walls):
            if message["kind"] == "result":
                return message
            told.take(job.part[0], message)
    except RefusedError as refusal:
        refused = {"archive": str(refusal)}
        return {
            "findings": refused,
            "counts": {"archive": 1},
            "stopped": "",
            "done": [],
            "archive": None,
            "files": {},
        }
    raise AssertionError("a worker ends with its result")


def _merged(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the results of all workers as one: first mismatches, numbers added."""
    first = results[0]
    findings: dict[str, str] = {}
    counts: dict[str, int] = {}
    for result in results:
        for check, detail in result["findings"].items():
            findings.setdefault(check, detail)
            if check in REPLAYED or check not in counts:
                counts[check] = counts.get(check, 0) + result["counts"][check]
    done = [name for name in first["done"] if all(name in result["done"] for result in results)]
    stopped = next((result["stopped"] for result in results if result["stopped"]), "")
    return {**first, "findings": findings, "counts": counts, "done": done, "stopped": stopped}


def _verdict(merged: Mapping[str, Any], reproduced: Check, replay: bool) -> Verdict:
    checks = []
    for name, meaning in CHECKS.items():
        if name == "reproduced":
            checks.append(reproduced)
        elif name in merged["findings"]:
            checks.append(Check(name, "fail", _line(name, merged)))
        elif name in merged["done"]:
            checks.append(Check(name, "pass", meaning + (_failed(merged) if name == "episodes" else "")))
        else:
            reason = (
                "not finished: another check failed" if merged["findings"] else "the data were not asked for"
            )
            checks.append(Check(name, "skipped", reason))
    if any(check.verdict == "fail" for check in checks):
        tier = None
    else:
        tier = "reproduced" if reproduced.verdict == "pass" else "replayed" if replay else "self-reported"
    files = {name: bytes.fromhex(data) for name, data in merged["files"].items()} if tier else {}
    return Verdict(tuple(checks), tier, merged["archive"], files)


def _failed(merged: Mapping[str, Any]) -> str:
    """Return in words how many episodes failed under which protocol; nothing where none did."""
    said = []
    for protocol, (failed, begun, episodes) in merged["archive"]["failed"].items():
        if failed:
            never = f", {failed - begun} before their first step" if failed > begun else ""
            said.append(f"{failed} of {episodes} under {protocol} ({share_text(failed, episodes)}{never})")
    return f"; episodes that failed: {', '.join(said)}" if said else ""


def _line(name: str, merged: Mapping[str, Any]) -> str:
    """Return a failed check's line: its first mismatch, how many more there were, where it stopped."""
    more = merged["counts"][name] - 1
    stopped = merged["stopped"] if name in REPLAYED else ""
    rest = f"{'at least ' if stopped else ''}{more} more" if more else ""
    words = "; ".join(part for part in (rest and f"and {rest}", stopped) if part)
    return plain(merged["findings"][name], _LINE) + (f" ({plain(words, _LINE)})" if words else "")
