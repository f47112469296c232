"""What every noise shares: levels, units, borders, which prompts, pairing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from noise_hand import DISPLACEMENTS, WIDE, draws, landed_of, make, prompt_for, small_case

from simclick import registry
from simclick.annotators.noise import TRIES, chosen
from simclick.annotators.noise_boxes import BoxGrow, BoxScale, BoxShift
from simclick.annotators.noise_clicks import GaussianClick, RingClick, UniformDiscClick
from simclick.annotators.noise_labels import OffTargetClick, WrongLabel
from simclick.annotators.noise_scribbles import ScribbleWobble
from simclick.errors import ConfigError
from simclick.prompts import Prompt, Round, box, click, everything, scribble, text
from simclick.seeding import Draws

ALL = sorted(registry.noises.entries)
OTHERS = (text("liver"), everything())
EVERY_KIND = (click(2000, 2000), box(1000, 1000, 2000, 2000), scribble([(900, 900), (1100, 1000)]))


@pytest.mark.parametrize("name", ALL)
def test_level_0_returns_the_round_itself(name: str) -> None:
    round_ = Round(EVERY_KIND)
    assert make(name).perturb(round_, WIDE, draws(), 0.0) is round_


@pytest.mark.parametrize("name", ALL)
def test_other_kinds_pass(name: str) -> None:
    noise = make(name)
    others = OTHERS + tuple(p for p in EVERY_KIND if p.kind not in noise.kinds)
    assert len(others) > len(OTHERS)
    alone = Round(others)
    level = min(50.0, noise.max_level)
    assert noise.perturb(alone, WIDE, draws(), level) is alone
    touched = tuple(p for p in EVERY_KIND if p.kind in noise.kinds)
    moved = noise.perturb(Round((*others, *touched)), WIDE, draws(), level)
    assert moved.prompts[: len(others)] == others
    assert all(a != b for a, b in zip(moved.prompts[len(others) :], touched, strict=True))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("positive", [True, False])
def test_what_was_meant_stays(name: str, positive: bool) -> None:
    meant = prompt_for(name, positive)
    [moved] = make(name).perturb(Round((meant,)), WIDE, draws(), min(30.0, make(name).max_level)).prompts
    assert moved != meant
    assert (moved.meant, moved.meant_positive) == (meant.meant, meant.meant_positive)
    if name == "wrong-label":
        assert (moved.landed, moved.positive) == (meant.landed, not meant.positive)
    else:
        assert moved.landed != meant.landed
        assert moved.positive == meant.positive


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("level", [-0.5, math.nan, math.inf])
def test_refuses_a_bad_level(name: str, level: float) -> None:
    with pytest.raises(ValueError, match="must be finite and ≥ 0"):
        make(name).perturb(Round((click(1, 1),)), WIDE, draws(), level)


@pytest.mark.parametrize("name", ["wrong-label", "off-target-click", "scribble-breaks"])
def test_refuses_a_level_above_the_largest(name: str) -> None:
    with pytest.raises(ValueError, match=f"noise level 1.5 of {name} must be ≤ 1"):
        make(name).perturb(Round((prompt_for(name),)), WIDE, draws(), 1.5)


@pytest.mark.parametrize("name", ALL)
def test_prompts_of_a_round_have_draws_of_their_own(name: str) -> None:
    prompt, noise = prompt_for(name), make(name)
    level = min(90.0, noise.max_level / 2)
    rounds = [Round((prompt,)), Round((prompt, prompt)), Round((text("a"), prompt))]
    differ = 0
    for seed in range(12):
        [alone], [first, second], [_, later] = (
            noise.perturb(r, WIDE, draws(seed), level).prompts for r in rounds
        )
        assert first == alone
        assert later == second, "the index in the round is the key"
        differ += second != first
    assert differ >= 3


@pytest.mark.parametrize("name", ALL)
def test_the_step_the_repeat_and_the_case_are_keys_and_the_level_is_not(name: str) -> None:
    prompt, noise = Round((prompt_for(name),)), make(name)
    level = 0.5 if name == "box-scale" else min(90.0, noise.max_level / 2)

    def answers(keys: list[Draws]) -> set[Any]:
        return {noise.perturb(prompt, WIDE, key, level).prompts[0] for key in keys}

    few = 2 if name == "wrong-label" else 5
    assert len(answers([Draws(0, "d", "c", 0, 1)])) == 1
    assert len(answers([Draws(0, "d", "c", 0, step) for step in range(1, 25)])) >= few
    assert len(answers([Draws(0, "d", "c", repeat, 1) for repeat in range(25)])) >= few
    assert len(answers([Draws(0, "d", f"c{k}", 0, 1) for k in range(25)])) >= few


@pytest.mark.parametrize("name", [n for n in DISPLACEMENTS if not n.endswith("-ring") and n != "ring-click"])
def test_a_level_is_a_dose(name: str) -> None:
    """Displacements at two levels are proportional, up to the rounding of each."""
    noise, prompt = make(name), prompt_for(name)
    if name == "box-scale":
        one, three = (landed_of(noise, prompt, level, 50) for level in (0.1, 0.3))
    else:
        one, three = (landed_of(noise, prompt, level, 50) for level in (20.0, 60.0))
    meant = np.array(prompt.meant)
    assert np.abs((three - meant) - 3 * (one - meant)).max() <= 2
    assert np.abs(three - meant).max() > 10


@pytest.mark.parametrize("name", ["ring-click", "box-ring"])
def test_levels_of_a_ring_share_direction_and_place(name: str) -> None:
    noise, prompt = make(name), prompt_for(name)
    meant = np.array(prompt.meant)
    found = [landed_of(noise, prompt, level, 60) - meant for level in (5.0, 10.0, 20.0, 30.0)]
    assert np.abs(found[1] - 2 * found[0]).max() <= 2, "within the width it is a dose"
    if name == "box-ring":
        assert np.abs(np.abs(found[3]) - np.abs(found[2]) - 10).max() == 0
        assert np.array_equal(np.sign(found[3]), np.sign(found[2]))
    else:
        longer = np.hypot(*found[3].T) - np.hypot(*found[2].T)
        assert np.abs(longer - 10).max() <= math.sqrt(2) + 1e-9


def px_of(unit: str) -> tuple[float, float]:
    """Pixels along x and y of one unit for `test_units`, by hand."""
    return {
        "px": (1.0, 1.0),
        "mm": (1 / 0.5, 1 / 2.0),
        "fraction": (2 * math.sqrt(6000 / math.pi),) * 2,
        "extent": (100.0, 60.0),
        "box": (201.0, 401.0),
    }[unit]


@pytest.mark.parametrize("unit", ["px", "mm", "fraction", "extent", "box"])
@pytest.mark.parametrize(
    "name", [n for n in DISPLACEMENTS if n not in ("box-scale", "ring-click", "box-ring")]
)
def test_units(name: str, unit: str) -> None:
    cls = registry.noises.load(name)
    if unit not in cls.units:
        with pytest.raises(ValueError, match=f"unit='{unit}' must be one of {', '.join(cls.units)}"):
            cls(unit=unit)
        return
    truth = np.zeros((1200, 1000), bool)
    truth[500:560, 400:500] = True
    case = small_case(truth, spacing=(2.0, 0.5))
    prompt = {
        "click": click(500, 600),
        "box": box(400, 400, 600, 800),
        "scribble": scribble([(400 + 4 * k, 600) for k in range(40)]),
    }[prompt_for(name).kind]
    fx, fy = px_of(unit)
    level = 40.0 / fx
    found = landed_of(cls(unit=unit), prompt, level, 40, case)
    along_x = landed_of(cls(), prompt, level * fx, 40, case)
    along_y = landed_of(cls(), prompt, level * fy, 40, case)
    assert np.abs(found[:, ::2] - along_x[:, ::2]).max() <= 1
    assert np.abs(found[:, 1::2] - along_y[:, 1::2]).max() <= 1
    assert np.abs(found - np.array(prompt.meant)).max() > 2


def test_a_ring_counts_its_width_in_its_unit() -> None:
    case = small_case(np.ones((1000, 1000), bool), spacing=(0.5, 0.5))
    by_mm = landed_of(RingClick(unit="mm", width=5.0), click(500, 500), 15.0, 60, case)
    by_px = landed_of(RingClick(width=10.0), click(500, 500), 30.0, 60, case)
    assert np.array_equal(by_mm, by_px)


@pytest.mark.parametrize("unit", ["fraction", "extent"])
def test_what_is_relative_to_an_empty_object_is_nothing(unit: str) -> None:
    case = small_case(np.zeros((9, 9), bool))
    round_ = Round((click(4, 4, False), box(1, 1, 5, 5), scribble([(1, 1), (3, 4)])))
    for name in DISPLACEMENTS:
        cls = registry.noises.load(name)
        if unit in cls.units:
            moved = cls(unit=unit).perturb(round_, case, draws(), 3.0)
            assert [p.landed for p in moved.prompts[:2]] == [(4, 4), (1, 1, 5, 5)]
            assert moved.prompts[2].landed in ((1, 1, 3, 4), (1, 1, 2, 3, 3, 4))


@pytest.mark.parametrize("name", DISPLACEMENTS)
def test_millimetres_need_a_spacing(name: str) -> None:
    cls = registry.noises.load(name)
    if "mm" not in cls.units:
        pytest.skip("no millimetres")
    round_, without = Round((prompt_for(name),)), small_case(np.ones((30, 30), bool))
    noise = cls(unit="mm")
    why = noise.check(without)
    assert why is not None
    assert f"{name} with unit=mm needs the spacing of case hand/c" in why
    assert "\n" not in why
    with pytest.raises(ConfigError, match="needs the spacing"):
        noise.perturb(round_, without, draws(), 1.0)
    assert noise.perturb(round_, without, draws(), 0.0) is round_
    assert noise.check(small_case(np.ones((30, 30), bool), spacing=(1.0, 1.0))) is None
    assert cls().check(without) is None


def test_clipping_moves_each_coordinate_to_the_nearest() -> None:
    case = small_case(np.ones((20, 30), bool))
    clipped = 0
    for seed in range(60):
        dx, dy = (math.floor(25 * float(z) + 0.5) for z in draws(seed).stream("noise", 0).normal(2))
        [moved] = GaussianClick().perturb(Round((click(15, 10),)), case, draws(seed), 25.0).prompts
        assert moved.landed == (min(max(15 + dx, 0), 29), min(max(10 + dy, 0), 19))
        clipped += moved.landed != (15 + dx, 10 + dy)
    assert 10 < clipped < 60


def test_rejection_draws_again_under_the_next_try() -> None:
    case = small_case(np.ones((20, 30), bool))
    tries = []
    for seed in range(60):
        [moved] = (
            GaussianClick(border="reject").perturb(Round((click(15, 10),)), case, draws(seed), 12.0).prompts
        )
        for attempt in range(TRIES):
            dx, dy = (
                math.floor(12 * float(z) + 0.5) for z in draws(seed).stream("noise", 0, attempt).normal(2)
            )
            if 0 <= 15 + dx < 30 and 0 <= 10 + dy < 20:
                break
        assert moved.landed == (15 + dx, 10 + dy)
        tries.append(attempt)
    assert tries.count(0) > 10, "most are accepted at once"
    assert max(tries) >= 2


def test_rejection_gives_up_and_clips_the_first_try() -> None:
    case = small_case(np.ones((4, 4), bool))
    far = [
        (GaussianClick, click(1, 1), 1e5),
        (BoxGrow, box(0, 0, 3, 3), 50.0),
        (ScribbleWobble, scribble([(0, 0), (3, 3)]), 1e5),
    ]
    for cls, prompt, level in far:
        for seed in range(5):
            one, other = (
                cls(border=border).perturb(Round((prompt,)), case, draws(seed), level)
                for border in ("reject", "clip")
            )
            assert one == other


def test_a_rejected_box_keeps_its_size() -> None:
    case = small_case(np.ones((60, 60), bool))
    for seed in range(40):
        [moved] = (
            BoxShift(border="reject").perturb(Round((box(5, 6, 20, 30),)), case, draws(seed), 20.0).prompts
        )
        x0, y0, x1, y1 = moved.landed
        assert (x1 - x0, y1 - y0) == (15, 24)


def test_a_huge_level_is_no_overflow() -> None:
    round_ = Round((click(4, 4), box(1, 1, 5, 5), scribble([(1, 1), (3, 4)])))
    case = small_case(np.ones((9, 9), bool), spacing=(1e-300, 1e-300))
    for name in DISPLACEMENTS:
        cls = registry.noises.load(name)
        for unit in cls.units:
            for prompt in cls(unit=unit).perturb(round_, case, draws(), 1e300).prompts:
                assert all(0 <= v < 9 for v in prompt.landed)


def at_step(step: int) -> Draws:
    return Draws(0, "hand", "c", 0, step)


def test_which_prompts() -> None:
    prompts = (box(0, 0, 3, 3), click(1, 1, False), click(2, 2), scribble([(1, 1), (2, 2)]), click(3, 3))
    round_ = Round(prompts)
    assert chosen(round_, at_step(1), {"click"}) == (1, 2, 4)
    assert chosen(round_, at_step(2), {"click"}) == (1, 2, 4)
    assert chosen(round_, at_step(1), {"click"}, "first") == (1,)
    assert chosen(round_, at_step(2), {"click"}, "first") == ()
    assert chosen(round_, at_step(2), {"click"}, "positive") == (2, 4)
    assert chosen(round_, at_step(1), {"click", "scribble"}, "positive") == (2, 3, 4)
    assert chosen(Round((box(0, 0, 1, 1),)), at_step(1), {"click"}, "first") == ()


@pytest.mark.parametrize("name", ["gaussian-click", "uniform-disc-click", "ring-click", "heavy-tailed-click",
                                  "anisotropic-click", "wrong-label", "off-target-click"])  # fmt: skip
def test_which_moves_only_these_and_as_all_would(name: str) -> None:
    def clicks(which: str, step: int) -> tuple[Prompt, ...]:
        noise = make(name, which=which)
        return noise.perturb(Round(meant), WIDE, at_step(step), min(40.0, noise.max_level)).prompts

    meant = (click(2000, 2000, False), click(1000, 1000), click(1500, 3000))
    every = clicks("all", 1)
    assert all(a != b for a, b in zip(every, meant, strict=True))
    assert clicks("first", 1) == (every[0], *meant[1:])
    assert clicks("first", 2) == meant
    assert clicks("positive", 1) == (meant[0], *every[1:])
    with pytest.raises(ValueError, match="which='some' must be one of all, first, positive"):
        make(name, which="some")


@pytest.mark.parametrize(
    ("cls", "options", "why"),
    [
        (GaussianClick, {"border": "wrap"}, "border='wrap' must be one of clip, reject"),
        (BoxScale, {"unit": "px"}, "unit='px' must be one of box"),
        (UniformDiscClick, {"unit": "box"}, "must be one of px, mm, fraction, extent"),
        (WrongLabel, {"which": 1}, "which=1 must be one of"),
        (OffTargetClick, {"radius": 0}, "radius=0 must be a whole number of pixels ≥ 1"),
        (OffTargetClick, {"radius": True}, "radius=True"),
        (OffTargetClick, {"radius": 2.5}, "radius=2.5"),
        (RingClick, {"width": 0}, "width=0 must be a finite number > 0"),
        (RingClick, {"width": math.inf}, "width=inf"),
        (RingClick, {"width": "10"}, "width='10'"),
        (ScribbleWobble, {"length": -1}, "length=-1 must be a finite number > 0"),
    ],
)
def test_refuses_bad_options(cls: Any, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        cls(**options)
