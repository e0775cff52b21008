"""A Prima small enough to run in milliseconds, with the published arrangement."""

import pytest
import torch

from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.networks.config import (
    ContrastConfig,
    NameConfig,
    NamesConfig,
    PrimaConfig,
    TokenizerConfig,
    TransformerConfig,
    ViTConfig,
)


@pytest.fixture(scope="session")
def tiny_config() -> PrimaConfig:
    return PrimaConfig(
        tokenizer=TokenizerConfig(channels=(4, 6), res_channels=(5, 3), res_layers=1, codes=16),
        names=NamesConfig(
            sequence=NameConfig(TransformerConfig(dim=24, depth=1, heads=2, dim_head=8, mlp_dim=20)),
            study=NameConfig(TransformerConfig(dim=24, depth=1, heads=2, dim_head=8, mlp_dim=20), out_dim=32),
        ),
        sequence=ViTConfig(
            TransformerConfig(dim=289, depth=2, heads=2, dim_head=16, mlp_dim=40), registers=3, out_dim=32
        ),
        study=ViTConfig(
            TransformerConfig(dim=32, depth=2, heads=2, dim_head=8, mlp_dim=40), registers=2, out_dim=12
        ),
        contrast=ContrastConfig(hidden=10, out_dim=6),
    )


@pytest.fixture
def prima(tiny_config: PrimaConfig) -> Prima:
    torch.manual_seed(0)
    return Prima(tiny_config).eval()
