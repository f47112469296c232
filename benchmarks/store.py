"""Step rows written, resumed over, reported on: does the cost grow with the rows, and no faster?

    python benchmarks/store.py [--full]

The rows are those of a noise sweep: two agents, level 0 once and 5 noise levels with 20 repeats, 20 clicks,
so that a block (one case) holds 101 episodes and 2,020 step rows, with their prompts. They go through `Rows`,
`GroupCommit` and the seal as in a run; values are made up, and no agent works. Time on the clock runs from
opening to seal and holds the making of the rows, which goes on beside the flushes; of the processor's
time the making is taken off. Another table writes the smallest blocks there are, one episode of 20 clicks,
which share commits. Resuming is a second opening of the finished directory, which looks at every shard;
reporting is `simclick report` in a process of its own, whose memory is measured.

10,000 and 100,000 step rows; ``--full`` adds 1,000,000.
"""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from timing import Result, arguments, peak_mib

from simclick.agent import AgentInfo
from simclick.datasets.base import DatasetInfo
from simclick.harness.commits import GroupCommit
from simclick.harness.plan import Plan, PlannedCase
from simclick.harness.records import Rows
from simclick.harness.run import RunSpec, cases_table, describe
from simclick.harness.specs import AgentSpec, DatasetSpec
from simclick.harness.store import RunDirectory
from simclick.protocol import Protocol, load_protocol

LEVELS = [0.0, 2.0, 5.0, 10.0, 20.0, 30.0]
CLICKS = 20
BLOCK = (1 + 5 * 20) * CLICKS
AGENTS = ("swift", "steady")


