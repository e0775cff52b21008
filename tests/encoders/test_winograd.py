"""Convolutions with fewer products give the same numbers."""

import copy

import pytest
import torch

from prima_features.encoders.prima.networks.config import TokenizerConfig
from prima_features.encoders.prima.networks.tokenizer import ConvEncoder, ResidualUnit
from prima_features.encoders.prima.networks.undoubled import UndoubledEncoder, WinogradUnit, pays


@pytest.mark.parametrize("slices", [2, 4])
@pytest.mark.parametrize("axis", range(3))
def test_a_unit_gives_what_the_plain_one_gives(axis: int, slices: int) -> None:
    torch.manual_seed(0)
    unit = ResidualUnit(12, 7).double()
    shape = [6, 5, 5]
    shape[axis] = slices
    x = torch.randn(2, 12, *shape, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(WinogradUnit(unit, axis, slices)(x), unit(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("slices", [2, 4])
def test_in_bfloat16_it_is_about_as_exact_as_the_plain_unit(slices: int) -> None:
    torch.manual_seed(0)
    unit = ResidualUnit(64, 64)
    rounded = copy.deepcopy(unit).bfloat16()
    x = torch.randn(8, 64, slices, 8, 8).bfloat16()
    with torch.inference_mode():
        exact = unit(x.float())
        plain, quick = ((way(x) - exact).norm() for way in (rounded, WinogradUnit(rounded, 0, slices)))
    assert quick < 2 * plain


def test_wide_encoders_use_it_and_agree_to_rounding() -> None:
    torch.manual_seed(0)
    encoder = ConvEncoder(TokenizerConfig(channels=(64, 64), res_channels=(64, 64)))
    quick = UndoubledEncoder(encoder, torch.float32)
    for axis in range(3):
        shape = [32, 32, 32]
        shape[axis] = 4
        values = torch.rand(3, *shape)
        with torch.inference_mode():
            expected = encoder(values.repeat_interleave(2, dim=1 + axis)[:, None])
            found = quick(values, axis)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    # Two units of the first level, of four slices, and two of the second, of two.
    assert sorted(quick._quick) == [(i, axis) for i in (0, 1, 3, 4) for axis in range(3)]


def test_other_units_and_modules_are_left_as_they_are() -> None:
    assert pays(ResidualUnit(64, 64), 4)
    assert not pays(ResidualUnit(64, 64), 8)
    assert not pays(ResidualUnit(64, 32), 4)
    assert not pays(torch.nn.Conv3d(64, 64, 3), 4)
