"""Sequences of different lengths, packed end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Ragged:
    """B sequences of together T elements: sequence i is `values[cu_seqlens[i] : cu_seqlens[i + 1]]`."""

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
