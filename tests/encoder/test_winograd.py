"""Convolutions with fewer products give the same numbers."""

import pytest
import torch

from prima_features.encoder.config import TokenizerConfig
from prima_features.encoder.tokenizer import Encoder, ResidualUnit
from prima_features.encoder.undoubled import UndoubledEncoder
from prima_features.encoder.winograd import WinogradUnit, pays


@pytest.mark.parametrize("axis", range(3))
def test_a_unit_gives_what_the_plain_one_gives(axis: int) -> None:
    torch.manual_seed(0)
    unit = ResidualUnit(12, 7).double()
    shape = [6, 5, 5]
    shape[axis] = 4
    x = torch.randn(2, 12, *shape, dtype=torch.float64)
    with torch.inference_mode():
        torch.testing.assert_close(WinogradUnit(unit, axis)(x), unit(x), rtol=1e-10, atol=1e-10)


def test_wide_encoders_in_float32_use_it_and_agree_to_rounding() -> None:
    torch.manual_seed(0)
    encoder = Encoder(TokenizerConfig(channels=(64, 64), res_channels=(64, 64)))
    quick = UndoubledEncoder(encoder, torch.float32)
    for axis in range(3):
        shape = [32, 32, 32]
        shape[axis] = 4
        values = torch.rand(3, *shape)
        with torch.inference_mode():
            expected = encoder(values.repeat_interleave(2, dim=1 + axis)[:, None])
            found = quick(values, axis)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    # Two units of the first level for each axis; the second level's have two slices.
    assert sorted(quick._quick) == [(i, axis) for i in (0, 1) for axis in range(3)]


def test_narrow_units_and_other_modules_are_left_as_they_are() -> None:
    assert pays(ResidualUnit(64, 64))
    assert not pays(ResidualUnit(64, 32))
    assert not pays(torch.nn.Conv3d(64, 64, 3))
