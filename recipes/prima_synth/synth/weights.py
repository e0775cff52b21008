"""Initial weights under which studies differ from the first step, and the mean of initial and trained weights.

With random weights, attention averages over tokens and registers are the same for all scans: all studies look alike,
and contrastive training stays for hundreds of steps at equal similarities. Small registers and large outputs
of attention let the scans through; a first batch then gives each output of a projection mean 0 and one
standard deviation (data-dependent initialisation, as in Mishkin and Matas 2016, arXiv 1511.06422).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.networks.transformer import Attention
from prima_features.encoders.ragged import Ragged
from prima_features.pretraining.batches.studies import StudyBatch

_REGISTERS, _ATTENTION = 0.1, 4.0
"""Factors of the random weights."""
_PATIENT_SD = 0.1
"""Of the vectors of patient discrimination, whose inner products are divided by 0.1."""


@torch.no_grad()
def tell_apart(prima: Prima, batch: StudyBatch) -> None:
    """Rescale the random weights of both ViTs and of patient discrimination, in place.

    Args:
        prima: with the projection of contrastive training.
        batch: some tens of studies, on the encoder's device.
    """
    assert prima.contrast is not None
    for vit in (prima.sequence, prima.study):
        vit.registers.mul_(_REGISTERS)
        for attention in (part for part in vit.transformer.modules() if isinstance(part, Attention)):
            for parameter in attention.to_out.parameters():
                parameter.mul_(_ATTENTION)
    names = prima.names["sequence"](batch.names)
    registers, embedding = prima.sequence(batch.tokens, names)
    _standardise(prima.sequence.project, embedding)
    _standardise(prima.contrast.project[-1], prima.contrast(registers), _PATIENT_SD)
    series = Ragged.from_lengths(prima.sequence.project(registers), batch.n_series)
    _, projected = prima.study(series, prima.names["study"](batch.descriptions))
    _standardise(prima.study.project, projected)


def _standardise(linear: nn.Module, outputs: Tensor, sd: float = 1.0) -> None:
    """Make the outputs (B, C) of a linear layer have mean 0 and one standard deviation each."""
    assert isinstance(linear, nn.Linear)
    factor = sd / outputs.std(dim=0).clamp(min=1e-6)
    linear.weight.mul_(factor[:, None])
    linear.bias.sub_(outputs.mean(dim=0)).mul_(factor)


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the floating-point tensors of a module on the CPU, by name."""
    return {
        name: tensor.detach().to("cpu", copy=True)
        for name, tensor in module.state_dict().items()
        if tensor.is_floating_point()
    }


@torch.no_grad()
def blend(module: nn.Module, start: Mapping[str, Tensor], share: float) -> None:
    """Move the weights of a module back towards their initial values.

    Args:
        start: initial values by name; parameters that it lacks are not changed.
        share: 0 leaves them, 1 restores the initial values.
    """
    for name, tensor in module.state_dict().items():
        if name in start:
            tensor.lerp_(start[name].to(tensor), share)
