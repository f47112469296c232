"""SimpleClick and FocalClick through the process agent, against their repositories' own evaluation loops.

Needs checkouts, named by SIMCLICK_SIMPLECLICK and SIMCLICK_FOCALCLICK, and an environment in which their
code runs: SIMCLICK_SIMPLECLICK_PYTHON and SIMCLICK_FOCALCLICK_PYTHON (this one by default). Random weights:
it proves the path, not a Dice.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgpack")

from simclick.agent import Request
from simclick.annotators.clicks import CenterClick
from simclick.baselines.process import simclick_method
from simclick.baselines.process.agent import ProcessAgent
from simclick.case import Case
from simclick.errors import AgentError
from simclick.prompts import Round, click
from simclick.seeding import Draws

RECIPES = Path(simclick_method.__file__).with_name("recipes")
REFERENCE = Path(__file__).with_name("recipe_reference.py")


def place(method: str) -> tuple[str, str]:
    """Return a repository's checkout and Python, or skip."""
    name = f"SIMCLICK_{method.upper()}"
    checkout = os.environ.get(name)
    if not checkout:
        pytest.skip(f"{name} names no checkout of the repository")
    return checkout, os.environ.get(f"{name}_PYTHON", sys.executable)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("which", "method"),
    [
        ("simpleclick", "simpleclick"),
        ("focalclick-hrnet", "focalclick"),
        ("focalclick-segformer", "focalclick"),
    ],
)
def test_masks_and_probabilities_equal_the_repositorys_own_loop(
    which: str, method: str, tmp_path: Path
) -> None:
    checkout, python = place(method)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [python, str(REFERENCE), which, checkout, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    played = np.load(tmp_path / "played.npz")
    options = {"repository": checkout, "checkpoint": str(tmp_path / "weights.pth"), "random_weights": True}
    recipe = [python, str(RECIPES / f"{method}.py")]
    if which == "simpleclick":  # its official files pickle a loss object, and so does this one
        with pytest.raises(AgentError, match=r"cannot be loaded safely .*trust_checkpoint=true"):
            ProcessAgent(recipe, options=options)
        options["trust_checkpoint"] = True
    agent = ProcessAgent(recipe, options=options)
    try:
        assert agent.info.name == method
        assert agent.info.random_weights
        largest, masks = replay(agent, played)
    finally:
        agent.close()
    print(f"{which}: largest difference of probabilities {largest:g}")
    assert largest <= 1e-6
    threshold = agent.info.settings["method"]["threshold"]
    assert all(np.array_equal(m, p > threshold) for m, p in zip(masks, played["probabilities"], strict=True))
    assert any(0.01 < mask.mean() < 0.99 for mask in masks)  # the comparison is not of blanks
    check_clicks(played, masks)


def replay(agent: ProcessAgent, played: Any) -> tuple[float, list[Any]]:
    """Ask for every step, with another episode on another image in between; return the largest difference."""
    image = played["image"]
    size = (image.shape[0], image.shape[1])
    embedding, other = agent.encode([image, image[::-1].copy()])
    rounds: tuple[Round, ...] = ()
    previous, memory, largest, masks = None, None, 0.0, []
    for (x, y, positive), expected in zip(played["clicks"], played["probabilities"], strict=True):
        rounds += (Round((click(int(x), int(y), bool(positive)),)),)
        (answer,) = agent.predict([Request(embedding, size, rounds, previous, memory)])
        agent.predict([Request(other, size, (Round((click(5, 7),)),))])
        assert answer.memories is not None
        memory = answer.memories[0]
        previous = np.asarray(answer.candidates)[0]
        found = simclick_method._remembered(memory)["probabilities"]
        both = np.isnan(found) & np.isnan(expected)
        largest = max(largest, float(np.abs(np.where(both, 0, found - expected)).max()))
        masks.append(previous)
    return largest, masks


def check_clicks(played: Any, masks: list[Any]) -> None:
    """The harness's annotator gives the clicks that the repository's clicker gave for the same masks."""
    case = Case("c", "d", played["image"], played["truth"], group="g", modality="", target="")
    shown = np.zeros((1, *case.size), np.bool_)
    history: tuple[Round, ...] = ()
    for step, ((x, y, positive), mask) in enumerate(zip(played["clicks"], masks, strict=True), start=1):
        draws = [Draws(0, "d", "c", 0, step)]
        (round_,) = CenterClick().propose(case, shown, [history], draws)
        assert round_ is not None
        prompt = round_.prompts[0]
        assert (*prompt.landed, prompt.positive) == (x, y, bool(positive))
        history += (round_,)
        shown = mask[None]


@pytest.mark.parametrize("recipe", ["simpleclick", "focalclick"])
def test_recipes_are_for_python_3_8_and_import_nothing_of_simclick(recipe: str) -> None:
    tree = ast.parse((RECIPES / f"{recipe}.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] != "simclick"
        if isinstance(node, ast.Import):
            assert "simclick" not in [alias.name for alias in node.names]


@pytest.mark.parametrize("recipe", ["simpleclick", "focalclick"])
def test_a_wrong_checkout_is_named(recipe: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    options = {"repository": str(tmp_path), "checkpoint": "x.pth"}
    with pytest.raises(AgentError, match="is no checkout"):
        ProcessAgent([sys.executable, str(RECIPES / f"{recipe}.py")], options=options)
