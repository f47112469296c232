"""Checks on a freshly built wheel: `types` (mypy) and `smoke` (a clean environment, another folder).

The wheel is built through the source distribution, in a temporary folder, so that neither a stale
`build/` nor a file that was never packed can make it pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SMOKE_AGENT = """
import numpy as np
from simclick.agent import AgentInfo, SimpleAgent

class Square(SimpleAgent):
    info = AgentInfo(name="square")

    def segment(self, image, request):
        mask = np.zeros(request.size, dtype=bool)
        x, y = request.prompts[0].landed
        mask[max(0, y - 9) : y + 10, max(0, x - 9) : x + 10] = True
        return mask
"""


def build(folder: Path) -> Path:
    """Build the wheel through the sdist; return its path."""
    run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], quiet=True)
    return next(folder.glob("*.whl"))


def run(command: list[str], cwd: Path | None = None, quiet: bool = False, **env: str) -> str:
    """Run a command, echo it, and stop the program with its output where it fails."""
    print("+", " ".join(Path(word).name if word.startswith("/") else word for word in command), flush=True)
    result = subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True)
    if not quiet or result.returncode:
        print(result.stdout + result.stderr, flush=True)
    if result.returncode:
        sys.exit(result.returncode)
    return result.stdout


def types() -> None:
    """Type-check the wheel's content."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(build(folder)) as wheel:
            wheel.extractall(folder / "content")
        config = str(ROOT / "pyproject.toml")
        mypy = [str(BIN / "mypy"), "--config-file", config, "--cache-dir", str(ROOT / ".mypy_cache")]
        run([*mypy, "-p", "simclick"], cwd=folder, MYPYPATH=str(folder / "content"))


def smoke() -> None:
    """Install the wheel alone into a clean environment and use it from another folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = build(folder)
        run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")])
        python = str(folder / "venv" / "bin" / "python")
        constraints = str(ROOT / "requirements" / "constraints.txt")
        uv = [str(BIN / "uv"), "pip", "install", "--quiet", "--python", python]
        run([*uv, "--constraint", constraints, str(wheel)])
        program = str(folder / "venv" / "bin" / "simclick")
        work = folder / "elsewhere"
        work.mkdir()
        (work / "mine.py").write_text(SMOKE_AGENT, encoding="utf-8")
        listed = run([program, "list"], cwd=work)
        assert all(name in listed for name in ("grabcut", "phantoms", "noc-v1"))
        words = [
            "dataset=phantoms",
            "dataset.limit=9",
            "protocol.budget=3",
            "engine.workers=2",
            "save_masks=true",
        ]
        run([program, "run", "agent=watershed", "out=one", *words], cwd=work)
        run([program, "run", "agent=custom", "agent.target=mine:Square", "out=two", *words], cwd=work)
        run([program, "report", "one", "two", "--out", "report"], cwd=work)
        assert (work / "report" / "index.html").stat().st_size > 10_000
        generic = (
            "import importlib.util as u; assert not any(map(u.find_spec, ('envs', 'conf', 'baselines')))"
        )
        run([python, "-c", generic], cwd=work)
        environment = (
            "import gymnasium, simclick; from simclick.datasets.phantoms import Phantoms; "
            "e = gymnasium.make('simclick/Segmentation-v0', case=next(iter(Phantoms())), protocol='noc-v1'); "
            "print(e.reset(seed=0)[0]['count'])"
        )
        run([python, "-c", environment], cwd=work)
        print("smoke: the wheel works by itself")


if __name__ == "__main__":
    {"types": types, "smoke": smoke}[sys.argv[1]]()
