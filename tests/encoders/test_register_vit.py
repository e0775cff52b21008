import pytest
import torch

from prima_features.encoders.prima.networks.config import TransformerConfig, ViTConfig
from prima_features.encoders.prima.networks.transformer import RegisterViT
from prima_features.encoders.ragged import Ragged

DIM, REGISTERS = 12, 3
Batch = tuple[list[torch.Tensor], torch.Tensor]


@pytest.fixture
def vit() -> RegisterViT:
    torch.manual_seed(0)
    transformer = TransformerConfig(dim=DIM, depth=2, heads=2, dim_head=8, mlp_dim=20)
    return RegisterViT(ViTConfig(transformer, registers=REGISTERS, out_dim=5))


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(1)
    return [torch.randn(n, DIM) for n in (9, 40, 1, 0)], torch.randn(4, DIM)


def test_a_batch_gives_what_its_sequences_give_in_any_order(vit: RegisterViT, batch: Batch) -> None:
    sequences, leading = batch
    together = vit(Ragged.from_list(sequences), leading)
    order = [2, 0, 3, 1]
    reordered = vit(Ragged.from_list([sequences[i] for i in order]), leading[order])
    for i, sequence in enumerate(sequences):
        alone = vit(Ragged.from_list([sequence]), leading[i : i + 1])
        for whole, mixed, single in zip(together, reordered, alone, strict=True):
            torch.testing.assert_close(whole[i], single[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(mixed[order.index(i)], single[0], atol=1e-5, rtol=1e-5)


def test_the_order_of_elements_changes_nothing(vit: RegisterViT, batch: Batch) -> None:
    sequences, leading = batch
    flipped = Ragged.from_list([sequence.flip(0) for sequence in sequences])
    for ours, theirs in zip(vit(flipped, leading), vit(Ragged.from_list(sequences), leading), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_an_element_kept_twice_counts_twice(vit: RegisterViT, batch: Batch) -> None:
    sequences, leading = batch
    once = vit(Ragged.from_list([sequences[0]]), leading[:1])[0]
    twice = vit(Ragged.from_list([torch.cat([sequences[0], sequences[0][:1]])]), leading[:1])[0]
    assert (once - twice).abs().max() > 1e-3


def test_registers_come_out_normalised_and_projected(vit: RegisterViT, batch: Batch) -> None:
    sequences, leading = batch
    flat, projected = vit(Ragged.from_list(sequences), leading)
    assert flat.shape == (4, REGISTERS * DIM)
    registers = flat.view(4, REGISTERS, DIM)
    torch.testing.assert_close(registers.mean(-1), torch.zeros(4, REGISTERS), atol=1e-5, rtol=0)
    torch.testing.assert_close(registers.var(-1, unbiased=False), torch.ones(4, REGISTERS), atol=1e-3, rtol=0)
    torch.testing.assert_close(projected, vit.project(flat))


def test_a_leading_vector_is_one_element_more(vit: RegisterViT, batch: Batch) -> None:
    sequences, leading = batch
    inside = Ragged.from_list([torch.cat([row[None], s]) for row, s in zip(leading, sequences, strict=True)])
    for ours, theirs in zip(vit(Ragged.from_list(sequences), leading), vit(inside), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_leading_vector_is_read(vit: RegisterViT, batch: Batch) -> None:
    sequences, leading = batch
    tokens = Ragged.from_list(sequences)
    assert ((vit(tokens, leading)[0] - vit(tokens, leading.flip(0))[0]).abs().amax(1) > 1e-3).all()
