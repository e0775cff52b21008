"""What several processes exchange: rows of embeddings, sums of gradients."""

from __future__ import annotations

from collections.abc import Iterable

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
    if not padded.numel():  # no library need bear that
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
