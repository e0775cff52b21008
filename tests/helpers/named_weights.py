"""Weights that follow from the names and shapes of tensors, as in shared/golden_encoders/README.md."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int64": torch.int64,
}


def named(name: str, shape: tuple[int, ...], dtype: str = "float32") -> torch.Tensor:
    """The tensor of a name."""
    if dtype == "int64":
        return torch.zeros(shape, dtype=torch.int64)
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    last = name.split(".")[-1]
    if last == "running_var":
        values = 1 + 0.1 * np.abs(z)
    elif any(part in last for part in ("pos", "token", "cls")):
        values = 0.1 * z
    elif z.ndim >= 2:
        values = z / np.sqrt(np.prod(shape[1:]))
    elif last in ("weight", "gamma", "gamma_1", "gamma_2"):
        values = 1 + 0.1 * z
    else:
        values = 0.1 * z
    return torch.from_numpy(np.asarray(values, np.float32)).to(_DTYPES[dtype])


def read_layout(path: Path) -> dict[str, dict[str, tuple[tuple[int, ...], str]]]:
    """Shape and number type of each tensor, by model and name."""
    return {
        model: {name: (tuple(shape), dtype) for name, (shape, dtype) in tensors.items()}
        for model, tensors in json.loads(path.read_text()).items()
        if isinstance(tensors, dict)
        and all(isinstance(entry, list) and len(entry) == 2 for entry in tensors.values())
    }


def named_tensors(layout: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, torch.Tensor]:
    """All tensors of a layout."""
    return {name: named(name, shape, dtype) for name, (shape, dtype) in layout.items()}


def normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """The random input of a golden network."""
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def assert_close(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    """Compare by the largest expected value."""
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
