"""One run from beginning to end: plan, open, work, seal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from simclick.agent import AgentInfo
from simclick.datasets.base import DatasetInfo
from simclick.errors import StoreError
from simclick.harness.encoding import settle
from simclick.harness.engine import Engine
from simclick.harness.out_folder import check_writable, refuse_strangers
from simclick.harness.plan import Plan, PlannedCase, make_plan
from simclick.harness.provenance import now, provenance
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.harness.store import RunDirectory
from simclick.protocol import Protocol as BenchmarkProtocol

__all__ = ["Display", "Outcome", "RunSpec", "SilentDisplay", "execute"]

RUN_SCHEMA = 1
"""Version of the layout of a run directory."""


@dataclass(frozen=True)
class RunSpec:
    """What to run, as plain values.

    Attributes:
        agent: The agent.
        dataset: The data set.
        protocol: The protocol.
        out: The run directory.
        seed: Seed of all draws.
        save_masks: Keep every candidate mask.
        limit: Take only the first cases, or None.
        engine: How it is run.
        retry_failed: Do shards with failed episodes again.
        config: The configuration as passed and as resolved, for ``run.json``.
    """

    agent: AgentSpec
    dataset: DatasetSpec
    protocol: BenchmarkProtocol
    out: Path
    seed: int = 0
    save_masks: bool = False
    limit: int | None = None
    engine: Engine = field(default_factory=Engine)
    retry_failed: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        path: The run directory.
        plan: Its plan.
        failed: Number of failed episodes.
        fresh: Number of episodes done now, not found finished.
        hints: What the data set says of how it was read; see `simclick.datasets.base.Dataset.hints`.
    """

    path: Path
    plan: Plan
    failed: int
    fresh: int
    hints: tuple[str, ...] = ()


class Display(Protocol):
    """Shows a run's progress to a person."""

    def planning(self, read: int, total: int) -> None:
        """Show how many cases were read."""

    def working(self, episodes: int, done: int) -> AbstractContextManager[Callable[[int, int], None]]:
        """Show work: the context gives a function that takes (rounds, episodes) as they end."""


class SilentDisplay:
    """Shows nothing."""

    def planning(self, read: int, total: int) -> None:
        """Show nothing."""

    def working(self, episodes: int, done: int) -> AbstractContextManager[Callable[[int, int], None]]:
        """Show nothing."""
        from contextlib import nullcontext

        return nullcontext(lambda rounds, ended: None)


def execute(spec: RunSpec, display: Display | None = None) -> Outcome:
    """Run, or resume, a run; the directory is sealed when this returns.

    Raises:
        SimclickError: When something is wrong with what was asked; nothing was written then.
    """
    display = display or SilentDisplay()
    check_out(spec.out)
    agent = spec.agent.make()
    try:
        settle(agent, spec.engine.cache is not None and spec.engine.cache_fp16)
        cached = spec.engine.encoder(agent).cached  # a folder that cannot be used is refused here
        dataset = spec.dataset.make()
        check_out(spec.out, _known(agent.info, dataset.info, spec))  # reading the data may take long
        plan = make_plan(
            agent,
            dataset,
            spec.protocol,
            seed=spec.seed,
            save_masks=spec.save_masks,
            limit=spec.limit,
            progress=display.planning,
        )
        per_case = len(plan.cells)
        expected = tuple(per_case * sum(len(block.cases) for block in shard) for shard in plan.shards)
        directory = RunDirectory(
            spec.out,
            describe(plan, spec, cached),
            cases_table(plan.cases),
            save_masks=spec.save_masks,
            episodes_per_shard=expected,
        )
        with directory:
            if spec.retry_failed:
                failed = [shards for shards, count in directory.failures().items() if count]
                directory.drop(shard for shards in failed for shard in shards)
            found = sum(expected[shard] for shard in directory.done)
            if not directory.sealed:
                start = time.perf_counter()
                with display.working(plan.episodes, found) as progress:
                    specs = (spec.agent, spec.dataset)
                    encodes = spec.engine.run(plan, directory, agent, dataset, specs, progress)
                seconds = time.perf_counter() - start
                extra = {"images": asdict(encodes)} if cached else {}
                directory.seal({"sealed": now(), "episodes": plan.episodes, "seconds": seconds, **extra})
            n_failed = sum(directory.failures().values())
    finally:
        agent.close()
    return Outcome(spec.out, plan, n_failed, plan.episodes - found, tuple(dataset.hints()))


