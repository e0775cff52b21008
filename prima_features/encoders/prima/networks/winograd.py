"""Residual units with fewer products on a CPU: Winograd's minimal filtering F(m, 3) (Lavin and Gray, arXiv 1509.09308).

F(m, 3) gives m outputs of a convolution of three taps from m + 2 products in place of 3 m. Three matrices mix the
inputs, the taps and the products. Applied along all three directions it takes an eighth of the products, and as many
more transforms, which read and write memory: they are arranged so that all are plain matrix products without copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prima_features.encoders.prima.networks.threads import Workspace
from prima_features.encoders.prima.networks.tokenizer import Convolution, ResidualUnit

LEAST_CHANNELS = 64
"""With fewer, the transforms cost more than the products that they save."""
TILE = 4
"""Outputs of one tile along the directions within a slice."""
_TAPS = 3


@dataclass(frozen=True)
class _Filter:
    """The matrices of one F(m, 3) with p products, as rows of numbers that float32 represents exactly."""

    inputs: tuple[tuple[float, ...], ...]
    """(p, m + 2)."""
    taps: tuple[tuple[float, ...], ...]
    """(p, 3)."""
    outputs: tuple[tuple[float, ...], ...]
    """(m, p)."""

    def matrices(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three matrices in float64."""
        inputs, taps, outputs = (
            torch.tensor(rows, dtype=torch.float64) for rows in (self.inputs, self.taps, self.outputs)
        )
        return inputs, taps, outputs


