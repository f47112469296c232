"""Checks of the options that the readers share; each failure is one line that names the option."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simclick.errors import ConfigError, unknown_name

__all__ = [
    "choice",
    "named_colours",
    "named_values",
    "number_pair",
    "pattern_with_group",
    "plain_name",
    "spacing",
    "whole",
    "wrong",
]


def wrong(option: str, value: object, rule: str) -> ConfigError:
    """Return the error for a bad value of an option."""
    return ConfigError(f"dataset.{option}={value!r}: {rule}")


def choice(option: str, value: object, choices: Iterable[str]) -> str:
    """Return a value that must be one of the choices.

    Raises:
        ConfigError: When it is not; the message lists the choices and the nearest one.
    """
    choices = tuple(choices)
    if not isinstance(value, str) or value not in choices:
        raise unknown_name(f"value of dataset.{option}", str(value), choices)
    return value


def whole(option: str, value: Any, least: int) -> int:
    """Return a whole number that must be at least `least`.

    Raises:
        ConfigError: When it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise wrong(option, value, f"must be a whole number of at least {least}")
    return value


def number_pair(option: str, value: Any) -> tuple[float, float]:
    """Return two finite numbers.

    Raises:
        ConfigError: When it is anything else.
    """
    numbers = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    if len(numbers) != 2 or not all(map(_is_number, numbers)):
        raise wrong(option, value, "must be two numbers, [a, b]")
    return float(numbers[0]), float(numbers[1])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def spacing(value: Any) -> tuple[float, float] | None:
    """Return millimetres per row and column: from None, one number, or two.

    Raises:
        ConfigError: When they are not positive numbers.
    """
    if value is None:
        return None
    pair = number_pair("spacing", (value, value) if _is_number(value) else value)
    if min(pair) <= 0:
        raise wrong("spacing", value, "must be positive: millimetres per row and per column")
    return pair


def pattern_with_group(option: str, value: Any) -> re.Pattern[str] | None:
    """Return a compiled regular expression with at least one capture group, or None for None.

    Raises:
        ConfigError: When it is no regular expression, or has no group.
    """
    if value is None:
        return None
    try:
        pattern = re.compile(value)
    except (re.error, TypeError) as error:
        raise wrong(option, value, f"is no regular expression ({error})") from None
    if pattern.groups < 1:
        raise wrong(option, value, "needs a capture group, for example '^(patient[0-9]+)'")
    return pattern


def plain_name(option: str, value: Any) -> str:
    """Return a name of letters, digits, ``.``, ``_`` and ``-``.

    Raises:
        ConfigError: When it is anything else.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[\w.-]+", value):
        raise wrong(option, value, "must be a name of letters, digits, '.', '_' and '-'")
    return value


def named_values(option: str, value: Any) -> dict[str, tuple[int, ...]] | None:
    """Return {name: label values} from {name: value or [values]}, or None for None.

    Raises:
        ConfigError: When it is anything else, or a value is no whole number of at least 1.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping) or not value:
        raise wrong(option, value, "must be {name: value, …}")
    named: dict[str, tuple[int, ...]] = {}
    for name, values in value.items():
        one = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
        if not one or not all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in one):
            raise wrong(f"{option}.{name}", values, "must be a label value of at least 1, or several")
        named[str(name)] = tuple(int(v) for v in one)
    return named


def named_colours(option: str, value: Any) -> dict[str, tuple[int, ...]] | None:
    """Return {name: packed colour} from {name: [r, g, b]}, or None for None.

    Raises:
        ConfigError: When it is anything else.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping) or not value:
        raise wrong(option, value, "must be {name: [r, g, b], …}")
    named: dict[str, tuple[int, ...]] = {}
    for name, colour in value.items():
        if not (
            isinstance(colour, Sequence)
            and len(colour) == 3
            and all(isinstance(v, int) and 0 <= v <= 255 for v in colour)
        ):
            raise wrong(f"{option}.{name}", colour, "must be [r, g, b], each from 0 to 255")
        named[str(name)] = (colour[0] << 16 | colour[1] << 8 | colour[2],)
    return named
