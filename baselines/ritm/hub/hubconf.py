"""RITM through ``torch.hub``: ``torch.hub.load(FOLDER, "ritm", source="local", checkpoint=..., device=...)``.

Imports nothing but torch and ritm_annotation (the maintained fork of RITM's code on PyPI), because what
``torch.hub`` clones is not installed. A checkpoint is opened as plain data alone; its configuration may name
RITM's own model classes and torch's normalisation layers, and nothing else, so that loading one executes
nothing that the file chooses.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from pathlib import Path
from typing import Any

import torch

dependencies = ["torch", "ritm_annotation"]

_MODELS = {
    f"{package}.model.{module}.{name}": (module, name)
    for package in ("isegm", "ritm_annotation")
    for module, name in (("is_hrnet_model", "HRNetModel"), ("is_deeplab_model", "DeeplabModel"))
}
_LAYERS = {
    "torch.nn.modules.batchnorm.BatchNorm2d": torch.nn.BatchNorm2d,
    "torch.nn.modules.batchnorm.SyncBatchNorm": torch.nn.SyncBatchNorm,
}
_PLAIN = (bool, int, float, str, list, tuple, type(None))


def ritm(
    checkpoint: str | Path, device: str = "cpu", sha256: str | None = None, strict: bool = True
) -> torch.nn.Module:
    """Return a RITM network, ready to predict.

    Args:
        checkpoint: A file in RITM's format (``{"state_dict", "config"}``); or an address (``https:`` or
            ``file:``), which is fetched into ``torch.hub``'s folder of checkpoints.
        device: Where to put it.
        sha256: All 64 digits of the file's SHA-256; needed with an address, checked where given.
        strict: Refuse a file with missing or unexpected keys (RITM's own loader ignores them).

    Returns:
        The network, in evaluation mode, without gradients.

    Raises:
        ValueError: When the file is not what it should be; one line.
    """
    path = _fetched(str(checkpoint), sha256)
    if sha256 is not None and _sha256(path) != sha256.lower():
        raise ValueError(f"{path}: SHA-256 is {_sha256(path)}, not {sha256}")
    content = _content(path)
    model = _model(content["config"], path)
    _fit(model, content["state_dict"], path, strict)
    ready: torch.nn.Module = model.to(device).eval().requires_grad_(False)
    return ready


def _fetched(checkpoint: str, sha256: str | None) -> Path:
    """Return the file of a checkpoint; an address is fetched once, by its full SHA-256."""
    if not re.match(r"(https?|file):", checkpoint):
        path = Path(checkpoint).expanduser()
        if not path.is_file():
            raise ValueError(f"no such checkpoint: {path}")
        return path
    if sha256 is None or not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"{checkpoint}: an address needs sha256=, all 64 digits")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / checkpoint.rsplit("/", 1)[-1]
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(checkpoint, str(path), hash_prefix=sha256.lower(), progress=True)
        except Exception as error:  # no server, no file, a wrong hash, a transfer that broke off
            raise ValueError(
                f"{checkpoint}: {' '.join(str(error).split()) or type(error).__name__}"
            ) from None
    return path


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _content(path: Path) -> dict[str, Any]:
    """Return what a file holds, as plain data, unwrapped."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything; nothing in it was executed
        lines = str(error).splitlines() or [type(error).__name__]
        raise ValueError(
            f"{path} cannot be read as a checkpoint (damaged, of another kind, or it holds Python objects, "
            f"which are never loaded): {lines[0][:200]}"
        ) from None
    if isinstance(content, list):
        raise ValueError(f"{path} holds {len(content)} networks for successive clicks: one is needed")
    if isinstance(content, dict) and isinstance(content.get("model"), dict) and "config" not in content:
        content = content["model"]
    if not isinstance(content, dict) or not {"state_dict", "config"} <= set(content):
        raise ValueError(f"{path} is no RITM checkpoint: it must hold state_dict and config")
    state = content["state_dict"]
    if not isinstance(state, dict) or not state:
        raise ValueError(f"{path} holds no state dict: it is empty, or a {type(state).__name__}")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            raise ValueError(f"{path} holds no state dict of texts and tensors: see {str(key)[:80]!r}")
        if (
            value.layout != torch.strided
            or value.is_quantized
            or value.is_complex()
            or value.device.type != "cpu"
        ):
            raise ValueError(f"{path}: {key[:80]!r} is no plain tensor (sparse, quantised, complex or empty)")
    if all(key.startswith("module.") for key in state):
        state = {key[len("module.") :]: value for key, value in state.items()}
    return {"state_dict": state, "config": content["config"]}


def _model(config: Any, path: Path) -> torch.nn.Module:
    """Return the network that a configuration describes, after checking every name in it."""
    try:
        name, parameters = config["class"], dict(config["params"])
        complete = all({"type", "value", "specified"} <= set(parameter) for parameter in parameters.values())
    except (TypeError, KeyError, ValueError):
        complete = False
    if not complete or not isinstance(name, str):
        raise ValueError(
            f"{path}: its config must hold class, and type, value and specified of each of params"
        )
    if name not in _MODELS:
        raise ValueError(f"{path}: its config names {str(name)[:80]!r}, which is none of RITM's networks")
    module, attribute = _MODELS[name]
    network = getattr(importlib.import_module(f"ritm_annotation.model.{module}"), attribute)
    from ritm_annotation.utils.serialization import get_default_params

    defaults = {key: parameter.default for key, parameter in get_default_params(network).items()}
    arguments = {}
    for key, parameter in parameters.items():
        value = parameter["value"]
        if not parameter["specified"] and key not in defaults:
            continue
        if parameter["type"] == "class":
            if value not in _LAYERS:
                raise ValueError(f"{path}: its config names {str(value)[:80]!r}, which is no known layer")
            value = _LAYERS[value]
        elif not isinstance(value, _PLAIN):
            raise ValueError(f"{path}: its config gives {key} a {type(value).__name__}")
        if parameter["specified"] or defaults[key] != value:
            arguments[key] = value
    try:
        made: torch.nn.Module = network(**arguments)
    except Exception as error:  # a network can fail in many ways over a wrong number
        raise ValueError(f"{path}: no network can be made of its config: {error}") from None
    return made


def _fit(model: torch.nn.Module, state: dict[str, torch.Tensor], path: Path, strict: bool) -> None:
    """Load a state dict; every key that does not fit is named."""
    expected = model.state_dict()
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f"{key} is {list(state[key].shape)}, not {list(expected[key].shape)}"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    if shapes or (strict and (missing or unexpected)):
        parts = (("misses", missing), ("has unexpected", unexpected), ("has other shapes:", shapes))
        words = "; ".join(f"{words} {_some(keys)}" for words, keys in parts if keys)
        raise ValueError(f"{path} does not fit its own config: it {words}")
    for key in expected:
        if key in state and not bool(torch.isfinite(state[key]).all()):
            raise ValueError(f"{path}: {key} has numbers that are not finite")
        if key in state and state[key].is_floating_point() != expected[key].is_floating_point():
            raise ValueError(f"{path}: {key} is of {state[key].dtype}, not {expected[key].dtype}")
    model.load_state_dict(state, strict=False)


def _some(names: list[str]) -> str:
    """Return names in words, printable and not endless."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    safe = ("".join(c if c.isprintable() else "?" for c in name)[:120] for name in names[:20])
    return f"{', '.join(safe)}{more}"
