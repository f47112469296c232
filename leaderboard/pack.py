"""Packing runs into the archive of a submission; what cannot stand on a board is refused here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from simclick.errors import ConfigError, StoreError
from simclick.harness.reading import Run, read_run
from simclick.harness.records import SCHEMAS
from simclick.leaderboard.archive import FORMAT, run_folder, zip_bytes
from simclick.leaderboard.limits import MAX_ARCHIVE, RefusedError, canonical_json
from simclick.leaderboard.manifest import RUN_JSON_KEYS, check_run_json
from simclick.leaderboard.method import MethodCard, check_filled, check_name
from simclick.leaderboard.parquet import CASES, ORDER, parquet_bytes
from simclick.leaderboard.suites import Suite
from simclick.leaderboard.summary import declared_seconds, summarise

__all__ = ["Packed", "pack", "pack_bytes"]

_HINT = "a submission needs save_masks=true"


class Packed(dict[str, Any]):
    """The content of a packed ``submission.json``."""


def pack(runs: Sequence[str | Path], card: MethodCard, suite: Suite, out: Path) -> Packed:
    """Write the archive of a submission.

    Args:
        runs: Run directories, one per protocol of the suite.
        card: The method card.
        suite: The suite.
        out: The file to write; replaced when it exists.

    Returns:
        The content of its ``submission.json``.

    Raises:
        ConfigError: When the runs are not the suite's, are incomplete, come from changed source or
            random weights, or do not fit the card: one line with the reason.
        StoreError: When a run cannot be read or the archive not be written.
    """
    data, submission = pack_bytes([read_run(path) for path in runs], card, suite)
    if len(data) > MAX_ARCHIVE:
        raise ConfigError(f"{out}: the archive would have {len(data)} bytes; at most {MAX_ARCHIVE} are read")
    hidden = out.with_name(f".{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with hidden.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        hidden.replace(out)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from None
    return submission


def pack_bytes(runs: Sequence[Run], card: MethodCard, suite: Suite) -> tuple[bytes, Packed]:
    """Return the bytes of an archive and the content of its ``submission.json``; see `pack`."""
    runs = _in_order(runs, suite)
    _check_card(runs, card)
    files: dict[str, bytes] = {}
    rows, summary, seconds = [], {}, {}
    for run in runs:
        _check_run(run, suite)
        protocol = suite.protocol(run.protocol.id)
        folder = run_folder(protocol.id)
        for table in SCHEMAS:
            files[f"{folder}/{table}.parquet"] = parquet_bytes(_sorted(run, table))
        files[f"{folder}/cases.parquet"] = parquet_bytes(_cases(run))
        files[f"{folder}/run.json"] = canonical_json(_run_json(run))
        episodes, steps = run.table("episodes"), run.table("steps")
        summary[protocol.id] = summarise(episodes, steps, protocol)
        seconds[protocol.id] = declared_seconds(episodes, steps)
        rows.append(
            {
                "folder": folder,
                "protocol": protocol.id,
                "protocol_digest": protocol.digest,
                "dataset": run.dataset,
                "noise": protocol.noise,
                "agent": run.agent,
                "agent_digest": run.description["agent"]["digest"],
                "seed": run.description["seed"],
                "cases": len(suite.cases),
                "episodes": len(episodes),
                "marks": list(run.marks),
            }
        )
    submission = Packed(
        format=FORMAT,
        suite={"name": suite.name, "version": suite.version, "digest": suite.digest},
        method=card.as_dict(),
        runs=rows,
        files={
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in sorted(files.items())
        },
        summary=summary,
        declared={"seconds": seconds, "machine": runs[0].description["hardware"]},
    )
    return zip_bytes({**files, "submission.json": canonical_json(submission)}), submission


def _in_order(runs: Sequence[Run], suite: Suite) -> list[Run]:
    """Return the runs in the suite's order; refuse doubles, strangers and gaps."""
    names = [name for name, _ in suite.protocols]
    found: dict[str, Run] = {}
    for run in runs:
        protocol = run.protocol.id
        if protocol not in names:
            raise ConfigError(
                f"{run.path}: protocol {protocol!r} is not in suite {suite.name} ({', '.join(names)})"
            )
        if protocol in found:
            raise ConfigError(
                f"{found[protocol].path} and {run.path} are of one protocol, {protocol}; give one"
            )
        found[protocol] = run
    if not found:
        raise ConfigError(f"no runs: give one run directory per protocol of suite {suite.name}")
    accepts = set(next(iter(found.values())).description["agent"]["accepts"])
    missing = [n for n in names if n not in found and _kinds(suite, n) <= accepts]
    if missing:
        raise ConfigError(
            f"suite {suite.name} is incomplete: no run of {', '.join(missing)}; a protocol may be left out "
            "only where the agent does not take its prompts"
        )
    return [found[name] for name in names if name in found]


def _kinds(suite: Suite, protocol: str) -> frozenset[str]:
    return frozenset(suite.protocol(protocol).make_annotator().kinds)


