"""What names a SAM's encoder, so that its embeddings can be kept on disk (`Agent.encoder_digest`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

__all__ = ["encoder_identity"]

_LIBRARIES = (
    "opencv-python-headless",
    "pillow",
    "scikit-image",
    "segment-anything",
    "simclick",
    "torch",
    "torchvision",
)
"""What scales images and computes features: another version may round otherwise."""
_PLAIN = (bool, int, float, str, type(None))


def encoder_identity(model: Any, frame: Any, how: Mapping[str, Any]) -> str:
    """Return a SHA-256 of everything that changes an image's features.

    That is: every value of the encoder's weights and of the pixels' mean and deviation; the classes and plain
    attributes of all its modules (heads and windows are in no weight's shape); what brings images into the
    encoder's frame; versions of libraries. Prompt encoder and mask decoder play no part, so models that
    share an encoder share embeddings.

    Args:
        model: A `segment_anything.modeling.Sam`, or one like it.
        frame: What scales images, with its settings as attributes.
        how: Precision, device and form of the encoder, JSON-able, and what else matters.
    """
    digest = hashlib.sha256()
    content = {
        "how": dict(how),
        "model": _name(model),
        "frame": [_name(frame), _plain(vars(frame))],
        "modules": [[n, _name(m), _plain(vars(m))] for n, m in model.image_encoder.named_modules()],
        "libraries": {name: _version(name) for name in _LIBRARIES},
    }
    digest.update(json.dumps(content, sort_keys=True).encode())
    for name, tensor in sorted(model.image_encoder.state_dict().items()):
        _add(digest, name, tensor)
    for name in ("pixel_mean", "pixel_std"):
        _add(digest, name, getattr(model, name))
    return digest.hexdigest()


def _add(digest: Any, name: str, tensor: Tensor) -> None:
    digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    digest.update(flat.numpy().data)


def _name(thing: object) -> str:
    kind = type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes that are numbers or texts, or tuples of such."""
    return {
        name: value
        for name, value in attributes.items()
        if isinstance(value, _PLAIN)
        or (isinstance(value, (tuple, list)) and all(isinstance(v, _PLAIN) for v in value))
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