def planned(count: int) -> tuple[PlannedCase, ...]:
    """Return made-up cases, three to a group."""
    cases = []
    for i in range(count):
        name = f"volume-{i // 3:04d}-slice-{i % 3}"
        sha = hashlib.sha256(name.encode()).hexdigest()
        about = (f"volume-{i // 3:04d}", ("ct", "mr")[i // 3 % 2], ("liver", "lesion", "vessel")[i % 3])
        size = (None, 512, 512, (0.8, 0.8), 5000)
        cases.append(PlannedCase(i, name, *about, *size, sha, sha, {"contrast": 0.5}))
    return tuple(cases)


def plan_of(agent: str, protocol: Protocol, cases: int) -> Plan:
    """Return a plan without an agent behind it."""
    return Plan(AgentInfo(agent), DatasetInfo("bench"), protocol, 0, False, 1, planned(cases))


def rows_of(plan: Plan, case: PlannedCase, number: int) -> Rows:
    """Return the rows of a block of one case."""
    protocol, rows = plan.protocol, Rows()
    random = np.random.default_rng([number, len(plan.agent.name)])
    hard = random.random()
    about = (case.group, case.modality, case.target)
    for level, repeat in plan.cells:
        key = (plan.agent.name, protocol.id, "bench", case.case_id, plan.noise, level, repeat)
        dice = curve(random, hard, level)
        places = random.integers(0, 512, (CLICKS, 4)).tolist()
        for step, (value, place) in enumerate(zip(dice.tolist(), places, strict=True), start=1):
            sha = f"{number:08x}{step:056x}"
            surface = (20 * (1 - value), value**0.5) if step in protocol.surface_at else (None, None)
            answer = (value, 0, 1, 0.02, 0.001, sha)
            rows.add("steps", *key, step, step, value, value / (2 - value), *surface, *answer, *about)
            rows.add("prompts", *key, step, 0, "click", True, True, place[:2], place[2:], None, 1)
        digests = (plan.agent.digest, protocol.digest)
        rows.add("episodes", *key, *about, "ok", None, CLICKS, float(dice[-1]), 0.1, *digests)
    return rows


def curve(random: np.random.Generator, hard: float, level: float) -> NDArray[np.float64]:
    """Return one episode's Dice, rising and noisy, Float64[CLICKS]."""
    clicks = np.arange(1, CLICKS + 1)
    rising = (1 - 0.1 * hard) * (1 - np.exp(-(0.9 - 0.6 * hard) * clicks**0.7)) - 0.003 * level
    return np.clip(rising + random.normal(0.0, 0.02, CLICKS), 0.0, 1.0)


def opened(path: Path, plan: Plan) -> RunDirectory:
    """Return the run directory of a plan."""
    spec = RunSpec(AgentSpec("disc"), DatasetSpec("phantoms"), plan.protocol, path)  # not used
    expected = tuple(len(plan.cells) * sum(len(b.cases) for b in shard) for shard in plan.shards)
    about = describe(plan, spec)
    return RunDirectory(path, about, cases_table(plan.cases), save_masks=False, episodes_per_shard=expected)


def write(path: Path, plan: Plan) -> tuple[float, float]:
    """Write a run; return the seconds on the clock, and of the processor without making the rows up."""
    making = 0.0
    begin, begin_cpu = time.perf_counter(), time.process_time()
    with opened(path, plan) as directory:
        with GroupCommit(directory) as commits:
            for index, shard in enumerate(plan.shards):
                rows = Rows()
                start = time.thread_time()
                for block in shard:
                    for case in block.cases:
                        rows.extend(rows_of(plan, case, case.reference))
                making += time.thread_time() - start
                commits.add(index, rows)
        directory.seal({"episodes": plan.episodes})
    return time.perf_counter() - begin, time.process_time() - begin_cpu - making


def resume(path: Path, plan: Plan) -> float:
    """Return the seconds to find that nothing is left to do."""
    start = time.perf_counter()
    with opened(path, plan) as directory:
        if len(directory.done) != len(plan.shards):
            sys.exit(f"{path}: {len(directory.done)} of {len(plan.shards)} shards are there")
    return time.perf_counter() - start


def report(runs: list[Path], out: Path) -> tuple[float, float]:
    """Return the seconds of a report, and the most memory in MiB that its process held."""
    code = "import sys; from simclick.cli import main; code = main(sys.argv[1:]); "
    code += "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
    words = ["report", *map(str, runs), "--out", str(out)]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    peak = int(done.stdout.split()[-1])
    return seconds, peak / (2**20 if sys.platform == "darwin" else 2**10)


def cpu_of(action: Callable[[], tuple[float, float]]) -> tuple[tuple[float, float], float]:
    """Return what an action returns, and the processor seconds of the processes it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sweeps(result: Result, counts: list[int]) -> None:
    """Measure sweeps of so many step rows."""
    protocol = load_protocol("click-noise-v1").with_overrides(
        {"budget": CLICKS, "repeats": 20, "levels": LEVELS}
    )
    table = result.table(
        "A sweep of two agents: blocks of 2,020 step rows",
        *(
            "step rows",
            "rows/s written",
            "rows per CPU s",
            "memory, writing",
            "resumed, ms",
            "report, s",
            "report, CPU s",
        ),
        "memory, report",
        note="Memory is the most that the process held, in MiB, libraries included. Written: step rows, with "
        "as many prompt rows and their episodes, flushed to disk and sealed; on the clock, making the rows "
        "is part of it.",
    )
    for count in counts:
        cases = max(1, round(count / len(AGENTS) / BLOCK))
        with tempfile.TemporaryDirectory() as folder:
            runs, seconds, processor, resumed, rows = [], 0.0, 0.0, 0.0, 0
            for agent in AGENTS:
                plan = plan_of(agent, protocol, cases)
                runs.append(Path(folder) / agent)
                one, other = write(runs[-1], plan)
                seconds, processor = seconds + one, processor + other
                resumed += resume(runs[-1], plan)
                rows += plan.episodes * CLICKS
            writing = peak_mib()
            (took, peak), cpu = cpu_of(lambda runs=runs, folder=folder: report(runs, Path(folder) / "report"))  # type: ignore[misc]
        table.add(
            *(
                f"{rows:,}",
                f"{rows / seconds:,.0f}",
                f"{rows / processor:,.0f}",
                f"{writing:.0f}",
                f"{1000 * resumed:.0f}",
            ),
            *(f"{took:.1f}", f"{cpu:.1f}", f"{peak:.0f}"),
        )


def smallest(result: Result) -> None:
    """Measure blocks of one episode."""
    table = result.table(
        "The smallest blocks: one episode of 20 clicks each",
        *("step rows", "rows/s written", "blocks", "commits", "flushes of one, ms"),
        note="Blocks that end while the disk flushes share the next commit. The flushes are measured alone, "
        "in the same folder, with empty files.",
    )
    plan = plan_of(AGENTS[0], load_protocol("noc-v1"), 1000)
    with tempfile.TemporaryDirectory() as folder:
        seconds, _ = write(Path(folder) / "run", plan)
        commits = len(list((Path(folder) / "run" / "episodes").glob("part-*.parquet")))
        flushes = flush_seconds(Path(folder))
    rows = plan.episodes * CLICKS
    table.add(
        f"{rows:,}", f"{rows / seconds:,.0f}", f"{len(plan.shards):,}", f"{commits}", f"{1000 * flushes:.1f}"
    )


def flush_seconds(folder: Path) -> float:
    """Return the seconds that the flushes of one block take: a commit of no rows."""
    plan = plan_of(AGENTS[0], load_protocol("noc-v1"), 20)
    empty = Rows()
    with opened(folder / "empty", plan) as directory:
        start = time.perf_counter()
        for index in range(len(plan.shards)):
            directory.commit(index, empty)
        return (time.perf_counter() - start) / len(plan.shards)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__)
    parser.add_argument("--full", action="store_true", help="also 1,000,000 step rows")
    options = parser.parse_args()
    result = Result("store")
    smallest(result)
    sweeps(result, [10_000, 100_000, *([1_000_000] if options.full else [])])
    result.save(options.json)


if __name__ == "__main__":
    main()
