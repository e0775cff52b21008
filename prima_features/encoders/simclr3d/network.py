"""The 3-D ResNet-18 of 3D-Neuro-SimCLR (Kaczmarek et al. 2025, arXiv 2509.10620)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPSILON = 1e-5


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes of the network."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of each stage. All stages but the first halve the resolution."""
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    """Residual blocks of each stage."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that contradict each other."""
        if len(self.widths) != 4 or len(self.blocks) != 4 or min(*self.widths, *self.blocks) < 1:
            raise ValueError(
                f"widths {self.widths} and blocks {self.blocks} must be four positive numbers each"
            )


class FixedBatchNorm(nn.Module):
    """Batch norm in evaluation mode: an affine map of each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.running_mean, self.running_var = (
            nn.Parameter(torch.zeros(width)),
            nn.Parameter(torch.ones(width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, z, y, x) to the same shape."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=_EPSILON
        )


class Block(nn.Module):
    """Basic residual block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = FixedBatchNorm(outputs)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = FixedBatchNorm(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            # The convolution has a bias although a norm follows.
            self.downsample = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride), FixedBatchNorm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, z, y, x) to (B, D, z / stride, ...)."""
        shortcut = self.downsample(x)
        x = F.relu_(self.bn1(self.conv1(x)))
        return F.relu_(self.bn2(self.conv2(x)).add_(shortcut))


class ResNet(nn.Module):
    """Volumes to the mean over space of the last stage. The first convolution has stride 1, as in MONAI."""

    def __init__(self, config: ResNetConfig = ResNetConfig()) -> None:
        super().__init__()
        first = config.widths[0]
        self.conv1 = nn.Conv3d(1, first, 7, 1, 3, bias=False)
        self.bn1 = FixedBatchNorm(first)
        inputs = (first, *config.widths[:-1])
        for number, (into, width, n) in enumerate(zip(inputs, config.widths, config.blocks, strict=True), 1):
            blocks = [
                Block(into, width, 1 if number == 1 else 2),
                *(Block(width, width, 1) for _ in range(n - 1)),
            ]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))

    def forward(self, volumes: Tensor) -> Tensor:
        """(B, 1, z, y, x) to (B, width)."""
        x = F.max_pool3d(F.relu_(self.bn1(self.conv1(volumes))), 3, 2, 1)
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        return x.mean(dim=(2, 3, 4), dtype=torch.float32)
