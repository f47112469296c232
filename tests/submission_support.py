"""A small suite, runs on it, and submissions made and changed from them, for tests."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any
from unittest import mock

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from simclick.harness import specs
from simclick.harness.reading import Run, read_run
from simclick.harness.run import RunSpec, execute
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.leaderboard.archive import zip_bytes
from simclick.leaderboard.checks import Job, examine
from simclick.leaderboard.limits import canonical_json
from simclick.leaderboard.method import MethodCard, card_of_agent
from simclick.leaderboard.pack import pack_bytes
from simclick.leaderboard.parquet import ORDER, parquet_bytes, schema_of
from simclick.leaderboard.suites import Suite, freeze, suite_text
from simclick.leaderboard.summary import declared_seconds, summarise
from simclick.protocol import load_protocol

DATA = DatasetSpec("phantoms", {"families": ["dermoscopy"], "patients": 3, "slices": 1, "size": 128})
PROTOCOLS = ("noc-v1", "cosmos-s5-v1", "click-noise-short-v1")
ROLES = {"clicks": "noc-v1", "box": "cosmos-s5-v1", "click_noise": "click-noise-short-v1"}


@dataclass(frozen=True)
class Made:
    """A submission and what it was made of."""

    folder: Path
    suite: Suite
    suite_file: str
    runs: tuple[Run, ...]
    card: MethodCard
    data: bytes

    def write(self, folder: Path, data: bytes | None = None, name: str = "a.zip") -> Path:
        path = folder / name
        path.write_bytes(self.data if data is None else data)
        return path


def tiny_data(patients: int = 3) -> DatasetSpec:
    """Return images, one per patient."""
    return DatasetSpec("phantoms", {**DATA.options, "patients": patients})


@cache
def tiny_suite(patients: int = 3) -> tuple[Suite, Path]:
    """Return a suite of one case per patient, and its folder; more than three are asked for clicks alone."""
    folder = Path(mkdtemp(prefix="simclick-suite-"))
    few = patients == 3
    roles = ROLES if few else {"clicks": "noc-v1"}
    protocols = PROTOCOLS if few else ("noc-v1",)
    suite = freeze("tiny-v1", tiny_data(patients), protocols, roles, title="Tiny")
    (folder / "tiny-v1.yaml").write_text(suite_text(suite), encoding="utf-8")
    return suite, folder


@cache
def made(
    agent: str = "disc", target: str | None = None, claimed: str | None = None, patients: int = 3
) -> Made:
    """Return the submission of an agent on the tiny suite; the runs count as made from clean source.

    Args:
        agent: Its registered name.
        target: Class of a custom agent.
        claimed: The registered name that the runs say instead: a forger's.
        patients: How many cases the suite has; see `tiny_suite`.
    """
    spec = AgentSpec(agent) if target is None else AgentSpec("custom", {"target": target})
    with mock.patch.object(specs, "refuse_shipped_name") if claimed else nullcontext():
        return _made(spec, claimed, patients)


def _made(spec: AgentSpec, claimed: str | None, patients: int) -> Made:
    suite, folder = tiny_suite(patients)
    instance = spec.make()
    names = [name for name, _ in suite.protocols]
    taken = [p for p in names if load_protocol(p).make_annotator().kinds <= instance.info.accepts]
    runs = []
    for protocol in taken:
        out = Path(mkdtemp(prefix=f"simclick-{protocol}-")) / "run"
        execute(RunSpec(spec, tiny_data(patients), load_protocol(protocol), out, save_masks=True))
        run = read_run(out)
        run.description["git"] = None
        if claimed is not None:
            run.description["specs"]["agent"] = {"name": claimed, "options": {}}
        runs.append(run)
    card = card_of_agent(instance.info, family="sanity", date="2026-01-02", overlap={"tiny-v1": "none"})
    data, _ = pack_bytes(runs, card, suite)
    return Made(folder, suite, str(folder / "tiny-v1.yaml"), tuple(runs), card, data)


def contents(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: Mapping[str, bytes], change: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    """Return an archive of changed files, with a manifest that fits them."""
    submission = json.loads(files["submission.json"])
    rest = {name: data for name, data in files.items() if name != "submission.json"}
    submission["files"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in rest.items()
    }
    if change is not None:
        change(submission)
    return zip_bytes({**rest, "submission.json": canonical_json(submission)})


def with_submission(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    return packed(contents(data), change)


def with_json(data: bytes, name: str, change: Callable[[dict[str, Any]], None]) -> bytes:
    files = contents(data)
    content = json.loads(files[name])
    change(content)
    return packed({**files, name: canonical_json(content)})


def frame_of(files: Mapping[str, bytes], protocol: str, table: str) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(io.BytesIO(files[f"runs/{protocol}/{table}.parquet"])).to_pandas()
    return frame


def with_rows(
    data: bytes,
    protocol: str,
    change: Callable[[dict[str, pd.DataFrame]], None],
    *,
    fit_summary: bool = True,
) -> bytes:
    """Return an archive with changed rows of a run; manifest and claimed numbers are made to fit."""
    files = contents(data)
    tables = {t: frame_of(files, protocol, t) for t in ("episodes", "steps", "prompts", "masks")}
    change(tables)
    for table, frame in tables.items():
        arrow = pa.Table.from_pandas(frame, schema=schema_of(table), preserve_index=False)
        arrow = arrow.sort_by([(name, "ascending") for name in ORDER[table]])
        files[f"runs/{protocol}/{table}.parquet"] = parquet_bytes(arrow)

    def fit(submission: dict[str, Any]) -> None:
        try:
            numbers = summarise(tables["episodes"], tables["steps"], load_protocol(protocol))
        except Exception:  # the rows are too odd: the claims stay as they were
            return
        seconds = declared_seconds(tables["episodes"], tables["steps"])
        submission["summary"][protocol] = numbers
        submission["declared"]["seconds"][protocol] = seconds

    return packed(files, fit if fit_summary else None)


def found(path: Path, suite_file: str, **options: Any) -> dict[str, Any]:
    """Check an archive in this process; return the result."""
    said: list[Mapping[str, Any]] = []
    examine(Job(path, suite_file, **options), said.append)
    result = dict(said[-1])
    result["episodes"] = [message for message in said if message["kind"] == "episode"]
    return result
