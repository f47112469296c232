"""`simclick check TARGET`: does a class keep its contract, and if not, what is wrong, in words."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from simclick.errors import ConfigError, SimclickError
from simclick.texts import plain

__all__ = ["add"]

_KINDS = ("agent", "annotator", "noise", "dataset", "protocol")
_HELP = """\
TARGET is a class of yours, module:Class, or a registered name (a plug-in's too):
  simclick check my_module:MyAgent tolerance=15
  simclick check process command='python my_method.py'
  simclick check dataset:folder root=DIR
Exit codes: 0 it keeps its contract, 1 it does not, 2 it could not be made.
"""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "check",
        help="check your own agent, annotator, noise, data set or protocol",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="TARGET", help="module:Class, or a registered name")
    parser.add_argument("words", nargs="*", default=[], metavar="key=value", help="keyword arguments for it")
    parser.set_defaults(function=_check)


def _check(arguments: argparse.Namespace) -> int:
    sys.path.insert(0, "")  # a user's module beside the command is found
    made = _made(arguments.target, _options(arguments.words))
    kind, check = _kind_and_check(made, arguments.target)
    name = getattr(getattr(made, "info", None), "name", None) or getattr(made, "name", None)
    what = f"{kind} {plain(name, 100)}" if isinstance(name, str) and name else kind
    try:
        done = check(made)
    except AssertionError as error:
        print(f"{what}: breaks its contract: {plain(error, 1000)}")
        return 1
    except (Exception, SystemExit) as error:
        print(f"{what}: {_where(error)} raised {type(error).__name__}: {plain(error, 1000)}")
        return 1
    except KeyboardInterrupt as error:  # Ctrl-C, or the class raised it: the two cannot be told apart
        print(f"{what}: {_where(error)} was interrupted: the check did not end")
        return 130
    finally:
        if kind == "agent":
            made.close()
    print(f"{what}: keeps its contract{done}")
    return 0


def _made(target: str, options: Mapping[str, Any]) -> Any:
    """Return what a target stands for: an instance, or a protocol, which may be given as a mapping."""
    found = _found(target)
    if isinstance(found, Mapping):
        from simclick.protocol import as_protocol

        return as_protocol(str(found.get("id")), found, f"of {target}")
    if not callable(found):
        return found
    try:
        return found(**options)
    except SimclickError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{target}: making it raised {type(error).__name__}: {plain(error)}") from error
    except KeyboardInterrupt:
        raise ConfigError(f"{target}: making it was interrupted") from None


def _found(target: str) -> Any:
    from simclick import registry

    things = dict(
        zip(
            _KINDS,
            (registry.agents, registry.annotators, registry.noises, registry.datasets, registry.protocols),
            strict=True,
        )
    )
    kind, colon, name = target.partition(":")
    if colon and kind not in things:
        return registry.load_object(target)
    if not colon:
        kinds = [kind for kind, registered in things.items() if target in registered.entries]
        if not kinds:
            near = get_close_matches(target, [n for r in things.values() for n in r.entries], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"{target!r} is neither module:Class nor a registered name{hint} (simclick list)"
            )
        if len(kinds) > 1:
            raise ConfigError(f"{target} is the name of several things; say {kinds[0]}:{target} for one")
        kind, name = kinds[0], target
    if kind == "protocol":
        from simclick.protocol import load_protocol

        return load_protocol(name)
    return things[kind].load(name)


def _kind_and_check(made: Any, target: str) -> tuple[str, Callable[[Any], str]]:
    """Return what something is, and the check for it, which returns words about what was checked."""
    from simclick.agent import Agent
    from simclick.agent_info import refuse_shipped_name
    from simclick.datasets.base import Dataset
    from simclick.prompts import KINDS
    from simclick.protocol import Protocol
    from simclick.testing import TOLERANCE, check_agent, check_annotator, check_noise
    from simclick.testing_dataset import check_dataset

    def quiet(check: Callable[[Any], None]) -> Callable[[Any], str]:
        def checked(thing: Any) -> str:
            check(thing)
            return ""

        return checked

    def agent(thing: Agent) -> str:
        if getattr(thing, "info", None) is None:
            raise AssertionError("it must set self.info to an AgentInfo")
        if not type(thing).__module__.startswith("simclick.baselines."):
            try:
                refuse_shipped_name(str(thing.info.name))
            except ValueError as error:
                raise AssertionError(str(error)) from None
        check_agent(thing)
        asked = ", ".join(kind for kind in KINDS if kind in thing.info.accepts)
        return f" (asked: {asked}; alone and in a batch equal within {TOLERANCE:.1%} of pixels)"

    if isinstance(made, Agent):
        return "agent", agent
    if isinstance(made, Dataset):
        return "dataset", lambda dataset: f" ({check_dataset(dataset)} of {len(dataset)} cases loaded)"
    if isinstance(made, Protocol):
        made.make_annotator()  # a name that nobody knows is no breach of a contract
        made.make_noise()
        return "protocol", lambda protocol: f" (id {protocol.id}, digest {protocol.digest[:8]})"
    for method, kind, check in (("propose", "annotator", check_annotator), ("perturb", "noise", check_noise)):
        if hasattr(made, method):
            return kind, quiet(check)
    raise ConfigError(
        f"{target} gives a {type(made).__name__}: neither an Agent, a Dataset nor a Protocol, and it has no "
        "propose (annotator) and no perturb (noise)"
    )


def _options(words: Sequence[str]) -> dict[str, Any]:
    import yaml

    options = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"{word!r} is not of the form key=value")
        try:
            options[key] = yaml.safe_load(value) if value else ""
        except yaml.YAMLError:
            options[key] = value
    return options


def _where(error: BaseException) -> str:
    """Return the place in the user's code that an error came from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name},"
