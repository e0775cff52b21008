import pytest
import torch

from prima_features.encoders.prima.networks.config import NameConfig, TransformerConfig
from prima_features.encoders.prima.networks.text import NameEncoder, symbol_indices

NAMES = ["AX_T2_FLAIR", "", "t1", "UNK-1.2.840.113619.2.55.3.604688119.971.1384442561.467" * 5]


@pytest.fixture
def encoder() -> NameEncoder:
    torch.manual_seed(0)
    return NameEncoder(
        NameConfig(TransformerConfig(dim=24, depth=2, heads=2, dim_head=8, mlp_dim=20), out_dim=9)
    )


def test_characters_are_numbered_from_one_in_the_published_order() -> None:
    symbols = "abcdefghijklmnopqrstuvwxyz_+-0123456789.*(),"
    assert symbol_indices(symbols) == [*range(1, 45), 46]


def test_an_unknown_character_is_45_and_the_end_mark_46() -> None:
    assert symbol_indices("a b/é") == [1, 45, 2, 45, 45, 46]
    assert symbol_indices("") == [46]


def test_upper_case_reads_as_lower_case(encoder: NameEncoder) -> None:
    assert torch.equal(encoder(["AX_T2"]), encoder(["ax_t2"]))


def test_order_and_repetition_of_characters_count(encoder: NameEncoder) -> None:
    one, swapped, doubled = encoder(["t1", "1t", "t11"])
    assert not torch.allclose(one, swapped, atol=1e-3)
    assert not torch.allclose(one, doubled, atol=1e-3)


def test_names_in_a_batch_read_as_alone(encoder: NameEncoder) -> None:
    together = encoder(NAMES)
    assert together.shape == (4, 9)
    for name, vector in zip(NAMES, together, strict=True):
        torch.testing.assert_close(encoder([name])[0], vector, atol=1e-5, rtol=1e-5)


def test_no_names_give_no_vectors(encoder: NameEncoder) -> None:
    assert encoder([]).shape == (0, 9)
