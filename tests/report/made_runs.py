"""Run directories with made-up rows, written through the store itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simclick.agent import AgentInfo
from simclick.datasets.base import DatasetInfo, Skipped
from simclick.harness.plan import Plan, PlannedCase
from simclick.harness.records import Rows
from simclick.harness.run import RunSpec, cases_table, describe
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.harness.store import RunDirectory
from simclick.protocol import Protocol

EVIL = "<script>alert('x')</script>"
SMALL = Protocol("small-v1", "center-click", budget=6, surface_at=(1, 5))
NOC = Protocol("noc-v1", "center-click", budget=20, surface_at=(1, 3, 5, 10, 20))


def planned_cases(
    n_groups: int = 24,
    per_group: int = 3,
    targets: Sequence[str] = ("liver", "lesion", "vessel"),
    modalities: Sequence[str] = ("ct", "mr"),
    spacing: tuple[float, float] | None = (0.8, 0.8),
    prefix: str = "case",
) -> tuple[PlannedCase, ...]:
    """Return planned cases; contents are made up, but every hash is its own."""
    cases = []
    for group in range(n_groups):
        for k in range(per_group):
            name = f"{prefix}-{group:02d}-{k}"
            sha = hashlib.sha256(name.encode()).hexdigest()
            cases.append(
                PlannedCase(
                    reference=len(cases),
                    case_id=name,
                    group=f"patient-{group:02d}",
                    modality=modalities[group % len(modalities)],
                    target=targets[k % len(targets)],
                    family=None,
                    height=96,
                    width=128,
                    spacing=spacing,
                    area=500 + 100 * k,
                    sha256=sha,
                    image_sha256=sha,
                    factors={"contrast": 0.5},
                )
            )
    return tuple(cases)


def curves(n: int, budget: int, skill: float, seed: int) -> NDArray[np.float64]:
    """Return plausible Dice curves, Float64[n, budget]: rising, noisy, each case with its own hardness."""
    shared, own = np.random.default_rng(7), np.random.default_rng(seed)
    hard = np.repeat(shared.normal(0.0, 0.6, (n + 2) // 3), 3)[:n] + shared.normal(0.0, 0.4, n)
    speed = np.exp(skill - hard + own.normal(0.0, 0.25, n))
    top = 1 - 0.06 * own.random(n) - 0.25 * (hard > 0.9)
    clicks = np.arange(1, budget + 1)
    dice = top[:, None] * (1 - np.exp(-(0.35 * speed[:, None]) * (clicks + 1.2) ** 0.75))
    return np.clip(dice + own.normal(0.0, 0.012, dice.shape), 0.0, 1.0)


def write_run(
    path: Path,
    agent: AgentInfo | str,
    dataset: str = "toy",
    *,
    dice: NDArray[np.float64] | None = None,
    skill: float = 0.0,
    cases: Sequence[PlannedCase] | None = None,
    protocol: Protocol = NOC,
    seed: int = 0,
    failures: Mapping[int, tuple[int, str]] | None = None,
    only: int | None = None,
    seal: bool = True,
    skipped: Sequence[Skipped] = (),
    description: Mapping[str, Any] | None = None,
    first: tuple[str, int] = ("click", 1),
) -> Path:
    """Write a run of one cell per case (or per level and repeat) and return its path.

    Args:
        path: The run directory.
        agent: What it is, or its name.
        dataset: Name of the data set.
        dice: Float64[cases, steps], or None for plausible curves.
        skill: How fast these rise.
        cases: The planned cases.
        protocol: The protocol.
        seed: Seed of the run.
        failures: By case number, the step at which it fails and why.
        only: Commit only so many shards; one case is one shard.
        seal: Whether to seal.
        skipped: What was left out.
        description: Changes to ``run.json``.
        first: Kind and cost of the first round's prompt; every further round is a click.
    """
    info = AgentInfo(agent) if isinstance(agent, str) else agent
    cases = planned_cases() if cases is None else tuple(cases)
    plan = Plan(info, DatasetInfo(dataset), protocol, seed, False, 1, tuple(cases), tuple(skipped))
    spec = RunSpec(AgentSpec(info.name), DatasetSpec(dataset), protocol, path, seed)
    if dice is None:
        number = int(hashlib.sha256(info.name.encode()).hexdigest()[:8], 16)
        dice = curves(len(cases), protocol.budget, skill, number)
    about = {**describe(plan, spec), **(description or {})}
    per_shard = tuple(len(plan.cells) for _ in plan.shards)
    with RunDirectory(
        path, about, cases_table(tuple(cases)), save_masks=False, episodes_per_shard=per_shard
    ) as run:
        for number, case in enumerate(cases[: only if only is not None else len(cases)]):
            run.commit(number, _rows(plan, case, dice[number], (failures or {}).get(number), first))
        if seal:
            run.seal({})
    return path


def _rows(
    plan: Plan,
    case: PlannedCase,
    dice: NDArray[np.float64],
    failure: tuple[int, str] | None,
    first: tuple[str, int],
) -> Rows:
    rows = Rows()
    protocol = plan.protocol
    about = (case.group, case.modality, case.target)
    for level, repeat in plan.cells:
        key = (plan.agent.name, protocol.id, plan.dataset.name, case.case_id, plan.noise, level, repeat)
        values = np.clip(dice - 0.02 * level, 0.0, 1.0)
        steps = len(values) if failure is None else failure[0]
        for step in range(1, steps + 1):
            value = float(values[step - 1])
            failed = failure is not None and step == steps
            if failed:
                value = 0.0
            cost = step - 1 + first[1]
            surface = cost in protocol.surface_at and not failed
            hd95 = np.inf if value == 0 else 20 * (1 - value)
            rows.add(
                "steps", *key, step, cost, value, value / (2 - value),
                hd95 if surface else None, value**0.5 if surface else None, value,
                -1 if failed else 0, 0 if failed else 1, 0.02, 0.001, "0" * 64, *about,
            )  # fmt: skip
            kind, spent = first if step == 1 else ("click", 1)
            at = [10 + step, 20, 40 + step, 60] if kind == "box" else [10 + step, 20]
            rows.add("prompts", *key, step, 0, kind, True, True, at, at, None, spent)
        status, error = ("ok", None) if failure is None else ("failed", failure[1])
        final = 0.0 if failure is not None or steps == 0 else float(values[steps - 1])
        rows.add(
            "episodes", *key, *about, status, error, steps, final, 0.1, plan.agent.digest, protocol.digest
        )
    return rows
