"""What a process of its own costs per click: `agent=process` beside the same method inside.

    python benchmarks/process.py [--size 512] [--clicks 200]

The method paints a constant mask, so that nearly all of the time is the way there and back: up to twenty
clicks and the previous mask there, a mask back, with a memory of 256 x 256 floats and without. Also what it
takes to start a method, to encode an image through shared memory and through the pipe, and to come
back after a crash.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from simclick.agent import Agent, AgentInfo, Request, SimpleAgent
from simclick.baselines.process.agent import ProcessAgent
from simclick.commands.agent_template import helper
from simclick.errors import AgentError
from simclick.prompts import Round, click

METHOD = """
from simclick_method import Answer, Method, serve
import os
import numpy as np

class Constant(Method):
    name, uses_previous = "constant", True
    def __init__(self, memory=False):
        self.memory = np.zeros((256, 256), np.float32) if memory else None
    def encode(self, image):
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        return (rows - image.shape[0] / 2) ** 2 + (columns - image.shape[1] / 2) ** 2 < 10000
    def segment(self, request):
        if request.seed == 13:
            os._exit(1)
        return Answer([request.features], memories=None if self.memory is None else [self.memory])

serve(Constant)
"""


class Inside(SimpleAgent):
    """The same, in this process."""

    info = AgentInfo("inside")

    def segment(self, image: Any, request: Request) -> Any:
        """Return a constant mask."""
        return np.zeros(request.size, np.bool_)


def clicks(agent: Agent, image: Any, count: int) -> list[float]:
    """Return the seconds of each of `count` clicks, in episodes of twenty."""
    (embedding,) = agent.encode([image])
    size = (image.shape[0], image.shape[1])
    seconds = []
    for i in range(count):
        if i % 20 == 0:
            rounds, previous, memory = (), None, None
        rounds += (Round((click(i % size[1], i % size[0]),)),)
        request = Request(embedding, size, rounds, previous, memory)
        start = time.perf_counter()
        (answer,) = agent.predict([request])
        seconds.append(time.perf_counter() - start)
        previous = np.asarray(answer.candidates)[0]
        memory = None if answer.memories is None else answer.memories[0]
    return seconds


def timed(action: Callable[[], Any], count: int) -> float:
    """Return the median seconds of an action."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        action()
        found.append(time.perf_counter() - start)
    return median(found)


def crash(agent: ProcessAgent, image: Any) -> None:
    """Let the method die, and be answered again."""
    (embedding,) = agent.encode([image])
    size = (image.shape[0], image.shape[1])
    rounds = (Round((click(1, 1),)),)
    try:
        agent.predict([Request(embedding, size, rounds, seed=13)])
    except AgentError:
        agent.predict([Request(embedding, size, rounds)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--clicks", type=int, default=200)
    arguments = parser.parse_args()
    image = np.random.default_rng(0).integers(0, 255, (arguments.size, arguments.size, 3)).astype(np.uint8)
    rows: list[tuple[str, list[float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "simclick_method.py").write_text(helper())
        (Path(folder) / "method.py").write_text(METHOD)
        command = [sys.executable, str(Path(folder) / "method.py")]
        start = time.perf_counter()
        agent = ProcessAgent(command)
        starting = time.perf_counter() - start
        remembering = ProcessAgent(command, options={"memory": True})
        piped = ProcessAgent(command, shared=False)
        rows.append(("click, inside", clicks(Inside(), image, arguments.clicks)))
        rows.append(("click, process", clicks(agent, image, arguments.clicks)))
        rows.append(("click, process, memory of 256 kB", clicks(remembering, image, arguments.clicks)))
        rows.append(("encode, shared memory", [timed(lambda: agent.encode([image]), 20)]))
        rows.append(("encode, through the pipe", [timed(lambda: piped.encode([image]), 20)]))
        rows.append(("start to greeting", [starting]))
        rows.append(("crash to next answer", [timed(lambda: crash(agent, image), 3)]))
        for one in (agent, remembering, piped):
            one.close()
    print(f"{arguments.size} x {arguments.size}, {arguments.clicks} clicks; milliseconds")
    print(f"{'':34}{'median':>9}{'95 %':>9}")
    for name, seconds in rows:
        high = f"{1000 * float(np.quantile(seconds, 0.95)):9.2f}" if len(seconds) > 1 else ""
        print(f"{name:34}{1000 * median(seconds):9.2f}{high}")


if __name__ == "__main__":
    main()
