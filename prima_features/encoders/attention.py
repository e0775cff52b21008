"""Attention within the sequences of a ragged batch: one function, and the kernels it chooses from."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


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
    # (n, heads, dim_head) to (1, heads, n, dim_head): the fused kernels want four axes.
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and not _has_fused_bfloat16():
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1)
    return F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1)


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
