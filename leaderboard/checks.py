"""All checks of one submission, in the order in which they can be believed.

This runs in the worker process (`simclick.leaderboard.worker`), behind the walls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from simclick.case import Case
from simclick.episode import Rules
from simclick.errors import ConfigError, SimclickError
from simclick.leaderboard.archive import Archive, read_archive
from simclick.leaderboard.limits import RefusedError, check_text
from simclick.leaderboard.manifest import agent_info, check_protocol, check_run_json
from simclick.leaderboard.parquet import Bounds, read_masks, read_table
from simclick.leaderboard.replay import Claimed, Findings, Replayer, compare
from simclick.leaderboard.rerun import TOLD
from simclick.leaderboard.suites import Suite, load_suite, suite_names
from simclick.leaderboard.summary import declared_seconds, summarise
from simclick.protocol import Protocol

__all__ = ["CHECKS", "Job", "Opened", "OpenedRun", "examine", "open_submission"]

CHECKS: Mapping[str, str] = {
    "archive": "the one form, the SHA-256 of every file, the columns of every table",
    "suite": "the suite is known, its name, version and digest equal",
    "card": "the method card fits the runs",
    "runs": "agent, protocol digests, seed and marks of every run are the suite's",
    "cases": "the cases are the suite's, with the content that the data have",
    "episodes": "every episode of the suite is there exactly once",
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


@dataclass(frozen=True, eq=False)
class OpenedRun:
    """A run of a submission: its protocol, manifest and rows."""

    protocol: Protocol
    manifest: Mapping[str, Any]
    claimed: Claimed


@dataclass(frozen=True, eq=False)
class Opened:
    """A submission behind the first two walls."""

    archive: Archive
    suite: Suite
    runs: tuple[OpenedRun, ...]


def open_submission(path: Path, suite: str | None = None) -> Opened:
    """Read a submission: everything but the replay.

    Raises:
        RefusedError: When it is not what it must be; `check` says which check refused it.
        ConfigError: When the suite's file, which the caller named, is bad.
    """
    archive = read_archive(path)
    with _refusing("suite"):
        found = _suite(archive, suite)
    runs = []
    for about in archive.submission["runs"]:
        with _refusing("runs"):
            protocol = _protocol(about, found)
            manifest = check_run_json(
                archive.files[f"{about['folder']}/run.json"], f"{about['folder']}/run.json"
            )
            _check_manifest(about, manifest, protocol, found)
        claimed = _claimed(archive, about, manifest, protocol, found)
        with _refusing("runs"):
            _check_rows(about, claimed)
        runs.append(OpenedRun(protocol, manifest, claimed))
    opened = Opened(archive, found, tuple(runs))
    with _refusing("card"):
        _check_card(opened)
    return opened


def examine(job: Job, say: Callable[[Mapping[str, Any]], None]) -> None:
    """Check a submission; tell `say` what was found.

    `say` gets ``{"kind": "read"}`` once everything is read, ``{"kind": "progress", "done", "of"}``,
    ``{"kind": "episode", …}`` for every episode of the sample, and at last ``{"kind": "result"}``
    with ``findings`` (check → first mismatch), ``counts``, ``done`` (checks made), ``archive``
    and, where nothing is wrong, ``files`` (name → hexadecimal bytes) of an accepted folder.
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
    _check_summary(opened, findings)
    if job.replay:
        done += REPLAYED
        _replay(opened, job, findings, say)
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
    about = {"told": {name: agent[name] for name in TOLD if name in agent}}
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
        "done": list(done),
        "archive": about,
        "files": {name: data.hex() for name, data in (files or {}).items()},
    }


class _refusing:  # noqa: N801  (used like a function)
    """Marks refusals, and errors of what the submission names, with the check that they belong to."""

    def __init__(self, check: str) -> None:
        self._check = check

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RefusedError) and not hasattr(error, "check"):
            error.check = self._check  # type: ignore[attr-defined]


def _suite(archive: Archive, path: str | None) -> Suite:
    about = archive.submission["suite"]
    if path is None and about["name"] not in suite_names():
        raise RefusedError(
            f"suite {about['name']!r} is none that simclick ships ({', '.join(suite_names())}); "
            "for a suite of your own give --suite FILE.yaml"
        )
    suite = load_suite(about["name"] if path is None else path)
    for key, value in (("name", suite.name), ("version", suite.version), ("digest", suite.digest)):
        if about[key] != value:
            raise RefusedError(f"suite: {key} is {str(about[key])[:80]!r}, the suite's is {value!r}")
    return suite


def _protocol(about: Mapping[str, Any], suite: Suite) -> Protocol:
    digests = dict(suite.protocols)
    if digests.get(about["protocol"]) != about["protocol_digest"]:
        raise RefusedError(
            f"runs: protocol {about['protocol'][:80]!r} is not the suite's, or has another digest"
        )
    return suite.protocol(about["protocol"])


