"""Reading a `torch.save` archive one tensor at a time, without unpickling it and without torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from prima_features.errors import UsageError
from prima_features.models.checkpoint.pickle_reader import read_records
from prima_features.models.checkpoint.records import CheckpointError
from prima_features.models.checkpoint.stored_tensor import ITEM_BYTES, StoredTensor
from prima_features.models.checkpoint.zip_entries import ZipEntries

MAX_PICKLE_BYTES = 64 * 2**20
MAX_STRIDED_BYTES = 512 * 2**20


class TorchArchive:
    """A file written by `torch.save` (torch 1.6 or later), open for reading. Use it in a `with` statement.

    Attributes:
        path: the file.
        root: the saved object as inert records, see `read_records`.

    Raises:
        UsageError: the file is missing, is no such archive, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror}): give a checkpoint file") from error
        try:
            self._entries = ZipEntries(self._file)
            self._folder = _folder(self._entries)
            self.root = read_records(self._pickle())
        except CheckpointError as error:
            self._file.close()
            raise UsageError(f"{path} {error}") from error

    def __enter__(self) -> TorchArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def chunks(self, tensor: StoredTensor) -> Iterator[bytes]:
        """The tensor's numbers, row-major, as little-endian bytes in pieces of a few MB.

        Raises:
            CheckpointError: the archive is cut off there, or a transposed tensor spans more than 512 MiB.
        """
        if tensor.contiguous:
            yield from self._numbers(tensor, tensor.size)
        elif tensor.span * ITEM_BYTES[tensor.dtype] <= MAX_STRIDED_BYTES:
            yield self._gathered(tensor)
        else:
            raise CheckpointError(
                f"contains a transposed tensor of shape {tensor.shape}, too large to reorder"
            )

    def _pickle(self) -> bytes:
        name = self._folder + "data.pkl"
        size = self._entries.size(name)
        if size > MAX_PICKLE_BYTES:
            raise CheckpointError(f"contains a pickle of {size} bytes, far more than a Prima checkpoint has")
        return b"".join(self._entries.chunks(name, 0, size))

    def _numbers(self, tensor: StoredTensor, count: int) -> Iterator[bytes]:
        item = ITEM_BYTES[tensor.dtype]
        name = f"{self._folder}data/{tensor.storage}"
        if self._entries.size(name) != tensor.storage_size * item:
            raise CheckpointError(f"has an entry {name} of another size than its tensors: download it again")
        yield from self._entries.chunks(name, tensor.offset * item, count * item)

    def _gathered(self, tensor: StoredTensor) -> bytes:
        item = ITEM_BYTES[tensor.dtype]
        flat = np.frombuffer(b"".join(self._numbers(tensor, tensor.span)), dtype=f"V{item}")
        strides = [step * item for step in tensor.stride]
        return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides, writeable=False).tobytes()


def _folder(entries: ZipEntries) -> str:
    """The archive's one folder, as `name/`.

    Raises:
        CheckpointError: a zip file of another kind, or numbers in big-endian order.
    """
    pickles = [name for name in entries.names() if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(pickles) != 1:
        raise CheckpointError("is a zip file, but not one that torch.save wrote (it has no single data.pkl)")
    folder = pickles[0].removesuffix("data.pkl")
    order = folder + "byteorder"
    if order in entries.names() and b"".join(entries.chunks(order, 0, 3))[:3] == b"big":
        raise CheckpointError("was saved on a big-endian machine: save it again on a little-endian one")
    return folder
