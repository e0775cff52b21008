"""Parquet: the vectors are one column of lists of equal length."""

from __future__ import annotations

from pathlib import Path

from prima_features.embedding.export.arrow import column_arrays, columns_schema, list_array, vector_field
from prima_features.embedding.export.table import VectorTable


def write_parquet(table: VectorTable, path: Path) -> None:
    """Write a table as Parquet, with the embeddings file's attributes as JSON under `prima` in the metadata.

    Raises:
        OSError: the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    columns_only = columns_schema(table)
    schema = columns_only.append(vector_field(table.width))
    # An open file, because Arrow takes no names that are not UTF-8.
    with path.open("wb") as file, ParquetWriter(file, schema) as writer:
        for columns, vectors in table.blocks():
            arrays = [*column_arrays(columns, columns_only), list_array(vectors)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
