"""NPZ: one NumPy array a column, which load without pickle."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from prima_features.embedding.export.table import VECTOR, VectorTable


def write_npz(table: VectorTable, path: Path) -> None:
    """Write a table as NPZ, with the embeddings file's attributes as JSON in the array `attributes`.

    Written member by member, as numpy.savez lays them out, so that the vectors are never all in memory.

    Raises:
        OSError: the file cannot be written.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name in table.names:
            _write(archive, name, _plain(table.columns[name].to_numpy()))
        _write(archive, "attributes", np.array(json.dumps(table.attributes | {"level": table.level})))
        with archive.open(f"{VECTOR}.npy", "w", force_zip64=True) as member:
            shape = (len(table), table.width)
            np.lib.format.write_array_header_2_0(
                member, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )
            for _, vectors in table.blocks():
                member.write(vectors.astype("<f4", copy=False).tobytes())


def _write(archive: zipfile.ZipFile, name: str, values: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, values, allow_pickle=False)


def _plain(values: np.ndarray) -> np.ndarray:
    """Text as NumPy's fixed-width strings; objects would have to be pickled."""
    return values if values.dtype.kind in "iuf" else values.astype(str)
