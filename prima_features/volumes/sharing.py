"""Several encoders read one series: what does not depend on the encoder is computed once, for a limited time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

_results: ContextVar[dict[Hashable, Any] | None] = ContextVar("results", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Within the block, `shared` computes each result once. All are dropped at its end.

    Use it for one series at a time: the voxels stay in memory for as long as the block.
    """
    token = _results.set({})
    try:
        yield
    finally:
        _results.reset(token)


def is_shared() -> bool:
    """Whether the caller runs within `reading_once`."""
    return _results.get() is not None


def shared(key: Hashable, compute: Callable[[], T]) -> T:
    """`compute()`, or its earlier result for an equal key within `reading_once`.

    Every caller gets the same object, so it must not be changed. If `compute` raises, nothing is kept.

    Args:
        key: everything that the result depends on, and a name for the kind of result.
    """
    results = _results.get()
    if results is None:
        return compute()
    if key not in results:
        results[key] = compute()
    result: T = results[key]
    return result
