"""CSV (RFC 4180, UTF-8, with a header): one column a number of the vectors."""

from __future__ import annotations

from pathlib import Path

from prima_features.embedding.export.arrow import column_arrays, columns_schema
from prima_features.embedding.export.table import VECTOR, VectorTable


def write_csv(table: VectorTable, path: Path) -> None:
    """Write a table as CSV, with columns `embedding_0` and so on, in digits that give the same float32 back.

    Raises:
        OSError: the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow.csv import CSVWriter, WriteOptions

    columns_only = columns_schema(table)
    schema = pa.schema(
        [*columns_only, *(pa.field(f"{VECTOR}_{i}", pa.float32()) for i in range(table.width))]
    )
    with CSVWriter(path, schema, write_options=WriteOptions(quoting_header="none")) as writer:
        for columns, vectors in table.blocks():
            numbers = [pa.array(column) for column in vectors.T.copy()]
            writer.write_batch(
                pa.record_batch([*column_arrays(columns, columns_only), *numbers], schema=schema)
            )
