"""A probe's arrays in a safetensors file: numbers and shapes, nothing that could be run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.persistence.files import check_size
from prima_features.probes.persistence.layout import MAX_ARRAYS_BYTES

TYPES = ("F64", "F32", "I64")

Arrays = dict[str, np.ndarray]


def to_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The file's content."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(values) for name, values in arrays.items()})


def read_arrays(path: Path) -> Arrays:
    """All arrays of a file.

    Raises:
        UsageError: it is not a safetensors file, is larger than any probe's, or holds types other than float64,
            float32 and int64, or numbers that are not finite.
    """
    from safetensors import SafetensorError, safe_open

    check_size(path, MAX_ARRAYS_BYTES)
    try:
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            if other := {file.get_slice(name).get_dtype() for name in names}.difference(TYPES):
                raise UsageError(f"{path} holds numbers of type {min(other)}: expected {', '.join(TYPES)}")
            arrays = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, OverflowError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is not a safetensors file: the probe is damaged") from error
    if bad := [name for name, values in arrays.items() if not np.isfinite(values).all()]:
        raise UsageError(f"{path} holds numbers that are not finite ({bad[0]}): the probe is damaged")
    return arrays


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Arrays under `prefix.`."""
    return {f"{prefix}.{name}": values for name, values in arrays.items()}


def below(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Arrays that are under `prefix.`, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
