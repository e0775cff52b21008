import pytest
import torch

from prima_features.encoders.ragged import Ragged


@pytest.fixture
def sequences() -> list[torch.Tensor]:
    return [torch.randn(n, 3) for n in (4, 1, 0, 2)]


def test_packed_sequences_come_back_as_they_were(sequences: list[torch.Tensor]) -> None:
    ragged = Ragged.from_list(sequences)
    assert len(ragged) == 4
    assert ragged.lengths == [4, 1, 0, 2]
    assert ragged.cu_seqlens.dtype == torch.int32
    assert ragged.cu_seqlens.tolist() == [0, 4, 5, 5, 7]
    for packed, sequence in zip(ragged.split(), sequences, strict=True):
        assert torch.equal(packed, sequence)


def test_rows_are_put_in_front_of_each_sequence(sequences: list[torch.Tensor]) -> None:
    rows = torch.randn(4, 2, 3)
    longer = Ragged.from_list(sequences).prepend(rows)
    assert longer.lengths == [6, 3, 2, 4]
    for packed, front, sequence in zip(longer.split(), rows, sequences, strict=True):
        assert torch.equal(packed, torch.cat([front, sequence]))
    assert torch.equal(longer.first(2), rows)
    again = longer.without_first(2)
    assert torch.equal(again.values, Ragged.from_list(sequences).values)
    assert again.cu_seqlens.tolist() == [0, 4, 5, 5, 7] and again.cu_seqlens.dtype == torch.int32


def test_the_last_element_of_each_sequence_is_found() -> None:
    sequences = [torch.randn(n, 3) for n in (4, 1, 2)]
    assert torch.equal(Ragged.from_list(sequences).last(), torch.stack([s[-1] for s in sequences]))


def test_no_sequences_are_a_batch_too() -> None:
    none = Ragged.from_lengths(torch.empty(0, 3), [])
    longer = none.prepend(torch.empty(0, 2, 3))
    assert (len(none), len(longer)) == (0, 0)
    assert longer.first(2).shape == (0, 2, 3)
    assert longer.last().shape == (0, 3)
    assert longer.without_first(2).values.shape == (0, 3)


def test_lengths_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 5, but there are 4"):
        Ragged.from_lengths(torch.zeros(4, 3), [2, 3])


def test_starts_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="int32"):
        Ragged(torch.zeros(4, 3), torch.tensor([0, 4]))
