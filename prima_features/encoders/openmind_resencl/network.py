"""The encoder of the residual U-Net "ResEnc-L" (encoders of nnU-Net; Isensee et al. 2024, arXiv 2404.09556)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SLOPE = 0.01
_EPSILON = 1e-5


@dataclass(frozen=True)
class ResEncConfig:
    """Sizes of the encoder."""

    widths: tuple[int, ...] = (32, 64, 128, 256, 320, 320)
    """Channels of each stage. All stages but the first halve the resolution."""
    blocks: tuple[int, ...] = (1, 3, 4, 6, 6, 6)
    """Residual blocks of each stage."""
    feature: Literal["last", "stages"] = "last"
    """Series vector: the mean of the last stage, or the means of all stages one after the other."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that contradict each other."""
        if not self.widths or len(self.widths) != len(self.blocks) or min(*self.widths, *self.blocks) < 1:
            raise ValueError(f"widths {self.widths} and blocks {self.blocks} must be positive and as many")
        if self.feature not in ("last", "stages"):
            raise ValueError(f"feature is {self.feature!r}, not last or stages")

    @property
    def width(self) -> int:
        """Length of the series vector."""
        return self.widths[-1] if self.feature == "last" else sum(self.widths)


class ConvNorm(nn.Module):
    """Convolution and instance norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
        self.norm = nn.InstanceNorm3d(outputs, eps=_EPSILON, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, z, y, x) to (B, D, z / stride, ...)."""
        return self.norm(self.conv(x))


class Block(nn.Module):
    """Residual block with average pooling in the shortcut (ResNet-D)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1 = ConvNorm(inputs, outputs, 3, stride)
        self.conv2 = ConvNorm(outputs, outputs, 3)
        self.skip = ConvNorm(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, z, y, x) to (B, D, z / stride, ...)."""
        shortcut = F.avg_pool3d(x, self.stride) if self.stride > 1 else x
        x = F.leaky_relu(self.conv1(x), _SLOPE, inplace=True)
        x = self.conv2(x) + self.skip(shortcut)
        return F.leaky_relu(x, _SLOPE, inplace=True)


class ResEnc(nn.Module):
    """Volumes to means over space."""

    def __init__(self, config: ResEncConfig = ResEncConfig()) -> None:
        super().__init__()
        self.config = config
        inputs = (config.widths[0], *config.widths[:-1])
        self.stem = ConvNorm(1, config.widths[0], 3)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(
                    Block(into if first else width, width, stride=2 if first and stage else 1)
                    for first in (True, *[False] * (n - 1))
                )
            )
            for stage, (into, width, n) in enumerate(zip(inputs, config.widths, config.blocks, strict=True))
        )

    def stage_means(self, volumes: Tensor) -> list[Tensor]:
        """Means over space (B, C) of each stage, from volumes (B, 1, z, y, x)."""
        x = F.leaky_relu(self.stem(volumes), _SLOPE, inplace=True)
        means = []
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean(dim=(2, 3, 4), dtype=torch.float32))
        return means

    def forward(self, volumes: Tensor) -> Tensor:
        """Volumes (B, 1, z, y, x) to (B, width)."""
        means = self.stage_means(volumes)
        return means[-1] if self.config.feature == "last" else torch.cat(means, dim=1)
