"""A small harness to be run by itself: which cheats get the truth from its process?

    python harness_alone.py CODE GUARD [HIDE]

CODE is the folder of the method's files; GUARD is ``yes``, or ``no`` for a harness that is not marked. Its
environment holds HIDDEN_ROOT from its start. Prints JSON: whether each cheat got the truth.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cheating_agents import MARK

from simclick.agent import Request
from simclick.baselines.process import agent as agent_module
from simclick.baselines.process.agent import ProcessAgent
from simclick.prompts import Round, click

KEY = "harness-alone"
TRUTH = np.indices((40, 48)).sum(axis=0) % 3 == 0


def plays(cheat: str, code: str, hide: list[str]) -> bool:
    """Return whether a cheat gets the truth."""
    known: dict[str, Any] = {"size": list(TRUTH.shape), "key": KEY}
    agent = ProcessAgent(
        [sys.executable, str(Path(code) / "cheating_agents.py")],
        options={"cheat": cheat, "known": known},
        hide=hide,
        timeout=120,
    )
    try:
        (embedding,) = agent.encode([np.zeros((*TRUTH.shape, 3), np.uint8)])
        (answer,) = agent.predict([Request(embedding, TRUTH.shape, (Round((click(1, 1),)),))])
    finally:
        agent.close()
    return bool(np.array_equal(np.asarray(answer.candidates)[0], TRUTH))


def main() -> None:
    """Play the cheats that look into the harness's process."""
    code, guard, *hide = sys.argv[1:]
    if guard == "no":
        agent_module.guard_memory = lambda: False
    assert "HIDDEN_ROOT" in os.environ
    held = bytearray(MARK + KEY.encode() + TRUTH.tobytes())
    cheats = ("environment", "parent_memory", "trace")
    found = {cheat: plays(cheat, code, hide) for cheat in cheats}
    del held  # not before: it is what they look for
    print(json.dumps(found))


if __name__ == "__main__":
    main()
