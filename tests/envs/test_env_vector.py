from __future__ import annotations

import copy
import pickle
from itertools import combinations

import env_stubs as stubs
import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

import simclick.envs.vector
from simclick.envs import register_environments
from simclick.envs.segmentation import SegmentationEnv
from simclick.envs.vector import SegmentationVectorEnv

pytestmark = pytest.mark.filterwarnings("error")
ID = "simclick/Segmentation-v0"


@pytest.fixture(autouse=True)
def _stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs.register(monkeypatch)
    register_environments()


def make(num_envs=3, **changes):
    return gymnasium.make_vec(
        ID,
        num_envs=num_envs,
        vectorization_mode="vector_entry_point",
        **{"case": stubs.case(), "protocol": stubs.protocol(), **changes},
    )


def zeros(n=3):
    return np.zeros((n, 7, 13), bool)


def masks(rng, n, truth, share=0.3):
    """Random answers, some of them perfect, so that episodes end at different times."""
    answers = rng.random((n, *truth.shape)) < 0.5
    answers[rng.random(n) < share] = truth
    return answers


def test_made_by_default_with_spaces_batched_as_gymnasium_batches_them():
    envs = gymnasium.make_vec(ID, num_envs=4, case=stubs.case(), protocol=stubs.protocol())
    assert isinstance(envs, SegmentationVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    single = SegmentationEnv(stubs.case(), stubs.protocol())
    assert envs.single_observation_space == single.observation_space
    assert envs.single_action_space == single.action_space
    assert envs.observation_space == batch_space(single.observation_space, 4)
    assert envs.action_space == batch_space(single.action_space, 4)
    observation, _ = envs.reset(seed=0)
    assert observation in envs.observation_space
    for _ in range(7):
        observation, rewards, terminated, truncated, _ = envs.step(envs.action_space.sample())
        assert observation in envs.observation_space
        assert (rewards.dtype, rewards.shape) == (np.float64, (4,))
        assert terminated.dtype == truncated.dtype == np.bool_
    envs.close()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (32, 20)], ids=str)
@pytest.mark.parametrize(
    "protocol", [stubs.shaken(budget=6), stubs.shaken(annotator="mixed", budget=20)], ids=["click", "mixed"]
)
def test_equals_single_environments_step_by_step(size, protocol, training):
    case = stubs.case(size)
    levels, repeats = zip(*protocol.cells(), strict=True)
    n = len(levels)
    assert n == 7  # Level 0 has one repeat, levels 1 and 2 have three.
    envs = DictInfoToList(
        make(n, case=case, protocol=protocol, level=levels, repeat=repeats, training=training)
    )
    singles = [
        SegmentationEnv(case, protocol, level=level, repeat=repeat, training=training)
        for level, repeat in zip(levels, repeats, strict=True)
    ]
    rng = np.random.default_rng(1)
    for seed in (0, 11):
        observation, infos = envs.reset(seed=seed)
        for i, env in enumerate(singles):
            compare(observation, infos, i, *env.reset(seed=seed))
        over = [False] * n
        for _ in range(10):
            actions = masks(rng, n, case.truth)
            observation, rewards, terminated, truncated, infos = envs.step(actions)
            for i, env in enumerate(singles):
                if over[i]:
                    assert rewards[i] == 0
                    assert terminated[i] or truncated[i]
                    continue
                expected, reward, ended, cut, info = env.step(actions[i])
                compare(observation, infos, i, expected, info)
                assert (rewards[i], terminated[i], truncated[i]) == (reward, ended, cut)
                over[i] = ended or cut
        assert all(over)


def compare(observation, infos, i, expected, info):
    assert np.array_equal(observation["mask"][i], expected["mask"])
    assert observation["mask"].dtype == expected["mask"].dtype
    assert np.array_equal(observation["prompts"][i], expected["prompts"])
    assert observation["count"][i] == expected["count"]
    assert set(infos[i]) == set(info)
    for key, value in info.items():
        assert (
            np.array_equal(infos[i][key], value) if isinstance(value, np.ndarray) else infos[i][key] == value
        )


