from __future__ import annotations

import numpy as np
import pytest

from simclick.case import Case
from simclick.episode import Episode, Ground, Rules, ask
from simclick.prompts import Round, click
from simclick.protocol import Protocol, load_protocol
from support import make_case

NOC = Rules(load_protocol("noc-v1"), seed=0)


def episode(rules: Rules = NOC, **changes: object) -> Episode:
    return Episode(Ground(make_case(**changes)), rules)  # type: ignore[arg-type]


def test_a_perfect_answer_terminates() -> None:
    e = episode()
    (round_,) = ask([e])
    assert round_ == Round((click(14, 18),))
    assert e.waiting
    assert e.answer(e.case.truth.copy()) == 1.0
    assert (e.status, e.dice, e.iou, e.step, e.cost) == ("terminated", 1.0, 1.0, 1, 1)


def test_an_empty_truth_is_done_before_it_begins() -> None:
    e = episode(truth=np.zeros((40, 48), bool))
    assert (e.status, e.dice, e.step) == ("terminated", 1.0, 0)


def test_a_false_positive_on_an_empty_truth_can_be_corrected() -> None:
    """The state an agent reaches on an empty truth when it paints something anyway."""
    truth = np.zeros((40, 48), bool)
    truth[0, 0] = True
    e = episode(truth=truth)
    ask([e])
    mask = np.zeros_like(truth)
    mask[10:20, 10:20] = True
    e.answer(mask)
    (round_,) = ask([e])
    assert round_ is not None
    assert not round_.prompts[0].positive


def test_the_budget_truncates_and_is_reachable() -> None:
    e = episode()
    for step in range(1, 21):
        (round_,) = ask([e])
        assert round_ is not None
        assert e.cost == step
        mask = np.zeros(e.case.size, bool)
        mask[18, 14 : 14 + step] = True
        e.answer(mask)
    assert (e.status, e.step) == ("truncated", 20)


def test_a_perfect_answer_to_the_last_round_terminates() -> None:
    e = episode(Rules(load_protocol("noc-v1").with_overrides({"budget": 1}), 0))
    ask([e])
    e.answer(e.case.truth)
    assert e.status == "terminated"


def test_a_round_that_would_pass_the_budget_is_not_given() -> None:
    rules = Rules(Protocol("p", "box-then-click", budget=1), 0)
    e = episode(rules)
    assert ask([e]) == [None]
    assert (e.status, e.step, e.cost, e.dice) == ("truncated", 0, 0, 0.0)


def test_ignored_pixels_count_nowhere() -> None:
    ignore = np.zeros((40, 48), bool)
    ignore[:, 14:] = True
    e = episode(ignore=ignore)
    ask([e])
    mask = e.case.truth.copy()
    mask[:, 14:] = ~mask[:, 14:]
    e.answer(mask)
    assert (e.dice, e.status) == (1.0, "terminated")


def test_failure_is_final_and_scores_zero() -> None:
    e = episode()
    ask([e])
    e.answer(np.ones(e.case.size, bool))
    assert e.dice > 0
    ask([e])
    e.fail("it broke")
    assert (e.status, e.dice, e.iou, e.error) == ("failed", 0.0, 0.0, "it broke")
    with pytest.raises(RuntimeError, match="over"):
        e.offer(None)


def test_misuse_is_refused() -> None:
    e = episode()
    with pytest.raises(RuntimeError, match="no round to answer"):
        e.answer(np.zeros(e.case.size, bool))
    ask([e])
    with pytest.raises(RuntimeError, match="not answered"):
        ask([e])
    with pytest.raises(ValueError, match="not bool"):
        e.answer(np.zeros((3, 3), bool))
    with pytest.raises(ValueError, match="not bool"):
        e.answer(np.zeros(e.case.size, np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one case"):
        ask([episode(), episode()])


def test_lockstep_equals_one_by_one() -> None:
    protocol = Protocol("p", "center-click", noise="gaussian-click", levels=(0, 3, 6), repeats=3, budget=6)
    rules = Rules(protocol, 7)
    ground = Ground(make_case())

    def play(group: list[Episode]) -> None:
        while running := [e for e in group if e.status == "running"]:
            for e, round_ in zip(running, ask(running), strict=True):
                if round_ is not None:
                    x, y = round_.prompts[0].landed
                    mask = e.mask.copy()
                    mask[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = round_.prompts[0].positive
                    e.answer(mask)

    together = [Episode(ground, rules, *cell) for cell in protocol.cells()]
    play(together)
    for cell, e in zip(protocol.cells(), together, strict=True):
        alone = Episode(ground, rules, *cell)
        play([alone])
        assert alone.rounds == e.rounds
        assert np.array_equal(alone.mask, e.mask)


def test_level_zero_equals_the_protocol_without_noise() -> None:
    noisy = Rules(Protocol("p", "center-click", noise="gaussian-click", levels=(0, 3)), 0)
    plain, level0 = episode(), Episode(Ground(make_case()), noisy, level=0.0)
    assert ask([plain]) == ask([level0])


def test_levels_share_one_draw_scaled() -> None:
    rules = Rules(Protocol("p", "center-click", noise="gaussian-click", levels=(2, 4)), 3)
    moves = []
    for level in (200.0, 400.0):
        e = Episode(
            Ground(make_case(truth=_centre(), image=np.zeros((4001, 4001, 3), np.uint8))), rules, level
        )
        (round_,) = ask([e])
        assert round_ is not None
        (prompt,) = round_.prompts
        moves.append(np.subtract(prompt.landed, prompt.meant))
    assert np.abs(moves[1] - 2 * moves[0]).max() <= 1
    assert np.abs(moves[0]).max() > 0


def _centre() -> np.ndarray:
    truth = np.zeros((4001, 4001), bool)
    truth[2000, 2000] = True
    return truth


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("order", ["C", "F", "flipped", "bytes"])
def test_overlap_counts_every_pixel_that_counts(seed: int, order: str) -> None:
    random = np.random.default_rng(seed)
    truth = np.zeros((19, 23), dtype=np.bool_)
    if seed:
        truth[3 : 4 + 2 * seed, 2:17] = random.random((1 + 2 * seed, 15)) < 0.6
    ignore = random.random(truth.shape) < 0.2 if seed % 2 else None
    image = np.zeros((*truth.shape, 3), np.uint8)
    ground = Ground(Case("0", "d", image, truth, "g", "", "", ignore=ignore))
    mask = random.random(truth.shape) < 0.5
    forms = {
        "C": mask,
        "F": np.asfortranarray(mask),
        "flipped": mask[::-1, ::-1],
        "bytes": (mask.astype(np.uint8) * 2).view(np.bool_),  # as of a label map: true is any byte but 0
    }
    mask = forms[order]
    counts = np.ones(truth.shape, bool) if ignore is None else ~ignore
    assert ground.overlap(mask) == (int((mask & truth & counts).sum()), int((mask & counts).sum()))
    assert ground.area == int((truth & counts).sum())
