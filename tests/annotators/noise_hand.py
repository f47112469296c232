"""Cases, prompts and draws for the tests of noise."""

from __future__ import annotations

from typing import Any

import numpy as np

from simclick import registry
from simclick.annotators.noise import Displacement
from simclick.case import Case
from simclick.prompts import Prompt, Round, box, click, scribble
from simclick.seeding import Draws

SIZE = (4001, 4001)
WIDE = Case(
    "c",
    "hand",
    np.broadcast_to(np.zeros(3, np.uint8), (*SIZE, 3)),
    np.broadcast_to(np.True_, SIZE),
    "g",
    "none",
    "shape",
)

DISPLACEMENTS = sorted(
    name for name in registry.noises.entries if issubclass(registry.noises.load(name), Displacement)
)


def small_case(truth: np.ndarray, spacing: tuple[float, float] | None = None) -> Case:
    image = np.zeros((*truth.shape, 3), np.uint8)
    return Case("c", "hand", image, truth, "g", "none", "shape", spacing=spacing)


def draws(seed: int = 0, repeat: int = 0) -> Draws:
    return Draws(seed, "hand", "c", repeat, 1)


def make(name: str, **options: Any) -> Any:
    return registry.noises.load(name)(**options)


def prompt_for(name: str, positive: bool = True) -> Prompt:
    """A prompt that the noise touches, in the middle of `WIDE`; scribbles are dense already."""
    kinds = registry.noises.load(name).kinds
    if "click" in kinds:
        return click(2000, 2000, positive)
    if "box" in kinds:
        return box(1800, 1700, 2200, 2300)
    return scribble([(1900 + 2 * k, 2000 + 3 * (k % 2)) for k in range(60)], positive)


def landed_of(noise: Any, prompt: Prompt, level: float, n: int = 400, case: Case = WIDE) -> np.ndarray:
    """Int64[n, coordinates]: where the prompt landed under each of n seeds."""
    round_ = Round((prompt,))
    return np.array([noise.perturb(round_, case, draws(s), level).prompts[0].landed for s in range(n)])


def shifts(noise: Any, prompt: Prompt, level: float, n: int = 400, case: Case = WIDE) -> np.ndarray:
    """Int64[n, coordinates]: where it landed minus where it was meant."""
    return landed_of(noise, prompt, level, n, case) - np.array(prompt.meant)
