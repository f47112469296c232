"""Small methods for `agent=process`, and what to ask them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simclick.agent import Prediction, Request
from simclick.baselines.process.agent import ProcessAgent
from simclick.prompts import Round, click

HEAD = "from simclick_method import Answer, Method, serve\nimport os, sys, time\nimport numpy as np\n"

GOOD = """
class Good(Method):
    name, version, accepts, uses_previous = "good", "2", ("click", "box", "text"), True
    licence, parameters, batch = "MIT", 3, 4
    def __init__(self, radius=3):
        self.settings = {"radius": radius}
    def encode(self, image):
        print("a stray print, which is no message")
        assert not image.flags.writeable
        return image.copy()
    def segment(self, request):
        mask = np.zeros(request.size, bool) if request.previous is None else request.previous.copy()
        for prompt in request.prompts:
            x, y = (prompt.at + (0, 0))[:2]
            mask[y : y + self.settings["radius"], x : x + self.settings["radius"]] = prompt.positive
        mask[0, 0] ^= bool(request.features[0, 0, 0] % 2)
        turns = 1 if request.memory is None else int(request.memory["turns"][0]) + 1
        memories = [{"turns": np.array([turns]), "of": "this"}, None]
        return Answer([mask, ~mask], [0.75, 0.25], memories)
serve(Good)
"""


def question(agent: ProcessAgent, size: tuple[int, int] = (20, 30), n: int = 1) -> list[Request]:
    embeddings = agent.encode([np.full((*size, 3), i, np.uint8) for i in range(n)])
    return [Request(e, size, (Round((click(4, 5),)),), seed=1) for e in embeddings]


def masks_of(predictions: Sequence[Prediction]) -> list[Any]:
    return [np.asarray(p.candidates)[0] for p in predictions]
