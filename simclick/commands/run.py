"""`simclick run`: one run, or with ``-m`` a sweep."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

from simclick.errors import SimclickError, of_system
from simclick.texts import plain

__all__ = ["add"]

_HELP = """\
Words are key=value. The main ones, with an example each:
  agent=grabcut               the method              (simclick list agents)
  dataset=folder              the images              (simclick list datasets)
  protocol=noc-v1             the rules               (simclick list protocols)
  out=DIR                     the run directory       (default: runs/AGENT-DATASET-PROTOCOL)
  dataset.root=DIR            where the images are
  dataset.limit=10            only the first cases
  dataset.skip_invalid=true   list bad files instead of stopping
  agent.device=cuda           auto, cpu or cuda
  agent=custom agent.target=my_module:MyAgent
  engine.workers=4            worker processes; the rows do not depend on them
  protocol.budget=5           a changed protocol keeps its id with a +
  seed=0 save_masks=true retry_failed=true
The same command again resumes. With -m, comma-separated values are a sweep:
  simclick run -m agent=grabcut,watershed dataset=phantoms,mni152
"""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "run",
        help="run, or resume, one run; with -m a sweep",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", default=[], metavar="key=value", help="what to run; see below")
    parser.add_argument("-m", "--multirun", action="store_true", help="a sweep over comma-separated values")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="the result as JSON; with -m a list of them")
    parser.set_defaults(function=_run)


def _run(arguments: argparse.Namespace) -> int:
    sys.path.insert(0, "")  # a user's module beside the command is found, also by workers
    from simclick.config import compose_run, compose_sweep

    if not arguments.multirun:
        code, summary = _run_one(compose_run(arguments.words), arguments)
        if arguments.json:
            print(json.dumps(summary))
        return code
    codes, summaries = [], []
    for spec in compose_sweep(arguments.words):
        try:
            code, summary = _run_one(spec, arguments)
        except BrokenPipeError:
            raise
        except (SimclickError, OSError) as error:
            line = plain(of_system(error) if isinstance(error, OSError) else error, 4000)
            print(f"simclick: error: {line}", file=sys.stderr)
            code, summary = 2, {"run": str(spec.out), "error": line}
        codes.append(code)
        summaries.append(summary)
    if arguments.json:
        print(json.dumps(summaries))
    return max(codes, default=0)


def _run_one(spec: Any, arguments: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    """Run one run, and print its table unless JSON was asked for; return the exit code and the summary."""
    from simclick.harness.run import SilentDisplay, execute

    with _unspoken() if arguments.json else nullcontext():
        outcome = execute(spec, SilentDisplay() if arguments.quiet else _Bars(spec))
    plan = outcome.plan
    if not arguments.json:
        # Here, not above: what it imports would keep the first episode waiting.
        from simclick.report.terminal import final_table

        print(final_table(outcome.path))
        for note in _notes(outcome):
            print(f"simclick: {note}", file=sys.stderr)
    if outcome.failed:
        failed = f"{outcome.failed} of {plan.episodes} episodes failed"
        print(f"simclick: {failed}; see the `error` column of {outcome.path}/episodes", file=sys.stderr)
    summary = {
        "run": str(outcome.path),
        "episodes": plan.episodes,
        "failed": outcome.failed,
        "fresh": outcome.fresh,
        "cases": len(plan.cases),
        "left_out": len(plan.skipped),
        "hints": list(outcome.hints),
        "groups": plan.groups,
        "protocol": plan.protocol.id,
        "protocol_digest": plan.protocol.digest,
        "seed": plan.seed,
    }
    return (1 if outcome.failed else 0), summary


@contextmanager
def _unspoken() -> Iterator[None]:
    """Send what an agent prints, here or in a worker, to standard error: standard output is for JSON."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _notes(outcome: Any) -> Iterator[str]:
    """Yield what a person should know of the data: what was left out, how masks were read."""
    skipped = outcome.plan.skipped
    if skipped:
        cases, first = len(outcome.plan.cases), f"{skipped[0].what}: {skipped[0].why}"
        beside = f"{len(skipped)} left out beside {cases} case{'s' * (cases != 1)}"
        yield f"{beside}: {plain(first, 300)}{'; …' * (len(skipped) > 1)} (all are in the report)"
    yield from (plain(hint) for hint in outcome.hints)


class _Bars:
    """Progress bars on standard error: cases read, then episodes, rounds per second, time left."""

    def __init__(self, spec: Any) -> None:
        self._name = f"{spec.agent.name} · {spec.dataset.name} · {spec.protocol.id}"
        self._reading: Any = None

    def planning(self, read: int, total: int) -> None:
        """Show how many cases were read."""
        from tqdm import tqdm

        if self._reading is None:
            self._reading = tqdm(total=total, desc="reading cases", unit="case", leave=False, delay=1)
        self._reading.update(read - self._reading.n)

    @contextmanager
    def working(self, episodes: int, done: int) -> Iterator[Callable[[int, int], None]]:
        """Show work."""
        from time import perf_counter

        from tqdm import tqdm

        if self._reading is not None:
            self._reading.close()
        rounds, start = 0, perf_counter()
        with tqdm(
            total=episodes,
            initial=done,
            desc=self._name,
            unit="episode",
            dynamic_ncols=True,
            mininterval=0.2 if sys.stderr.isatty() else 10.0,
        ) as bar:

            def progress(answered: int, ended: int) -> None:
                nonlocal rounds
                rounds += answered
                bar.set_postfix_str(f"{rounds / (perf_counter() - start):.1f} rounds/s", refresh=False)
                bar.update(ended)

            yield progress