def _check_card(runs: Sequence[Run], card: MethodCard) -> None:
    agents = {run.description["agent"]["digest"]: run for run in runs}
    if len(agents) > 1:
        raise ConfigError(
            f"{' and '.join(str(run.path) for run in agents.values())} are of different agents "
            "(name, version, settings or weights): a submission is of one"
        )
    agent = runs[0].description["agent"]
    try:
        check_filled(card)
        check_name(agent["name"], agent["name"], f"{runs[0].path}: agent")
        check_name(card.name, agent["name"])
    except RefusedError as error:
        raise ConfigError(str(error)) from None
    if set(card.prompts) != set(agent["accepts"]):
        raise ConfigError(
            f"method card: prompts are {', '.join(card.prompts)}; "
            f"the agent takes {', '.join(agent['accepts'])}"
        )
    for run in runs:
        if "random weights" in run.marks:
            raise ConfigError(f"{run.path}: the agent's weights are random; that is no method")
        if run.marks and not card.oracle:
            raise ConfigError(
                f"{run.path} is marked {', '.join(run.marks)}: write `oracle: true` into the method card"
            )


def _check_run(run: Run, suite: Suite) -> None:
    about = run.description
    if not run.sealed:
        raise ConfigError(f"{run.path} is not finished: run the same command again")
    if not about.get("save_masks"):
        raise ConfigError(f"{run.path} kept no masks: {_HINT}")
    git = about.get("git")
    if git is not None and git.get("dirty"):
        raise ConfigError(
            f"{run.path} comes from changed source (a dirty checkout of {str(git.get('commit'))[:12]}): "
            "commit or undo the changes, and run it again"
        )
    digest = dict(suite.protocols)[run.protocol.id]
    if about["protocol"]["digest"] != digest:
        raise ConfigError(
            f"{run.path}: protocol {run.protocol.id} has the digest {about['protocol']['digest'][:12]}, "
            f"suite {suite.name} needs {digest[:12]}"
        )
    if about["seed"] != suite.seed:
        raise ConfigError(f"{run.path}: seed {about['seed']}; suite {suite.name} needs seed={suite.seed}")
    if run.dataset != suite.dataset:
        raise ConfigError(f"{run.path}: data set {run.dataset}; suite {suite.name} is on {suite.dataset}")
    cases = run.cases()
    planned = dict(zip(cases["case_id"], cases["sha256"], strict=True))
    missing = [case.case_id for case in suite.cases if case.case_id not in planned]
    if missing:
        raise ConfigError(
            f"{run.path}: {len(missing)} of {len(suite.cases)} cases of suite {suite.name} are missing, "
            f"the first {missing[0]!r}"
        )
    if len(planned) != len(suite.cases):
        raise ConfigError(f"{run.path}: {len(planned)} cases; suite {suite.name} has {len(suite.cases)}")
    for case in suite.cases:
        if planned[case.case_id] != case.sha256:
            raise ConfigError(
                f"{run.path}: case {case.case_id!r} has other content than suite {suite.name}'s"
            )
    episodes = len(suite.cases) * len(suite.protocol(run.protocol.id).cells())
    if len(run.table("episodes", ["case_id"])) != episodes:
        raise ConfigError(f"{run.path}: not the {episodes} episodes of suite {suite.name}")


def _sorted(run: Run, table: str) -> pa.Table:
    """Return a table of a run with the archive's columns, sorted."""
    import pyarrow.parquet as pq

    schema = SCHEMAS[table]
    parts = []
    for file in sorted((run.path / "episodes").glob("part-*.parquet")):
        path = run.path / table / file.name
        names = pq.read_schema(path).names
        if missing := [name for name in schema.names if name not in names]:
            raise ConfigError(f"{path} has no column {missing[0]!r}: an older simclick made it; run it again")
        parts.append(pq.read_table(path, schema=schema, partitioning=None))
    whole: pa.Table = pa.concat_tables(parts).combine_chunks()
    return whole.sort_by([(name, "ascending") for name in ORDER[table]])


def _cases(run: Run) -> pa.Table:
    frame = run.cases()
    return pa.Table.from_arrays(
        [pa.array(frame[field.name].tolist(), type=field.type) for field in CASES], schema=CASES
    )


def _run_json(run: Run) -> dict[str, Any]:
    """Return what the archive keeps of ``run.json``: nothing of the submitter's paths."""
    about = run.description
    spec: Mapping[str, Any] = about["specs"]["agent"]
    content = {key: about[key] for key in RUN_JSON_KEYS if key in about}
    content["dataset"] = {key: about["dataset"][key] for key in ("name", "version")}
    content["agent_spec"] = {"name": spec["name"], "options": _public(spec["options"])}
    content["protocol"] = {**asdict(run.protocol), "digest": run.protocol.digest}
    try:
        return check_run_json(canonical_json(content), str(run.path / "run.json"))
    except RefusedError as error:
        raise ConfigError(str(error)) from None


def _public(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return an agent's options without files and devices, which are the submitter's own."""
    return {k: v for k, v in options.items() if k not in {"checkpoint", "device"}}