def check_out(path: Path, known: Mapping[str, Any] | None = None) -> None:
    """Refuse a run directory that could not be made or holds something else, before the data are read.

    Args:
        path: The run directory.
        known: What is known of ``run.json`` already.

    Raises:
        StoreError: See `check_writable` and `refuse_strangers`.
    """
    check_writable(path)
    try:
        refuse_strangers(path, known or {})
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot read {path}: {reason}; choose another out=") from None


def _known(agent: AgentInfo, dataset: DatasetInfo, spec: RunSpec) -> dict[str, Any]:
    """Return the part of ``run.json`` that is known before the data are read."""
    known = {
        "agent": _info(agent),
        "dataset": {"name": dataset.name},
        "protocol": _protocol(spec.protocol),
        "seed": spec.seed,
        "save_masks": spec.save_masks,
    }
    cleaned: dict[str, Any] = json.loads(json.dumps(known, default=str))
    return cleaned


def describe(plan: Plan, spec: RunSpec, cached: bool = False) -> dict[str, Any]:
    """Return what ``run.json`` holds; `cached`: whether embeddings are kept on disk."""
    content = {
        "schema": RUN_SCHEMA,
        "plan_digest": plan.digest(),
        "created": now(),
        "agent": _info(plan.agent),
        "dataset": {
            **asdict(plan.dataset),
            "sha256": plan.data_sha256(),
            "cases": len(plan.cases),
            "groups": plan.groups,
            "skipped": [asdict(skip) for skip in plan.skipped],
        },
        "protocol": _protocol(plan.protocol),
        "marks": [*plan.agent.marks, *(["oracle selection"] if plan.protocol.select == "oracle" else [])],
        "seed": plan.seed,
        "save_masks": plan.save_masks,
        "episodes": plan.episodes,
        "engine": asdict(spec.engine),
        "embedding_cache": cached,
        "config": spec.config,
        "specs": {
            "agent": {"name": spec.agent.name, "options": spec.agent.public_options()},
            "dataset": {"name": spec.dataset.name, "options": dict(spec.dataset.options)},
            "limit": spec.limit,
        },
        **provenance(),
    }
    cleaned: dict[str, Any] = json.loads(json.dumps(content, default=str))
    return cleaned


def _protocol(protocol: BenchmarkProtocol) -> dict[str, Any]:
    return {**asdict(protocol), "digest": protocol.digest}


def _info(info: AgentInfo) -> dict[str, Any]:
    content = {name: getattr(info, name) for name in info.__dataclass_fields__}
    content["accepts"] = sorted(info.accepts)
    content["settings"] = dict(info.settings)
    return {**content, "digest": info.digest, "marks": list(info.marks)}


def cases_table(cases: tuple[PlannedCase, ...]) -> pa.Table:
    """Return what the plan knows of its cases, one row each, in the data set's order."""
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(case, name) for case in cases], type=kind)
        for name, kind in (
            ("case_id", pa.string()),
            ("group", pa.string()),
            ("modality", pa.string()),
            ("target", pa.string()),
            ("family", pa.string()),
            ("height", pa.int32()),
            ("width", pa.int32()),
            ("spacing", pa.list_(pa.float64())),
            ("area", pa.int64()),
            ("sha256", pa.string()),
            ("image_sha256", pa.string()),
        )
    }
    factors = [list(case.factors.items()) for case in cases]
    columns["factors"] = pa.array(factors, type=pa.map_(pa.string(), pa.float64()))
    return pa.table(columns)
