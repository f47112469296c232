"""`simclick leaderboard`: build the static site, and show it."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["add"]

SUBMISSIONS = Path("leaderboard/submissions")
SITE = Path("site")


def add(subparsers: Any) -> None:
    """Add the command."""
    board = subparsers.add_parser("leaderboard", help="the leaderboard as a static site")
    commands = board.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = commands.add_parser("build", help="build the site from accepted submissions")
    build.add_argument(
        "--submissions", type=Path, default=SUBMISSIONS, metavar="DIR",
        help=f"folder of accepted submissions (default: {SUBMISSIONS})",
    )  # fmt: skip
    build.add_argument("--out", type=Path, default=SITE, metavar="DIR", help=f"the site (default: {SITE})")
    build.add_argument(
        "--suite", type=Path, action="append", default=[], metavar="FILE.yaml",
        help="a suite that simclick does not ship; may be given several times",
    )  # fmt: skip
    build.add_argument("--quiet", action="store_true", help="no progress lines")
    build.set_defaults(function=_build)
    serve = commands.add_parser("serve", help="show the site on this machine")
    serve.add_argument("--out", type=Path, default=SITE, metavar="DIR", help=f"the site (default: {SITE})")
    serve.add_argument("--port", type=int, default=8000, help="0 for any that is free (default: 8000)")
    serve.set_defaults(function=_serve)


def _build(arguments: argparse.Namespace) -> int:
    from simclick.leaderboard.site import build_site

    def progress(what: str) -> None:
        if not arguments.quiet:
            print(what, file=sys.stderr, flush=True)

    result = build_site(arguments.submissions, arguments.out, arguments.suite, progress)
    for note in result.notes:
        print(f"simclick: {note}", file=sys.stderr)
    print(result.index)
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    from simclick.leaderboard.serving import make_server

    with make_server(arguments.out, arguments.port) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
        print("Control-C stops it", file=sys.stderr)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0
