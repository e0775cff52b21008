"""Gradients of a loss over a batch that is larger than memory (Gao et al. 2021, arXiv 2101.06983)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from prima_features.pretraining.training.gather import world_size

Chunk = TypeVar("Chunk")


def backward_in_chunks(
    chunks: Sequence[Chunk],
    encode: Callable[[Chunk], Sequence[Tensor]],
    loss: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor],
    shared: Sequence[nn.Parameter] = (),
    share: float = 1.0,
) -> Tensor:
    """Add the gradients of `share` times a loss to those of all parameters behind it.

    All chunks are encoded without keeping what gradients need; the loss's gradient is taken for the embeddings;
    then each chunk is encoded again, and the embeddings' gradient goes back through it. Memory is that of one
    chunk, and the result that of the whole batch. Encoding must give the same twice, so without dropout.

    With several processes each has its own chunks, and `loss` gathers the rows of all: gradients summed over the
    processes are then those of the whole batch.

    Args:
        chunks: parts of the batch, at least one.
        encode: gives a chunk's embeddings, each (n, ...), float32; n may differ from one to the next.
        loss: from the embeddings of all chunks, and from `shared`, the loss ().
        shared: parameters that the loss itself reads, such as temperatures.
        share: what the gradients are multiplied by.

    Returns:
        The loss (), without gradient.
    """
    alone = len(chunks) == 1
    with torch.set_grad_enabled(alone):
        encoded = [encode(chunk) for chunk in chunks]
    joined = [torch.cat(parts).detach().requires_grad_() for parts in zip(*encoded, strict=True)]
    copies = [parameter.detach().clone().requires_grad_() for parameter in shared]
    value = loss(joined, copies)
    gradients = torch.autograd.grad(value * share, [*joined, *copies], allow_unused=True)
    for parameter, gradient in zip(shared, gradients[len(joined) :], strict=True):
        # Each process finds the whole gradient here, and their sum is taken later.
        _add(parameter, gradient, 1 / world_size())
    starts = [0] * len(joined)
    for i, chunk in enumerate(chunks):
        outputs = encoded[i] if alone else encode(chunk)
        _backward(outputs, gradients, starts)
        starts = [start + len(output) for start, output in zip(starts, outputs, strict=True)]
    return value.detach()


def _backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None], starts: Sequence[int]) -> None:
    """Send rows of the gradients, from `starts` on, back through one chunk's embeddings."""
    pairs = [
        (output, gradient[start : start + len(output)])
        for output, gradient, start in zip(outputs, gradients, starts, strict=False)
        if gradient is not None and output.requires_grad
    ]
    torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])


def _add(parameter: nn.Parameter, gradient: Tensor | None, factor: float) -> None:
    if gradient is None or not parameter.requires_grad:
        return
    gradient = gradient * factor
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
