"""The command line.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done; 1 done, but
episodes failed; 2 something was wrong with what was asked, and nothing was written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from simclick import __version__
from simclick.errors import ConfigError, SimclickError
from simclick.texts import plain

__all__ = ["main"]

_RUN_HELP = """\
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


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        return _dispatch([word for word in words if word != "--debug"])
    except SimclickError as error:
        if debug:
            raise
        print(f"simclick: error: {plain(error, 4000)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        # `run` and `train` keep what is done; of the other commands nothing is left to resume.
        more = "; the same command resumes" if {"run", "train"} & set(words[:2]) else ""
        print(f"simclick: stopped{more}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _dispatch(words: list[str]) -> int:
    parser = _parser()
    known, rest = parser.parse_known_args(words)
    takes_words = hasattr(known, "words")  # argparse takes them on one side of an option only
    if rest and (not takes_words or any(word.startswith("-") for word in rest)):
        wrong = next((word for word in rest if word.startswith("-")), rest[0])
        options = {"--quiet", "--json", "--debug", "--multirun", "--out"} - {wrong}
        near = get_close_matches(wrong, sorted(options), n=1)
        raise ConfigError(f"unknown argument {wrong!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    if known.command is None:
        parser.print_help()
        return 0
    if takes_words:
        known.words += rest
    command: Callable[[argparse.Namespace], int] = known.function
    return command(known)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="simclick", description="Simulated interactive-segmentation benchmark.")
    parser.add_argument("--version", action="version", version=f"simclick {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser(
        "run",
        help="run, or resume, one run; with -m a sweep",
        epilog=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("words", nargs="*", metavar="key=value", help="what to run; see below")
    run.add_argument("-m", "--multirun", action="store_true", help="a sweep over comma-separated values")
    run.add_argument("--quiet", action="store_true", help="no progress bar")
    run.add_argument("--json", action="store_true", help="the result as JSON")
    run.set_defaults(function=_run)

    report = commands.add_parser("report", help="tables, figures and one page from runs")
    report.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories")
    report.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    report.add_argument(
        "--time-model",
        nargs="+",
        default=[],
        metavar="key=value",
        help="for simulated seconds: thinking, bits_per_second, target, pressing, drawing, latency",
    )
    report.set_defaults(function=_report)

    replay = commands.add_parser("replay", help="pictures of one case's episodes, click by click")
    replay.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    replay.add_argument("--case", required=True, metavar="ID", help="the case")
    replay.add_argument("--level", type=float, metavar="X", help="noise level (default: the first)")
    replay.add_argument("--repeat", type=int, default=0, metavar="N", help="repeat, from 0 (default: 0)")
    replay.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: ./replay-ID)")
    replay.set_defaults(function=_replay)

    listing = commands.add_parser("list", help="what there is, and whether it can run here")
    kinds = ("agents", "annotators", "noises", "datasets", "protocols")
    listing.add_argument("kind", nargs="?", choices=kinds, help="what to list (default: all)")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(function=_list)
    _add_commands(commands)
    return parser


def _add_commands(commands: Any) -> None:
    """Add the commands that have a module of their own."""
    from simclick.commands import (
        agent_template,
        check,
        cite,
        leaderboard,
        submit,
        suite,
        train,
        verify,
        weights,
    )

    for module in (train, agent_template, check, cite, leaderboard, submit, suite, verify, weights):
        module.add(commands)


def _run(arguments: argparse.Namespace) -> int:
    sys.path.insert(0, "")  # a user's module beside the command is found, also by workers
    from simclick.config import compose_run, compose_sweep

    if not arguments.multirun:
        return _run_one(compose_run(arguments.words), arguments)
    codes = []
    for spec in compose_sweep(arguments.words):
        try:
            codes.append(_run_one(spec, arguments))
        except SimclickError as error:
            print(f"simclick: error: {error}", file=sys.stderr)
            codes.append(2)
    return max(codes, default=0)


def _run_one(spec: Any, arguments: argparse.Namespace) -> int:
    from simclick.harness.run import SilentDisplay, execute

    outcome = execute(spec, SilentDisplay() if arguments.quiet else _Bars(spec))
    failed = f"{outcome.failed} of {outcome.plan.episodes} episodes failed"
    if arguments.json:
        summary = {
            "run": str(outcome.path),
            "episodes": outcome.plan.episodes,
            "failed": outcome.failed,
            "fresh": outcome.fresh,
            "cases": len(outcome.plan.cases),
            "groups": outcome.plan.groups,
            "protocol": outcome.plan.protocol.id,
            "protocol_digest": outcome.plan.protocol.digest,
            "seed": outcome.plan.seed,
        }
        print(json.dumps(summary))
    else:
        # Here, not above: what it imports would keep the first episode waiting.
        from simclick.report.terminal import final_table

        print(final_table(outcome.path))
    if outcome.failed:
        print(f"simclick: {failed}; see the `error` column of {outcome.path}/episodes", file=sys.stderr)
    return 1 if outcome.failed else 0


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


def _report(arguments: argparse.Namespace) -> int:
    from simclick.harness.store import RUN, check_writable
    from simclick.report.build import build_report
    from simclick.statistics.effort import time_model

    check_writable(arguments.out)
    if (arguments.out / RUN).exists():
        raise ConfigError(f"--out {arguments.out} is a run directory: choose another folder for the report")
    result = build_report(arguments.runs, arguments.out, time_model(arguments.time_model))
    print(result.page)
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from simclick.report.replay import replay

    about = {"level": arguments.level, "repeat": arguments.repeat}
    for path in replay(arguments.run, arguments.case, arguments.out, **about):
        print(path)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from simclick.listing import listing, notes

    for note in notes(arguments.kind):
        print(f"simclick: {note}", file=sys.stderr)
    print(listing(arguments.kind, as_json=arguments.json))
    return 0


if __name__ == "__main__":
    sys.exit(main())
