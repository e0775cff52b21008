import dataclasses

import pytest
import torch

from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.networks.config import PrimaConfig
from prima_features.encoders.ragged import Ragged

SHAPES = [(4, 32, 32), (32, 4, 32), (32, 32, 4)]
NAMES = ["AX_T2", "SAG_T1", "", "DWI"]
N_SERIES = [3, 1]
DESCRIPTIONS = ["MRI BRAIN", "MRI BRAIN W WO CONTRAST"]


@pytest.fixture
def tokens() -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(n, 289) for n in (30, 5, 1, 12)]


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_subvolumes_are_doubled_along_the_slice_axis(prima: Prima, slice_axis: int) -> None:
    values = torch.rand(3, *SHAPES[slice_axis])
    doubled = torch.stack([values, values], dim=2 + slice_axis).flatten(1 + slice_axis, 2 + slice_axis)
    latent = prima.encode_subvolumes(values)
    assert latent.shape[2 + slice_axis] == 2
    assert torch.equal(latent, prima.tokenizer.encode(doubled[:, None]))


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_no_subvolumes_make_no_tokens(prima: Prima, slice_axis: int) -> None:
    latent = prima.encode_subvolumes(torch.rand(0, *SHAPES[slice_axis]))
    assert prima.token_vectors(latent, torch.zeros(0, 3), slice_axis).shape == (0, 289)


def test_subvolumes_of_another_size_are_refused(prima: Prima) -> None:
    with pytest.raises(ValueError, match=r"\(4, 32, 32\) up to the order of axes, not \(8, 32, 32\)"):
        prima.encode_subvolumes(torch.rand(1, 8, 32, 32))


def test_series_and_studies_in_a_batch_are_those_alone(prima: Prima, tokens: list[torch.Tensor]) -> None:
    series, study = prima(Ragged.from_list(tokens), NAMES, N_SERIES, DESCRIPTIONS)
    alone = [
        prima.encode_series(Ragged.from_list([t]), [name]) for t, name in zip(tokens, NAMES, strict=True)
    ]
    embedding = torch.cat([one.embedding for one in alone])
    torch.testing.assert_close(series.embedding, embedding, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        series.registers, torch.cat([one.registers for one in alone]), atol=1e-5, rtol=1e-5
    )
    for i, members in enumerate(embedding.split(N_SERIES)):
        one = prima.encode_study(Ragged.from_list([members]), DESCRIPTIONS[i : i + 1])
        torch.testing.assert_close(study.embedding[i], one.embedding[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(study.clip[i], one.clip[0], atol=1e-5, rtol=1e-5)


def test_the_order_of_a_studys_series_changes_nothing(prima: Prima) -> None:
    series = torch.randn(5, 32)
    forward, backward = (prima.encode_study(Ragged.from_list([s]), [""]) for s in (series, series.flip(0)))
    torch.testing.assert_close(forward.embedding, backward.embedding, atol=1e-5, rtol=1e-5)


def test_outputs_have_the_configs_widths(prima: Prima, tokens: list[torch.Tensor]) -> None:
    series, study = prima(Ragged.from_list(tokens), NAMES, N_SERIES, DESCRIPTIONS)
    assert (series.embedding.shape, series.registers.shape) == ((4, 32), (4, 3 * 289))
    assert (study.embedding.shape, study.clip.shape) == ((2, 2 * 32), (2, 12))
    torch.testing.assert_close(study.clip.norm(dim=1), torch.ones(2))
    assert prima.contrast is not None and prima.contrast(series.registers).shape == (4, 6)


def test_two_runs_give_the_same_bits(prima: Prima, tokens: list[torch.Tensor]) -> None:
    values = torch.rand(6, *SHAPES[0])
    assert torch.equal(prima.encode_subvolumes(values), prima.encode_subvolumes(values))
    (_, first), (_, second) = (
        prima(Ragged.from_list(tokens), NAMES, N_SERIES, DESCRIPTIONS) for _ in range(2)
    )
    assert torch.equal(first.embedding, second.embedding)


def test_half_precision_gives_nearly_the_same(prima: Prima) -> None:
    torch.manual_seed(2)
    values, coord = torch.rand(20, *SHAPES[0]), torch.arange(60).view(20, 3) * 4

    def embed() -> torch.Tensor:
        vectors = prima.token_vectors(prima.encode_subvolumes(values), coord, 0)
        return prima(Ragged.from_list([vectors]), ["T2"], [1], ["MRI BRAIN"])[1].embedding

    single = embed()
    prima.to(torch.bfloat16)
    half = embed()
    assert half.dtype == prima.dtype == torch.bfloat16
    assert torch.cosine_similarity(single, half.float()) > 0.999


def test_gradients_reach_all_that_makes_the_embeddings(prima: Prima, tokens: list[torch.Tensor]) -> None:
    latent = prima.encode_subvolumes(torch.rand(5, *SHAPES[0]))
    vectors = prima.token_vectors(latent, torch.zeros(5, 3), 0)
    series, study = prima(Ragged.from_list([vectors, *tokens[1:]]), NAMES, N_SERIES, DESCRIPTIONS)
    assert prima.contrast is not None
    (study.clip[:, 0].sum() + prima.contrast(series.registers).sum()).backward()
    without = {name for name, parameter in prima.named_parameters() if parameter.grad is None}
    assert all(
        name.startswith(("tokenizer.decoder.", "tokenizer.quantizer.")) or name.endswith("temperature")
        for name in without
    )


def test_a_token_width_that_the_tokenizer_does_not_give_is_refused(tiny_config: PrimaConfig) -> None:
    wider = dataclasses.replace(tiny_config, tokenizer=dataclasses.replace(tiny_config.tokenizer, code_dim=3))
    with pytest.raises(ValueError, match="is 289 and must be 417"):
        Prima(wider)
