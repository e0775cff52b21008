"""Writing a safetensors file one tensor at a time; the library itself wants all of them in memory.

The format (safetensors README): an unsigned 64-bit little-endian length, a JSON header of that length with
each tensor's dtype, shape and byte range, then the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from prima_features.errors import OutputError
from prima_features.models.checkpoint.stored_tensor import ITEM_BYTES, StoredTensor

_ALIGNMENT = 8


def write_safetensors(
    path: Path,
    tensors: Mapping[str, StoredTensor],
    chunks: Callable[[str], Iterable[bytes]],
    metadata: Mapping[str, str],
) -> None:
    """Write tensors in constant memory.

    Args:
        path: the file to write.
        tensors: by their names.
        chunks: gives the bytes of the tensor of a name, in pieces.
        metadata: free text for the header, string to string.

    Raises:
        OutputError: the disk has less room than the file takes.
    """
    # Wide numbers first, so that each tensor starts at a multiple of its number's size.
    names = sorted(tensors, key=lambda name: (-ITEM_BYTES[tensors[name].dtype], name))
    header = _header({name: tensors[name] for name in names}, metadata)
    _check_room(path, len(header) + sum(tensor.nbytes for tensor in tensors.values()))
    with path.open("wb") as file:
        file.write(header)
        for name in names:
            for chunk in chunks(name):
                file.write(chunk)


def _header(tensors: Mapping[str, StoredTensor], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    start = 0
    for name, tensor in tensors.items():
        end = start + tensor.nbytes
        entries[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _check_room(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise OutputError(
            f"{path.name} takes {needed / 2**30:.1f} GiB and the disk has {free / 2**30:.1f} GiB left: "
            "write to another disk"
        )
