"""The tokenizer's encoder on subvolumes whose slices have not been doubled.

The tokenizer reads each slice twice. Where its first convolution has an even stride, each output reads whole pairs of
equal slices or the halves of two, so that the same numbers come from a convolution over single slices whose weights
are sums of those of the doubled one: with stride 2, kernel 4 and padding 1, output o is
w0 s[o-1] + (w1 + w2) s[o] + w3 s[o+1].
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.prima.networks.prima import DOUBLING
from prima_features.encoders.prima.networks.tokenizer import ConvEncoder, Convolution, ResidualUnit

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


class UndoubledEncoder(nn.Module):
    """A copy of an encoder for inference, in channels-last layout and a number type of its own.

    On a CPU wide residual units are computed with fewer products (see `winograd`).

    Args:
        encoder: left as it is; the copy follows no later change.
        dtype: number type of the copy's weights.
    """

    def __init__(self, encoder: ConvEncoder, dtype: torch.dtype) -> None:
        super().__init__()
        first, *others = encoder.blocks
        assert isinstance(first, Convolution) and isinstance(first.conv, nn.Conv3d)
        self.firsts = nn.ModuleList(_undoubled(first.conv, axis) for axis in range(3))
        self.others = copy.deepcopy(nn.Sequential(*others))
        self.to(dtype=dtype)
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # as documented
        self.requires_grad_(False)
        self._quick: dict[tuple[int, int], WinogradUnit] = {}

    def forward(self, values: Tensor, slice_axis: int) -> Tensor:
        """Latents (N, C, d, h, w) of subvolumes (N, z, y, x) whose slices lie along `slice_axis`."""
        x = self.firsts[slice_axis](values[:, None]).relu()
        for i, block in enumerate(self.others):
            x = self._with_fewer_products(i, block, slice_axis, x)(x)
        return x

    def _with_fewer_products(self, i: int, block: nn.Module, slice_axis: int, x: Tensor) -> nn.Module:
        slices = x.shape[2 + slice_axis]
        if x.device.type != "cpu" or not pays(block, slices):
            return block
        if (i, slice_axis) not in self._quick:  # a few milliseconds, and only for axes that occur
            self._quick[i, slice_axis] = WinogradUnit(block, slice_axis, slices)  # type: ignore[arg-type]
        return self._quick[i, slice_axis]


class _Undoubled(nn.Module):
    """A convolution over single slices that gives what another gives over doubled ones."""

    def __init__(
        self, weight: Tensor, bias: Tensor, stride: list[int], dilation: tuple[int, ...], padding: list[int]
    ) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.stride, self.dilation, self.padding = stride, dilation, padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv3d(F.pad(x, self.padding), self.weight, self.bias, self.stride, dilation=self.dilation)


def _undoubled(conv: nn.Conv3d, axis: int) -> nn.Module:
    paddings = [int(pad) for pad in conv.padding]
    kernel, padded = conv.kernel_size[axis], paddings[axis]
    if conv.stride[axis] % DOUBLING or kernel % DOUBLING or conv.dilation[axis] != 1:
        return _Doubling(conv, axis)
    weight = conv.weight.detach()
    taps = [(tap - padded) // DOUBLING for tap in range(kernel)]  # the slice that each tap of output 0 reads
    shape = list(weight.shape)
    shape[2 + axis] = taps[-1] - taps[0] + 1
    folded = weight.new_zeros(shape)
    folded.index_add_(2 + axis, torch.tensor(taps, device=weight.device) - taps[0], weight)
    stride = list(conv.stride)
    stride[axis] //= DOUBLING
    padding = [pad for pad in reversed(paddings) for _ in ("before", "behind")]
    padding[2 * (2 - axis) : 2 * (2 - axis) + 2] = [-taps[0], -(-padded // DOUBLING)]
    assert conv.bias is not None
    return _Undoubled(folded, conv.bias.detach().clone(), stride, conv.dilation, padding)


class _Doubling(nn.Module):
    """The convolution itself, where its stride or dilation divides pairs of slices."""

    def __init__(self, conv: nn.Conv3d, axis: int) -> None:
        super().__init__()
        self.conv, self.axis = copy.deepcopy(conv), axis

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.repeat_interleave(DOUBLING, dim=2 + self.axis))
