"""Several encoders read one series: what does not depend on the encoder is computed once, for a limited time."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from typing import Any, TypeVar

from prima_features.errors import SeriesError

T = TypeVar("T")


class Shared:
    """Results that are shared within `reading_once`.

    Attributes:
        saved: seconds that computing them again would have taken.
    """

    def __init__(self) -> None:
        self.saved = 0.0
        self._results: dict[Hashable, tuple[Any, float]] = {}

    def get(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """See `shared`."""
        if key in self._results:
            result, seconds = self._results[key]
            self.saved += seconds
            return result
        start = time.monotonic()
        result = compute()
        self._results[key] = result, time.monotonic() - start
        return result


_current: ContextVar[Shared | None] = ContextVar("shared", default=None)


@contextmanager
def reading_once() -> Iterator[Shared]:
    """Within the block, `shared` computes each result once. All are dropped at its end.

    Use it for one series at a time: the voxels stay in memory for as long as the block.
    """
    token = _current.set(made := Shared())
    try:
        yield made
    finally:
        _current.reset(token)


def is_shared() -> bool:
    """Whether the caller runs within `reading_once`."""
    return _current.get() is not None


def shared(key: Hashable, compute: Callable[[], T]) -> T:
    """`compute()`, or its earlier result for an equal key within `reading_once`.

    Every caller gets the same object, so it must not be changed. If `compute` raises, nothing is kept.

    Args:
        key: everything that the result depends on, and a name for the kind of result.
        compute: computes the result; it does not call `shared` itself.
    """
    current = _current.get()
    if current is None:
        return compute()
    result: T = current.get(key, compute)
    return result


def shared_with_errors(key: Hashable, compute: Callable[[], T]) -> T:
    """As `shared`; a `SeriesError` is kept, too, and raised for every caller."""
    if not is_shared():
        return compute()

    def outcome() -> T | SeriesError:
        try:
            return compute()
        except SeriesError as error:
            return error

    found = shared(key, outcome)
    if isinstance(found, SeriesError):
        # A new error each time: one that is raised again would collect the tracebacks of all callers.
        raise copy(found) from found.__cause__
    return found
