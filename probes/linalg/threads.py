"""Keeping BLAS from starting threads where products are small."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from threadpoolctl import threadpool_limits

SMALL = 1 << 20
"""Products with fewer numbers than this take less time than threads need to meet."""


def threads_for(size: int) -> AbstractContextManager[object]:
    """Around many products with a matrix of `size` numbers: one thread where it is small, else all there are."""
    return threadpool_limits(1, user_api="blas") if size < SMALL else nullcontext()
