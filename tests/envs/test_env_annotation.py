from __future__ import annotations

import env_stubs as stubs
import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from simclick.annotators.clicks import CenterClick
from simclick.baselines.geodesic import Geodesic
from simclick.case import Case
from simclick.envs import register_environments
from simclick.envs.annotation import AnnotationEnv
from simclick.episode import Rules
from simclick.errors import ConfigError
from simclick.harness.lockstep import Lockstep
from simclick.harness.plan import make_plan
from simclick.protocol import Protocol
from simclick.seeding import Draws
from support import Broken, Painter, ToyDataset

pytestmark = pytest.mark.filterwarnings("error")
ID = "simclick/Annotation-v0"
CLICKS = Protocol("p", "center-click", budget=6)


@pytest.fixture(autouse=True)
def _register() -> None:
    register_environments()


def make(**changes):
    usual = {"case": stubs.case((24, 32)), "agent": Painter(), "protocol": CLICKS}
    return gymnasium.make(ID, **{**usual, **changes})


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 13), (64, 48)], ids=str)
def test_check_env(size) -> None:
    env = make(case=stubs.case(size))
    check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("agent", [Geodesic(), Painter(3)])
def test_the_centre_rule_as_a_policy_gets_the_harnesss_trajectory(agent) -> None:
    dataset = ToyDataset(3)
    lockstep = Lockstep(agent, dataset, Rules(CLICKS, 0))
    expected: dict[str, list[float]] = {}
    for block in make_plan(agent, dataset, CLICKS).blocks:
        steps = lockstep.run(block).table("steps").to_pandas()
        for case_id, rows in steps.groupby("case_id"):
            expected[str(case_id)] = rows["dice"].tolist()
    for reference in dataset.references():
        case = dataset.load(reference)
        env = make(case=case, agent=agent)
        observation, info = env.reset(seed=0)
        curve, total, over = [], info["dice"], False
        while not over:
            draws = [Draws(0, case.dataset, case.case_id, 0, len(info["rounds"]) + 1)]
            mask = observation["mask"].astype(bool)[None]
            (given,) = CenterClick().propose(case, mask, [info["rounds"]], draws)
            if given is None:
                break
            (prompt,) = given.prompts
            x, y = prompt.landed
            at = (x + 0.5) / case.size[1], (y + 0.5) / case.size[0]
            action = np.array([*at, prompt.positive], np.float32)
            observation, reward, terminated, truncated, info = env.step(action)
            assert info["rounds"][-1].prompts[0].landed == (x, y)
            total += reward
            curve.append(info["dice"])
            over = terminated or truncated
        assert curve == expected[case.case_id]
        assert total == pytest.approx(curve[-1])


def test_the_agent_never_sees_the_truth_and_noise_is_applied() -> None:
    seen = []

    class Spy(Painter):
        def predict(self, requests):
            seen.extend(requests)
            return super().predict(requests)

    noisy = Protocol("p", "center-click", noise="gaussian-click", levels=(0, 9), budget=3)
    env = make(agent=Spy(), protocol=noisy, level=9.0)
    env.reset(seed=1)
    _, _, _, _, info = env.step(np.array([0.5, 0.5, 1.0], np.float32))
    (prompt,) = info["rounds"][0].prompts
    assert prompt.meant == (16, 12)
    assert prompt.landed != prompt.meant
    assert seen[0].truth is None
    assert seen[0].prompts[0].meant == prompt.landed


def test_a_failing_agent_ends_the_episode_with_dice_0() -> None:
    env = make(agent=Broken("raise"))
    env.reset(seed=0)
    for _ in range(CLICKS.budget):
        _, _, terminated, truncated, info = env.step(np.array([0.2, 0.2, 1.0], np.float32))
        if terminated or truncated:
            break
    assert terminated
    assert info["error"]
    assert info["dice"] == 0
    with pytest.raises(ResetNeeded):
        env.unwrapped.step(np.zeros(3, np.float32))


def test_the_budget_truncates_and_an_empty_truth_is_over_at_once() -> None:
    env = make(agent=Painter(0))
    env.reset(seed=0)
    ends = [env.step(np.array([0.99, 0.99, 0.0], np.float32))[2:4] for _ in range(CLICKS.budget)]
    assert ends == [(False, False)] * (CLICKS.budget - 1) + [(False, True)]
    blank = Case("c", "d", np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), bool), "g", "m", "t")
    env = make(case=blank)
    env.reset(seed=0)
    assert env.step(np.zeros(3, np.float32))[1:4] == (0.0, True, False)


@pytest.mark.parametrize("action", [[0.5, 0.5], [1.5, 0, 0], [np.nan, 0, 0], [-0.1, 0, 0]])
def test_bad_actions_wait(action) -> None:
    env = AnnotationEnv(stubs.case((8, 8)), Painter(), CLICKS)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="three numbers"):
        env.step(action)
    env.step([0.5, 0.5, 1])


def test_arguments() -> None:
    with pytest.raises(ConfigError, match=r"geodessic"):
        AnnotationEnv(stubs.case((8, 8)), "geodessic")
    with pytest.raises(ValueError, match="render_mode"):
        AnnotationEnv(stubs.case((8, 8)), render_mode="text")
    env = AnnotationEnv(stubs.case((8, 8)), render_mode="rgb_array")
    with pytest.raises(ResetNeeded):
        env.render()
    env.reset()
    picture = env.render()
    assert picture is not None
    assert picture.dtype == np.uint8