def test_episodes_that_are_over_ignore_actions_and_stay_as_they_are():
    truth = stubs.case().truth
    envs = make(2)
    envs.reset()
    actions = np.stack([truth, ~truth])
    before, rewards, terminated, _, _ = envs.step(actions)
    actions[:] = False  # The masks that were given are the environment's own by now.
    assert rewards.tolist() == [1.0, 0.0]
    assert terminated.tolist() == [True, False]
    actions = np.stack([np.full(truth.shape, 9), truth])  # 9 would be refused of a running episode.
    after, rewards, terminated, _, info = envs.step(actions)
    assert rewards.tolist() == [0.0, 1.0]
    assert terminated.tolist() == [True, True]
    assert data_equivalence(
        {k: v[0] for k, v in before.items()}, {k: v[0] for k, v in after.items()}, exact=True
    )
    assert info["cost"].tolist() == [1, 2]
    _, rewards, terminated, _, _ = envs.step(zeros(2))
    assert rewards.tolist() == [0.0, 0.0]
    assert terminated.tolist() == [True, True]


def test_an_empty_truth_is_over_at_the_first_step():
    envs = make(case=stubs.case(truth=np.zeros((7, 13), bool)))
    observation, info = envs.reset()
    assert observation["count"].tolist() == [0, 0, 0]
    assert list(info["rounds"]) == [(), (), ()]
    _, rewards, terminated, truncated, _ = envs.step(~zeros())
    assert (rewards.any(), terminated.all(), truncated.any()) == (False, True, False)


def test_reset_mask():
    truth = stubs.case().truth
    protocol = stubs.shaken()
    envs = make(3, protocol=protocol, level=1.0)
    first, _ = envs.reset(seed=5)
    moved, *_ = envs.step(np.stack([truth, zeros(1)[0], truth]))
    chosen = np.array([True, False, True])
    options = {"reset_mask": chosen}
    again, info = envs.reset(seed=5, options=options)
    assert options == {"reset_mask": chosen}
    for key in first:
        assert np.array_equal(again[key][chosen], first[key][chosen])
        assert np.array_equal(again[key][1], moved[key][1])
    for key in ("image", "case_id", "cost", "rounds"):
        assert info[f"_{key}"].tolist() == chosen.tolist()
    terminated = envs.step(zeros())[2]
    assert not terminated.any()


@pytest.mark.parametrize(
    "mask",
    [np.zeros(3, bool), np.ones(2, bool), np.ones(3, int), [True] * 3],
    ids=["none", "size", "int", "list"],
)
def test_wrong_reset_masks(mask):
    envs = make()
    envs.reset()
    with pytest.raises(ValueError, match=r"reset_mask.*Bool\[3\]"):
        envs.reset(options={"reset_mask": mask})


def test_wrong_resets():
    some = np.array([True, False, False])
    envs = make(case=[stubs.case(), stubs.case(case_id="b")])
    with pytest.raises(ResetNeeded, match="first reset"):
        envs.reset(options={"reset_mask": some})
    with pytest.raises(ResetNeeded):
        envs.step(zeros())
    envs.reset(options={"case": 1})
    with pytest.raises(ValueError, match="share one case"):
        envs.reset(options={"reset_mask": some, "case": 0})
    with pytest.raises(ValueError, match="unknown option 'mask'"):
        envs.reset(options={"mask": some})


def test_a_partial_reset_keeps_the_case_and_a_full_one_may_change_it():
    envs = make(case=[stubs.case(case_id=c, seed=i) for i, c in enumerate("abc")])
    _, info = envs.reset(options={"case": 2})
    assert list(info["case_id"]) == ["c"] * 3
    _, info = envs.reset(options={"reset_mask": np.array([True, False, False])})
    assert list(info["case_id"]) == ["c"] * 3
    envs.reset(seed=0)
    assert {envs.reset()[1]["case_id"][0] for _ in range(40)} == set("abc")


def test_repeats_go_on_without_meeting_twice_and_levels_stay_paired():
    protocol = stubs.shaken(budget=3)

    def landed(info):
        return [rounds[0].prompts[0].landed for rounds in info["rounds"]]

    def single(repeat):
        env = SegmentationEnv(stubs.case(), protocol, level=1.0, repeat=repeat)
        return env.reset(seed=3)[1]["rounds"][0].prompts[0].landed

    envs = make(4, protocol=protocol, level=[1.0, 1.0, 2.0, 2.0], repeat=[0, 1, 0, 1])
    for start in (0, 2, 4):
        both = [single(start), single(start + 1)]
        assert landed(envs.reset(seed=3 if start == 0 else None)[1]) == both * 2
    default = make(3, protocol=protocol, level=1.0)
    assert landed(default.reset(seed=3)[1]) == [single(0), single(1), single(2)]


