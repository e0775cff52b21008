"""What only contrastive pretraining adds to the model."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import ContrastConfig


class Contrast(nn.Module):
    """Temperatures of the two contrastive losses, and the projection that patient discrimination compares.

    `temperature` (1,) is the logarithm of what cosine similarities of images and texts are multiplied by;
    `patient_temperature` (1,) is what similarities of series are divided by.
    """

    def __init__(self, in_dim: int, config: ContrastConfig) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Linear(in_dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.out_dim)
        )
        self.temperature = nn.Parameter(torch.tensor([0.07]))
        self.patient_temperature = nn.Parameter(torch.tensor([0.1]))

    def forward(self, registers: Tensor) -> Tensor:
        """Flattened registers of B series (B, in_dim) to (B, out_dim)."""
        return self.project(registers)
