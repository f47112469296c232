"""Everything registered keeps the contract, and is configured by a YAML that says all its options."""

from __future__ import annotations

import inspect
from importlib.resources import files

import numpy as np
import pytest
import yaml

from simclick import registry
from simclick.agent import AgentInfo, Prediction
from simclick.errors import ConfigError
from simclick.harness.specs import AgentSpec
from simclick.testing import check_agent, sample_cases
from support import Broken, Painter

LIGHT = [n for n, e in registry.agents.entries.items() if not e.checkpoint and n not in {"custom", "process"}]
QUICK = {"pocket-sam": {"points_per_side": 3, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}}
"""Options that make Everything mode quick, and its answers not empty."""
CLASSICAL = ["grabcut", "random-walker", "geodesic", "watershed", "graph-cut"]


@pytest.mark.parametrize("name", LIGHT)
def test_registered_agents_conform(name: str, one_thread: None) -> None:
    agent = AgentSpec(name, QUICK.get(name, {})).make()
    assert agent.info.name == name
    check_agent(agent)


@pytest.mark.parametrize("name", [n for n in registry.agents.entries if n != "custom"])
def test_configuration_says_every_option(name: str) -> None:
    if registry.agents.entry(name).missing():
        pytest.skip(registry.agents.entry(name).install_hint())
    content = yaml.safe_load((files("simclick.conf.agent") / f"{name}.yaml").read_text())
    assert content.pop("name") == name
    parameters = inspect.signature(registry.agents.load(name)).parameters
    assert set(content) == set(parameters)
    # An empty list or mapping in YAML stands for an empty tuple or None in Python.
    assert {k: v or None for k, v in content.items() if not isinstance(v, bool)} == {
        k: p.default or None for k, p in parameters.items() if not isinstance(p.default, bool)
    }
    assert {k: v for k, v in content.items() if isinstance(v, bool)} == {
        k: p.default for k, p in parameters.items() if isinstance(p.default, bool)
    }


@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_agents_find_a_bright_ellipse_and_beat_the_disc(name: str) -> None:
    from simclick.episode import Rules
    from simclick.harness.lockstep import Lockstep
    from simclick.harness.plan import make_plan
    from simclick.protocol import load_protocol
    from support import ToyDataset

    class Ellipses(ToyDataset):
        def load(self, reference: int):  # type: ignore[no-untyped-def]
            return sample_cases([(96, 128), (120, 90)])[reference]

    protocol = load_protocol("noc-v1").with_overrides({"budget": 5, "surface_at": []})

    def final(agent_name: str) -> list[float]:
        agent, dataset = AgentSpec(agent_name).make(), Ellipses(2)
        lockstep = Lockstep(agent, dataset, Rules(protocol, 0))
        rows = [lockstep.run(block).table("episodes") for block in make_plan(agent, dataset, protocol).blocks]
        return [table["final_dice"][0].as_py() for table in rows]

    mine, floor = final(name), final("disc")
    assert min(mine) > 0.85
    assert np.mean(mine) > 0.9
    assert np.mean(mine) > np.mean(floor)


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_answer_does_not_depend_on_threads_or_earlier_calls(name: str) -> None:
    import cv2

    from simclick.agent import Request
    from simclick.prompts import Round, click

    case = sample_cases([(80, 100)])[0]

    def answer() -> np.ndarray:
        agent = AgentSpec(name).make()
        (embedding,) = agent.encode([case.image])
        request = Request(embedding, case.size, (Round((click(45, 44),)),), seed=5)
        return np.asarray(agent.predict([request])[0].candidates)

    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = answer()
        cv2.setRNGSeed(123)
        cv2.setNumThreads(2)
        assert np.array_equal(one, answer())
    finally:
        cv2.setNumThreads(before)


def test_both_solvers_of_graph_cut_agree() -> None:
    """Minimum cuts of equal cost may differ in ties; on textured images they hardly do."""
    pytest.importorskip("maxflow", reason="PyMaxflow is not installed (extra gpl)")
    from simclick.agent import Request
    from simclick.prompts import Round, click

    for case in sample_cases([(64, 64), (48, 80)]):
        found = []
        for solver in ("scipy", "pymaxflow"):
            agent = AgentSpec("graph-cut", {"solver": solver}).make()
            (embedding,) = agent.encode([case.image])
            place = click(int(case.size[1] * 0.45), int(case.size[0] * 0.55))
            request = Request(embedding, case.size, (Round((place,)),))
            found.append(np.asarray(agent.predict([request])[0].candidates))
        assert np.mean(found[0] != found[1]) < 0.005


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("grabcut", {"iterations": 0}, "agent.iterations=0"),
        ("geodesic", {"contrast": -1}, "agent.contrast=-1"),
        ("disc", {"radius": 2}, "from 0 to 1"),
        ("graph-cut", {"solver": "magic"}, "auto, scipy or pymaxflow"),
        ("watershed", {"device": "cuda"}, "cpu"),
        ("watershed", {"device": "tpu"}, "auto, cpu or cuda"),
        ("watershed", {"resolution": "big"}, "whole number"),
        ("watershed", {"no_such": 1}, "no_such"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        AgentSpec(name, options).make()


class Forgetful(Painter):
    def segment(self, image, request):  # type: ignore[no-untyped-def]
        mask = super().segment(image, request)
        return mask if request.previous is None else mask ^ request.previous


class Moody(Painter):
    calls = 0

    def segment(self, image, request):  # type: ignore[no-untyped-def]
        self.calls += 1
        mask = super().segment(image, request)
        mask[0, : self.calls % 7] ^= True
        return mask


class Vandal(Painter):
    def segment(self, image, request):  # type: ignore[no-untyped-def]
        image[0, 0] = 0
        return super().segment(image, request)


class Short(Painter):
    def predict(self, requests):  # type: ignore[no-untyped-def]
        return list(super().predict(requests))[1:]


class Numbers(Painter):
    def predict(self, requests):  # type: ignore[no-untyped-def]
        return [Prediction(p.candidates.astype(np.float32)) for p in super().predict(requests)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (Forgetful(), "previous mask changes the answer"),
        (Moody(), "same questions again"),
        (Vandal(), "read-only"),
        (Short(), "one prediction per request"),
        (Numbers(), "float32"),
        (Broken("nan"), "finite"),
    ],
)
def test_broken_contracts_are_named_in_words(agent: Painter, words: str) -> None:
    with pytest.raises(Exception, match=words):
        check_agent(agent)


def test_a_good_agent_passes() -> None:
    check_agent(Painter())


def test_info_is_checked() -> None:
    agent = Painter()
    agent.info = AgentInfo("x", accepts=frozenset({"clicks"}))
    with pytest.raises(AssertionError, match="accepts"):
        check_agent(agent)
    agent.info = AgentInfo("x", settings={"a": {1}})
    with pytest.raises(AssertionError, match="JSON"):
        check_agent(agent)
