"""What several tests of the baselines set up."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Hold torch to one thread: small networks are many times slower on several when other programs run."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def method(tmp_path: Path) -> Any:
    """A function that writes a method's file, or a bare script, and returns the command for it."""
    from process_methods import HEAD

    from simclick.baselines.process.agent import ProcessAgent
    from simclick.commands.agent_template import helper

    made: list[ProcessAgent] = []

    def command(body: str, *, bare: bool = False) -> str:
        (tmp_path / "simclick_method.py").write_text(helper())
        file = tmp_path / f"method{len(list(tmp_path.glob('method*')))}.py"
        file.write_text(("" if bare else HEAD) + textwrap.dedent(body))
        return f"{sys.executable} {file}"

    def start(body: str, *, bare: bool = False, **options: Any) -> ProcessAgent:
        made.append(ProcessAgent(command(body, bare=bare), **options))
        return made[-1]

    start.command = command  # type: ignore[attr-defined]
    yield start
    for agent in made:
        agent.close()
