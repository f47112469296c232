"""Opening a submission: everything that is read and believed before an episode is replayed.

This runs in the worker process (`simclick.leaderboard.worker`), behind the walls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from simclick.leaderboard.archive import Archive, read_archive
from simclick.leaderboard.limits import SHA256, RefusedError, canonical_json, check_text
from simclick.leaderboard.manifest import agent_info, check_protocol, check_run_json
from simclick.leaderboard.method import check_overlap
from simclick.leaderboard.names import check_name
from simclick.leaderboard.parquet import Bounds, read_masks, read_table
from simclick.leaderboard.replay import Claimed
from simclick.leaderboard.suites import Suite, load_suite, suite_names
from simclick.protocol import Protocol
from simclick.texts import stray

__all__ = ["Opened", "OpenedRun", "open_submission"]

_REASON = 600
"""Characters of why an episode failed: a run keeps 500 of them, and where."""


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
        with _refusing("cases"):
            _check_cases(about, claimed)
        with _refusing("ends"):
            _check_ends(about, claimed)
        with _refusing("masks"):
            _check_hashes(about, claimed)
        runs.append(OpenedRun(protocol, manifest, claimed))
    opened = Opened(archive, found, tuple(runs))
    with _refusing("runs"):
        _check_run_order(opened)
    with _refusing("card"):
        _check_card(opened)
    return opened


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
        if canonical_json(about[key]) != canonical_json(value):
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
    dataset = manifest["dataset"]["name"]
    for what, claim, must in (
        ("agent", [about["agent"], about["agent_digest"]], [agent["name"], agent["digest"]]),
        ("agent's marks", agent["marks"], [m for m in marks if m != "oracle selection"]),
        ("marks", [about["marks"], manifest["marks"]], [marks, marks]),
        ("seed", [about["seed"], manifest["seed"]], [suite.seed, suite.seed]),
        ("dataset", [about["dataset"], dataset], [suite.dataset, suite.dataset]),
        ("noise", about["noise"], protocol.noise),
        ("cases", about["cases"], len(suite.cases)),
        ("episodes", [about["episodes"], manifest["episodes"]], [episodes, episodes]),
        ("source", git is not None and git["dirty"], False),
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


def _check_cases(about: Mapping[str, Any], claimed: Claimed) -> None:
    """Refuse rows that say other of their case than ``cases.parquet``, or that no terminal could show."""
    cases = claimed.cases
    for table in ("episodes", "steps"):
        frame = claimed.table(table)
        where = f"{about['folder']}/{table}.parquet"
        for name in ("group", "modality", "target"):
            for text in frame[name].unique():
                if (odd := stray(text)) is not None:
                    raise RefusedError(f"{where}: {name} holds the character {odd}")
            must = frame["case_id"].map(dict(zip(cases["case_id"], cases[name], strict=True)))
            wrong = must.notna() & (frame[name] != must)  # rows of no case at all are found later
            if wrong.any():
                case_id, said, true = (
                    frame["case_id"][wrong].iloc[0],
                    frame[name][wrong].iloc[0],
                    must[wrong].iloc[0],
                )
                raise RefusedError(
                    f"{where}: case {case_id[:120]}: {name} is {said[:80]!r}, cases.parquet says {true!r}"
                )


def _check_hashes(about: Mapping[str, Any], claimed: Claimed) -> None:
    """Refuse what is no SHA-256 where the hash of a mask stands."""
    for text in claimed.steps["mask_sha256"].dropna().unique():
        if SHA256.fullmatch(text) is None:
            raise RefusedError(f"{about['folder']}/steps.parquet: mask_sha256 {text[:80]!r} is no SHA-256")


def _check_ends(about: Mapping[str, Any], claimed: Claimed) -> None:
    """Refuse another status than a run records, and a reason that is not one printable line."""
    for status in claimed.episodes["status"].unique():
        if status not in ("ok", "failed"):
            raise RefusedError(f"{about['folder']}/episodes.parquet: status {status[:80]!r}: ok or failed")
    for reason in claimed.episodes["error"].dropna().unique():
        if len(reason) > _REASON:
            raise RefusedError(f"{about['folder']}/episodes.parquet: error of {len(reason)} characters")
        if (odd := stray(reason)) is not None:
            raise RefusedError(f"{about['folder']}/episodes.parquet: error holds the character {odd}")


def _check_run_order(opened: Opened) -> None:
    """Refuse runs in another order than the suite's protocols, in which `submit` writes them."""
    ran = [run.protocol.id for run in opened.runs]
    if ran != [name for name, _ in opened.suite.protocols if name in ran]:
        raise RefusedError("runs: not in the order of the suite's protocols")


def _identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be the same of an agent in all runs."""
    return {**asdict(agent_info(manifest)), "accepts": manifest["agent"]["accepts"]}


def _check_card(opened: Opened) -> None:
    card = opened.archive.card
    first = opened.runs[0].manifest["agent"]
    check_name(first["name"], first["name"], "agent")
    check_name(card.name, first["name"])
    for run in opened.runs:
        if canonical_json(_identity(run.manifest)) != canonical_json(_identity(opened.runs[0].manifest)):
            raise RefusedError("runs: they are of different agents")
        if run.manifest["marks"] and not card.oracle:
            raise RefusedError(
                f"method card: a run is marked {run.manifest['marks']}, the card says no oracle"
            )
    if set(card.prompts) != set(first["accepts"]):
        raise RefusedError(f"method card: prompts are not what the agent takes ({first['accepts']})"[:300])
    dataset = str(opened.runs[0].manifest["dataset"]["name"])
    check_overlap(card, opened.suite.name, dataset, first.get("overlap"))
    ran = {run.protocol.id for run in opened.runs}
    for name, _ in opened.suite.protocols:
        if name not in ran and opened.suite.protocol(name).make_annotator().kinds <= set(first["accepts"]):
            raise RefusedError(f"the suite's protocol {name} is missing, though the agent takes its prompts")
