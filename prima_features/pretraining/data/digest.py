"""Whether tensors are the same ones as before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def digest_of(tensors: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]]) -> str:
    """Hash of named tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(dict(tensors).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
