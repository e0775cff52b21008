"""Blocks of rows as Arrow record batches, which the Parquet and CSV writers take."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from prima_features.embedding.export.table import VECTOR, VectorTable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

METADATA = "prima"
"""Key of the file's attributes, as JSON, in the schema's metadata."""


def columns_schema(table: VectorTable) -> pa.Schema:
    """Names and types of the columns beside the vectors, with the file's attributes as metadata."""
    import pyarrow as pa

    schema = pa.Schema.from_pandas(table.columns, preserve_index=False)
    # Strings are strings whatever pandas holds them as, also where there is no row to tell by.
    fields = [
        field.with_type(pa.string()) if table.columns[field.name].dtype.kind not in "iuf" else field
        for field in schema
    ]
    attributes = json.dumps(table.attributes | {"level": table.level}, sort_keys=True)
    return pa.schema(fields, metadata={METADATA: attributes})


def column_arrays(columns: pd.DataFrame, schema: pa.Schema) -> list[pa.Array]:
    """The columns of some rows."""
    import pyarrow as pa

    return [pa.array(columns[field.name].to_numpy(), type=field.type) for field in schema]


def list_array(vectors: np.ndarray) -> pa.Array:
    """(n, width) float32 as one column of lists of equal length."""
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])


def vector_field(width: int) -> pa.Field:
    """The type of `list_array`."""
    import pyarrow as pa

    return pa.field(VECTOR, pa.list_(pa.float32(), width))
