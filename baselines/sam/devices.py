"""Where networks run."""

from __future__ import annotations

import torch

from simclick.errors import ConfigError

__all__ = ["resolve_device"]


def resolve_device(device: str) -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ConfigError: On another name, or where there is no such device.
    """
    available = torch.cuda.is_available()
    if device == "auto":
        return "cuda" if available else "cpu"
    if device not in {"cpu", "cuda"}:
        raise ConfigError(f"agent.device={device}: must be auto, cpu or cuda")
    if device == "cuda" and not available:
        raise ConfigError("agent.device=cuda: torch finds no CUDA device here; use cpu or auto")
    return device
