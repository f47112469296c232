"""RITM's official networks, and whether a checkpoint holds the one that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from simclick.errors import ConfigError

__all__ = ["MODELS", "OWN", "check_network", "official_network"]

OWN = "own"
"""In place of an official network's name: whatever the user's file says of itself."""
_COMMON = {
    "with_aux_output": True,
    "use_leaky_relu": True,
    "use_rgb_conv": False,
    "use_disks": True,
    "norm_radius": 5,
}
MODELS: dict[str, dict[str, Any]] = {
    "h18_itermask": {"width": 18, "ocr_width": 64, "with_prev_mask": True, **_COMMON},
    "h18s_itermask": {"width": 18, "ocr_width": 48, "small": True, "with_prev_mask": True, **_COMMON},
    "h32_itermask": {"width": 32, "ocr_width": 128, "with_prev_mask": True, **_COMMON},
    "h18_baseline": {"width": 18, "ocr_width": 64, **_COMMON},
    "sbd_h18_itermask": {"width": 18, "ocr_width": 64, "with_prev_mask": True, **_COMMON},
}
"""Official checkpoints, and the networks that they hold."""
_DEFAULTS = {"width": 48, "ocr_width": 64, "small": False, "with_prev_mask": False}
"""What tells the official networks apart, with the defaults of RITM's class."""


def official_network(model: str) -> torch.nn.Module:
    """Return an official network with random weights.

    Args:
        model: One of `MODELS`.
    """
    from ritm_annotation.model.is_hrnet_model import HRNetModel

    network: torch.nn.Module = HRNetModel(**MODELS[model])
    return network


def check_network(content: Any, model: str, path: Path) -> None:
    """Compare the network that a checkpoint describes with the one that was asked for.

    Class, width, width of the OCR head, size and use of the previous mask count: what tells the official
    networks apart. A configuration that cannot be read is left to the loader, which says what is wrong.

    Args:
        content: What the file holds.
        model: One of `MODELS`, or `OWN`, which fits every file.
        path: The file, for messages.

    Raises:
        ConfigError: When they differ; names the option that fits.
    """
    found = _described(content)
    if model == OWN or found is None:
        return
    wanted = {**_DEFAULTS, **{k: v for k, v in MODELS[model].items() if k in _DEFAULTS}}
    if found == ("HRNetModel", wanted):
        return
    fits = [name for name in MODELS if found == ("HRNetModel", {**_DEFAULTS, **_telling(MODELS[name])})]
    differs = ", ".join(f"{key}={found[1][key]!r}"[:60] for key in wanted if found[1][key] != wanted[key])
    raise ConfigError(
        f"{path} does not hold the network of agent.model={model}, but a {found[0]}"
        f"{f' with {differs}' if differs else ''}: say agent.model={' or '.join([*fits, OWN])}"
    )


def _telling(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in parameters.items() if key in _DEFAULTS}


def _described(content: Any) -> tuple[str, dict[str, Any]] | None:
    """Return class and telling parameters of a checkpoint's configuration; None where it has none."""
    if isinstance(content, dict) and isinstance(content.get("model"), dict) and "config" not in content:
        content = content["model"]
    try:
        config = content["config"]
        name = str(config["class"]).rpartition(".")[2][:60]
        given = {key: config["params"][key]["value"] for key in _DEFAULTS if key in config["params"]}
    except (TypeError, KeyError, IndexError, AttributeError):
        return None
    return name, {**_DEFAULTS, **given}