def test_one_image_in_memory_read_only_and_touched_by_no_step():
    case = stubs.case()
    envs = make(5, case=case)
    _, info = envs.reset()
    image = info["image"]
    assert image.shape == (5, 7, 13, 3)
    assert image.strides[0] == 0
    assert not image.flags.writeable
    assert all(np.array_equal(one, case.image) for one in image)
    before = case.image
    try:
        object.__setattr__(case, "image", None)
        info = envs.step(zeros(5))[4]
    finally:
        object.__setattr__(case, "image", before)
    assert "image" not in info


def test_the_annotator_is_asked_once_for_all(monkeypatch):
    sizes = []
    ask = simclick.envs.vector.ask
    monkeypatch.setattr(
        simclick.envs.vector, "ask", lambda episodes: sizes.append(len(episodes)) or ask(episodes)
    )
    truth = stubs.case().truth
    envs = make(3)
    envs.reset()
    envs.step(np.stack([truth, ~truth, ~truth]))
    envs.step(np.stack([truth, truth, ~truth]))
    assert sizes == [3, 2, 1]


def test_nothing_is_shared_between_calls():
    envs = make(protocol=stubs.shaken(), level=1.0, training=True)
    calls = [envs.reset(seed=0), *(envs.step(zeros())[::4] for _ in range(2)), envs.reset(seed=0)]
    for one, other in combinations(calls, 2):
        for mine, theirs in zip(one, other, strict=True):
            for key in mine.keys() & theirs.keys():
                assert not np.shares_memory(mine[key], theirs[key]), key


def test_training_tells_the_truth_and_nothing_else_does():
    case = stubs.case()
    _, info = make().reset()
    names = {"image", "case_id", "cost", "rounds"}
    assert set(info) == names | {f"_{name}" for name in names}
    envs = make(training=True)
    _, info = envs.reset()
    assert np.array_equal(info["truth"], np.stack([case.truth] * 3))
    info = envs.step(np.stack([case.truth, ~case.truth, case.truth]))[4]
    assert info["dice"].tolist() == [1.0, 0.0, 1.0]


def test_wrong_actions_change_nothing():
    truth = stubs.case().truth
    envs = make()
    envs.reset()
    with pytest.raises(ValueError, match=r"shape \[2, 7, 13\], not \[3, 7, 13\]"):
        envs.step(zeros(2))
    bad = np.stack([truth, truth, truth]).astype(np.uint8)
    bad[2] = 255
    with pytest.raises(ValueError, match="from 255 to 255"):
        envs.step(bad)
    assert envs.step(np.stack([truth] * 3))[1].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"level": [0.0, 1.0], "protocol": stubs.shaken()}, "level has 2 values for num_envs=3"),
        ({"repeat": [0]}, "repeat has 1 values"),
        ({"level": [0.0, -1.0, 0.0], "protocol": stubs.shaken()}, "level=-1.0"),
        ({"num_envs": 0}, "num_envs=0"),
        ({"render_mode": "human"}, "render_mode='human'.*vector form"),
    ],
)
def test_wrong_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)


def test_pictures():
    envs = make(2, render_mode="rgb_array")
    envs.reset()
    envs.step(np.stack([stubs.case().truth, ~stubs.case().truth]))
    pictures = envs.render()
    assert len(pictures) == 2
    assert not np.array_equal(*pictures)
    single = SegmentationEnv(stubs.case(), stubs.protocol(), render_mode="rgb_array")
    single.reset()
    single.step(stubs.case().truth)
    assert np.array_equal(pictures[0], single.render())
    assert make().render() is None


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda envs: pickle.loads(pickle.dumps(envs))], ids=["copy", "pickle"]
)
def test_a_copy_in_mid_episode_goes_on_alike(twin):
    envs = make(protocol=stubs.shaken(budget=6), level=1.0)
    envs.reset(seed=1)
    envs.step(zeros())
    other = twin(envs)
    rng = np.random.default_rng(0)
    for _ in range(6):
        actions = masks(rng, 3, stubs.case().truth)
        assert data_equivalence(envs.step(actions), other.step(actions), exact=True)
    assert data_equivalence(envs.reset(), other.reset(), exact=True)


def test_wrappers():
    envs = RecordEpisodeStatistics(make(2))
    envs.reset()
    *_, info = envs.step(np.stack([stubs.case().truth, zeros(1)[0]]))
    assert info["episode"]["r"].tolist() == [1.0, 0.0]
