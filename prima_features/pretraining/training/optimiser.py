"""Optimisers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from prima_features.errors import UsageError
from prima_features.pretraining.settings import Optimiser, Schedule


def check_optimiser(settings: Optimiser) -> None:
    """Raise UsageError where this torch does not have the optimiser."""
    if settings.name == "muon" and not hasattr(torch.optim, "Muon"):
        raise UsageError("optimiser.name = 'muon' needs torch 2.9 or later: pip install 'torch>=2.9'")


def build_optimiser(
    parameters: Sequence[nn.Parameter], settings: Optimiser, modules: Iterable[nn.Module] = ()
) -> torch.optim.Optimizer:
    """Adam, AdamW, RMSprop or Muon over the parameters.

    Args:
        modules: where Muon finds which of the parameters are matrices of layers.

    Raises:
        UsageError: this torch has no Muon.
    """
    common: dict[str, Any] = {"lr": settings.lr, "eps": settings.eps, "weight_decay": settings.weight_decay}
    match settings.name:
        case "adam":
            return torch.optim.Adam(parameters, betas=settings.betas, **common)
        case "adamw":
            return torch.optim.AdamW(parameters, betas=settings.betas, **common)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, **common)
        case "muon":
            return _muon(parameters, settings, _matrices(modules))


def _muon(
    parameters: Sequence[nn.Parameter], settings: Optimiser, matrices: set[nn.Parameter]
) -> torch.optim.Optimizer:
    """Muon (Jordan et al. 2024) over matrices of layers, AdamW over the rest: with the scaling of Liu et al. (2025,
    arXiv 2502.16982, section 2.2) one learning rate and one weight decay suit both."""
    check_optimiser(settings)
    common: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    inner = [parameter for parameter in parameters if parameter in matrices]
    rest = [parameter for parameter in parameters if parameter not in matrices]
    if not inner or not rest:
        raise UsageError(
            "optimiser.name = 'muon' needs both matrices and other weights to train; use 'adamw'"
        )
    return _Both(
        torch.optim.Muon(inner, adjust_lr_fn="match_rms_adamw", **common),
        torch.optim.AdamW(rest, betas=settings.betas, eps=settings.eps, **common),
    )


def _matrices(modules: Iterable[nn.Module]) -> set[nn.Parameter]:
    """Weights that multiply vectors: not those of embeddings, which are tables of vectors."""
    weights = (
        getattr(part, "weight", None)
        for module in modules
        for part in module.modules()
        if not isinstance(part, nn.Embedding)
    )
    return {weight for weight in weights if isinstance(weight, nn.Parameter) and weight.ndim == 2}


class _Both(torch.optim.Optimizer):
    """Two optimisers as one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self._parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        # Loading replaces the groups, through which the loop sets the learning rate.
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def rate_factor(step: int, steps: int, schedule: Schedule) -> float:
    """What the learning rate is multiplied by in a step.

    Args:
        step: from 0.
        steps: of the whole run.

    Returns:
        (step + 1) / warmup during the warm-up, then 1, or half a cosine from 1 towards `floor` after the last step.
    """
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    if schedule.decay == "none":
        return 1.0
    share = (step - schedule.warmup) / max(1, steps - schedule.warmup)
    return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * share)) / 2
