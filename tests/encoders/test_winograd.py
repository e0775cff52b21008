"""Convolutions with fewer products give the same numbers."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import TokenizerConfig
from prima_features.encoders.prima.networks.threads import OwnThreads, Workspace
from prima_features.encoders.prima.networks.tokenizer import ConvEncoder, ResidualUnit
from prima_features.encoders.prima.networks.undoubled import UndoubledEncoder
from prima_features.encoders.prima.networks.winograd import SliceWinogradUnits, WinogradUnits, pays


def shape(axis: int, slices: int, rows: int, columns: int) -> list[int]:
    """The three sides of a grid whose slices lie along an axis."""
    sides = [rows, columns]
    sides.insert(axis, slices)
    return sides


def largest_difference(found: Tensor, expected: Tensor) -> float:
    """Relative to the largest value."""
    return float((found.double() - expected.double()).abs().max() / expected.abs().max())


def plain(units: list[ResidualUnit], x: Tensor) -> Tensor:
    """The units as they are written, in float64."""
    return nn.Sequential(*copy.deepcopy(units)).double()(x.double())


@pytest.mark.parametrize("slices", [2, 4])
@pytest.mark.parametrize("axis", range(3))
def test_slices_give_what_the_plain_units_give(axis: int, slices: int) -> None:
    torch.manual_seed(0)
    units = [ResidualUnit(12, 7).double(), ResidualUnit(12, 9).double()]
    x = torch.randn(2, 12, *shape(axis, slices, 6, 5), dtype=torch.float64)
    with torch.inference_mode():
        found = SliceWinogradUnits(units).along(axis, slices)(x, Workspace())
        torch.testing.assert_close(found, plain(units, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("slices", [2, 4])
@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize(("n", "rows", "columns"), [(1, 4, 4), (3, 8, 4), (2, 4, 12), (5, 16, 16)])
def test_three_directions_give_what_the_plain_units_give(
    axis: int, slices: int, n: int, rows: int, columns: int
) -> None:
    torch.manual_seed(n)
    units = [ResidualUnit(8, 24), ResidualUnit(8, 5)]
    x = torch.randn(n, 8, *shape(axis, slices, rows, columns))
    with torch.inference_mode():
        found = WinogradUnits(units).along(axis, slices)(x, Workspace())
        assert found.shape == x.shape and found.is_contiguous(memory_format=torch.channels_last_3d)
        assert largest_difference(found, plain(units, x)) < 5e-6


def test_the_input_stays_as_it_is_and_a_used_workspace_changes_nothing() -> None:
    torch.manual_seed(0)
    workspace = Workspace()
    units = [ResidualUnit(8, 8)]
    tokens = [torch.randn(n, 8, 4, 8, 4) for n in (3, 1, 2)]
    kept = [one.clone() for one in tokens]
    with torch.inference_mode():
        fast = WinogradUnits(units).along(0, 4)
        WinogradUnits([ResidualUnit(30, 40)]).along(1, 2)(torch.full((2, 30, 8, 2, 4), torch.nan), workspace)
        for one, before in zip(tokens, kept, strict=True):
            found = fast(one, workspace)
            assert torch.equal(one, before)
            assert largest_difference(found, plain(units, before)) < 5e-6


def test_what_is_not_finite_does_not_spread_to_other_subvolumes() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 8, 4, 4, 4)
    x[1, 2, 3, 1, 1] = torch.inf
    with torch.inference_mode():
        found = WinogradUnits([ResidualUnit(8, 8)]).along(0, 4)(x, Workspace())
    assert found[[0, 2]].isfinite().all() and not found[1].isfinite().all()


@pytest.mark.parametrize("slices", [2, 4])
def test_in_bfloat16_slices_are_about_as_exact_as_the_plain_unit(slices: int) -> None:
    torch.manual_seed(0)
    unit = ResidualUnit(64, 64)
    rounded = copy.deepcopy(unit).bfloat16()
    x = torch.randn(8, 64, slices, 8, 8).bfloat16()
    with torch.inference_mode():
        exact = unit(x.float())
        fast = SliceWinogradUnits([rounded]).along(0, slices)(x, Workspace())
        assert (fast - exact).norm() < 2 * (rounded(x) - exact).norm()


@pytest.mark.parametrize(
    ("dtype", "sides", "kind"),
    [
        (torch.float32, (4, 32, 32), WinogradUnits),
        (torch.float32, (4, 40, 32), SliceWinogradUnits),  # its second level has ten rows
        (torch.bfloat16, (4, 32, 32), SliceWinogradUnits),
        (torch.float64, (4, 32, 32), SliceWinogradUnits),
    ],
)
def test_wide_encoders_use_it_and_agree_to_rounding(
    dtype: torch.dtype, sides: tuple[int, int, int], kind: type
) -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(TokenizerConfig(channels=(64, 64), res_channels=(64, 64)))
    fast = UndoubledEncoder(encoder, dtype)
    for axis in range(3):
        values = torch.rand(3, *shape(axis, *sides)).to(dtype)
        with torch.inference_mode():
            expected = encoder(values.float().repeat_interleave(2, dim=1 + axis)[:, None])
            found = fast(values, axis)
        assert found.dtype == dtype
        assert largest_difference(found, expected) <= (0.02 if dtype == torch.bfloat16 else 1e-5)
    # The units of the first level, of four slices, and those of the second, of two.
    assert {i for i, _ in fast._fast} == {0, 2} and (2, kind) in fast._fast


@pytest.mark.parametrize("n", [1, 2, 33, 70])
def test_threads_and_blocks_do_not_change_the_latents(n: int) -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(TokenizerConfig(channels=(64, 64), res_channels=(64, 64)))
    values = torch.rand(n, 4, 16, 16)
    before = torch.get_num_threads()
    latents = []
    try:
        for threads in (1, 3, before):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                latents.append(UndoubledEncoder(encoder, torch.float32)(values, 0))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for one, other in pairwise(latents):
        assert one.shape == (n, 2, 2, 4, 4)
        assert largest_difference(one, other) < 1e-5


def test_each_thread_computes_on_one_core_in_the_mode_of_its_caller() -> None:
    def look(item: Tensor, workspace: Workspace) -> Tensor:
        assert torch.get_num_threads() == 1
        workspace.take("name", 3).fill_(float(item))
        return torch.tensor([torch.is_inference_mode_enabled()])

    threads = OwnThreads(2)
    assert not any(threads.map(look, list(torch.arange(5.0))))
    with torch.inference_mode():
        assert all(threads.map(look, list(torch.arange(5.0))))


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def fail(item: Tensor, workspace: Workspace) -> Tensor:
        raise MemoryError("no more")

    for n in (1, 2):
        with pytest.raises(MemoryError, match="no more"):
            OwnThreads(n).map(fail, [torch.zeros(1)])


def test_other_units_are_left_as_they_are() -> None:
    assert pays(ResidualUnit(64, 64), 4)
    assert not pays(ResidualUnit(64, 64), 8)
    assert not pays(ResidualUnit(64, 32), 4)
