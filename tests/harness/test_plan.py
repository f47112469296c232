from __future__ import annotations

from dataclasses import replace

import pytest

from simclick.agent import AgentInfo
from simclick.errors import ConfigError, DataError
from simclick.harness import plan as planning
from simclick.harness.plan import make_plan
from simclick.protocol import Protocol, load_protocol
from support import Batched, Painter, ToyDataset

NOC = load_protocol("noc-v1")


def test_blocks_hold_what_the_batch_digests() -> None:
    noisy = Protocol("p", "center-click", noise="gaussian-click", levels=(0, 5), repeats=3)
    assert [len(b.cases) for b in make_plan(Painter(), ToyDataset(6), NOC).blocks] == [1] * 6
    assert [len(b.cases) for b in make_plan(Batched(), ToyDataset(10), NOC).blocks] == [8, 2]
    assert [len(b.cases) for b in make_plan(Batched(), ToyDataset(5), noisy).blocks] == [2, 2, 1]


def test_large_runs_join_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MAX_SHARDS", 4)
    plan = make_plan(Painter(), ToyDataset(11), NOC)
    assert [len(shard) for shard in plan.shards] == [3, 3, 3, 2]
    assert [b.index for shard in plan.shards for b in shard] == list(range(11))


def test_what_an_agent_does_not_take_is_refused_when_planned() -> None:
    agent = Painter()
    agent.info = AgentInfo("boxer", accepts=frozenset({"box"}))
    with pytest.raises(ConfigError, match=r"'boxer' does not take click prompts.*takes box"):
        make_plan(agent, ToyDataset(), NOC)


def test_bad_cases_stop_the_plan_or_are_listed() -> None:
    with pytest.raises(DataError, match="toy file 2 is truncated"):
        make_plan(Painter(), ToyDataset(bad=[2]), NOC)
    plan = make_plan(Painter(), ToyDataset(bad=[2], skip_invalid=True), NOC)
    assert len(plan.cases) == 5
    assert plan.skipped[0].why == "toy file 2 is truncated"


def test_limits() -> None:
    assert [c.case_id for c in make_plan(Painter(), ToyDataset(), NOC, limit=2).cases] == [
        "case-000",
        "case-001",
    ]
    with pytest.raises(ConfigError, match=r"limit=0"):
        make_plan(Painter(), ToyDataset(), NOC, limit=0)
    with pytest.raises(DataError, match="no cases"):
        make_plan(Painter(), ToyDataset(0), NOC)


def test_digest_follows_everything_that_changes_a_row() -> None:
    base = make_plan(Painter(), ToyDataset(), NOC).digest()
    assert make_plan(Painter(), ToyDataset(), NOC).digest() == base
    others = [
        make_plan(Painter(5), ToyDataset(), NOC),
        make_plan(Painter(), ToyDataset(5), NOC),
        make_plan(Painter(), ToyDataset(), NOC, seed=1),
        make_plan(Painter(), ToyDataset(), NOC, save_masks=True),
        make_plan(Painter(), ToyDataset(), NOC.with_overrides({"budget": 3})),
        make_plan(Batched(), ToyDataset(), NOC),
    ]
    assert len({plan.digest() for plan in others} | {base}) == len(others) + 1


def test_a_noise_that_can_move_no_prompt_is_refused() -> None:
    boxes = replace(NOC, noise="box-edges", levels=(0.0, 5.0), repeats=2)
    with pytest.raises(ConfigError, match="moves box prompts, and center-click gives none"):
        make_plan(Painter(), ToyDataset(), boxes)
    silent = replace(boxes, levels=(0.0,))
    assert len(make_plan(Painter(), ToyDataset(), silent).cases) > 0
