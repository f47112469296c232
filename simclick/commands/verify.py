"""`simclick verify`: check a submission; with --accept, make a board's folder of it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError
from simclick.texts import plain

__all__ = ["add"]

_MANY = 10_000_000
_PATH = 4096

_HELP = """\
Exit codes: 0 everything passed; 1 a check failed, an archive was refused, or a folder is not proved;
2 wrongly asked.
  simclick verify NAME.zip                          recompute and replay, without the method
  simclick verify NAME.zip --rerun agent=grabcut    and run the method again on a random sample
  simclick verify NAME.zip --accept leaderboard/submissions
  simclick verify --changed origin/main --archives DIR [--rerun agent=grabcut]
                                                    check the accepted folders that differ from a git base
A folder passes with the tier that was established here: `self-reported` without its archive, `replayed`
with it in --archives, `reproduced` with --rerun besides. --allow-unreplayed lets a higher claim pass and
says so; a submission of the base is removed or replaced only with --allow-removal.
--rerun agent=custom runs that Python code here, as you and without a sandbox. Of a stranger's, use
agent=process with its limits, in a container, under an account that holds nothing.
"""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "verify",
        help="check a submission without its method",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("archive", nargs="?", type=Path, metavar="NAME.zip", help="the submission")
    parser.add_argument("--suite", metavar="FILE.yaml", help="a suite that simclick does not ship")
    parser.add_argument("--data", metavar="DIR", help="where the suite's data lie, for data sets on disk")
    parser.add_argument("--no-replay", action="store_true", help="check only what needs no data")
    parser.add_argument("--rerun", nargs="+", default=[], metavar="agent=…", help="a method to run again")
    parser.add_argument("--episodes", type=int, default=32, metavar="N", help="rerun: how many (default: 32)")
    parser.add_argument("--seed", type=int, metavar="N", help="rerun: which (default: drawn afresh)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="worker processes (default: 1)")
    parser.add_argument("--memory", type=float, default=1.0, metavar="GIB", help="of a worker (default: 1)")
    parser.add_argument("--accept", type=Path, metavar="DIR", help="write DIR/SUITE/METHOD/ where it passes")
    parser.add_argument("--replace", action="store_true", help="accept: replace a folder of that name")
    parser.add_argument("--url", metavar="URL", help="accept: where the archive is kept")
    parser.add_argument("--changed", nargs="?", const="HEAD", metavar="BASE", help="check accepted folders")
    parser.add_argument("--submissions", type=Path, default=Path("leaderboard/submissions"), metavar="DIR")
    parser.add_argument(
        "--archives", type=Path, metavar="DIR", help="changed: where archives lie, by SHA-256"
    )
    parser.add_argument(
        "--allow-unreplayed", action="store_true", help="changed: pass a tier that is not proved here"
    )
    parser.add_argument(
        "--allow-removal", action="store_true", help="changed: submissions may be removed or replaced"
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(function=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    sys.path.insert(0, "")  # a user's agent beside the command is found
    _check_numbers(arguments)
    if arguments.changed is not None:
        return _changed(arguments)
    if arguments.archive is None:
        raise ConfigError("say which archive: simclick verify NAME.zip (see simclick verify --help)")
    from simclick.leaderboard.accept import write_entry
    from simclick.leaderboard.limits import RefusedError, check_url
    from simclick.leaderboard.verify import verify
    from simclick.leaderboard.worker import Walls

    try:
        url = check_url(arguments.url or "", "--url") or None
    except RefusedError as error:
        raise ConfigError(str(error)) from None
    with _Bar(arguments.quiet or arguments.json) as bar:
        verdict = verify(
            arguments.archive,
            suite=arguments.suite,
            local={"root": arguments.data} if arguments.data else {},
            replay=not arguments.no_replay,
            agent=_agent(arguments.rerun),
            episodes=arguments.episodes,
            seed=arguments.seed,
            workers=arguments.workers,
            accept=arguments.accept is not None,
            walls=Walls(memory=int(arguments.memory * (1 << 30))),
            progress=bar,
        )
    if not arguments.json:
        for check in verdict.checks:
            print(f"{check.verdict:8} {check.name:11} {check.detail}")
        print(f"{plain(arguments.archive, _PATH)}: {verdict.tier or 'refused'}")
    folder = None
    if verdict.passed and arguments.accept is not None:
        folder = plain(write_entry(verdict, arguments.accept, url=url, replace=arguments.replace), _PATH)
    if arguments.json:
        print(json.dumps({**verdict.as_dict(url), **({} if folder is None else {"folder": folder})}))
    elif folder is not None:
        print(folder)
    return 0 if verdict.passed else 1


def _check_numbers(arguments: argparse.Namespace) -> None:
    for name, least, most in (("episodes", 1, _MANY), ("workers", 1, 1024), ("memory", 0.125, 4096)):
        value = getattr(arguments, name)
        if not least <= value <= most:  # NaN too
            raise ConfigError(f"--{name} {value}: must be from {least} to {most}")


def _agent(words: list[str]) -> Any:
    if not words:
        return None
    from simclick.config import compose_run

    if wrong := [word for word in words if not word.startswith("agent")]:
        raise ConfigError(f"--rerun takes agent=… and agent.key=…, not {wrong[0]!r}")
    return compose_run(words).agent


def _changed(arguments: argparse.Namespace) -> int:
    from simclick.leaderboard.changed import Evidence, check_changed

    if arguments.archive is not None or arguments.accept is not None:
        raise ConfigError("--changed checks folders: give archives with --archives DIR, and no --accept")
    outcomes = check_changed(
        arguments.submissions,
        arguments.changed,
        Evidence.of(arguments.archives, _agent(arguments.rerun), arguments.episodes, arguments.seed),
        allow_unreplayed=arguments.allow_unreplayed,
        allow_removal=arguments.allow_removal,
    )
    if arguments.json:
        rows = [{"folder": str(o.folder), "passed": o.passed, "detail": o.detail} for o in outcomes]
        print(json.dumps(rows))
    else:
        for outcome in outcomes:
            print(
                f"{'pass' if outcome.passed else 'fail':8} {plain(outcome.folder, _PATH)}: {outcome.detail}"
            )
        if not outcomes:
            print(f"no accepted submission differs from {plain(arguments.changed)}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


class _Bar:
    """A progress bar on standard error over the cases replayed."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._quiet:
            return
        if self._bar is None:
            self._bar = tqdm(desc="replaying", unit="case", leave=False, delay=1)
        self._bar.total = total
        self._bar.update(done - self._bar.n)
