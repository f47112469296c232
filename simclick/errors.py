"""Errors that a person can act on.

Every error a user may cause is a `SimclickError`: one line that says what was wrong, where, and
the way out. The command line prints it and exits with code 2; a library user catches one class.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AgentError",
    "ConfigError",
    "DataError",
    "SimclickError",
    "StoreError",
    "of_system",
    "unknown_name",
]


class SimclickError(Exception):
    """Base of every error that a user can act on; its text is one line."""


class ConfigError(SimclickError):
    """A wrong name, key or value in what the user asked for."""


class DataError(SimclickError):
    """An image, mask or data set that cannot be read or does not fit."""


class AgentError(SimclickError):
    """An agent that cannot be built, or that broke its contract."""


class StoreError(SimclickError):
    """A run directory that cannot be written, locked or trusted."""


def unknown_name(kind: str, name: str, choices: Iterable[str]) -> ConfigError:
    """Return the error for a wrong name: it lists the choices and the nearest one.

    Args:
        kind: What was named, for example ``"agent"``.
        name: The name that was given.
        choices: The names that exist.
    """
    names = sorted(choices)
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"unknown {kind} {name!r}{hint} (choices: {', '.join(names) or 'none'})")


def of_system(error: OSError) -> str:
    """Return in one line what the operating system refused, and of which file."""
    reason = error.strerror or str(error) or type(error).__name__
    return " ".join((reason if error.filename is None else f"{error.filename}: {reason}").split())
