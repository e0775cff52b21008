"""The mean of trained weights and of those that training started from (Wortsman et al., arXiv 2109.01903)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's floating numbers on the CPU, by their names."""
    return {
        name: tensor.detach().to("cpu", copy=True)
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    }


@torch.no_grad()
def blend(module: nn.Module, start: Mapping[str, Tensor], share: float) -> None:
    """Bring a module's numbers back by a share of the way that they have gone.

    Args:
        start: where they were, by their names; what it lacks stays where it is.
        share: 0 leaves them, 1 brings them back.
    """
    for name, tensor in module.state_dict().items():
        if name in start:
            tensor.lerp_(start[name].to(tensor), share)
