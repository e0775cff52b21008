"""The network of encoders whose preparer computes the vector: it changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class BaselineConfig:
    """Length of the vectors."""

    width: int


class Unchanged(nn.Module):
    """Vectors (P, width) to themselves. Its one tensor gives the model directory a checksum."""

    version: Tensor

    def __init__(self, config: BaselineConfig) -> None:
        super().__init__()
        self.register_buffer("version", torch.zeros(config.width))

    def forward(self, vectors: Tensor) -> Tensor:
        """(P, width)."""
        return vectors
