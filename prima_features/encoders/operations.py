"""Floating-point operations of networks, in 10^9: two for each multiplication and addition of a direct computation.

Faster algorithms, such as Winograd's, do the same work in fewer operations. Counted are matrix products and
convolutions, as torch's own counter does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from prima_features.models.loading import hollow


def counted(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> float:
    """Operations of a network that reads one tensor. It is built without numbers, so that nothing is computed.

    Args:
        build: makes the network.
        shape: of its input.
    """
    # Computing on the meta device imports torch's compiler, which takes a second: networks that should start quickly
    # have formulas instead.
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    network = hollow(build).eval()
    counter = FlopCounterMode(display=False)
    # The counter knows no fused attention of CPUs.
    with torch.no_grad(), torch.device("meta"), sdpa_kernel(SDPBackend.MATH), counter:
        network(torch.zeros(shape))
    return counter.get_total_flops() / 1e9


def linear(*pairs: tuple[int, int]) -> float:
    """Operations of linear layers, each from a to b, for one row."""
    return sum(2 * a * b for a, b in pairs) / 1e9


def blocks(
    lengths: Iterable[int], depth: int, dim: int, mlp_dim: int, inner: int | None = None, out: bool = True
) -> float:
    """Operations of transformer blocks on sequences.

    Args:
        lengths: of the sequences.
        depth: number of blocks.
        dim: width of the vectors.
        mlp_dim: hidden width of the MLP.
        inner: heads times width of a head; `dim` if None.
        out: whether the heads' outputs are projected.
    """
    inner = inner or dim
    row = linear((dim, 3 * inner), (inner if out else 0, dim), (dim, mlp_dim), (mlp_dim, dim))
    pair = 4 * inner / 1e9  # of a query and a key: their product, and the sum of values
    return depth * sum(n * row + n * n * pair for n in lengths)
