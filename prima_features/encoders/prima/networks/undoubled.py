"""The tokenizer's encoder on subvolumes whose slices have not been doubled.

The tokenizer reads each slice twice. Where its first convolution has an even stride, each output reads whole pairs of
equal slices or the halves of two, so that the same numbers come from a convolution over single slices whose weights
are sums of those of the doubled one: with stride 2, kernel 4 and padding 1, output o is
w0 s[o-1] + (w1 + w2) s[o] + w3 s[o+1].
"""

from __future__ import annotations

import copy
import threading
from functools import partial
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.prima.networks.prima import DOUBLING
from prima_features.encoders.prima.networks.threads import OwnThreads, Workspace
from prima_features.encoders.prima.networks.tokenizer import ConvEncoder, Convolution, ResidualUnit
from prima_features.encoders.prima.networks.winograd import (
    TILE,
    Fast,
    SliceWinogradUnits,
    WinogradUnits,
    pays,
)

_BLOCK = 32
"""Subvolumes that one thread takes through all layers at most. The weights of the products are read once per block: at
the published sizes 4 subvolumes take a third more time each, 64 no less."""


class UndoubledEncoder(nn.Module):
    """A copy of an encoder for inference, in channels-last layout and a number type of its own.

    On a CPU, wide residual units are computed with fewer products (see `winograd`). In float32, each thread takes its
    own subvolumes through all layers: threads that share one layer wait for memory.

    Args:
        encoder: left as it is; the copy follows no later change.
        dtype: number type of the copy's weights.
    """

    def __init__(self, encoder: ConvEncoder, dtype: torch.dtype) -> None:
        super().__init__()
        first, *others = encoder.blocks
        assert isinstance(first, Convolution) and isinstance(first.conv, nn.Conv3d)
        self.firsts = nn.ModuleList(_undoubled(first.conv, axis) for axis in range(3))
        runs = groupby(others, lambda block: isinstance(block, ResidualUnit))
        self.stages = nn.ModuleList(copy.deepcopy(nn.Sequential(*blocks)) for _, blocks in runs)
        self.to(dtype=dtype)
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # as documented
        self.requires_grad_(False)
        self._fast: dict[tuple[int, type], WinogradUnits | SliceWinogradUnits] = {}
        self._making = threading.Lock()
        self._threads: OwnThreads | None = None

    def forward(self, values: Tensor, slice_axis: int) -> Tensor:
        """Latents (N, C, d, h, w) of subvolumes (N, z, y, x) whose slices lie along `slice_axis`."""
        if values.device.type != "cpu" or values.dtype != torch.float32:
            return self._latents(values, Workspace(), slice_axis)
        if self._threads is None or self._threads.n != torch.get_num_threads():
            self._threads = OwnThreads(torch.get_num_threads())
        blocks = values.split(min(_BLOCK, -(-len(values) // self._threads.n)))
        return torch.cat(self._threads.map(partial(self._latents, slice_axis=slice_axis), blocks))

    def _latents(self, values: Tensor, workspace: Workspace, slice_axis: int) -> Tensor:
        x = self.firsts[slice_axis](values[:, None]).relu_()
        for i, stage in enumerate(self.stages):
            fast = self._with_fewer_products(i, stage, slice_axis, x)
            x = fast(x, workspace) if fast else stage(x)
        return x

    def _with_fewer_products(self, i: int, stage: nn.Module, slice_axis: int, x: Tensor) -> Fast | None:
        sides = list(x.shape[2:])
        slices = sides.pop(slice_axis)
        assert isinstance(stage, nn.Sequential)
        units = [unit for unit in stage if isinstance(unit, ResidualUnit)]
        if x.device.type != "cpu" or len(units) < len(stage) or not all(pays(unit, slices) for unit in units):
            return None
        whole_tiles = all(side % TILE == 0 for side in sides)
        kind = WinogradUnits if x.dtype == torch.float32 and whole_tiles else SliceWinogradUnits
        with self._making:
            if (i, kind) not in self._fast:
                self._fast[i, kind] = kind(units)
            return self._fast[i, kind].along(slice_axis, slices)


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
