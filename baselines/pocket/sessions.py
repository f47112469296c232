"""ONNX sessions whose weights come from a safetensors file.

The graphs in the wheel hold no weights: their initialisers are declared external and handed over here, so
that the wheel holds every number once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simclick.baselines.pocket.files import Weights, read_weights
from simclick.errors import ConfigError

__all__ = ["session"]

_PREFIX = "w::"
"""Initialisers of this prefix are weights by name; all others are in the graph."""


def session(graph: bytes, weights: Weights) -> Any:
    """Return an onnxruntime session, one thread, on the CPU.

    Args:
        graph: The graph.
        weights: The weights; those that the graph does not name are not used.

    Raises:
        ConfigError: When a weight is missing or does not fit.
    """
    import onnxruntime

    if weights.own:
        # What is not handed over would be looked for in a file of the working directory.
        expected = {name: tensor.shape for name, tensor in read_weights(weights.of).tensors.items()}
        given = {name: tensor.shape for name, tensor in weights.tensors.items()}
        odd = sorted(n for n in expected.keys() | given.keys() if expected.get(n) != given.get(n))
        if odd:
            raise ConfigError(
                f"the weights do not fit the graph: {odd[0]} is missing, too many or of another size"
            )

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    names = [name for name in weights.tensors if (_PREFIX + name).encode() in graph]
    arrays = [np.ascontiguousarray(weights.tensors[name]) for name in names]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays]
    options.add_external_initializers([_PREFIX + name for name in names], values)
    try:
        made = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes are not public
        raise ConfigError(f"the weights do not fit the graph: {' '.join(str(error).split())[:200]}") from None
    return made
