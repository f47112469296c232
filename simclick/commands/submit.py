"""`simclick submit`: pack runs and a method card into an archive."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError

__all__ = ["add"]


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser("submit", help="pack runs into a submission that others can verify")
    parser.add_argument(
        "runs", nargs="*", default=[], type=Path, metavar="RUN", help="run directories, one per protocol"
    )
    parser.add_argument("--method", type=Path, metavar="method.yaml", help="the method card")
    parser.add_argument("--out", type=Path, metavar="NAME.zip", help="the archive to write")
    parser.add_argument(
        "--suite", default="phantoms-v1", metavar="SUITE", help="name, or FILE.yaml of your own"
    )
    parser.add_argument("--template", action="store_true", help="print a method card to fill in")
    parser.add_argument("--card-of", metavar="AGENT", help="print the card of a registered agent")
    parser.set_defaults(function=_submit)


def _submit(arguments: argparse.Namespace) -> int:
    from simclick.leaderboard.limits import RefusedError
    from simclick.leaderboard.method import TEMPLATE, read_card
    from simclick.leaderboard.pack import pack
    from simclick.leaderboard.suites import load_suite

    if arguments.template:
        print(TEMPLATE, end="")
        return 0
    if arguments.card_of:
        print(_card_of(arguments.card_of), end="")
        return 0
    for key, what in (("runs", "RUN"), ("method", "--method method.yaml"), ("out", "--out NAME.zip")):
        if not getattr(arguments, key):
            raise ConfigError(f"submit needs {what} (see simclick submit --help)")
    try:
        card = read_card(arguments.method.read_bytes(), str(arguments.method))
    except OSError as error:
        raise ConfigError(f"{arguments.method}: {error.strerror or error}") from None
    except RefusedError as error:
        raise ConfigError(str(error)) from None
    submission = pack(arguments.runs, card, load_suite(arguments.suite), arguments.out)
    episodes = sum(run["episodes"] for run in submission["runs"])
    print(f"{arguments.out}: {card.name}, {len(submission['runs'])} runs, {episodes} episodes")
    return 0


def _card_of(name: str) -> str:
    """Return the card of a registered agent as YAML."""
    from datetime import datetime, timezone

    import yaml

    from simclick.harness.provenance import hardware
    from simclick.harness.specs import AgentSpec
    from simclick.leaderboard.method import card_of_agent
    from simclick.leaderboard.suites import suite_names

    agent = AgentSpec(name).make()
    info = agent.info
    agent.close()
    sanity = {"disc", "empty", "copy-previous", "oracle"}
    learned = info.parameters is None or info.parameters > 0
    machine = hardware()
    card = card_of_agent(
        info,
        family="sanity" if name in sanity else "promptable" if learned else "classical",
        overlap={} if learned else dict.fromkeys(suite_names(), "none"),
        hardware=f"{machine['processor']}, {machine['cores']} cores",
        date=datetime.now(timezone.utc).date().isoformat(),
    )
    text: str = yaml.safe_dump(card.as_dict(), sort_keys=False, allow_unicode=True, width=100)
    return text
