"""The tokenizer on slices that have not been doubled gives what it gives on doubled ones."""

import pytest
import torch

from prima_features.encoders.prima.networks.config import TokenizerConfig
from prima_features.encoders.prima.networks.tokenizer import ConvEncoder
from prima_features.encoders.prima.networks.undoubled import UndoubledEncoder

DOWNSAMPLE = {
    "published": ((2, 4, 1, 1), (2, 2, 1, 0)),
    "one level of stride 4": ((4, 4, 1, 0),),
    "wide padding": ((2, 6, 1, 3),),
    "odd kernel": ((2, 3, 1, 1),),
    "odd stride": ((3, 4, 1, 1),),
    "dilation": ((2, 4, 2, 3),),
}


@pytest.mark.parametrize("name", DOWNSAMPLE)
@pytest.mark.parametrize("axis", range(3))
def test_latents_are_those_of_doubled_slices(name: str, axis: int) -> None:
    levels = DOWNSAMPLE[name]
    n = len(levels)
    config = TokenizerConfig(
        channels=(6,) * n, res_channels=(4,) * n, downsample=levels, upsample=((2, 2, 1, 0, 0),) * n
    )
    torch.manual_seed(0)
    encoder = ConvEncoder(config).double()
    shape = [12, 12, 12]
    shape[axis] = 4
    values = torch.randn(2, *shape, dtype=torch.float64)
    with torch.inference_mode():
        expected = encoder(values.repeat_interleave(2, dim=1 + axis)[:, None])
        found = UndoubledEncoder(encoder, torch.float64)(values, axis)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
