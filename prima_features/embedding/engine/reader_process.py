"""A process that reads studies for another one: `python -m prima_features.embedding.engine.reader_process`.

Studies come in on its standard input and go out, prepared, on its standard output. It is a plain child process
rather than one of `multiprocessing`, which would run the caller's script once more in each. It starts in the time that
numpy, nibabel and SimpleITK take (no torch), ignores SIGINT and SIGTERM, since its owner decides when to stop, and
ends when its owner does: its input ends then.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import struct
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from prima_features.errors import UsageError


def send(stream: BinaryIO, item: Any) -> None:
    """Write an object; its arrays go as they are, without being copied into a pickle."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(item, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    stream.write(struct.pack("<I", len(parts)))
    stream.write(struct.pack(f"<{len(parts)}Q", *(part.nbytes for part in parts)))
    for part in parts:
        stream.write(part)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read what `send` wrote.

    Raises:
        EOFError: the other side is gone.
    """
    (count,) = struct.unpack("<I", _read(stream, 4))
    sizes = struct.unpack(f"<{count}Q", _read(stream, 8 * count))
    head, *buffers = [_read(stream, size) for size in sizes]
    return pickle.loads(head, buffers=buffers)


def _read(stream: BinaryIO, size: int) -> memoryview:
    view = np.empty(size, np.uint8).data  # unlike a bytearray, not filled with zeros first
    filled = 0
    while filled < size:
        n = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not n:
            raise EOFError
        filled += n
    return view


def main() -> None:
    """Read studies until there are no more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    # Results have standard output to themselves; what a library prints goes to standard error.
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        level, read = receive(sys.stdin.buffer)
    except EOFError:
        return
    except Exception as error:  # it unpickles the preparer of an encoder, perhaps of another package
        level, read = logging.WARNING, _Unloadable(error)
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s")
    for study in _studies(sys.stdin.buffer):
        try:
            result = read(study)
        except Exception as error:  # a disk that went away: raised where the study is asked for
            result = error
        try:
            send(results, result)
        except BrokenPipeError:
            return
        except Exception as error:  # nothing was written: pickling comes first
            send(results, not_picklable("a series that its preparer returned", error))


class _Unloadable:
    """In place of a reader that could not be unpickled: fails with the reason."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, study: Any) -> Any:
        raise UsageError(
            f"A reader process cannot load the encoder's preparer ({type(self._error).__name__}: {self._error}): "
            "define it in an installed module, or use --workers 0"
        )


def not_picklable(what: str, error: Exception) -> UsageError:
    """The error for something of an encoder that cannot be sent to another process."""
    return UsageError(
        f"The encoder cannot be used with reader processes, since {what} cannot be pickled "
        f"({type(error).__name__}: {error}): use --workers 0, or update the encoder's package"
    )


def _studies(stream: BinaryIO) -> Iterator[Any]:
    while True:
        try:
            yield receive(stream)
        except EOFError:
            return


if __name__ == "__main__":
    main()
