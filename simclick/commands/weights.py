"""``simclick weights list|fetch|verify|import``: the checkpoints of the agents."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from simclick import weights
from simclick.errors import ConfigError

__all__ = ["add"]


def add(subparsers: Any) -> None:
    """Add the command to the program."""
    command = subparsers.add_parser("weights", help="checkpoints: list, fetch, verify, import")
    actions = command.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="official checkpoints, their licences, what is in the cache")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(function=_list)
    fetch = actions.add_parser("fetch", help="fetch, or go on fetching, official checkpoints")
    fetch.add_argument("names", nargs="+", metavar="NAME", help="see simclick weights list")
    fetch.add_argument("--offline", action="store_true", help="use no network: say what is missing")
    fetch.set_defaults(function=_fetch)
    verify = actions.add_parser("verify", help="compare what is in the cache with its SHA-256")
    verify.add_argument("names", nargs="*", metavar="NAME", help="which (default: all in the cache)")
    verify.set_defaults(function=_verify)
    bring = actions.add_parser(
        "import", help="bring a file into the cache; takes the tensors out of one that holds Python objects"
    )
    bring.add_argument("name", metavar="NAME", help="which checkpoint the file is")
    bring.add_argument("file", type=Path, metavar="FILE", help="the file")
    bring.add_argument(
        "--replace", action="store_true", help="put it in the place of another file imported under this name"
    )
    bring.add_argument("--yes", action="store_true", help="do not ask: the file's source is trusted")
    bring.set_defaults(function=_import)


def rows() -> list[dict[str, Any]]:
    """Return one row per checkpoint: what it is, whether it is here, and what its licence forbids."""
    table = []
    for name, checkpoint in weights.CHECKPOINTS.items():
        path = weights.located(name)
        table.append(
            {
                "name": name,
                "file": checkpoint.file,
                "size": checkpoint.size,
                "sha256": checkpoint.sha256,
                "licence": checkpoint.licence,
                "commercial": checkpoint.commercial,
                "address": checkpoint.url,
                "how": "import" if checkpoint.page or checkpoint.pickled else "fetch",
                "path": None if path is None else str(path),
            }
        )
    return table


def _list(arguments: argparse.Namespace) -> int:
    table = rows()
    if arguments.json:
        print(json.dumps(table, indent=2))
        return 0
    width = max(len(row["name"]) for row in table)
    print(f"cache: {weights.cache_folder()}")
    for row in table:
        size = weights.size_in_words(weights.CHECKPOINTS[row["name"]])
        proof = "SHA-256 known" if row["sha256"] else f"no official SHA-256: recorded at first {row['how']}"
        here = "here" if row["path"] else f"not here: simclick weights {row['how']} {row['name']}"
        here += " FILE" if not row["path"] and row["how"] == "import" else ""
        licence = row["licence"] + ("" if row["commercial"] else " NON-COMMERCIAL USE ONLY")
        print(f"  {row['name']:<{width}}  {row['file']} · {size} · {licence} · {proof} · {here}")
        print(f"  {'':<{width}}  {row['address']}")
    return 0


def _loud(name: str) -> None:
    """Say a licence that forbids commercial use where nobody can miss it."""
    checkpoint = weights.checkpoint_named(name)
    if not checkpoint.commercial:
        print(
            f"simclick: {name}: NON-COMMERCIAL USE ONLY. The licence of these weights is "
            f"{checkpoint.licence}; using them for anything else breaks it.",
            file=sys.stderr,
        )


def _fetch(arguments: argparse.Namespace) -> int:
    for name in arguments.names:
        weights.checkpoint_named(name)
    for name in arguments.names:
        _loud(name)
        print(weights.fetch(name, offline=True if arguments.offline else None))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from simclick.weights_proof import verify

    names = arguments.names or [name for name in weights.CHECKPOINTS if weights.kept(name)]
    if not names:
        print(f"nothing is in the cache: {weights.cache_folder()}")
    good = True
    for name in names:
        verdicts = verify(name)
        if not verdicts:
            print(f"{name}: not in the cache")
        for verdict in verdicts:
            good = good and verdict.right
            print(f"{name}: {verdict.path.name}: {verdict.words}")
    return 0 if good else 1


def _import(arguments: argparse.Namespace) -> int:
    from simclick.weights_import import WARNING, import_checkpoint

    checkpoint = weights.checkpoint_named(arguments.name)
    if not arguments.file.is_file():  # first: nobody should have to agree to reading what is not there
        folder = arguments.file.is_dir()
        raise ConfigError(f"{arguments.file} is a folder" if folder else f"no such file: {arguments.file}")
    _loud(arguments.name)
    print(WARNING.format(file=arguments.file, url=checkpoint.url), file=sys.stderr)
    if not arguments.yes and not _agreed():
        raise ConfigError("nothing was read; add --yes to go on without being asked")
    made = import_checkpoint(arguments.name, arguments.file, arguments.replace)
    print(made.path)
    if made.replaced:
        print(f"simclick: replaced {made.replaced}", file=sys.stderr)
    held = f"; {', '.join(made.inert)} in it: left out, not executed" if made.inert else ""
    print(f"simclick: {made.tensors} tensors{held}", file=sys.stderr)
    print(f"simclick: confined by: {', '.join(made.confined) or 'nothing on this system'}", file=sys.stderr)
    print(f"simclick: SHA-256 {made.sha256}", file=sys.stderr)
    return 0


def _agreed() -> bool:
    return sys.stdin.isatty() and input("Go on? [y/N] ").strip().lower() in {"y", "yes"}
