"""Where a tensor lies in a torch archive, worked out from the records of its pickle without reading it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from prima_features.models.checkpoint.records import CheckpointError, Global, PersistentId, Record

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
"""The safetensors names of the number types that are read, with the bytes of one number."""

_TYPES = {
    "Double": "F64", "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Long": "I64", "Int": "I32",
    "Short": "I16", "Char": "I8", "Byte": "U8", "Bool": "BOOL",
}  # fmt: skip
_MAX_DIMENSIONS = 8
_MAX_SIZE = 2**48


@dataclass(frozen=True)
class StoredTensor:
    """A view of one storage. All counts are in numbers, not bytes."""

    dtype: str
    """Safetensors name of the type, a key of `ITEM_BYTES`."""
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage: str
    """Name of the storage in the archive."""
    storage_size: int

    def __post_init__(self) -> None:
        numbers = (*self.shape, *self.stride, self.offset, self.storage_size)
        if not all(type(number) is int and 0 <= number < _MAX_SIZE for number in numbers):
            raise CheckpointError("contains a tensor with an invalid size, stride or offset")
        if len(self.shape) != len(self.stride) or len(self.shape) > _MAX_DIMENSIONS:
            raise CheckpointError(f"contains a tensor of shape {self.shape} and stride {self.stride}")
        # A view may repeat numbers (stride 0), and so claim terabytes of a storage of one number.
        if self.size > self.storage_size or (self.size and self.offset + self.span > self.storage_size):
            raise CheckpointError(f"contains a tensor of shape {self.shape} that reaches beyond its storage")

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """How many numbers of the storage lie between its first and its last, both counted."""
        return 1 + sum((n - 1) * step for n, step in zip(self.shape, self.stride, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers without gaps."""
        return self.size * ITEM_BYTES[self.dtype]

    @property
    def contiguous(self) -> bool:
        """Whether its numbers lie in the storage in row-major order and without gaps."""
        expected = 1
        for n, step in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if n > 1 and step != expected:
                return False
            expected *= n
        return True

    def length(self, axis: int) -> int:
        """Length of an axis.

        Raises:
            CheckpointError: there are not as many axes.
        """
        if not -len(self.shape) <= axis < len(self.shape):
            raise CheckpointError(
                f"contains a tensor of shape {self.shape}, but one with more axes is expected"
            )
        return self.shape[axis]

    def item(self, index: int) -> StoredTensor:
        """What indexing the first axis gives: a view without that axis. Negative indices count from the end.

        Raises:
            CheckpointError: there is no such item.
        """
        length = self.length(0)
        if not -length <= index < length:
            raise CheckpointError(
                f"contains a tensor of shape {self.shape} without the expected item {index}"
            )
        offset = self.offset + index % length * self.stride[0]
        return replace(self, shape=self.shape[1:], stride=self.stride[1:], offset=offset)

    def row(self, index: int) -> StoredTensor:
        """The item with the first axis kept, at length 1."""
        item = self.item(index)
        return replace(item, shape=(1, *item.shape), stride=(max(item.size, 1), *item.stride))


def as_tensor(value: object) -> StoredTensor | None:
    """The tensor that a record stands for; None for anything else.

    Raises:
        CheckpointError: a tensor of another number type, or one that does not fit in its storage.
    """
    while isinstance(value, Record) and isinstance(value.of, Global) and isinstance(value.args, tuple):
        name, args = value.of.name, value.args
        if name in ("_rebuild_parameter", "_rebuild_parameter_with_state") and args:
            value = args[0]
        elif name == "_rebuild_from_type_v2" and len(args) >= 3:
            value = Record(args[0], args[2])
        elif name in ("_rebuild_tensor", "_rebuild_tensor_v2") and len(args) >= 4:
            return _view(args, metadata=args[6:7])
        else:
            break
    return None


def _view(args: tuple[object, ...], metadata: tuple[object, ...]) -> StoredTensor:
    storage, offset, shape, stride = args[:4]
    reference = storage.value if isinstance(storage, PersistentId) else None
    if not (isinstance(reference, tuple) and len(reference) == 5 and isinstance(reference[2], str)):
        raise CheckpointError("contains a tensor without a storage of its own")
    if not (isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise CheckpointError("contains a tensor without a shape")
    if any(metadata):
        raise CheckpointError("contains a negated or conjugated view: save it again as a plain tensor")
    return StoredTensor(_dtype(reference[1]), shape, stride, offset, reference[2], reference[4])  # type: ignore[arg-type]


def _dtype(value: object) -> str:
    name = value.name.removesuffix("Storage") if isinstance(value, Global) else "?"
    if name not in _TYPES:
        raise CheckpointError(
            f"contains a tensor of the type {name}; supported types: {', '.join(ITEM_BYTES)}"
        )
    return _TYPES[name]
