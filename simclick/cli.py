"""The command line.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done; 1 done, but
episodes failed; 2 something was wrong with what was asked, and nothing was written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from simclick import __version__
from simclick.errors import ConfigError, SimclickError, of_system, unknown_name
from simclick.texts import plain

__all__ = ["main"]


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
    except OSError as error:
        if debug:
            raise
        print(f"simclick: error: {plain(of_system(error), 4000)} (--debug shows where)", file=sys.stderr)
        return 2


def _dispatch(words: list[str]) -> int:
    parser, commands = _parser()
    first = next((word for word in words if not word.startswith("-")), None)
    if first is not None and first not in commands:
        raise unknown_name("command", first, commands)
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


def _parser() -> tuple[argparse.ArgumentParser, list[str]]:
    """Return the parser, and the names of the commands."""
    parser = _Parser(prog="simclick", description="Simulated interactive-segmentation benchmark.")
    parser.add_argument("--version", action="version", version=f"simclick {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    from simclick.commands import run

    run.add(commands)

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
    return parser, list(commands.choices)


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


def _report(arguments: argparse.Namespace) -> int:
    from simclick.report.build import build_report
    from simclick.statistics.effort import time_model

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
