"""How long until something happens: `simclick --help`, and a run's first episode.

    python benchmarks/start.py

Each command runs in a process of its own, from its start: `simclick --help` to its end, and a run of a
classical agent on the phantoms to the moment when its first episode is over. Beside the seconds on the clock
stand processor seconds, which other programs on the machine disturb less, and Python's own start, which is in
all of them. Python's and numba's caches of compiled code are warm, as from the second use of an installation
on; `clicks.py` times what compiling the kernel costs without. The last table says which packages' imports the
time of a run goes to.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from timing import Result, arguments

HELP = "import sys; from simclick.cli import main; sys.exit(main(['--help']))"
FIRST = """
import os, sys
from contextlib import contextmanager
import simclick.harness.run as run

@contextmanager
def working(self, episodes, done):
    def progress(answered, ended):
        if ended:
            os._exit(0)
    yield progress

run.SilentDisplay.working = working
from simclick.cli import main
words = ["agent=" + sys.argv[1], "dataset=phantoms", "dataset.limit=1", "out=" + sys.argv[2]]
sys.exit(main(["run", *words, "--quiet"]) or 9)
"""
AGENTS = ("grabcut", "watershed", "geodesic", "random-walker", "graph-cut")
_LINE = re.compile(r"import time:\s*(\d+) \|\s*\d+ \| +([\w.]+)")


def environment(bytecode: Path) -> dict[str, str]:
    """Return an environment in which Python keeps its bytecode, whatever this one says of it."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(bytecode)}


def run(code: str, *words: str, env: dict[str, str]) -> tuple[float, float]:
    """Return the seconds on the clock and of the processor of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL, check=True, env=env)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_episode(agent: str, env: dict[str, str]) -> tuple[float, float]:
    """Return the same of a run until its first episode is over."""
    with tempfile.TemporaryDirectory() as folder:
        return run(FIRST, agent, str(Path(folder) / "run"), env=env)


def imports(folder: Path, env: dict[str, str]) -> dict[str, float]:
    """Return the seconds that a run spends in each package's own import lines, on a warm file cache."""
    command = [sys.executable, "-X", "importtime", "-c", FIRST, AGENTS[0], str(folder / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    found: dict[str, float] = defaultdict(float)
    for line in done.stderr.splitlines():
        if match := _LINE.match(line):
            found[match[2].partition(".")[0]] += int(match[1]) / 1e6
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def starts(result: Result, repeats: int, env: dict[str, str]) -> None:
    """Measure starts; the first of each warms the caches."""
    table = result.table(
        f"Seconds to start, medians of {repeats}",
        *("what", "seconds", "processor seconds", "goal"),
    )
    rows = [
        ("Python alone", "", lambda: run("pass", env=env)),
        ("simclick --help", "0.5", lambda: run(HELP, env=env)),
    ]
    rows += [(f"first episode, {a}", "3", lambda a=a: first_episode(a, env)) for a in AGENTS]  # type: ignore[misc]
    for name, goal, action in rows:
        action()
        found = [action() for _ in range(repeats)]
        wall, cpu = (median(column) for column in zip(*found, strict=True))
        table.add(name, f"{wall:.2f}", f"{cpu:.2f}", goal)


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__).parse_args()
    result = Result("start")
    with tempfile.TemporaryDirectory() as folder:
        env = environment(Path(folder) / "bytecode")
        starts(result, options.repeats, env)
        spent = imports(Path(folder), env)
    shares = result.table(
        "Imports of a run, share of all", "package", "share",
        note="From one run under -X importtime, on the clock: a busy machine blurs it.",
    )  # fmt: skip
    for name, seconds in list(spent.items())[:8]:
        shares.add(name, f"{100 * seconds / sum(spent.values()):.0f} %")
    result.save(options.json)


if __name__ == "__main__":
    main()
