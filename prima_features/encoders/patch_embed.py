"""Cutting volumes into patches and projecting them, as a strided convolution does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchEmbed(nn.Module):
    """Projects the patches of volumes.

    Parameters are those of `nn.Conv3d(1, width, patch, patch)`. A matrix product replaces the convolution, since
    torch's convolution in bfloat16 on a CPU returns wrong numbers for volumes of one patch along the last axis (seen in
    torch 2.13).
    """

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.empty(width, 1, patch, patch, patch))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, volumes: Tensor) -> Tensor:
        """Volumes (B, 1, a, b, c), sides multiples of the patch, to (B, n, width), a slowest."""
        p = self.patch
        blocks = volumes[:, 0].unflatten(3, (-1, p)).unflatten(2, (-1, p)).unflatten(1, (-1, p))
        patches = blocks.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(1, 3)  # (B, n, p ** 3)
        return F.linear(patches, self.weight.flatten(1), self.bias)
