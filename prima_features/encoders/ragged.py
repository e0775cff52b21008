"""Ragged batches: sequences of different lengths, packed end to end, and attention within each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import accumulate
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


@dataclass(frozen=True, eq=False)
class Ragged:
    """B sequences with T elements in total: sequence i is `values[cu_seqlens[i] : cu_seqlens[i + 1]]`."""

    values: Tensor
    """(T, D), any floating type."""
    cu_seqlens: Tensor
    """(B + 1,) int32, on the device of `values`: where each sequence starts, and T."""

    def __post_init__(self) -> None:
        if self.cu_seqlens.dtype != torch.int32 or self.cu_seqlens.ndim != 1:
            raise ValueError(
                "cu_seqlens must be one-dimensional int32, not "
                f"{self.cu_seqlens.ndim}-dimensional {self.cu_seqlens.dtype}"
            )

    @classmethod
    def from_lengths(cls, values: Tensor, lengths: Sequence[int]) -> Ragged:
        """Packed `values` (T, D) and the length of each sequence.

        Raises:
            ValueError: the lengths do not add up to T.
        """
        if sum(lengths) != len(values):
            raise ValueError(f"the lengths add up to {sum(lengths)}, but there are {len(values)} values")
        starts = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        return cls(values, starts.to(values.device))

    @classmethod
    def from_list(cls, sequences: Sequence[Tensor]) -> Ragged:
        """Sequences (n_i, D), at least one of them, each of any length."""
        return cls.from_lengths(torch.cat(list(sequences)), [len(sequence) for sequence in sequences])

    def __len__(self) -> int:
        return len(self.cu_seqlens) - 1

    @property
    def lengths(self) -> list[int]:
        """Elements of each sequence. Waits for the device."""
        return self.cu_seqlens.diff().tolist()

    def split(self) -> tuple[Tensor, ...]:
        """The sequences, each (n_i, D), as views."""
        return self.values.split(self.lengths)

    def prepend(self, rows: Tensor) -> Ragged:
        """Put `rows` (B, R, D) in front, R to each sequence."""
        pairs = [part for pair in zip(rows, self.split(), strict=True) for part in pair]
        # The empty first part keeps an empty batch working.
        values = torch.cat([self.values[:0], *pairs])
        shift = torch.arange(len(self) + 1, dtype=torch.int32, device=self.cu_seqlens.device) * rows.shape[1]
        return Ragged(values, self.cu_seqlens + shift)

    def first(self, n: int) -> Tensor:
        """The first n elements of each sequence (B, n, D); each must have so many."""
        return self.values[self.cu_seqlens[:-1, None] + torch.arange(n, device=self.cu_seqlens.device)]

    def without_first(self, n: int) -> Ragged:
        """The sequences without the first n elements of each; each must have so many."""
        count = torch.arange(len(self) + 1, dtype=torch.int32, device=self.cu_seqlens.device)
        starts = self.cu_seqlens - n * count
        # What stays moves by n for each sequence up to its own.
        moved = torch.repeat_interleave(n * count[1:], starts.diff())
        kept = torch.arange(len(moved), device=moved.device) + moved
        return Ragged(self.values.index_select(0, kept), starts)

    def last(self) -> Tensor:
        """The last element of each sequence (B, D); none may be empty."""
        return self.values[self.cu_seqlens[1:] - 1]


def ragged_attention(q: Tensor, k: Tensor, v: Tensor, cu_seqlens: Tensor, max_length: int) -> Tensor:
    """softmax(q k^T / sqrt(dim_head)) v, each sequence on its own: they never see each other.

    Args:
        q, k, v: (T, heads, dim_head), the sequences end to end.
        cu_seqlens: (B + 1,) int32, see `Ragged`.
        max_length: length of the longest sequence.

    Returns:
        (T, heads, dim_head).
    """
    kernel = next(kernel for kernel in KERNELS.values() if kernel.fits(q))
    return kernel.run(q, k, v, cu_seqlens, max_length)


class Kernel(NamedTuple):
    """One way of computing `ragged_attention`."""

    fits: Callable[[Tensor], bool]
    """Whether it can run on inputs like this one (its device, number type and dim_head)."""
    run: Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]


def _varlen_fits(q: Tensor) -> bool:
    return (
        q.is_cuda
        and q.dtype in (torch.float16, torch.bfloat16)
        and q.shape[-1] % 8 == 0
        and q.shape[-1] <= 256
        and torch.cuda.get_device_capability(q.device) >= (8, 0)
        and _has_varlen()
    )


def _varlen(q: Tensor, k: Tensor, v: Tensor, cu_seqlens: Tensor, max_length: int) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # It returns a tuple only where it is asked for more than the output.
    return cast(Tensor, varlen_attn(q, k, v, cu_seqlens, cu_seqlens, max_length, max_length))


@cache
def _has_varlen() -> bool:
    """False before torch 2.10."""
    return find_spec("torch.nn.attention.varlen") is not None


def _sdpa(q: Tensor, k: Tensor, v: Tensor, cu_seqlens: Tensor, max_length: int) -> Tensor:
    lengths = cu_seqlens.diff().tolist()
    sequences = zip(q.split(lengths), k.split(lengths), v.split(lengths), strict=True)
    # One call a sequence rather than a padded batch: what else is in the batch cannot change the result.
    return torch.cat([torch.empty_like(q[:0]), *(_sdpa_one(*sequence) for sequence in sequences)])


def _sdpa_one(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return dense_attention(q[None], k[None], v[None])[0]


def dense_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(dim_head)) v of sequences of equal length, (B, N, heads, dim_head)."""
    # The fused kernels expect (B, heads, N, dim_head).
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and not _has_fused_bfloat16():
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


@cache
def _has_fused_bfloat16() -> bool:
    """Whether torch's fused kernel runs in bfloat16 on this processor.

    It fails if ATEN_CPU_CAPABILITY allows fewer instructions than the processor has (seen with torch 2.13 and AMX).
    """
    sample = torch.ones(1, 1, 64, 16, dtype=torch.bfloat16)
    try:
        F.scaled_dot_product_attention(sample, sample, sample)
    except RuntimeError:
        return False
    return True


KERNELS = {"varlen": Kernel(_varlen_fits, _varlen), "sdpa": Kernel(lambda q: True, _sdpa)}
"""In order of preference. The last one fits everything."""
