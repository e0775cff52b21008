"""3 x 3 x 3 convolutions over four slices with fewer products (Winograd; Lavin and Gray 2015, arXiv 1509.09308).

Along the slice axis, four outputs of a convolution with three taps come from six products in place of ten (twelve, two
of them with padding): F(4, 3), whose six products are each a 2-D convolution here. Sums are rounded in another order;
a convolution of 256 channels differs by some 6e-6 of its largest output in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoder.tokenizer import Convolution, ResidualUnit

SLICES = 4
_LEAST_CHANNELS = 64
"""With fewer, the copies cost more than the products."""
# Lavin and Gray's matrices. The input's first and last column would be padding and are left out.
_INPUT = [[0, -5, 0, 1], [-4, -4, 1, 1], [4, -4, -1, 1], [-2, -1, 2, 1], [2, -1, -2, 1], [4, 0, -5, 0]]
_WEIGHT = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


def pays(unit: nn.Module) -> bool:
    """Whether a module is a residual unit wide enough to be quicker this way (on a CPU, in float32)."""
    return isinstance(unit, ResidualUnit) and min(_conv(unit.conv1).weight.shape[:2]) >= _LEAST_CHANNELS


def _conv(convolution: Convolution) -> nn.Conv3d:
    assert isinstance(convolution.conv, nn.Conv3d)
    return convolution.conv


class WinogradUnit(nn.Module):
    """A residual unit whose slices lie along one axis; gives what the unit gives, to rounding.

    Args:
        slice_axis: which of the three last axes of the input is `SLICES` long.
    """

    def __init__(self, unit: ResidualUnit, slice_axis: int) -> None:
        super().__init__()
        self.axis = 2 + slice_axis
        self.conv1 = _Convolution(_conv(unit.conv1), self.axis)
        self.conv2 = _Convolution(_conv(unit.conv2), self.axis)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape, channels last in memory."""
        slices = x.movedim((self.axis, 1), (0, 4)).contiguous()  # (4, N, h, w, C)
        y = self.conv2(self.conv1(slices).relu_()).add_(slices).relu_()
        return y.movedim((0, 4), (self.axis, 1)).contiguous(memory_format=torch.channels_last_3d)


class _Convolution(nn.Module):
    def __init__(self, conv: nn.Conv3d, axis: int) -> None:
        super().__init__()
        weight = conv.weight.detach().movedim(axis, 2)  # (O, I, 3, 3, 3), the taps along the slices first
        weights = torch.einsum("pz,oizyx->poiyx", weight.new_tensor(_WEIGHT), weight)
        self.weights = [one.contiguous(memory_format=torch.channels_last) for one in weights]
        self.input, self.output = weight.new_tensor(_INPUT), weight.new_tensor(_OUTPUT)
        assert conv.bias is not None
        self.bias = conv.bias.detach()

    def forward(self, slices: Tensor) -> Tensor:
        """(4, N, h, w, I) to (4, N, h, w, O)."""
        mixed = (self.input @ slices.flatten(1)).unflatten(1, slices.shape[1:])  # (6, N, h, w, I)
        products = slices.new_empty(*mixed.shape[:-1], len(self.bias))
        for product, one, weight in zip(products, mixed, self.weights, strict=True):
            product.copy_(F.conv2d(one.movedim(-1, 1), weight, padding=1).movedim(1, -1))
        return (self.output @ products.flatten(1)).unflatten(1, products.shape[1:]).add_(self.bias)
