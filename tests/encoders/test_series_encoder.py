"""Encoders that only know series: batches of any size give the vectors of each series alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from prima_features.encoders.base import EncodedStudy, Prepared, Progress
from prima_features.encoders.patches import Patches
from prima_features.encoders.ragged import ragged_attention
from prima_features.encoders.series_encoder import SeriesInference
from prima_features.encoders.vit import Block, BlockConfig
from prima_features.studies.study import NiftiImage, Series, Study

LENGTHS = [3, 1, 5, 2, 7]


class OfPieces(nn.Module):
    """Remembers the sizes of its batches; fails for batches larger than `most`, as a small GPU does."""

    def __init__(self, most: int = 99) -> None:
        super().__init__()
        self.linear, self.most, self.sizes = nn.Linear(6, 4), most, list[int]()

    def forward(self, pieces: Tensor) -> Tensor:
        if len(pieces) > self.most:
            raise torch.OutOfMemoryError
        self.sizes.append(len(pieces))
        return self.linear(pieces.flatten(1)).relu()


class OfPatches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block(BlockConfig(dim=8, heads=2, mlp_dim=16))

    def forward(self, values: Tensor, place: Tensor, cu_seqlens: Tensor, longest: int) -> Tensor:
        x = torch.cat([values, place], 1)
        return self.block(x, attend=lambda q, k, v: ragged_attention(q, k, v, cu_seqlens, longest))


def prepared(arrays: object, weight: int) -> Prepared:
    return Prepared(arrays, weight, 1, "axial", (1, 1, 1), (1.0, 1.0, 1.0))


def pieces() -> list[Prepared]:
    rng = np.random.RandomState(0)
    return [prepared(rng.standard_normal((n, 2, 3)).astype(np.float32), n) for n in LENGTHS]


def patches() -> list[Prepared]:
    rng = np.random.RandomState(0)
    return [
        prepared(
            Patches(
                rng.standard_normal((n, 5)).astype(np.float32),
                rng.standard_normal((n, 3)).astype(np.float32),
                rng.randint(0, 99, (n, 3)).astype(np.int16),
            ),
            n,
        )
        for n in LENGTHS
    ]


def encode(network: nn.Module, items: list[Prepared], batch: int, tokens: bool = False) -> list[EncodedStudy]:
    """Two studies, of two and three series."""
    torch.manual_seed(0)
    inference = SeriesInference(
        network.eval(), torch.device("cpu"), torch.float32, batch, lambda prepared: 1.0
    )
    series = [(Series("T1w", NiftiImage(Path("x.nii"))), item) for item in items]
    study = Study("sub-1", "1", "", "", ())
    return inference.encode([(study, series[:2]), (study, series[2:])], Progress(), tokens)


@pytest.mark.parametrize("batch", [1, 2, 4, 100])
@pytest.mark.parametrize(("network", "items"), [(OfPieces(), pieces()), (OfPatches(), patches())])
def test_batches_of_any_size_give_the_vectors_of_each_series_alone(
    network: nn.Module, items: list[Prepared], batch: int
) -> None:
    together = np.concatenate([one.series for one in encode(network, items, batch)])
    alone = [encode(network, [item] * 3, 1)[0].series[0] for item in items]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert together.dtype == np.float32


def test_a_batch_contains_as_many_pieces_as_their_weights_allow() -> None:
    network = OfPieces()
    encode(network, pieces(), 4)
    assert network.sizes == [4, 4, 4, 4, 2]
    heavy = [prepared(one.arrays, 8 * one.weight) for one in pieces()]
    network.sizes.clear()
    encode(network, heavy, 16)
    assert set(network.sizes) == {2}


def test_a_batch_that_does_not_fit_into_memory_is_halved_for_good(caplog: pytest.LogCaptureFixture) -> None:
    whole = encode(network := OfPieces(most=3), pieces(), 1)
    network.sizes.clear()
    halved = encode(network, pieces(), 8)
    assert max(network.sizes) <= 3
    np.testing.assert_allclose(halved[1].series, whole[1].series, atol=1e-6)
    assert "Out of memory on cpu at batch size 8; continuing with 4" in caplog.text


def test_a_single_piece_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        encode(OfPieces(most=0), pieces(), 2)


def test_tokens_are_returned_with_their_coordinates_if_asked_for() -> None:
    items = patches()
    first, second = encode(OfPatches(), items, 3, tokens=True)
    assert [len(one.embedding) for one in (*first.tokens, *second.tokens)] == LENGTHS
    np.testing.assert_array_equal(second.tokens[0].coord, items[2].arrays.coord)
    np.testing.assert_allclose(first.tokens[0].embedding.mean(0), first.series[0], atol=1e-6)
    assert not encode(OfPatches(), items, 3)[0].tokens


def test_bfloat16_is_close_to_float32() -> None:
    network, items = OfPatches().eval(), patches()
    exact = np.concatenate([one.series for one in encode(network, items, 9)])
    inference = SeriesInference(network, torch.device("cpu"), torch.bfloat16, 9, lambda prepared: 1.0)
    series = [(Series("T1w", NiftiImage(Path("x.nii"))), item) for item in items]
    rough = inference.encode([(Study("sub-1", "1", "", "", ()), series)], Progress(), False)[0].series
    assert 0 < np.abs(rough - exact).max() < 0.02 * np.abs(exact).max()
