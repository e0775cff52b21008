"""Weights and inputs of the golden values of other encoders, computed from names and seeds."""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prima_features.encoders.base import Encoder
from prima_features.encoders.convert import convert
from prima_features.encoders.registry import load_encoder

Layout = dict[str, tuple[tuple[int, ...], str]]
"""Shape and number type of each tensor."""


def layout(folder: Path, which: str) -> Layout:
    """The tensors of the `full` or `small` network in the folder of one encoder."""
    stored: dict[str, Any] = json.loads((folder / "layout.json").read_text())[which]
    return {name: (tuple(shape), dtype) for name, (shape, dtype) in stored.items()}


def synthetic_tensor(name: str, shape: tuple[int, ...], dtype: str = "float32") -> torch.Tensor:
    """The tensor of a name: see the README.md of the golden values. `name` is without any prefix of the file."""
    if dtype not in ("float32", "bfloat16"):
        return torch.zeros(shape, dtype=getattr(torch, dtype))
    z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    last = name.split(".")[-1]
    if last == "running_var":
        values = 1 + 0.1 * np.abs(z)
    elif any(part in last for part in ("pos", "token", "cls")):
        values = 0.1 * z
    elif len(shape) > 1:
        values = z / np.sqrt(np.prod(shape[1:]))
    elif last in ("weight", "gamma", "gamma_1", "gamma_2"):
        values = 1 + 0.1 * z
    else:
        values = 0.1 * z
    return torch.from_numpy(values.astype(np.float32)).to(getattr(torch, dtype))


def synthetic_weights(found: Layout) -> dict[str, torch.Tensor]:
    """The tensors of a layout."""
    return {name: synthetic_tensor(name, shape, dtype) for name, (shape, dtype) in found.items()}


def random_input(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal numbers."""
    return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape).astype(np.float32))


def assert_close(found: Any, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    """Differences within a fraction of the largest expected value."""
    found = found.numpy() if isinstance(found, torch.Tensor) else found
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def assert_summary(found: np.ndarray, row: dict[str, Any], tolerance: float = 1e-4) -> None:
    """What a golden file states of a whole volume, as far as it does: shape, extremes, sums, and voxels that are not 0.

    Sums are compared in units of the largest value times the number of voxels.
    """
    values = found.astype(np.float64)
    largest = max(abs(row["min"]), abs(row["max"]))
    facts = {"min": values.min(), "max": values.max()}
    sums = {"sum": values.sum(), "abs_sum": np.abs(values).sum()}
    assert list(found.shape) == row.get("shape", list(found.shape))
    for name, value in facts.items():
        assert abs(value - row[name]) <= tolerance * largest, name
    for name in sums.keys() & row.keys():
        assert abs(sums[name] - row[name]) <= tolerance * largest * values.size, name
    assert np.count_nonzero(found) == row.get("nonzero", np.count_nonzero(found))


def save(
    path: Path, tensors: dict[str, torch.Tensor], prefix: str = "", container: str = "", **others: Any
) -> Path:
    """Write tensors as `torch.save` does, under a key if `container`, each name with a prefix."""
    named = {prefix + name: tensor for name, tensor in tensors.items()} | others
    torch.save({container: named, "epoch": 1} if container else named, path)
    return path


def converted(file: Path, name: str, output: Path) -> Encoder:
    """Convert a published file of an encoder and load the model."""
    convert(file, name, output)
    return load_encoder(output)