_BALANCED = _Filter(
    inputs=(
        (1 / 2, -3 / 4, -1, 3 / 4, 1 / 2, 0),
        (0, -1 / 2, 1 / 4, 5 / 4, 1 / 2, 0),
        (0, -1 / 2, 5 / 4, -1 / 4, -1 / 2, 0),
        (0, 2, 1, -2, -1, 0),
        (0, 1 / 4, -1 / 2, -1 / 4, 1 / 2, 0),
        (0, 1 / 2, -3 / 4, -1, 3 / 4, 1 / 2),
    ),
    taps=(
        (2, 0, 0),
        (2 / 3, 2 / 3, 2 / 3),
        (2 / 3, -2 / 3, 2 / 3),
        (16 / 15, 8 / 15, 4 / 15),
        (2 / 15, -4 / 15, 8 / 15),
        (0, 0, 2),
    ),
    outputs=((1, 1, 1, 1, 1, 0), (0, 1, -1, 1 / 2, -2, 0), (0, 1, 1, 1 / 4, 4, 0), (0, 1, -1, 1 / 8, -8, 1)),
)
"""F(4, 3) with the points 0, 1, -1, 1/2, -2 and infinity. With the usual 2 in place of 1/2, the rounding errors of
three directions are four times as large."""
_CLASSIC = _Filter(
    inputs=(
        (4, 0, -5, 0, 1, 0),
        (0, -4, -4, 1, 1, 0),
        (0, 4, -4, -1, 1, 0),
        (0, -2, -1, 2, 1, 0),
        (0, 2, -1, -2, 1, 0),
        (0, 4, 0, -5, 0, 1),
    ),
    taps=(
        (1 / 4, 0, 0),
        (-1 / 6, -1 / 6, -1 / 6),
        (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6),
        (0, 0, 1),
    ),
    outputs=((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
)
"""F(4, 3) with the points 0, 1, -1, 2, -2 and infinity, which bfloat16 represents exactly."""
_PAIR = _Filter(
    inputs=((0, 1, 1, 0), (0, 0, 1, 0), (0, 1, 0, 0)),
    taps=((0, 1, 0), (0, -1, 1), (1, -1, 0)),
    outputs=((1, 1, 0), (1, 0, 1)),
)
"""For two slices between zeros: w1 (s0 + s1) is in both outputs, w1 s0 + w2 s1 and w0 s0 + w1 s1."""


def pays(unit: ResidualUnit, slices: int) -> bool:
    """Whether a CPU computes a residual unit more quickly with one of the classes of this module."""
    return min(_conv(unit.conv1).weight.shape[:2]) >= LEAST_CHANNELS and slices in (2, 4)


def _conv(convolution: Convolution) -> nn.Conv3d:
    assert isinstance(convolution.conv, nn.Conv3d)
    return convolution.conv


Fast = Callable[[Tensor, Workspace], Tensor]
"""(N, C, ...) to the same shape, channels last in memory."""


class WinogradUnits:
    """Consecutive residual units, in all three directions and float32; gives what the units give, to rounding.

    Args:
        units: as `pays` accepts them.
    """

    def __init__(self, units: Sequence[ResidualUnit]) -> None:
        self._units = [(_Convolution(_conv(unit.conv1)), _Convolution(_conv(unit.conv2))) for unit in units]

    def along(self, slice_axis: int, slices: int) -> Fast:
        """The units for inputs whose slices lie along one of the three last axes; makes the weights when first needed.

        Args:
            slices: how many there are, 2 or 4. The other two axes are multiples of `TILE`.
        """
        first, last = (axis for axis in range(3) if axis != slice_axis)
        axes = first, slice_axis, last
        units = [(conv1.along(axes, slices), conv2.along(axes, slices)) for conv1, conv2 in self._units]
        return partial(_three_directions, units, (2 + first, 2 + slice_axis, 2 + last, 0, 1))


def _three_directions(
    units: Sequence[tuple[_AlongAxis, _AlongAxis]], order: Sequence[int], x: Tensor, workspace: Workspace
) -> Tensor:
    rows, slices, columns, n, channels = (x.shape[axis] for axis in order)
    values = _padded(workspace, "values", rows, slices, columns, n, channels)
    inside = values[1:-1, :, 1:-1]
    inside.copy_(x.permute(*order))
    for conv1, conv2 in units:
        hidden = _padded(workspace, "hidden", rows, slices, columns, n, conv1.outputs)
        conv1(values, hidden, workspace)
        conv2(hidden, values, workspace, add=True)
    result = torch.empty_like(x, memory_format=torch.channels_last_3d)
    result.permute(*order).copy_(inside)
    return result


def _padded(
    workspace: Workspace, name: str, rows: int, slices: int, columns: int, n: int, channels: int
) -> Tensor:
    """A buffer (rows + 2, slices, columns + 2, n, channels) whose borders are 0."""
    tensor = workspace.take(name, rows + 2, slices, columns + 2, n, channels)
    for border in (tensor[0], tensor[-1], tensor[:, :, 0], tensor[:, :, -1]):
        border.zero_()
    return tensor


class _Convolution:
    """A convolution's mixed taps, which slice axes share if their filters are the same."""

    def __init__(self, conv: nn.Conv3d) -> None:
        assert conv.bias is not None
        self._weight, self._bias = conv.weight.detach(), conv.bias.detach().float()
        self._mixed: dict[tuple[_Filter, ...], Tensor] = {}

    def along(self, axes: tuple[int, int, int], slices: int) -> _AlongAxis:
        """The convolution with the axes of rows, slices and columns."""
        of_slices = _BALANCED if slices == TILE else _PAIR
        filters = tuple(of_slices if axis == axes[1] else _BALANCED for axis in range(3))
        if filters not in self._mixed:
            taps = (one.matrices()[1] for one in filters)
            mixed = torch.einsum("az,by,cx,oizyx->abcio", *taps, self._weight.double())
            self._mixed[filters] = mixed.float().contiguous()
        # (row, slice, column, I, O), the products of rows and slices in one sequence.
        weights = [of_slice for of_row in self._mixed[filters].permute(*axes, 3, 4) for of_slice in of_row]
        return _AlongAxis(weights, self._bias, of_slices)


class _AlongAxis:
    """One convolution, and ReLU, of values (rows + 2, slices, columns + 2, N, C) with borders of 0.

    Rows and slices of a tile are mixed by one matrix; then, for each of their products, the columns.

    Args:
        weights: (6, I, O) for each product of rows and slices.
        bias: (O,).
    """

    def __init__(self, weights: Sequence[Tensor], bias: Tensor, of_slices: _Filter) -> None:
        self.weights, self._bias, self.outputs = weights, bias, len(bias)
        in_tile, _, out_tile = _BALANCED.matrices()
        in_slices, _, out_slices = of_slices.matrices()
        # The slices' padding is left out of the matrix instead of being added to the values.
        self._mix = torch.kron(in_tile, in_slices[:, 1:-1].contiguous()).float()
        self._unmix = torch.kron(out_tile, out_slices).float()
        self._mix_columns, self._unmix_columns = in_tile.float(), out_tile.float()
        # Where the bias enters: the product that each output contains once.
        self._constant = _in_all(out_tile) * len(in_slices) + _in_all(out_slices), _in_all(out_tile)

    def __call__(self, values: Tensor, result: Tensor, workspace: Workspace, add: bool = False) -> None:
        """Write relu(conv(values)), or relu(result + conv(values)), to the inside of `result`."""
        rows, _, columns, n, channels = values.shape
        down, across = (rows - 2) // TILE, (columns - 2) // TILE  # tiles
        products, outputs = len(self._mix), self.outputs
        wide, length = columns * n * channels, n * channels
        mixed = workspace.take("mixed", products, down, columns, n, channels)
        for i in range(down):
            tile = values[TILE * i : TILE * i + TILE + _TAPS - 1].view(-1, wide)
            torch.mm(self._mix, tile, out=mixed[:, i].view(products, wide))
        side = TILE + _TAPS - 1
        inputs = workspace.take("inputs", side, down * across * n, channels)
        multiplied = workspace.take("multiplied", side, down * across * n, outputs)
        unmixed = workspace.take("unmixed", products, down * across, TILE, n * outputs)
        mix = self._mix_columns.expand(across, side, side)
        unmix = self._unmix_columns.expand(down * across, TILE, side)
        of_tile_rows = inputs.view(side, down, across, length).permute(1, 2, 0, 3).unbind()
        of_tiles = multiplied.view(side, down * across, n * outputs).transpose(0, 1)
        overlapping = mixed.as_strided(
            (products, down, across, side, length), (down * wide, wide, TILE * length, length, 1)
        )
        for k, (tile_rows, weights, of_product) in enumerate(
            zip(overlapping, self.weights, unmixed, strict=True)
        ):
            for tiles, of_tile_row in zip(tile_rows, of_tile_rows, strict=True):
                torch.bmm(mix, tiles, out=of_tile_row)
            torch.bmm(inputs, weights, out=multiplied)
            if k == self._constant[0]:
                multiplied[self._constant[1]].add_(self._bias)
            torch.bmm(unmix, of_tiles, out=of_product)
        of_rows = unmixed.view(products, down, -1)
        for i in range(down):
            tile = result[1 + TILE * i : 1 + TILE * (i + 1)].view(len(self._unmix), -1)
            inside = tile[:, n * outputs : -n * outputs]
            if add:
                inside.addmm_(self._unmix, of_rows[:, i])
            else:
                torch.mm(self._unmix, of_rows[:, i], out=inside)
            inside.relu_()


def _in_all(outputs: Tensor) -> int:
    """The product that each output contains once."""
    return int((outputs == 1).all(dim=0).nonzero()[0])


class SliceWinogradUnits:
    """Consecutive residual units with fewer products along the slices only; gives what they give, to rounding.

    For bfloat16, whose eight bits more directions would lose, and for sides that are no multiples of `TILE`.

    Args:
        units: as `pays` accepts them.
    """

    def __init__(self, units: Sequence[ResidualUnit]) -> None:
        self._convs = [(_conv(unit.conv1), _conv(unit.conv2)) for unit in units]
        self._made: dict[tuple[int, int], Fast] = {}

    def along(self, slice_axis: int, slices: int) -> Fast:
        """The units for 2 or 4 slices along one of the three last axes; makes the weights when first needed."""
        if (slice_axis, slices) not in self._made:
            units = [
                tuple(_SliceConvolution(conv, 2 + slice_axis, slices) for conv in convs)
                for convs in self._convs
            ]
            self._made[slice_axis, slices] = partial(_one_direction, units, 2 + slice_axis)
        return self._made[slice_axis, slices]


def _one_direction(
    units: Sequence[tuple[_SliceConvolution, ...]], axis: int, x: Tensor, workspace: Workspace
) -> Tensor:
    slices = x.movedim((axis, 1), (0, 4)).contiguous()  # (S, N, h, w, C)
    for conv1, conv2 in units:
        slices = conv2(conv1(slices).relu_()).add_(slices).relu_()
    return slices.movedim((0, 4), (axis, 1)).contiguous(memory_format=torch.channels_last_3d)


class _SliceConvolution:
    def __init__(self, conv: nn.Conv3d, axis: int, slices: int) -> None:
        of_slices, of_taps, of_products = (_CLASSIC if slices == TILE else _PAIR).matrices()
        weight = conv.weight.detach().movedim(axis, 2)  # (O, I, 3, 3, 3), the taps along the slices first
        exact = weight.double()  # a bfloat16 weight is rounded once, as the products' weights
        weights = torch.einsum("pz,oizyx->poiyx", of_taps.to(weight.device), exact).to(weight.dtype)
        self.weights = [one.contiguous(memory_format=torch.channels_last) for one in weights]
        # Without the first and last column, which multiply padding.
        self.input, self.output = of_slices[:, 1:-1].to(weight), of_products.to(weight)
        assert conv.bias is not None
        self.bias = conv.bias.detach()

    def __call__(self, slices: Tensor) -> Tensor:
        """(S, N, h, w, I) to (S, N, h, w, O)."""
        mixed = (self.input @ slices.flatten(1)).unflatten(1, slices.shape[1:])  # (P, N, h, w, I)
        products = slices.new_empty(*mixed.shape[:-1], len(self.bias))
        for product, one, weight in zip(products, mixed, self.weights, strict=True):
            product.copy_(F.conv2d(one.movedim(-1, 1), weight, padding=1).movedim(1, -1))
        return (self.output @ products.flatten(1)).unflatten(1, products.shape[1:]).add_(self.bias)
