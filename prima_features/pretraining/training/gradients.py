"""Gradients of large batches: rows and gradients exchanged between processes, and gradient caching.

Gradient caching: Gao et al. 2021, arXiv 2101.06983.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

_BUCKET = 2**24
"""Numbers that are summed over processes in one call."""


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_rows(rows: Tensor) -> Tensor:
    """The rows (n_r, ...) of all processes, in the order of their ranks; n_r may differ.

    Gradients reach a process's own rows only. That is all there is where every process computes the whole loss
    from the gathered rows: its gradient for a row is then the whole loss's, and is needed where the row was made.
    """
    if world_size() == 1:
        return rows
    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    lengths = [int(count) for count in counts]
    padded = rows.new_zeros(max(lengths), *rows.shape[1:])
    if not padded.numel():  # not every backend gathers empty tensors
        return rows.new_zeros(sum(lengths), *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    parts = [torch.empty_like(padded) for _ in lengths]
    dist.all_gather(parts, padded)
    parts = [part[:length] for part, length in zip(parts, lengths, strict=True)]
    parts[dist.get_rank()] = rows
    return torch.cat(parts)


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sum each parameter's gradient over the processes; one that has none counts as 0, here and elsewhere."""
    parameters = list(parameters)
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if world_size() == 1:
        return
    for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        dist.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in bucket])
        for gradient, part in zip(bucket, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a number that each process has."""
    if world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def _buckets(gradients: Iterable[Tensor]) -> Iterable[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        bucket.append(gradient)
        if sum(one.numel() for one in bucket) >= _BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket


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
