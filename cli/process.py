"""What surrounds a command: signals that stop a run in good order, standard streams whose failure stops no run, and
garbage collection, which would take a third of a short run's time.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from prima_features.errors import StoppedError

if TYPE_CHECKING:
    from typing_extensions import Buffer


# The interpreter's last collection would visit all objects of all modules, just before the process's memory is freed.
atexit.register(gc.freeze)


@contextmanager
def importing() -> Iterator[None]:
    """Around imports of large libraries: without garbage collection, and no later one visits what they made.

    Only the first block of a process has that second effect, so that garbage does not pile up in programs that run
    commands repeatedly.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count() == 0:
            gc.freeze()
        if was_enabled:
            gc.enable()


class _Stream(io.RawIOBase):
    """Writes to a descriptor until that fails, and then to nowhere.

    Attributes:
        error: the first error, if any.
    """

    def __init__(self, descriptor: int):
        super().__init__()
        self._descriptor = descriptor
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Buffer) -> int:
        if self.error is None:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                return 0
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


class Streams:
    """What became of the standard streams."""

    def __init__(self) -> None:
        self._made: list[_Stream] = []

    def lost(self) -> OSError | None:
        """Why output was lost, if it was; not if nobody wanted it, since the reader of a pipe may end early."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        errors = (one.error for one in self._made if one.error is not None)
        return next((error for error in errors if not isinstance(error, BrokenPipeError)), None)

    def wrap(self, stream: TextIO) -> TextIO:
        """A stream in its place that never fails: what its encoding lacks is escaped."""
        raw = _Stream(stream.fileno())
        self._made.append(raw)
        return io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )


@contextmanager
def standard_streams() -> Iterator[Streams]:
    """Replace standard output and error of the process for the block, unless something else already has.

    Closed ones (`>&-`) are opened on the null device first: the next file to be opened would get their descriptor
    and everything that is printed.
    """
    _open_closed_descriptors()
    streams, before = Streams(), (sys.stdout, sys.stderr)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif stream is getattr(sys, f"__{name}__") and stream.fileno() in (1, 2):
            with suppress(OSError):
                stream.flush()
            setattr(sys, name, streams.wrap(stream))
    try:
        yield streams
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before


def _open_closed_descriptors() -> None:
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_INTERRUPTED = 130


@contextmanager
def stopping_on_signals() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether SIGINT or SIGTERM came; the second one interrupts at once.

    The third one ends the process, since the code of an encoder may not return.

    A run that stops for it ends with exit code 128 plus the signal's number, as the shell has it.

    Raises:
        KeyboardInterrupt: at the second signal.
    """
    received: list[int] = []

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 2:
            os._exit(_INTERRUPTED)  # finished work is on disk, as if the process had been killed
        if len(received) > 1:
            raise KeyboardInterrupt
        with suppress(OSError):  # a closed stream costs no run
            # Not print, which may be what was interrupted.
            os.write(2, b"Stopping after the current study; Ctrl-C once more stops at once\n")

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
