"""``simclick cite RUN``: the papers of a run's agent, data set and protocol, as BibTeX."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError

__all__ = ["add"]


def add(subparsers: Any) -> None:
    """Add the command to the program."""
    command = subparsers.add_parser("cite", help="the papers behind a run, as BibTeX")
    command.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    command.set_defaults(function=_cite)


def _cite(arguments: argparse.Namespace) -> int:
    from simclick.citations import cite
    from simclick.harness.store import RUN

    file = arguments.run / RUN
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{arguments.run} is no run directory: {file.name} cannot be read: {error}"
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(f"{arguments.run} is no run directory: {file.name} holds no run")
    print(cite(content))
    return 0
