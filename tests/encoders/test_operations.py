"""Floating-point operations of encoders, compared with torch's counter on the networks themselves."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from prima_features.encoders import operations
from prima_features.encoders.neurojepa import weights as neurojepa
from prima_features.encoders.neurojepa.network import JepaConfig, NeuroJepa
from prima_features.encoders.neurovfm import weights as neurovfm
from prima_features.encoders.neurovfm.network import NeuroVFM, NeuroVFMConfig
from prima_features.encoders.openmind_resencl.network import ResEnc
from prima_features.encoders.prima.networks import Prima, PrimaConfig
from prima_features.encoders.prima.operations import Operations
from prima_features.encoders.ragged import Ragged


def count(run: Any) -> float:
    """Operations of a call that computes, in 10^9."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


def test_a_network_is_counted_without_computing() -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv3d(1, 8, 3, padding=1), nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x).mean((2, 3, 4)))

    shape = (2, 1, 6, 7, 8)
    assert operations.counted(Small, shape) == count(lambda: Small()(torch.zeros(shape)))
    assert operations.counted(Small, shape) == pytest.approx(2 * 2 * (6 * 7 * 8 * 8 * 27 + 8 * 5) / 1e9)


@pytest.mark.parametrize("n", [1, 30, 77])
def test_neurovfm_of_any_number_of_patches(n: int) -> None:
    config = NeuroVFMConfig(dim=60, depth=2, heads=3, mlp_dim=100, patch_dim=64)
    network = NeuroVFM(config).eval()
    place, starts = torch.zeros(n, 3, dtype=torch.long), torch.tensor([0, n], dtype=torch.int32)
    measured = count(lambda: network(torch.zeros(n, 64), place, starts, n))
    prepared: Any = SimpleNamespace(arrays=SimpleNamespace(values=torch.zeros(n, 64)))
    assert neurovfm.gflop(config, prepared) == pytest.approx(measured)


def test_neurojepa_whichever_experts_are_chosen() -> None:
    config = JepaConfig(
        volume=(24, 36, 24), width=48, depth=4, heads=4, mlp=90, expert=20, shared=30, expert_blocks=(1, 3)
    )
    network = NeuroJepa(config).eval()
    measured = count(lambda: network(torch.randn(1, 1, *config.volume)))
    assert neurojepa._gflop(config, SimpleNamespace()) == pytest.approx(measured)  # type: ignore[arg-type]


def test_prima_of_subvolumes_tokens_and_names() -> None:
    config = PrimaConfig()
    prima, counts = Prima(config).eval(), Operations(config)
    tokens = Ragged.from_lengths(torch.zeros(13, 289), [6, 7])
    names = ["AX_T2", "a longer name"]

    def run() -> None:
        latents = prima.encode_subvolumes(torch.zeros(3, 4, 32, 32))
        assert len(latents) == 3
        series = prima.encode_series(tokens, names).embedding
        prima.encode_study(Ragged.from_lengths(series, [2]), ["MRI BRAIN"])

    expected = (
        counts.of_series(3, 6, names[0]) + counts.of_series(0, 7, names[1]) + counts.of_study(2, "MRI BRAIN")
    )
    assert count(run) == pytest.approx(expected)


def test_published_sizes_agree_with_the_literature() -> None:
    """Within 2% of the multiplications counted on the public code, such as 955e9 for OpenMind's encoder at 160^3."""
    assert operations.counted(ResEnc, (1, 1, 160, 160, 160)) == pytest.approx(2 * 955, rel=0.02)
    assert math.isclose(neurojepa._gflop(JepaConfig(), SimpleNamespace()), 2 * 56, rel_tol=0.05)  # type: ignore[arg-type]
    prepared: Any = SimpleNamespace(arrays=SimpleNamespace(values=torch.zeros(700, 1)))
    assert neurovfm.gflop(NeuroVFMConfig(), prepared) == pytest.approx(2 * 69, rel=0.02)
