"""What names a SAM's encoder, so that its embeddings can be kept on disk (`Agent.encoder_digest`)."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

__all__ = ["encoder_identity", "source_sha256", "versions"]

_LIBRARIES = (
    "numpy",
    "opencv-python-headless",
    "pillow",
    "scikit-image",
    "scipy",
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
    encoder's frame, its source code too; torch's settings of precision; versions of libraries. Prompt encoder
    and mask decoder play no part, so models that share an encoder share embeddings. Left out is what no
    program can see of itself: the processor's model, code that was exchanged while it ran.

    Args:
        model: A `segment_anything.modeling.Sam`, or one like it.
        frame: What scales images, with its settings as attributes.
        how: Precision, device and form of the encoder, JSON-able, and what else matters.
    """
    digest = hashlib.sha256()
    content = {
        "how": dict(how),
        "model": _name(model),
        "frame": [_name(frame), _plain(vars(frame)), source_sha256(type(frame))],
        "modules": [[n, _name(m), _plain(vars(m))] for n, m in model.image_encoder.named_modules()],
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "precision": [
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.allow_tf32,
            torch.backends.mkldnn.enabled,
        ],
    }
    digest.update(json.dumps(content, sort_keys=True).encode())
    for name, tensor in sorted(model.image_encoder.state_dict().items()):
        _add(digest, name, tensor)
    for name in ("pixel_mean", "pixel_std"):
        _add(digest, name, getattr(model, name))
    return digest.hexdigest()


def versions(model: torch.nn.Module) -> tuple[tuple[int, int], ...] | None:
    """Return what changes with every write to a model's tensors; None where torch does not count writes."""
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.is_inference() for tensor in tensors):
        return None
    return tuple((tensor.data_ptr(), tensor._version) for tensor in tensors)


def source_sha256(thing: Any) -> str | None:
    """Return the SHA-256 of a class's or function's source code, or None where it has none."""
    try:
        return hashlib.sha256(inspect.getsource(thing).encode()).hexdigest()
    except (OSError, TypeError):
        return None


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
