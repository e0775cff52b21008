"""The optimiser of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from prima_features.pretraining.settings import Optimiser


def build_optimiser(parameters: Sequence[nn.Parameter], settings: Optimiser) -> torch.optim.Optimizer:
    """Adam, AdamW or RMSprop over the parameters."""
    common: dict[str, Any] = {"lr": settings.lr, "eps": settings.eps, "weight_decay": settings.weight_decay}
    match settings.name:
        case "adam":
            return torch.optim.Adam(parameters, betas=settings.betas, **common)
        case "adamw":
            return torch.optim.AdamW(parameters, betas=settings.betas, **common)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, **common)
