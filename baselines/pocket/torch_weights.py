"""Putting a pocket agent's weights into its torch network, strictly."""

from __future__ import annotations

import torch
from torch import nn

from simclick.baselines.pocket.files import Weights
from simclick.errors import ConfigError

__all__ = ["load_into"]


def load_into(model: nn.Module, weights: Weights, name: str) -> None:
    """Load weights; every name and shape must fit.

    Raises:
        ConfigError: When they do not.
    """
    state = {key: torch.from_numpy(tensor.copy()) for key, tensor in weights.tensors.items()}
    expected = model.state_dict()
    wrong = sorted(expected.keys() ^ state.keys())
    wrong += [k for k in expected if k in state and expected[k].shape != state[k].shape]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ConfigError(f"{name} does not fit the network: {', '.join(wrong[:3])}{more}")
    model.load_state_dict(state, strict=True)
