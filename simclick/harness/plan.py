"""The plan of a run: what will be done, in which order, cut into blocks; checked before any work.

Planning loads every case once: bad files are found, contents are hashed, ids are checked. The plan
depends on nothing that may vary between two equal runs (workers, machine, time), and its digest says
whether a run directory belongs to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simclick.agent import Agent, AgentInfo
from simclick.case import Case
from simclick.datasets.base import Dataset, DatasetInfo, Skipped
from simclick.errors import ConfigError, DataError
from simclick.metrics.attributes import attributes
from simclick.protocol import Protocol

__all__ = ["MAX_SHARDS", "Block", "Plan", "PlannedCase", "make_plan"]

MAX_SHARDS = 2000
"""A table never has many more shards than this: large runs join blocks."""


@dataclass(frozen=True, slots=True)
class PlannedCase:
    """What the plan knows of a case without holding its arrays.

    Attributes:
        reference: What `Dataset.load` takes.
        case_id: Its id.
        group: Its group.
        modality: Its modality.
        target: Its target.
        family: What a generator imitates, or None.
        height: Rows in pixels.
        width: Columns in pixels.
        spacing: Millimetres per row and column, or None.
        area: Truth pixels.
        sha256: Content hash.
        image_sha256: Hash of the image alone.
        factors: What `simclick.metrics.attributes` measures, and the case's own factors, which win.
    """

    reference: Any
    case_id: str
    group: str
    modality: str
    target: str
    family: str | None
    height: int
    width: int
    spacing: tuple[float, float] | None
    area: int
    sha256: str
    image_sha256: str
    factors: dict[str, float]

    @classmethod
    def of(cls, reference: Any, case: Case) -> PlannedCase:
        """Return what the plan keeps of a case."""
        return cls(
            reference,
            case.case_id,
            case.group,
            case.modality,
            case.target,
            case.family,
            *case.size,
            case.spacing,
            int(np.count_nonzero(case.truth)),
            case.sha256(),
            case.image_sha256(),
            {**attributes(case.image, case.truth), **case.factors},
        )


@dataclass(frozen=True, slots=True)
class Block:
    """The unit of work, the lockstep group: some cases with all their cells.

    Attributes:
        index: Position in the plan, from 0.
        cases: Its cases, in order.
    """

    index: int
    cases: tuple[PlannedCase, ...]


@dataclass(frozen=True)
class Plan:
    """A run's plan.

    Attributes:
        agent: What the agent is.
        dataset: What the data set is.
        protocol: The protocol.
        seed: Seed of all draws.
        save_masks: Whether every candidate mask is kept.
        cases: All cases, in the data set's order.
        skipped: What was left out, and why.
        batch: The agent's batch, which sets the blocks' size.
    """

    agent: AgentInfo
    dataset: DatasetInfo
    protocol: Protocol
    seed: int
    save_masks: bool
    batch: int
    cases: tuple[PlannedCase, ...]
    skipped: tuple[Skipped, ...] = ()
    cells: tuple[tuple[float, int], ...] = field(init=False)
    blocks: tuple[Block, ...] = field(init=False)

    def __post_init__(self) -> None:
        cells = tuple(self.protocol.cells())
        per_block = max(1, self.batch // len(cells))
        starts = range(0, len(self.cases), per_block)
        blocks = tuple(Block(i, self.cases[start : start + per_block]) for i, start in enumerate(starts))
        object.__setattr__(self, "cells", cells)
        object.__setattr__(self, "blocks", blocks)

    @property
    def shards(self) -> tuple[tuple[Block, ...], ...]:
        """Blocks joined so that there are at most about `MAX_SHARDS` shards."""
        join = -(-len(self.blocks) // MAX_SHARDS)
        return tuple(self.blocks[i : i + join] for i in range(0, len(self.blocks), join))

    @property
    def episodes(self) -> int:
        """Number of episodes."""
        return len(self.cases) * len(self.cells)

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len({case.group for case in self.cases})

    @property
    def noise(self) -> str:
        """Name of the noise, as it appears in the rows' key."""
        return self.protocol.noise

    def data_sha256(self) -> str:
        """Return the data set's content hash: of its cases' ids and hashes, in order."""
        content = [[case.case_id, case.sha256] for case in self.cases]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def digest(self) -> str:
        """Return what two runs must share for their rows to be equal."""
        content = [
            self.agent.name,
            self.agent.digest,
            self.dataset.name,
            self.data_sha256(),
            self.protocol.id,
            self.protocol.digest,
            self.seed,
            self.save_masks,
            self.batch,
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def make_plan(
    agent: Agent,
    dataset: Dataset,
    protocol: Protocol,
    *,
    seed: int = 0,
    save_masks: bool = False,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Plan:
    """Plan a run: check that everything fits, load every case once.

    Args:
        agent: The agent, already made.
        dataset: The data set.
        protocol: The protocol.
        seed: Seed of all draws.
        save_masks: Whether to keep every candidate mask.
        limit: Take only the first cases.
        progress: Called with (cases read, cases in all).

    Raises:
        ConfigError: When the agent does not take a prompt that the protocol gives.
        DataError: When a case is bad, two share an id, or there are none.
    """
    _check_prompts(agent.info, protocol)
    noise = protocol.make_noise()
    moves: frozenset[str] | None = getattr(noise, "kinds", None)
    if moves is not None and any(protocol.levels) and not moves & protocol.make_annotator().kinds:
        raise ConfigError(
            f"protocol.noise={protocol.noise} moves {' and '.join(sorted(moves))} prompts, and "
            f"{protocol.annotator} gives none: every level would be the same"
        )
    serves = getattr(noise, "check", None)
    if limit is not None and limit < 1:
        raise ConfigError(f"dataset.limit={limit}: must be a whole number ≥ 1, or null for all")
    cases: list[PlannedCase] = []
    total = len(dataset.references()) if limit is None else min(limit, len(dataset.references()))
    for reference, case in dataset.items():
        if serves is not None and any(protocol.levels) and (why := serves(case)) is not None:
            raise ConfigError(why)
        cases.append(PlannedCase.of(reference, case))
        if progress is not None:
            progress(len(cases), total)
        if len(cases) == limit:
            break
    _check_ids(cases, dataset)
    return Plan(
        agent=agent.info,
        dataset=dataset.info,
        protocol=protocol,
        seed=seed,
        save_masks=save_masks,
        batch=agent.batch,
        cases=tuple(cases),
        skipped=tuple(dataset.skipped),
    )


def _check_prompts(agent: AgentInfo, protocol: Protocol) -> None:
    refused = sorted(protocol.make_annotator().kinds - agent.accepts)
    if refused:
        raise ConfigError(
            f"agent {agent.name!r} does not take {' or '.join(refused)} prompts; protocol {protocol.id!r} "
            f"gives them; it takes {', '.join(sorted(agent.accepts))}"
        )


def _check_ids(cases: Sequence[PlannedCase], dataset: Dataset) -> None:
    if not cases:
        why = f"; skipped: {dataset.skipped[0].what}: {dataset.skipped[0].why}" if dataset.skipped else ""
        raise DataError(f"dataset {dataset.info.name!r} has no cases{why}")
    seen: set[str] = set()
    for case in cases:
        if not case.case_id or case.case_id in seen:
            raise DataError(f"dataset {dataset.info.name!r}: case id {case.case_id!r} is empty or not unique")
        seen.add(case.case_id)
