"""Checks of options that several agents share."""

from __future__ import annotations

from simclick.errors import ConfigError

__all__ = ["cpu_only", "number", "whole"]


def cpu_only(name: str, device: str) -> None:
    """Refuse a device that a method without a GPU form cannot use.

    Raises:
        ConfigError: On anything but ``auto`` and ``cpu``.
    """
    if device not in {"auto", "cpu", "cuda"}:
        raise ConfigError(f"agent.device={device}: must be auto, cpu or cuda")
    if device == "cuda":
        raise ConfigError(f"agent.device=cuda: {name} runs on the cpu alone; use auto or cpu")


def number(key: str, value: float, low: float, high: float = float("inf")) -> float:
    """Return a number within [low, high].

    Raises:
        ConfigError: Otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        bound = f"≥ {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
        raise ConfigError(f"agent.{key}={value}: must be a number {bound}")
    return float(value)


def whole(key: str, value: int, low: int) -> int:
    """Return a whole number ≥ low.

    Raises:
        ConfigError: Otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"agent.{key}={value}: must be a whole number ≥ {low}")
    return value
