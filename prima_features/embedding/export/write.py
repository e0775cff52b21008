"""The writers of tables: Parquet and CSV with pyarrow, NPZ. Each writes block by block.

Each raises OSError if the file cannot be written.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prima_features.embedding.export.table import VECTOR, VectorTable
from prima_features.files.text import to_cell

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_METADATA = "prima"
"""Key of the file's attributes, as JSON, in the metadata of a Parquet file's schema."""


def write_parquet(table: VectorTable, path: Path) -> None:
    """Write a table as Parquet: the vectors are one column of lists of equal length, the attributes are metadata."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    columns_only = _schema(table)
    schema = columns_only.append(pa.field(VECTOR, pa.list_(pa.float32(), table.width)))
    # An open file, because Arrow takes no names that are not UTF-8.
    with path.open("wb") as file, ParquetWriter(file, schema) as writer:
        for columns, vectors in table.blocks():
            lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
            arrays = [*_arrays(columns, columns_only), lists]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def write_csv(table: VectorTable, path: Path) -> None:
    """Write a table as CSV (RFC 4180, UTF-8) with a header, in digits that give the same float32 back.

    There is one column per number of the vectors: `embedding_0` and so on. CSV has no place for metadata: if the
    model has a caveat, it is repeated in a column `caveat` before the vectors. Texts that a spreadsheet would take for
    formulas have an apostrophe before them (`files.text.to_cell`).
    """
    import pyarrow as pa
    from pyarrow.csv import CSVWriter, WriteOptions

    columns_only, caveat = _schema(table), table.file.caveat
    numbered = [pa.field(f"{VECTOR}_{i}", pa.float32()) for i in range(table.width)]
    schema = pa.schema([*columns_only, *([pa.field("caveat", pa.string())] if caveat else []), *numbered])
    with (
        path.open("wb") as file,
        CSVWriter(file, schema, write_options=WriteOptions(quoting_header="none")) as writer,
    ):
        for columns, vectors in table.blocks():
            texts = columns.select_dtypes(exclude="number")
            columns = columns.assign(**{str(name): texts[name].map(to_cell) for name in texts})
            arrays = _arrays(columns, columns_only)
            arrays += [pa.array([caveat] * len(vectors))] if caveat else []
            arrays += [pa.array(column) for column in vectors.T.copy()]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def write_npz(table: VectorTable, path: Path) -> None:
    """Write a table as NPZ: one array per column, loaded without pickle, and the attributes as JSON in `attributes`.

    The layout is that of numpy.savez, which would need all vectors in memory.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name in table.names:
            values = table.columns[name].to_numpy()
            # Text as fixed-width strings: objects would have to be pickled.
            _member(archive, name, values if values.dtype.kind in "iuf" else values.astype(str))
        _member(archive, "attributes", np.array(json.dumps(table.attributes | {"level": table.level})))
        with archive.open(f"{VECTOR}.npy", "w", force_zip64=True) as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(table), table.width)}
            np.lib.format.write_array_header_2_0(member, header)
            for _, vectors in table.blocks():
                member.write(vectors.astype("<f4", copy=False).tobytes())


def _schema(table: VectorTable) -> pa.Schema:
    """Names and types of the columns without the vectors, with the file's attributes as metadata."""
    import pyarrow as pa

    schema = pa.Schema.from_pandas(table.columns, preserve_index=False)
    # Strings are strings whatever pandas holds them as, also if there is no row to infer it from.
    fields = [
        field.with_type(pa.string()) if table.columns[field.name].dtype.kind not in "iuf" else field
        for field in schema
    ]
    attributes = json.dumps(table.attributes | {"level": table.level}, sort_keys=True)
    return pa.schema(fields, metadata={_METADATA: attributes})


def _arrays(columns: pd.DataFrame, schema: pa.Schema) -> list[pa.Array]:
    import pyarrow as pa

    return [pa.array(columns[field.name].to_numpy(), type=field.type) for field in schema]


def _member(archive: zipfile.ZipFile, name: str, values: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array(member, values, allow_pickle=False)
