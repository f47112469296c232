"""Names of registered things: lazy, explicit, and helpful when one is wrong.

One table per kind names each thing by a ``"module:attribute"`` string, so that listing what there
is imports nothing heavy. Third parties register through entry points; a built-in wins on a clash.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.resources
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from simclick.errors import ConfigError, unknown_name
from simclick.texts import plain

__all__ = ["Entry", "Registry", "agents", "annotators", "datasets", "load_object", "noises", "protocols"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a registration table.

    Attributes:
        target: ``"module:attribute"`` of the class or factory.
        summary: One line for `simclick list`.
        requires: Importable modules that it needs beyond the base install.
        extra: The extra of simclick that installs them.
        accepts: The kinds of prompt that an agent takes; what its `AgentInfo` says counts.
        checkpoint: The checkpoint that an agent needs, by its name in `simclick.weights`.
        plugin: The installed package that brings it, or None for our own.
    """

    target: str
    summary: str
    requires: tuple[str, ...] = ()
    extra: str | None = None
    accepts: tuple[str, ...] = ()
    checkpoint: str | None = None
    plugin: str | None = None

    def missing(self) -> list[str]:
        """Return the modules that it needs and that are not installed."""
        return [name for name in self.requires if importlib.util.find_spec(name) is None]

    def install_hint(self) -> str:
        """Return the way to install what it needs."""
        return (
            f"pip install 'simclick[{self.extra}]'" if self.extra else f"install {', '.join(self.requires)}"
        )

    def obstacle(self) -> str | None:
        """Return in one line why it cannot run here, or None.

        A plug-in is imported to find out whether it is there and can be called; what is ours is not.
        """
        if self.missing():
            return self.install_hint()
        if self.plugin is not None:
            try:
                found = load_object(self.target)
            except ConfigError as error:
                return str(error)
            if not callable(found):
                return f"target {self.target!r} is a {type(found).__name__}, not a class or function"
        return None


class Registry:
    """The things of one kind, by name."""

    def __init__(self, kind: str, table: Callable[[], Mapping[str, Entry]], entry_points: str) -> None:
        self.kind = kind
        self._table = table
        self._entry_points = entry_points

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """All entries: the built-in table, then entry points that do not clash with it."""
        return self._found[0]

    @cached_property
    def notes(self) -> list[str]:
        """What is wrong with plug-ins, one line each: names already taken, metadata that cannot be read."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[dict[str, Entry], list[str]]:
        entries = dict(self._table())
        points, notes = _plugin_points(self._entry_points)
        for name, target, package in points:
            taken = entries.get(name)
            if taken is None:
                entries[name] = Entry(target, f"plug-in {package}"[:99], plugin=package)
            elif (taken.target, taken.plugin) != (target, package):
                owner = "simclick itself" if taken.plugin is None else f"plug-in {taken.plugin}"
                notes.append(f"plug-in {package}: {self.kind} {name!r} is left out: {owner} has that name")
        return entries, notes

    def entry(self, name: str) -> Entry:
        """Return the entry under a name.

        Raises:
            ConfigError: When there is none; the message lists the choices and the nearest one.
        """
        try:
            return self.entries[name]
        except KeyError:
            raise unknown_name(self.kind, name, self.entries) from None

    def load(self, name: str) -> Any:
        """Import and return what a name stands for.

        Raises:
            ConfigError: When the name is unknown or an extra is missing.
        """
        entry = self.entry(name)
        if missing := entry.missing():
            raise ConfigError(
                f"{self.kind} {name!r} needs {', '.join(missing)}, not installed: {entry.install_hint()}"
            )
        try:
            return load_object(entry.target)
        except ConfigError as error:
            if entry.plugin is None:
                raise
            raise ConfigError(f"{self.kind} {name!r} of plug-in {entry.plugin}: {error}") from error


def _plugin_points(group: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return name, target and package of every entry point of a group, and a line for each bad package."""
    found, notes = [], []
    for package in importlib.metadata.distributions():
        try:
            # Reading metadata is slow; the file of entry points is not, and few packages have one for us.
            if f"[{group}]" not in (package.read_text("entry_points.txt") or ""):
                continue
            points = [point for point in package.entry_points if point.group == group]
            # Behind the target there may be names of extras, in brackets.
            found += [(p.name, p.value.partition("[")[0].strip(), package.name) for p in points]
        except Exception as error:
            place = getattr(package, "_path", "an installed package")
            words = plain(f"{type(error).__name__}: {error}")
            notes.append(f"plug-in {place}: its entry points cannot be read: {words}")
    return list(dict.fromkeys(found)), notes


def load_object(target: str) -> Any:
    """Return the attribute that ``"module:attribute"`` names.

    Raises:
        ConfigError: When the module or the attribute does not exist; says which.
    """
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise ConfigError(f"target {target!r} is not of the form 'module:attribute'")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        where = "" if error.name == module_name.split(".")[0] else f" (while importing it: {error})"
        raise ConfigError(
            f"target {target!r}: no module named {error.name!r}{' ' + plain(where) if where else ''}; "
            "is its folder on PYTHONPATH, or its package installed?"
        ) from None
    except (Exception, SystemExit) as error:
        reason = plain(f"{type(error).__name__}: {error}")
        raise ConfigError(f"target {target!r}: importing {module_name!r} raised {reason}") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        names = [n for n in vars(module) if not n.startswith("_")]
        raise unknown_name(f"attribute of module {module_name}", attribute, names) from None


def _table(module: str, attribute: str) -> Callable[[], Mapping[str, Entry]]:
    def read() -> Mapping[str, Entry]:
        table: Mapping[str, Entry] = getattr(importlib.import_module(module), attribute)
        return table

    return read


agents = Registry("agent", _table("simclick.baselines", "AGENTS"), "simclick.agents")
annotators = Registry("annotator", _table("simclick.annotators", "ANNOTATORS"), "simclick.annotators")
noises = Registry("noise", _table("simclick.annotators", "NOISES"), "simclick.noises")
datasets = Registry("dataset", _table("simclick.datasets", "DATASETS"), "simclick.datasets")


def _shipped_protocols() -> Mapping[str, Entry]:
    folder = importlib.resources.files("simclick.conf") / "protocol"
    names = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))
    return {name: Entry("simclick.protocol:load_protocol", "shipped") for name in names}


protocols = Registry("protocol", _shipped_protocols, "simclick.protocols")
"""Shipped protocols by name alone (`simclick.protocol.load_protocol` reads them), and those of plug-ins."""