def _check_manifest(
    about: Mapping[str, Any], manifest: Mapping[str, Any], protocol: Protocol, suite: Suite
) -> None:
    where = f"{about['folder']}/run.json"
    check_protocol(manifest, protocol, where)
    agent = manifest["agent"]
    marks = [
        m
        for m, on in (("random weights", agent["random_weights"]), ("uses truth", agent["uses_truth"]))
        if on
    ]
    marks += ["oracle selection"] if protocol.select == "oracle" else []
    git = manifest["git"]
    episodes = len(suite.cases) * len(protocol.cells())
    dataset = manifest["dataset"].get("name") if isinstance(manifest["dataset"], dict) else None
    for what, claim, must in (
        ("agent", [about["agent"], about["agent_digest"]], [agent["name"], agent["digest"]]),
        ("agent's marks", agent["marks"], [m for m in marks if m != "oracle selection"]),
        ("marks", [about["marks"], manifest["marks"]], [marks, marks]),
        ("seed", [about["seed"], manifest["seed"]], [suite.seed, suite.seed]),
        ("dataset", [about["dataset"], dataset], [suite.dataset, suite.dataset]),
        ("noise", about["noise"], protocol.noise),
        ("cases", about["cases"], len(suite.cases)),
        ("episodes", [about["episodes"], manifest["episodes"]], [episodes, episodes]),
        ("source", isinstance(git, dict) and git.get("dirty") is not False, False),
    ):
        if json.dumps(claim) != json.dumps(must):
            shown = "was changed (dirty)" if what == "source" else f"{str(claim)[:120]}, it must be {must}"
            raise RefusedError(f"{where}: {what}: {shown}")
    if "random weights" in marks:
        raise RefusedError(f"{where}: random weights are no method")


def _claimed(
    archive: Archive, about: Mapping[str, Any], manifest: Mapping[str, Any], protocol: Protocol, suite: Suite
) -> Claimed:
    bounds = Bounds(len(suite.cases), about["episodes"], protocol.budget)

    def read(table: str) -> pd.DataFrame:
        name = f"{about['folder']}/{table}.parquet"
        return read_table(archive.files[name], table, name, bounds)

    cases = read("cases")
    with _refusing("cases"):
        listed = list(zip(cases["case_id"], cases["group"], cases["sha256"], strict=True))
        if listed != [(c.case_id, c.group, c.sha256) for c in suite.cases]:
            raise RefusedError(f"{about['folder']}/cases.parquet: not the suite's cases in the suite's order")
        for name in ("modality", "target"):
            for text in cases[name].unique():
                check_text(text, f"{about['folder']}/cases.parquet: {name}", 200)
    name = f"{about['folder']}/masks.parquet"
    masks = read_masks(archive.files[name], name, bounds)
    try:
        info = agent_info(manifest)
        return Claimed(info, read("episodes"), read("steps"), read("prompts"), masks, cases)
    except TypeError as error:
        raise RefusedError(f"{about['folder']}/run.json: agent: {error}") from None


def _check_rows(about: Mapping[str, Any], claimed: Claimed) -> None:
    """Refuse rows of another agent, protocol, data set or noise."""
    for table in ("episodes", "steps", "prompts", "masks"):
        frame = claimed.masks.rows if table == "masks" else claimed.table(table)
        for name in ("agent", "protocol", "dataset", "noise"):
            if (odd := frame[name] != about[name]).any():
                raise RefusedError(
                    f"{about['folder']}/{table}: {name} {str(frame[name][odd].iloc[0])[:80]!r}"
                )


def _check_card(opened: Opened) -> None:
    card = opened.archive.card
    first = opened.runs[0].manifest["agent"]
    for run in opened.runs:
        if agent_info(run.manifest) != agent_info(opened.runs[0].manifest):
            raise RefusedError("runs: they are of different agents")
        if run.manifest["marks"] and not card.oracle:
            raise RefusedError(
                f"method card: a run is marked {run.manifest['marks']}, the card says no oracle"
            )
    if set(card.prompts) != set(first["accepts"]):
        raise RefusedError(f"method card: prompts are not what the agent takes ({first['accepts']})"[:300])
    ran = {run.protocol.id for run in opened.runs}
    for name, _ in opened.suite.protocols:
        if name not in ran and opened.suite.protocol(name).make_annotator().kinds <= set(first["accepts"]):
            raise RefusedError(f"the suite's protocol {name} is missing, though the agent takes its prompts")


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
    if declared != {"seconds": seconds, "machine": machine}:
        findings.add("summary", "declared: not what the rows and the first run's manifest say")


def _differing(claim: object, must: object, where: str = "") -> str | None:
    if isinstance(must, dict):
        if not isinstance(claim, dict) or set(claim) != set(must):
            return f"{where or 'its keys'}: not the keys that the rows give"
        parts = (_differing(claim[key], must[key], f"{where} {key}".strip()) for key in must)
        return next((part for part in parts if part is not None), None)
    same = isinstance(claim, (int, float)) and not isinstance(claim, bool) and claim == must
    return None if same else f"{where} is {str(claim)[:40]}, the rows give {must}"


def _replay(opened: Opened, job: Job, findings: Findings, say: Callable[[Mapping[str, Any]], None]) -> None:
    """Replay the cases of this part, every run of a case while it is loaded."""
    part = slice(job.part[0], None, job.part[1])
    seed = opened.suite.seed
    players = [Replayer(run.claimed, Rules(run.protocol, seed), findings) for run in opened.runs]
    ids = [case.case_id for case in opened.suite.cases[part]]
    for done, case in enumerate(_cases(opened, job, part), 1):
        for player in players:
            player.play(case)
        say({"kind": "progress", "done": done, "of": len(ids)})
    for player, run in zip(players, opened.runs, strict=True):
        found = Findings()
        player.finish(ids)
        compare(run.claimed, player.rows, ids, found)
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
