from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading

import env_stubs as stubs
import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.utils.env_match import check_environments_match

from simclick.envs import register_environments
from simclick.envs.segmentation import SegmentationEnv
from simclick.episode import Episode, Ground, Rules, ask
from simclick.errors import ConfigError
from simclick.metrics.overlap import dice
from simclick.prompts import click

pytestmark = pytest.mark.filterwarnings("error")
ID = "simclick/Segmentation-v0"
SIZES = [(1, 1), (1, 9), (7, 13), (64, 64), (256, 192)]


@pytest.fixture(autouse=True)
def _stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs.register(monkeypatch)
    register_environments()
    register_environments()  # A second call neither warns nor replaces.


def python(code, folder):
    """What a fresh interpreter prints, started where no source folder is in the way."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def make(**changes):
    return gymnasium.make(ID, **{"case": stubs.case(), "protocol": stubs.protocol(), **changes})


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    "protocol", [stubs.protocol(), stubs.protocol("mixed", budget=20)], ids=["click", "mixed"]
)
def test_check_env_any_size(size, protocol):
    env = make(case=stubs.case(size), protocol=protocol)
    check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "noc-v1"},
        {"protocol": stubs.shaken(), "level": 1.0, "repeat": 2},
        {"training": True},
        {"render_mode": "rgb_array"},
        {"render_mode": "human"},
        {"case": [stubs.case(case_id="a"), stubs.case(case_id="b"), stubs.case(case_id="c")]},
        {"case": stubs.case(truth=np.zeros((7, 13), bool))},
        {"case": stubs.case(truth=np.ones((7, 13), bool))},
    ],
    ids=["noc-v1", "noise", "training", "rgb", "human", "several", "empty", "full"],
)
def test_check_env_any_arguments(changes):
    env = make(**changes)
    check_env(env.unwrapped)
    env.close()


def test_registration_and_pictures_import_no_more_than_they_need(tmp_path):
    code = (
        "import sys, simclick\n"
        "before = set(sys.modules)\n"
        "import simclick.envs.rendering\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "assert not new & {'gymnasium', 'matplotlib', 'scipy'}, new\n"
        "simclick.envs.register_environments()\n"
        "import gymnasium\n"
        "spec = gymnasium.spec('simclick/Segmentation-v0')\n"
        "assert 'simclick.envs.segmentation' not in sys.modules\n"
        "print(spec.entry_point, spec.vector_entry_point, spec.max_episode_steps)\n"
    )
    out = python(code, tmp_path)
    assert out.split() == [
        "simclick.envs.segmentation:SegmentationEnv",
        "simclick.envs.vector:SegmentationVectorEnv",
        "None",
    ]


def test_an_episode_by_hand():
    truth = np.zeros((3, 4), bool)
    truth[1, 1:3] = True
    env = make(case=stubs.case((3, 4), truth=truth), protocol=stubs.protocol(budget=3))
    observation, info = env.reset()
    assert set(info) == {"image", "case_id", "cost", "rounds"}
    assert info["case_id"] == "a"
    assert info["cost"] == 1
    assert not observation["mask"].any()
    assert observation["mask"].dtype == np.int8
    assert observation["count"] == 1
    padding = [-1] * 6
    assert observation["prompts"].tolist() == [[0, 1, 1, 1, -1, -1], padding, padding]

    half = np.zeros((3, 4), bool)
    half[1, 1] = half[0, 0] = True  # One hit, one miss, one too many: 2 * 1 / (2 + 2).
    observation, reward, terminated, truncated, info = env.step(half)
    assert (reward, terminated, truncated) == (0.5, False, False)
    assert set(info) == {"cost", "rounds"}
    assert info["cost"] == 2
    assert observation["prompts"].tolist() == [[0, 1, 1, 1, -1, -1], [0, 0, 0, 0, -1, -1], padding]
    assert info["rounds"][1].prompts == (click(0, 0, False),)
    assert np.array_equal(observation["mask"], half)

    observation, reward, terminated, truncated, info = env.step(truth.astype(np.uint8))
    assert (reward, terminated, truncated) == (0.5, True, False)
    assert observation["count"] == 2
    with pytest.raises(ResetNeeded, match=r"call reset\(\)"):
        env.step(truth)


def test_the_budget_truncates_and_a_perfect_last_answer_terminates():
    case = stubs.case()
    for last, expected in ((np.zeros(case.size, bool), (False, True)), (case.truth, (True, False))):
        env = make(case=case, protocol=stubs.protocol(budget=2))
        env.reset()
        assert env.step(np.zeros(case.size, bool))[2:4] == (False, False)
        assert env.step(last)[2:4] == expected


def test_an_annotator_with_nothing_to_say_terminates():
    env = make(protocol=stubs.protocol("shy"))
    env.reset()
    _, reward, terminated, truncated, _ = env.step(np.zeros((7, 13), bool))
    assert (reward, terminated, truncated) == (0.0, True, False)


@pytest.mark.parametrize(
    "changes,flags,count",
    [
        ({"case": stubs.case(truth=np.zeros((7, 13), bool))}, (True, False), 0),
        ({"protocol": stubs.protocol("box-first", budget=1)}, (False, True), 0),
    ],
    ids=["empty truth", "budget below the first round"],
)
def test_an_episode_that_is_over_at_reset(changes, flags, count):
    env = make(**changes)
    observation, info = env.reset()
    assert observation["count"] == count
    assert info["rounds"] == ()
    observation, reward, *over, _ = env.step(np.ones((7, 13), bool))
    assert reward == 0.0
    assert tuple(over) == flags
    assert not observation["mask"].any()
    with pytest.raises(ResetNeeded):
        env.step(np.ones((7, 13), bool))


def test_rewards_add_up_to_the_gain_in_dice_and_the_rules_are_those_of_the_episode():
    case, protocol = stubs.case((12, 20)), stubs.shaken(budget=8)
    rng = np.random.default_rng(5)
    env = make(case=case, protocol=protocol, level=1.0, repeat=1)
    _, info = env.reset(seed=9)
    episode = Episode(Ground(case), Rules(protocol, seed=9), level=1.0, repeat=1)
    ask([episode])
    total, truncated = 0.0, False
    while not truncated:
        assert info["rounds"] == tuple(r.seen() for r in episode.rounds)
        mask = case.truth ^ (rng.random(case.size) < 0.2)
        episode.answer(mask)
        ask([episode] if episode.status == "running" else [])
        _, reward, _, truncated, info = env.step(mask)
        total += reward
    assert episode.status == "truncated"
    assert total == pytest.approx(dice(mask, case.truth), abs=1e-12)


def test_nothing_of_the_truth_but_in_training():
    def values(item):
        children = item.values() if isinstance(item, dict) else item if isinstance(item, tuple) else ()
        return [item, *(v for child in children for v in values(child))]

    case = stubs.case()
    env = make(case=case, protocol=stubs.shaken(), level=2.0)
    observation, info = env.reset()
    step = env.step(np.zeros(case.size, bool))
    for value in values((observation, info, step[0], step[4])):
        assert not (isinstance(value, np.ndarray) and value.shape == case.size and value.any())
    for round_ in (*info["rounds"], *step[4]["rounds"]):
        for prompt in round_.prompts:
            assert (prompt.meant, prompt.meant_positive) == (prompt.landed, prompt.positive)
    rows = step[0]["prompts"][: step[0]["count"]]
    landed = [(0, p.positive, *p.landed, -1, -1) for r in step[4]["rounds"] for p in r.prompts]
    assert rows.tolist() == [list(row) for row in landed]

    training = make(case=case, training=True)
    _, info = training.reset()
    assert np.array_equal(info["truth"], case.truth)
    assert (info["dice"], info["iou"]) == (0.0, 0.0)
    half = case.truth.copy()
    half[3] = False
    *_, info = training.step(half)
    assert set(info) == {"cost", "rounds", "dice", "iou"}
    assert info["dice"] == dice(half, case.truth)


def test_the_seed_keys_the_draws_and_each_further_reset_is_the_next_repeat():
    protocol = stubs.shaken()

    def landed(env, **options):
        return env.reset(**options)[1]["rounds"][0].prompts[0].landed

    env = make(protocol=protocol, level=1.0)
    by_repeat = [landed(make(protocol=protocol, level=1.0, repeat=r), seed=4) for r in range(3)]
    assert [landed(env, seed=4), landed(env), landed(env)] == by_repeat
    assert len(set(by_repeat)) > 1
    assert landed(env, seed=4) == by_repeat[0]
    assert landed(make(protocol=protocol, level=1.0)) == landed(env, seed=0)


def test_several_cases():
    cases = [stubs.case(case_id=c, seed=i) for i, c in enumerate("abcd")]
    env = make(case=cases)
    for i, case in enumerate(cases):
        _, info = env.reset(options={"case": i})
        assert info["case_id"] == case.case_id
        assert np.array_equal(info["image"], case.image)
    env.reset(seed=1)
    drawn = [env.reset()[1]["case_id"] for _ in range(60)]
    assert set(drawn) == set("abcd")
    env.reset(seed=1)
    assert drawn == [env.reset()[1]["case_id"] for _ in range(60)]
    for bad in (4, -1, True, "a", 1.0):
        with pytest.raises(ValueError, match=r"options\['case'\].*from 0 to 3"):
            env.reset(options={"case": bad})
    with pytest.raises(ValueError, match="unknown option 'cases'"):
        env.reset(options={"cases": 1})


def test_the_image_is_read_only_and_no_step_touches_it():
    case = stubs.case()
    env = make(case=case)
    _, info = env.reset()
    with pytest.raises(ValueError, match="read-only"):
        info["image"][0, 0, 0] = 1
    before = case.image
    try:
        object.__setattr__(case, "image", None)
        env.step(np.zeros(case.size, bool))
        env.step(case.truth)
    finally:
        object.__setattr__(case, "image", before)


def test_observations_and_actions_are_private():
    env = make(protocol=stubs.protocol(budget=4), render_mode="rgb_array")
    first, _ = env.reset()
    first["prompts"][:] = 7
    mask = np.zeros((7, 13), bool)
    mask[0, 0] = True
    second = env.step(mask)[0]
    picture = env.render()
    mask[:] = False
    second["mask"][:] = 0
    assert np.array_equal(env.render(), picture)
    third = env.step(np.zeros((7, 13), np.int64))[0]
    assert third["prompts"][0].tolist() == [0, 1, 3, 1, -1, -1]
    assert third["prompts"][1].tolist() == [0, 0, 0, 0, -1, -1]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64], ids=str)
def test_actions_of_any_integer_type(dtype):
    env = make()
    env.reset()
    assert env.step(stubs.case().truth.astype(dtype))[1:4] == (1.0, True, False)


@pytest.mark.parametrize(
    "action,message",
    [
        (np.zeros((13, 7), bool), r"shape \[13, 7\], not \[7, 13\]"),
        (np.zeros((7, 13), np.float32), "float32.*threshold"),
        (np.full((7, 13), 255, np.uint8), "from 255 to 255"),
        (np.full((7, 13), -1), "from -1 to -1"),
    ],
    ids=["shape", "float", "255", "negative"],
)
def test_a_wrong_action_is_refused_and_the_episode_waits(action, message):
    env = make()
    env.reset()
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert env.step(stubs.case().truth)[1:4] == (1.0, True, False)


@pytest.mark.parametrize(
    "changes,error,message",
    [
        ({"case": []}, ValueError, "at least one case"),
        ({"case": [stubs.case(), stubs.case((8, 8), "b")]}, ValueError, "one size.*b is"),
        ({"case": ["x"]}, ValueError, "not str"),
        ({"protocol": "noc-v9"}, ConfigError, "noc-v1"),
        ({"level": 0.5}, ValueError, "has none"),
        ({"level": -1.0, "protocol": stubs.shaken()}, ValueError, "level=-1.0"),
        ({"level": float("nan"), "protocol": stubs.shaken()}, ValueError, "level=nan"),
        ({"repeat": -1}, ValueError, "repeat=-1"),
        ({"repeat": 0.5}, ValueError, "repeat=0.5"),
    ],
)
def test_wrong_arguments_give_one_line(changes, error, message):
    with pytest.raises(error, match=message) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)


def test_wrong_render_mode():
    with pytest.raises(ValueError, match="render_mode='ansi'"):
        SegmentationEnv(stubs.case(), stubs.protocol(), render_mode="ansi")


def test_before_the_first_reset():
    env = SegmentationEnv(stubs.case(), stubs.protocol(), render_mode="rgb_array")
    with pytest.raises(ResetNeeded):
        env.step(stubs.case().truth)
    with pytest.raises(ResetNeeded):
        env.render()


def test_rgb_frames_have_one_size_and_change_with_the_mask():
    env = make(render_mode="rgb_array", case=stubs.case((20, 30)))
    env.reset()
    first = env.render()
    env.step(np.ones((20, 30), bool))
    second = env.render()
    assert first.shape == second.shape == (20 * 18, 30 * 18, 3)
    assert not np.array_equal(first, second)
    assert make().unwrapped.render() is None


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copy", "pickle"]
)
def test_a_copy_in_mid_episode_goes_on_alike(twin):
    env = make(protocol=stubs.shaken(budget=6), level=1.0, case=[stubs.case(), stubs.case(case_id="b")])
    env.reset(seed=3)
    env.step(np.zeros((7, 13), bool))
    other = twin(env.unwrapped)
    rng = np.random.default_rng(0)
    for _ in range(4):
        mask = rng.random((7, 13)) < 0.5
        assert data_equivalence(env.unwrapped.step(mask), other.step(mask), exact=True)
    for _ in range(5):
        assert data_equivalence(env.unwrapped.reset(), other.reset(), exact=True)


def test_a_copy_has_no_window():
    env = make(render_mode="human").unwrapped
    env.reset()
    env._window = threading.Lock()  # Like a window of a toolkit, it can be neither copied nor pickled.
    assert copy.deepcopy(env)._window is None
    assert pickle.loads(pickle.dumps(env))._window is None


def test_two_environments_of_one_spec_match():
    def env():
        return make(
            protocol=stubs.shaken(), level=1.0, case=[stubs.case(), stubs.case(case_id="b")]
        ).unwrapped

    check_environments_match(env(), env(), num_steps=40, seed=2)


def test_wrappers():
    env = gymnasium.wrappers.RecordEpisodeStatistics(make())
    env = gymnasium.wrappers.FlattenObservation(env)
    flat, _ = env.reset(seed=0)
    assert flat in env.observation_space
    *_, info = env.step(stubs.case().truth)
    assert info["episode"]["r"] == 1.0
    limited = gymnasium.wrappers.TimeLimit(make(), 1)
    limited.reset()
    assert limited.step(np.zeros((7, 13), bool))[3] is True


def test_sub_processes():
    envs = gymnasium.make_vec(
        ID, num_envs=2, vectorization_mode="async", case=stubs.case(), protocol=stubs.protocol()
    )
    observation, _ = envs.reset(seed=0)
    assert observation in envs.observation_space
    rewards = envs.step(np.stack([stubs.case().truth, np.zeros((7, 13), bool)]).astype(np.int8))[1]
    assert rewards.tolist() == [1.0, 0.0]
    envs.close()


@pytest.mark.parametrize("order", ["simclick, gymnasium", "gymnasium, simclick"])
def test_importing_simclick_is_enough_in_either_order(order, tmp_path):
    code = f"import {order}; print(gymnasium.spec('simclick/Segmentation-v0').entry_point)"
    out = python(code, tmp_path)
    assert out.strip() == "simclick.envs.segmentation:SegmentationEnv"
