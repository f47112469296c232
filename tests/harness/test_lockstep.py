from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from simclick.agent import Agent, AgentInfo
from simclick.episode import Rules
from simclick.errors import DataError
from simclick.harness.lockstep import Lockstep
from simclick.harness.plan import make_plan
from simclick.harness.records import KEY, Rows, mask_sha256
from simclick.protocol import Protocol, load_protocol
from simclick.runlength import decode
from support import Batched, Broken, Painter, ToyDataset

NOISY = Protocol(
    "p", "center-click", noise="gaussian-click", levels=(0, 4), repeats=2, budget=4, surface_at=(1, 4)
)


def play(agent: Agent, protocol: Protocol = NOISY, n: int = 4, **options: bool) -> tuple[Rows, Lockstep]:
    dataset = ToyDataset(n)
    plan = make_plan(agent, dataset, protocol)
    lockstep = Lockstep(agent, dataset, Rules(protocol, 0), **options)  # type: ignore[arg-type]
    rows = Rows()
    for block in plan.blocks:
        rows.extend(lockstep.run(block))
    return rows, lockstep


def frame(rows: Rows, table: str) -> pd.DataFrame:
    return rows.table(table).to_pandas()


def test_every_cell_has_one_episode_and_its_steps() -> None:
    rows, _ = play(Painter())
    episodes, steps, prompts = (frame(rows, t) for t in ("episodes", "steps", "prompts"))
    assert len(episodes) == 4 * 3
    assert not episodes.duplicated(list(KEY)).any()
    assert (episodes.status == "ok").all()
    counted = steps.groupby(list(KEY)).step.agg(["min", "max", "count"])
    assert (counted["min"] == 1).all()
    assert (counted["max"] == counted["count"]).all()
    assert counted["max"].tolist() == episodes.sort_values(list(KEY)).steps.tolist()
    assert len(prompts) == len(steps)
    last = steps.groupby(list(KEY)).dice.last().tolist()
    assert last == episodes.sort_values(list(KEY)).final_dice.tolist()


def test_surfaces_are_measured_only_where_the_protocol_says() -> None:
    steps = frame(play(Painter())[0], "steps")
    assert steps[steps.cost.isin([1, 4])].hd95.notna().all()
    assert steps[~steps.cost.isin([1, 4])].hd95.isna().all()


class Boxer(Painter):
    """Also fills boxes."""

    def __init__(self) -> None:
        super().__init__(2)
        self.info = AgentInfo("boxer", accepts=frozenset({"click", "box"}))

    def segment(self, image, request):  # type: ignore[no-untyped-def]
        mask = np.zeros(request.size, dtype=np.bool_)
        for prompt in request.prompts:
            x0, y0, x1, y1 = prompt.landed if prompt.kind == "box" else (*prompt.landed, *prompt.landed)
            mask[y0 : y1 + 1, x0 : x1 + 1] = prompt.positive
        return mask


def test_surfaces_are_measured_where_a_box_jumps_over_a_cost_or_an_episode_ends_early() -> None:
    def costs(annotator: str, *surface_at: int) -> tuple[set[int], set[int]]:
        protocol = Protocol("p", annotator, budget=6, surface_at=surface_at)
        steps = frame(play(Boxer(), protocol)[0], "steps")
        return set(steps.cost), set(steps.cost[steps.hd95.notna()])

    assert costs("box-then-click", 1, 3, 5) == ({2, 3, 4, 5, 6}, {3, 5})
    # The box alone: its mask holds from 2 to the end, so also at 5; before 2 there is none.
    assert costs("tight-box", 5) == ({2}, {2})
    assert costs("tight-box", 1) == ({2}, set())


def test_rows_do_not_depend_on_the_batch() -> None:
    class One(Batched):
        batch = 1

    many, one = Batched(), One()
    a, b = frame(play(many)[0], "steps"), frame(play(one)[0], "steps")
    compared = [c for c in a.columns if not c.startswith("seconds")]
    pd.testing.assert_frame_equal(a[compared], b[compared])
    assert max(many.sizes) == 6  # two cases of three cells fill a batch of eight
    assert set(one.sizes) == {1}
    assert many.encoded == one.encoded == 4


def test_cases_of_one_image_share_one_encode() -> None:
    class OneImage(ToyDataset):
        def load(self, reference: int):  # type: ignore[no-untyped-def]
            from support import make_case

            return make_case(reference, image=np.zeros((40, 48, 3), np.uint8))

    agent = Batched()
    plan = make_plan(agent, OneImage(2), NOISY)
    Lockstep(agent, OneImage(2), Rules(NOISY, 0)).run(plan.blocks[0])
    assert agent.encoded == 1


