"""Ctrl-C, and what a cluster sends before it kills a job: the run ends in good order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from prima_features.errors import StoppedError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGINT or SIGTERM came; the second one interrupts at once.

    A run that stops for it ends with exit code 128 plus the signal's number, as the shell has it.

    Raises:
        KeyboardInterrupt: at the second signal.
    """
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        with suppress(OSError):  # a closed stream costs no run
            # Not print, which may be what was interrupted.
            os.write(2, b"Stopping after the study in hand (once more: at once)\n")

    if threading.current_thread() is not threading.main_thread():  # which alone may handle signals
        yield lambda: False
        return
    before = {number: signal.signal(number, receive) for number in _SIGNALS}
    try:
        yield lambda: bool(received)
    except StoppedError as error:
        error.exit_code = 128 + received[0]
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
