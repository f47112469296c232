"""`simclick suite`: list, show and freeze suites."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError

__all__ = ["add"]

_HELP = """\
A suite is a data set's contents (the SHA-256 of every case) and protocols: what a leaderboard ranks on.
  simclick suite list
  simclick suite show phantoms-v1
  simclick suite freeze dataset=cosmos dataset.root=DIR --name my-cosmos-v1 \\
      --protocols noc-v1,cosmos-s5-v1 --out my-cosmos-v1.yaml
Each protocol feeds a board by its role: clicks, box, click_noise or box_noise. Roles follow from the
prompts and the noise of the protocols, the first of a kind taking it; --roles clicks=A,box=B says otherwise.
A frozen suite does not say where the data lie: whoever verifies gives --data DIR.
"""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "suite",
        help="list, show or freeze suites of a leaderboard",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("list", "show", "freeze"), help="what to do")
    parser.add_argument(
        "words", nargs="*", default=[], metavar="WORD", help="a suite's name, or dataset=… dataset.key=…"
    )
    parser.add_argument("--name", metavar="NAME", help="freeze: its name, which ends in -v1, -v2, …")
    parser.add_argument("--protocols", metavar="A,B", help="freeze: ids of protocols")
    parser.add_argument(
        "--roles",
        metavar="ROLE=A,…",
        help="freeze: which protocol feeds which board (default: by their prompts and noise)",
    )
    parser.add_argument("--title", default="", help="freeze: one line")
    parser.add_argument("--description", default="", help="freeze: what it is for")
    parser.add_argument("--out", type=Path, metavar="FILE.yaml", help="freeze: the file to write")
    parser.set_defaults(function=_suite)


def _suite(arguments: argparse.Namespace) -> int:
    return {"list": _list, "show": _show, "freeze": _freeze}[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> int:
    from simclick.leaderboard.suites import load_suite, suite_names

    for name in suite_names():
        suite = load_suite(name)
        print(f"{name:16} {len(suite.cases):5} cases  {suite.groups:4} groups  {suite.title}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from simclick.leaderboard.suites import load_suite

    if len(arguments.words) != 1:
        raise ConfigError("say one suite: simclick suite show phantoms-v1")
    suite = load_suite(arguments.words[0])
    print(f"{suite.name}: {suite.title}\n{suite.description}")
    print(
        f"data set   {suite.dataset} {dict(suite.options)}, {len(suite.cases)} cases, {suite.groups} groups"
    )
    print(f"digest     {suite.digest}")
    print(f"seed       {suite.seed}")
    roles = {protocol: role for role, protocol in suite.roles.items()}
    for name, digest in suite.protocols:
        print(f"protocol   {name} ({digest[:12]}) {roles.get(name, '')}".rstrip())
    return 0


def _freeze(arguments: argparse.Namespace) -> int:
    from simclick.config import compose_run
    from simclick.leaderboard.suites import freeze, suite_text

    for key in ("name", "protocols", "out"):
        if not getattr(arguments, key):
            raise ConfigError(f"suite freeze needs --{key} (see simclick suite --help)")
    if arguments.out.exists():
        raise ConfigError(
            f"{arguments.out} is there already: a suite is never edited, a new version supersedes it"
        )
    if wrong := [word for word in arguments.words if not word.startswith("dataset")]:
        raise ConfigError(f"suite freeze takes dataset=… and dataset.key=…, not {wrong[0]!r}")
    spec = compose_run(arguments.words)
    roles = None
    if arguments.roles is not None:
        roles = dict(word.partition("=")[::2] for word in arguments.roles.split(",") if word)
    suite = freeze(
        arguments.name,
        spec.dataset,
        arguments.protocols.split(","),
        roles,
        title=arguments.title,
        description=arguments.description,
        seed=spec.seed,
        limit=spec.limit,
    )
    try:
        arguments.out.write_text(suite_text(suite), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {arguments.out}: {error.strerror or error}") from None
    print(f"{arguments.out}: {len(suite.cases)} cases, digest {suite.digest}")
    for role, protocol in suite.roles.items():
        print(f"role {role:12} {protocol}")
    for protocol in suite.idle:
        print(f"simclick: {protocol} has no role: it feeds no board (see --roles)", file=sys.stderr)
    return 0
