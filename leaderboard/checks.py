"""All checks of one submission, in the order in which they can be believed.

This runs in the worker process (`simclick.leaderboard.worker`), behind the walls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from simclick.case import Case
from simclick.episode import Rules
from simclick.errors import ConfigError, SimclickError
from simclick.leaderboard.archive import Archive
from simclick.leaderboard.fitting import check_fit
from simclick.leaderboard.limits import RefusedError, canonical_json
from simclick.leaderboard.opening import Opened, OpenedRun, open_submission
from simclick.leaderboard.possible import check_answers, check_prompts
from simclick.leaderboard.remote import TOLD
from simclick.leaderboard.replay import Findings, Replayer, compare
from simclick.leaderboard.summary import declared_seconds, summarise

__all__ = ["CHECKS", "READ", "REPLAYED", "Job", "examine", "job_from", "job_values"]

CHECKS: Mapping[str, str] = {
    "archive": "the one form, the SHA-256 of every file, the columns of every table",
    "suite": "the suite is known, its name, version and digest equal",
    "card": "the method card fits the runs",
    "runs": "agent, protocol digests, seed and marks of every run are the suite's",
    "cases": "the cases are the suite's, with the content that the data have",
    "episodes": "every episode of the suite is there exactly once, with rows that a run can have",
    "prompts": "the annotator gives exactly these prompts, from the truth, the masks and the seed",
    "masks": "every mask fits its image and its hash, and answers one step",
    "selection": "the protocol's rule chooses these candidates",
    "overlap": "Dice, IoU and the best candidate's Dice follow from the masks",
    "surfaces": "HD95 and NSD follow from the masks, where the protocol measures them",
    "ends": "status, steps and final Dice of every episode",
    "summary": "the claimed numbers follow from the rows",
    "reproduced": "a method run again gives these masks for these prompts",
}
"""Every check, in order, with what it says when it passes."""
READ = ("archive", "suite", "card", "runs", "episodes", "summary")
"""Checks that need no data."""
REPLAYED = ("cases", "prompts", "masks", "selection", "overlap", "surfaces", "ends")
"""Checks of the replay."""
_PLACE = ["case_id", "level", "repeat"]
_TOGETHER = 16
"""Cases whose rows are compared at once."""


@dataclass(frozen=True)
class Job:
    """What to check.

    Attributes:
        path: The archive.
        suite: The suite's file, or None: the shipped suite that the submission names.
        local: Options of the data set that depend on the machine.
        replay: Whether to replay.
        part: ``(i, n)``: replay cases i, i + n, i + 2n, …
        sample: How many episodes to hand out for a rerun.
        sample_seed: Which.
        accept: Whether to make the files of an accepted folder.
    """

    path: Path
    suite: str | None = None
    local: Mapping[str, Any] = field(default_factory=dict)
    replay: bool = True
    part: tuple[int, int] = (0, 1)
    sample: int = 0
    sample_seed: int = 0
    accept: bool = False


def examine(job: Job, say: Callable[[Mapping[str, Any]], None]) -> None:
    """Check a submission; tell `say` what was found.

    `say` gets ``{"kind": "read"}`` once everything is read, ``{"kind": "progress", "done", "of"}``,
    ``{"kind": "episode", …}`` for every episode of the sample, and at last ``{"kind": "result"}``
    with ``findings`` (check → first mismatch), ``counts``, ``stopped`` (where nobody looked any
    further, or empty), ``done`` (checks made to the end), ``archive`` and, where nothing is wrong,
    ``files`` (name → hexadecimal bytes) of an accepted folder.
    """
    findings = Findings()
    try:
        opened = open_submission(job.path, job.suite)
    except RefusedError as refusal:
        findings.add(getattr(refusal, "check", "archive"), str(refusal))
        say(_result(findings, [], None))
        return
    say({"kind": "read"})
    done = list(READ)
    _check_episodes(opened, findings)
    _check_fit(opened, findings)
    _check_summary(opened, findings)
    if job.replay and not findings.full and _replay(opened, job, findings, say):
        done += REPLAYED
    files = {}
    if job.part[0] == 0 and not findings.first:
        if job.sample:
            from simclick.leaderboard.rerun import sampled

            for episode in sampled(opened, job.sample, job.sample_seed):
                say({"kind": "episode", **episode})
        if job.accept:
            from simclick.leaderboard.accept import entry_files

            files = entry_files(opened, job.local if job.replay else None)
    agent = opened.runs[0].manifest["agent"]
    told = {name: agent[name] for name in TOLD if name in agent}
    about = {"told": told, "failed": {run.protocol.id: _failed(run) for run in opened.runs}}
    say(_result(findings, done, opened.archive, files, about))


def _result(
    findings: Findings,
    done: Sequence[str],
    archive: Archive | None,
    files: Mapping[str, bytes] | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    about = None
    if archive is not None:
        suite = archive.submission["suite"]["name"]
        about = {
            "sha256": archive.sha256,
            "bytes": archive.size,
            "suite": suite,
            "method": archive.card.name,
            "digests": sorted({run["agent_digest"] for run in archive.submission["runs"]}),
            **(more or {}),
        }
    return {
        "kind": "result",
        "findings": findings.first,
        "counts": findings.count,
        "stopped": findings.stopped,
        "done": list(done),
        "archive": about,
        "files": {name: data.hex() for name, data in (files or {}).items()},
    }


def _check_episodes(opened: Opened, findings: Findings) -> None:
    for run in opened.runs:
        must = {
            (case.case_id, level, repeat)
            for case in opened.suite.cases
            for level, repeat in run.protocol.cells()
        }
        frame = run.claimed.episodes
        rows = list(zip(frame["case_id"], frame["level"], frame["repeat"], strict=True))
        where = f"{run.protocol.id}: "
        if len(set(rows)) < len(rows):
            findings.add("episodes", f"{where}an episode is there twice")
        for words, odd in (("missing", must - set(rows)), ("not of the suite", set(rows) - must)):
            if odd:
                findings.add("episodes", f"{where}{words}: {str(min(odd))[:200]}", len(odd))
        _check_ghosts(run, findings)


def _check_ghosts(run: OpenedRun, findings: Findings) -> None:
    """Note rows of an episode that is not there, and of a step that its episode does not have."""
    ends = run.claimed.episodes[[*_PLACE, "steps"]].drop_duplicates(_PLACE)
    for table in ("steps", "prompts", "masks"):
        frame = run.claimed.masks.rows if table == "masks" else run.claimed.table(table)
        rows = frame[[*_PLACE, "step"]].merge(ends, on=_PLACE, how="left")
        ghosts = rows[~rows["step"].between(1, rows["steps"].fillna(-1))]
        if len(ghosts):
            case_id, level, repeat, step, steps = ghosts.iloc[0]
            has = "is not there" if steps != steps else f"has {steps:g} steps"
            place = f"case {str(case_id)[:120]}, level {level:g}, repeat {repeat}"
            findings.add(
                "episodes", f"{run.protocol.id}: {table} of step {step} of {place}, which {has}", len(ghosts)
            )


def _check_fit(opened: Opened, findings: Findings) -> None:
    """Note rows that no run of the protocol could have written, where every episode is there once."""
    if "episodes" in findings.first:
        return
    for run in opened.runs:
        try:
            rows = run.claimed
            check_fit(rows.episodes, rows.steps, opened.suite, run.protocol, "the archive")
            check_prompts(rows.prompts, rows.steps, run.protocol, run.protocol.id)
            check_answers(rows.masks.rows, rows.steps, run.protocol.id)
        except ConfigError as error:
            findings.add("episodes", str(error))


def _failed(run: OpenedRun) -> list[int]:
    """Return how many episodes failed, how many of these had a step, and how many episodes there are."""
    episodes = run.claimed.episodes
    failed = episodes["status"] == "failed"
    return [int(failed.sum()), int((failed & (episodes["steps"] > 0)).sum()), len(episodes)]


def _check_summary(opened: Opened, findings: Findings) -> None:
    claims = opened.archive.submission["summary"]
    seconds = {}
    for run in opened.runs:
        name, rows = run.protocol.id, run.claimed
        seconds[name] = declared_seconds(rows.episodes, rows.steps)
        try:
            must = summarise(rows.episodes, rows.steps, run.protocol)
        except (SimclickError, IndexError, ValueError) as error:
            findings.add("summary", f"{name}: {str(error)[:200]}")
            continue
        claim = claims.get(name) if isinstance(claims, dict) else None
        if (where := _differing(claim, must)) is not None:
            findings.add("summary", f"{name}: {where}")
    if not isinstance(claims, dict) or set(claims) != {run.protocol.id for run in opened.runs}:
        findings.add("summary", "it is not of exactly the submitted protocols")
    declared = opened.archive.submission["declared"]
    machine = opened.runs[0].manifest["hardware"]
    if canonical_json(declared) != canonical_json({"seconds": seconds, "machine": machine}):
        findings.add("summary", "declared: not what the rows and the first run's manifest say")


def _differing(claim: object, must: object, where: str = "") -> str | None:
    if isinstance(must, dict):
        if not isinstance(claim, dict) or set(claim) != set(must):
            return f"{where or 'its keys'}: not the keys that the rows give"
        parts = (_differing(claim[key], must[key], f"{where} {key}".strip()) for key in must)
        return next((part for part in parts if part is not None), None)
    same = canonical_json(claim) == canonical_json(must)  # 1, 1.0 and true are three things
    return None if same else f"{where} is {str(claim)[:40]}, the rows give {must}"


def _replay(opened: Opened, job: Job, findings: Findings, say: Callable[[Mapping[str, Any]], None]) -> bool:
    """Replay the cases of this part, every run of a case while it is loaded; return whether to the end.

    Rows are compared every few cases, so that an archive in which much is wrong takes little time.
    """
    part = slice(job.part[0], None, job.part[1])
    seed = opened.suite.seed
    players = [Replayer(run.claimed, Rules(run.protocol, seed), findings) for run in opened.runs]
    ids = [case.case_id for case in opened.suite.cases[part]]
    played: list[str] = []
    for done, case in enumerate(_cases(opened, job, part), 1):
        for player in players:
            player.play(case)
        played.append(case.case_id)
        if len(played) == _TOGETHER or done == len(ids) or findings.full:
            for player, run in zip(players, opened.runs, strict=True):
                _settle(player, run, played, findings)
            played = []
        say({"kind": "progress", "done": done, "of": len(ids)})
        if findings.full and done < len(ids):
            findings.stopped = f"stopped after {done} of {len(ids)} cases"
            return False
    return True


def _settle(player: Replayer, run: OpenedRun, cases: Sequence[str], findings: Findings) -> None:
    """Compare the rows of the cases that a player played last."""
    found = Findings()
    compare(run.claimed, player.finish(cases), cases, found)
    for check, detail in found.first.items():
        findings.add(check, f"{run.protocol.id}: {detail}", found.count[check])


def _cases(opened: Opened, job: Job, part: slice) -> Iterator[Case]:
    try:
        yield from opened.suite.loaded(job.local, part)
    except TypeError as error:
        raise ConfigError(f"the data of suite {opened.suite.name}: {error}") from None


def job_from(content: Mapping[str, Any]) -> Job:
    """Return the job that `job_text` wrote."""
    values = {**content, "path": Path(content["path"]), "part": tuple(content["part"])}
    return Job(**values)


def job_values(job: Job) -> dict[str, Any]:
    """Return a job as plain values."""
    return {**asdict(job), "path": str(job.path), "local": {k: str(v) for k, v in job.local.items()}}
