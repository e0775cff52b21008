"""Regular expressions of users and strangers, with a bound on the time that matching takes.

A pattern such as `(a+)+$` takes time exponential in the length of a text, and Python's `re` has no limit. It does look
for signals while it matches, so a timer of CPU time can end it.
"""

from __future__ import annotations

import re
import signal
import threading
from types import FrameType
from typing import NoReturn

from prima_features.errors import UsageError

_MOST_CHARACTERS = 2000
_SECONDS = 5.0


class SafePattern:
    """A compiled regular expression whose searches together take a bounded time.

    The bound holds on Unix in the main thread, in which the commands run; signals reach no other.

    Args:
        regex: the expression.
        flags: as for `re.compile`.
        seconds: CPU time for all searches together.

    Raises:
        UsageError: it is not a regular expression, or longer than any that is meant.
    """

    def __init__(self, regex: str, flags: int = 0, seconds: float = _SECONDS):
        self._regex, self._left = regex, seconds
        if len(regex) > _MOST_CHARACTERS:
            raise UsageError(
                f"a regular expression has {len(regex)} characters; the limit is {_MOST_CHARACTERS}"
            )
        try:
            self._compiled = re.compile(regex, flags)
        except (re.error, RecursionError, OverflowError) as error:
            raise UsageError(f"{regex!r} is not a regular expression: {error}") from error

    @property
    def groups(self) -> int:
        """How many groups it captures."""
        return self._compiled.groups

    def search(self, text: str) -> re.Match[str] | None:
        """The first match in a text.

        Raises:
            UsageError: the searches have taken too long.
        """
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
            return self._compiled.search(text)
        before = signal.signal(signal.SIGVTALRM, self._stop)
        signal.setitimer(signal.ITIMER_VIRTUAL, self._left)
        try:
            return self._compiled.search(text)
        finally:
            # A timer that has run out has been answered by `_stop`.
            self._left = signal.setitimer(signal.ITIMER_VIRTUAL, 0)[0] or self._left
            signal.signal(signal.SIGVTALRM, before)

    def _stop(self, number: int, frame: FrameType | None) -> NoReturn:
        raise UsageError(
            f"the regular expression {self._regex[:80]!r} takes too long to match: avoid nested repetitions"
        )
