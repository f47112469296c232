"""Plug-ins on the command line: agents, data sets and protocols that another package brings.

A plug-in has no file in ``conf/``: its keys are the keyword arguments of its class or function. They are
put into Hydra's store just before a run is composed, for the names that were chosen alone, so that a broken
plug-in troubles nobody who did not ask for it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from omegaconf import MISSING

from simclick import registry
from simclick.errors import ConfigError
from simclick.protocol import load_protocol

__all__ = ["given", "plugin_names", "store_plugins"]

_REGISTRIES = {"agent": registry.agents, "dataset": registry.datasets, "protocol": registry.protocols}


def plugin_names(group: object) -> list[str]:
    """Return the names that plug-ins add to a group of the configuration."""
    things = _REGISTRIES.get(str(group))
    return [] if things is None else [name for name, entry in things.entries.items() if entry.plugin]


def store_plugins(overrides: Iterable[Override]) -> None:
    """Make the plug-ins that are chosen known to Hydra.

    Raises:
        ConfigError: When one of them cannot be imported, or is no protocol; one line.
    """
    for override in overrides:
        group, name = str(override.key_or_group), str(override.value())
        if name in plugin_names(group):
            ConfigStore.instance().store(name=name, group=group, node=_node(group, name))


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options without those that a plug-in demands and nobody gave."""
    return {key: value for key, value in options.items() if value != MISSING}


def _node(group: str, name: str) -> dict[str, Any]:
    if group == "protocol":
        plain: dict[str, Any] = json.loads(json.dumps(asdict(load_protocol(name))))
        return plain
    options = _keywords(_REGISTRIES[group].load(name), f"{group} {name!r} of a plug-in")
    limit = {"limit": None} if group == "dataset" else {}
    return {**limit, **options, "name": name}


def _keywords(factory: Any, what: str) -> dict[str, Any]:
    """Return a factory's keyword arguments with their defaults; one without a default is missing."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what}: it cannot be called ({error})") from None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = {}
    for parameter in parameters:
        if parameter.kind in named and parameter.name != "name":
            value = MISSING if parameter.default is parameter.empty else parameter.default
            if _is_plain(value):
                found[parameter.name] = value
    return found


def _is_plain(value: Any) -> bool:
    """Return whether a default can be written on a command line; others cannot be given there."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
