"""Names of registered things: lazy, explicit, and helpful when one is wrong.

One table per kind names each thing by a ``"module:attribute"`` string, so that listing what there
is imports nothing heavy. Third parties register through entry points; a built-in wins on a clash.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from simclick.errors import ConfigError, unknown_name

__all__ = ["Entry", "Registry", "agents", "annotators", "datasets", "load_object", "noises"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a registration table.

    Attributes:
        target: ``"module:attribute"`` of the class or factory.
        summary: One line for `simclick list`.
        requires: Importable modules that it needs beyond the base install.
        extra: The extra of simclick that installs them.
    """

    target: str
    summary: str
    requires: tuple[str, ...] = ()
    extra: str | None = None

    def missing(self) -> list[str]:
        """Return the modules that it needs and that are not installed."""
        return [name for name in self.requires if importlib.util.find_spec(name) is None]

    def install_hint(self) -> str:
        """Return the way to install what it needs."""
        return (
            f"pip install 'simclick[{self.extra}]'" if self.extra else f"install {', '.join(self.requires)}"
        )


class Registry:
    """The things of one kind, by name."""

    def __init__(self, kind: str, table: Callable[[], Mapping[str, Entry]], entry_points: str) -> None:
        self.kind = kind
        self._table = table
        self._entry_points = entry_points

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """All entries: the built-in table, then entry points that do not clash with it."""
        entries = dict(self._table())
        for point in importlib.metadata.entry_points(group=self._entry_points):
            origin = f"plug-in {point.dist.name}" if point.dist else "plug-in"
            entries.setdefault(point.name, Entry(point.value, origin))
        return entries

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
        return load_object(entry.target)


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
            f"target {target!r}: no module named {error.name!r}{where}; "
            "is its folder on PYTHONPATH, or its package installed?"
        ) from None
    except Exception as error:
        raise ConfigError(
            f"target {target!r}: importing {module_name!r} raised {type(error).__name__}: {error}"
        ) from error
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