@pytest.mark.parametrize("how", ["raise", "shape", "dtype", "nan", "scores", "none", "empty", "memories"])
def test_failures_are_rows_and_score_zero(how: str) -> None:
    rows, _ = play(Broken(how))
    episodes, steps = frame(rows, "episodes"), frame(rows, "steps")
    assert (episodes.status == "failed").all()
    assert (episodes.final_dice == 0).all()
    assert episodes.error.str.len().gt(0).all()
    assert not episodes.error.str.contains("\n").any()
    assert (episodes.steps == 2).all()
    last = steps[steps.step == 2]
    assert (last.dice == 0).all()
    assert (last.chosen == -1).all()
    assert (steps[steps.step == 1].dice > 0).all()


def test_a_failure_costs_its_neighbours_nothing() -> None:
    class OneBad(Batched):
        def predict(self, requests):  # type: ignore[no-untyped-def]
            if any(r.embedding.image[18, 15, 0] == 60 for r in requests):  # type: ignore[index]
                raise MemoryError("too big")
            return super().predict(requests)

    class Holed(ToyDataset):
        def load(self, reference: int):  # type: ignore[no-untyped-def]
            from support import make_case

            case = make_case(reference)
            image = case.image.copy()
            image[18, 15] = 60 if reference == 1 else 180
            return make_case(reference, image=image)

    agent = OneBad()
    plan = make_plan(agent, Holed(4), NOISY)
    rows = Rows()
    for block in plan.blocks:
        rows.extend(Lockstep(agent, Holed(4), Rules(NOISY, 0)).run(block))
    episodes = frame(rows, "episodes")
    assert set(episodes[episodes.status == "failed"].case_id) == {"case-001"}
    good, _ = play(Batched())
    a = frame(good, "steps")
    b = frame(rows, "steps")
    assert a[a.case_id != "case-001"].dice.tolist() == b[b.case_id != "case-001"].dice.tolist()
    assert "MemoryError: too big" in episodes[episodes.status == "failed"].error.iloc[0]


@pytest.mark.parametrize("where", ["encode", "predict"])
def test_a_method_that_leaves_the_program_has_failed(where: str) -> None:
    class Leaves(Batched):
        pass

    setattr(Leaves, where, lambda self, asked: sys.exit(0))
    rows, _ = play(Leaves())
    episodes = frame(rows, "episodes")
    assert (episodes.status == "failed").all()
    assert episodes.error.str.contains("SystemExit: 0").all()


def test_an_encode_that_raises_fails_only_its_image() -> None:
    class BadEncode(Batched):
        def encode(self, images):  # type: ignore[no-untyped-def]
            if any(image[18, 12, 0] == 60 for image in images):
                raise ValueError("cannot encode")
            return super().encode(images)

    dataset = ToyDataset(4)
    bad = {c.case_id for c in dataset if c.image[18, 12, 0] == 60}
    rows, _ = play(BadEncode())
    episodes = frame(rows, "episodes")
    assert set(episodes[episodes.status == "failed"].case_id) == bad
    assert (episodes[episodes.status == "failed"].steps == 1).all() or not bad


def test_an_agent_sees_no_truth_and_no_meaning() -> None:
    class Spy(Painter):
        def predict(self, requests):  # type: ignore[no-untyped-def]
            for request in requests:
                assert request.truth is None
                for prompt in request.prompts:
                    assert prompt.meant == prompt.landed
                assert not request.embedding.image.flags.writeable
                assert (request.previous is None) == (len(request.rounds) == 1)
            return super().predict(requests)

    rows, _ = play(Spy())
    assert (frame(rows, "episodes").status == "ok").all()
    prompts = frame(rows, "prompts")
    assert any(list(a) != list(b) for a, b in zip(prompts.meant, prompts.landed, strict=True))


def test_saved_masks_are_the_masks() -> None:
    rows, _ = play(Batched(), save_masks=True)
    masks, steps = frame(rows, "masks"), frame(rows, "steps")
    assert len(masks) == 3 * len(steps)
    row = masks[masks.candidate == 1].iloc[0]
    mask = decode(row.counts, (40, 48))
    assert mask_sha256(mask) == steps.iloc[0].mask_sha256


def test_changed_data_is_noticed() -> None:
    agent, dataset = Painter(), ToyDataset(2)
    plan = make_plan(agent, dataset, load_protocol("noc-v1"))

    class Changed(ToyDataset):
        def load(self, reference: int):  # type: ignore[no-untyped-def]
            from support import make_case

            return make_case(reference, group="other")

    with pytest.raises(DataError, match="changed on disk"):
        Lockstep(agent, Changed(2), Rules(plan.protocol, 0)).run(plan.blocks[0])
