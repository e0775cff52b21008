"""3 x 3 x 3 convolutions over a few slices with fewer products (Winograd; Lavin and Gray 2015, arXiv 1509.09308).

Along the slice axis, four outputs of a convolution with three taps come from six products in place of ten (twelve, two
of them with padding), and two outputs from three in place of four; each product is a 2-D convolution here. Sums are
rounded in another order: a convolution of 256 channels differs by some 6e-6 of its largest output in float32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.prima.networks.tokenizer import Convolution, ResidualUnit

_LEAST_CHANNELS = 64
"""With fewer, the copies cost more than the products."""
_Matrix = tuple[tuple[float, ...], ...]
_FOUR: tuple[_Matrix, _Matrix, _Matrix] = (
    ((0, -5, 0, 1), (-4, -4, 1, 1), (4, -4, -1, 1), (-2, -1, 2, 1), (2, -1, -2, 1), (4, 0, -5, 0)),
    (
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
)
"""Lavin and Gray's F(4, 3), without the first and last column of the input's matrix: those slices are padding."""
_TWO: tuple[_Matrix, _Matrix, _Matrix] = (
    ((1, 1), (0, 1), (1, 0)),
    ((0, 1, 0), (0, -1, 1), (1, -1, 0)),
    ((1, 1, 0), (1, 0, 1)),
)
"""w1 (s0 + s1) is in both outputs, w1 s0 + w2 s1 and w0 s0 + w1 s1."""
_MATRICES = {4: _FOUR, 2: _TWO}
"""By the number of slices: what mixes the slices, the taps and the products."""


def pays(unit: nn.Module, slices: int) -> bool:
    """Whether a module is a residual unit that a CPU computes more quickly this way."""
    wide = isinstance(unit, ResidualUnit) and min(_conv(unit.conv1).weight.shape[:2]) >= _LEAST_CHANNELS
    return wide and slices in _MATRICES


def _conv(convolution: Convolution) -> nn.Conv3d:
    assert isinstance(convolution.conv, nn.Conv3d)
    return convolution.conv


class WinogradUnit(nn.Module):
    """A residual unit whose slices lie along one axis; gives what the unit gives, to rounding.

    Args:
        slice_axis: which of the three last axes of the input the slices lie along.
        slices: how many of them there are, 2 or 4.
    """

    def __init__(self, unit: ResidualUnit, slice_axis: int, slices: int) -> None:
        super().__init__()
        self.axis = 2 + slice_axis
        self.conv1 = _Convolution(_conv(unit.conv1), self.axis, slices)
        self.conv2 = _Convolution(_conv(unit.conv2), self.axis, slices)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape, channels last in memory."""
        slices = x.movedim((self.axis, 1), (0, 4)).contiguous()  # (S, N, h, w, C)
        y = self.conv2(self.conv1(slices).relu_()).add_(slices).relu_()
        return y.movedim((0, 4), (self.axis, 1)).contiguous(memory_format=torch.channels_last_3d)


class _Convolution(nn.Module):
    def __init__(self, conv: nn.Conv3d, axis: int, slices: int) -> None:
        super().__init__()
        of_slices, of_taps, of_products = (
            torch.tensor(rows, dtype=torch.float64) for rows in _MATRICES[slices]
        )
        weight = conv.weight.detach().movedim(axis, 2)  # (O, I, 3, 3, 3), the taps along the slices first
        exact = weight.double()  # a bfloat16 weight is rounded once, as the products' weights
        weights = torch.einsum("pz,oizyx->poiyx", of_taps.to(weight.device), exact).to(weight.dtype)
        self.weights = [one.contiguous(memory_format=torch.channels_last) for one in weights]
        self.input, self.output = of_slices.to(weight), of_products.to(weight)
        assert conv.bias is not None
        self.bias = conv.bias.detach()

    def forward(self, slices: Tensor) -> Tensor:
        """(S, N, h, w, I) to (S, N, h, w, O)."""
        mixed = (self.input @ slices.flatten(1)).unflatten(1, slices.shape[1:])  # (P, N, h, w, I)
        products = slices.new_empty(*mixed.shape[:-1], len(self.bias))
        for product, one, weight in zip(products, mixed, self.weights, strict=True):
            product.copy_(F.conv2d(one.movedim(-1, 1), weight, padding=1).movedim(1, -1))
        return (self.output @ products.flatten(1)).unflatten(1, products.shape[1:]).add_(self.bias)
