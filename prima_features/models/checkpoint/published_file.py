"""A published file of weights of either kind, safetensors or a `torch.save` archive, read one tensor at a time."""

from __future__ import annotations

import math
import operator
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from prima_features.errors import UsageError
from prima_features.files.disk import output_errors
from prima_features.files.safe import open_regular, safetensors_header
from prima_features.files.text import printable
from prima_features.models.checkpoint.records import CheckpointError
from prima_features.models.checkpoint.stored_tensor import ITEM_BYTES, StoredTensor, as_tensor
from prima_features.models.checkpoint.torch_archive import TorchArchive

_PIECE = 1 << 22
_ZIP, _TAR, _TAR_AT = b"PK\x03\x04", b"ustar", 257
_MOST_UNPACKED = 8 << 30


class PublishedFile:
    """A file of weights, open for reading. Use it in a `with` statement.

    A tar archive with one such file is looked into. No class or function that a file names is imported or called.

    Raises:
        UsageError: the file is missing, damaged, or of another kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with ExitStack() as self._stack:
            self._open(path)
            self._stack = self._stack.pop_all()

    def _open(self, path: Path) -> None:
        try:
            file = self._stack.enter_context(open_regular(path))
            start = file.read(_TAR_AT + len(_TAR))
            file.seek(0)
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror}): give a published file") from error
        except ValueError as error:
            raise UsageError(f"{path} {error}: give a published file") from error
        if start.startswith(_ZIP):
            self._archive: TorchArchive | _Safetensors = self._stack.enter_context(TorchArchive(path))
        elif start[_TAR_AT:] == _TAR:
            self._open_in_tar(file)
        else:
            try:
                self._archive = _Safetensors(file)
            except (CheckpointError, ValueError) as error:
                raise UsageError(
                    f"{self.path} is neither a safetensors file ({error}) nor one that torch.save wrote: "
                    "download it again"
                ) from error

    def _open_in_tar(self, file: BinaryIO) -> None:
        """Open the one file of a tar archive that torch.save wrote."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="prima-")))
        try:
            with tarfile.open(fileobj=file) as tar, output_errors(folder):
                members = [member for member in tar if member.isfile() and member.size > _TAR_AT]
                inner = tar.extractfile(members[0]) if len(members) == 1 else None
                if inner is None or members[0].size > _MOST_UNPACKED:
                    raise UsageError(
                        f"{self.path} is a tar archive of {len(members)} files: unpack it, and give one"
                    )
                with (folder / "inside").open("wb") as out:
                    shutil.copyfileobj(inner, out, _PIECE)
        except tarfile.TarError as error:
            raise UsageError(f"{self.path} is a damaged tar archive ({error}): download it again") from error
        self._archive = self._stack.enter_context(TorchArchive(folder / "inside"))

    def __enter__(self) -> PublishedFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def tensors(self, containers: Sequence[str]) -> dict[str, StoredTensor]:
        """The tensors by name.

        Args:
            containers: keys of the saved dict under which they may be; the first that exists. Without any, or if none
                exists, the saved dict itself.

        Raises:
            CheckpointError: there are none.
        """
        root = self._archive.root
        if isinstance(root, dict):
            root = next((root[key] for key in containers if isinstance(root.get(key), dict)), root)
        entries = root if isinstance(root, dict) else {}
        found = {
            str(name): value if isinstance(value, StoredTensor) else as_tensor(value)
            for name, value in entries.items()
        }
        tensors = {name: tensor for name, tensor in found.items() if tensor is not None}
        if not tensors:
            expected = f" (looked for {', '.join(containers)})" if containers else ""
            raise CheckpointError(f"contains no state dict{expected}")
        return tensors

    def chunks(self, tensor: StoredTensor) -> Iterator[bytes]:
        """The tensor's numbers, row-major, as little-endian bytes in pieces of a few MB."""
        return self._archive.chunks(tensor)


class _Safetensors:
    """A safetensors file, with each tensor as a storage of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        header = safetensors_header(file)
        header.pop("__metadata__", None)
        start = file.tell()
        self._begins = {name: start + entry["data_offsets"][0] for name, entry in header.items()}
        self.root: dict[str, object] = {name: _stored(name, entry) for name, entry in header.items()}

    def chunks(self, tensor: StoredTensor) -> Iterator[bytes]:
        self._file.seek(self._begins[tensor.storage])
        left = tensor.nbytes
        while left:
            piece = self._file.read(min(left, _PIECE))
            if not piece:
                raise CheckpointError("ends too early")
            yield piece
            left -= len(piece)


def _stored(name: str, entry: dict[str, Any]) -> StoredTensor:
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry["data_offsets"]
    if dtype not in ITEM_BYTES or not isinstance(shape, list) or len(offsets) != 2:
        raise CheckpointError(f"contains {printable(name)} of a type that cannot be read")
    steps = [1, *accumulate(reversed(shape[1:]), operator.mul)]
    tensor = StoredTensor(
        dtype, tuple(shape), tuple(reversed(steps[: len(shape)])), 0, name, math.prod(shape)
    )
    if offsets[1] - offsets[0] != tensor.nbytes or offsets[0] < 0:
        raise CheckpointError(f"contains {printable(name)} with another number of bytes than its shape")
    return tensor
