from pathlib import Path

import numpy as np
import pytest
import torch

from prima_features.encoders.prima.networks.config import TokenizerConfig
from prima_features.encoders.prima.networks.tokenizer import Tokenizer, latent_shape

GOLDEN = TokenizerConfig(channels=(16, 24), res_channels=(20, 12), codes=64)
CONFIGS = [
    TokenizerConfig(channels=(4, 6), res_channels=(5, 3), res_layers=1, codes=16),
    TokenizerConfig(
        channels=(3,), res_channels=(2,), downsample=((2, 4, 1, 1),), upsample=((2, 4, 1, 1, 0),), codes=8
    ),
    TokenizerConfig(
        channels=(3, 4, 5),
        res_channels=(2, 2, 2),
        res_layers=0,
        downsample=((2, 4, 1, 1), (2, 2, 1, 0), (2, 3, 1, 1)),
        upsample=((2, 4, 1, 1, 0), (2, 2, 1, 0, 0), (2, 3, 1, 1, 1)),
        code_dim=4,
        codes=8,
    ),
]


def largest_error(ours: torch.Tensor, expected: np.ndarray) -> float:
    """Largest difference as a share of the largest expected value."""
    return np.abs(ours.detach().numpy() - expected).max() / np.abs(expected).max()


def test_the_public_tokenizers_numbers_are_met(golden: Path) -> None:
    tokenizer = Tokenizer(GOLDEN).eval()
    tokenizer.load_state_dict(torch.load(golden / "published_layout_vqvae.pth", weights_only=True))
    parts = np.load(golden / "parts.npz")
    subvolumes = torch.from_numpy(parts["vqvae_input"])
    output = tokenizer(subvolumes)
    assert largest_error(output.latent, parts["vqvae_latent"]) < 1e-5
    assert largest_error(output.reconstruction, parts["vqvae_reconstruction"]) < 1e-5
    assert largest_error(output.quantization_loss, parts["vqvae_quantization_loss"]) < 1e-5
    assert np.array_equal(output.codes.numpy(), parts["vqvae_codes"])
    assert torch.equal(tokenizer.encode(subvolumes), output.latent)


@pytest.mark.parametrize("config", CONFIGS, ids=["two levels", "one level", "three levels"])
@pytest.mark.parametrize("shape", [(8, 32, 32), (32, 8, 32), (32, 32, 8)])
def test_any_number_of_levels_and_any_slice_axis_fit(
    config: TokenizerConfig, shape: tuple[int, int, int]
) -> None:
    subvolumes = torch.rand(2, 1, *shape)
    output = Tokenizer(config).eval()(subvolumes)
    assert output.latent.shape[1:] == latent_shape(config, shape)
    assert output.codes.shape == (2, *output.latent.shape[2:])
    if len(config.channels) < 3:
        assert output.reconstruction.shape == subvolumes.shape


def test_a_batch_gives_what_its_subvolumes_give() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(CONFIGS[0]).eval()
    subvolumes = torch.rand(5, 1, 8, 32, 32)
    alone = torch.cat([tokenizer.encode(one[None]) for one in subvolumes])
    torch.testing.assert_close(tokenizer.encode(subvolumes), alone, atol=1e-6, rtol=1e-5)


def test_evaluation_leaves_the_codebook_alone_and_training_moves_it() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(CONFIGS[0])
    subvolumes = torch.rand(4, 1, 8, 32, 32)
    before = {key: value.clone() for key, value in tokenizer.quantizer.state_dict().items()}
    tokenizer.eval()(subvolumes)
    assert all(torch.equal(value, before[key]) for key, value in tokenizer.quantizer.state_dict().items())
    tokenizer.train()(subvolumes)
    assert not any(torch.equal(value, before[key]) for key, value in tokenizer.quantizer.state_dict().items())


def test_training_learns_to_reconstruct_through_the_codebook() -> None:
    torch.manual_seed(0)
    config = TokenizerConfig(channels=(8, 8), res_channels=(8, 8), res_layers=1, codes=16)
    tokenizer = Tokenizer(config).train()
    optimizer = torch.optim.Adam([p for p in tokenizer.parameters() if p.requires_grad], lr=3e-3)
    cells = (torch.rand(8, 1, 2, 8, 8) > 0.5).float()
    subvolumes = cells.repeat_interleave(4, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    losses = []
    for _ in range(150):
        output = tokenizer(subvolumes)
        loss = (output.reconstruction - subvolumes).abs().mean()
        optimizer.zero_grad()
        (loss + output.quantization_loss).backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert len(output.codes.unique()) > 1
