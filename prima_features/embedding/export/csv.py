"""CSV (RFC 4180, UTF-8, with a header): one column a number of the vectors."""

from __future__ import annotations

from pathlib import Path

from prima_features.embedding.export.arrow import column_arrays, columns_schema
from prima_features.embedding.export.table import VECTOR, VectorTable
from prima_features.files.text import to_cell


def write_csv(table: VectorTable, path: Path) -> None:
    """Write a table as CSV, with columns `embedding_0` and so on, in digits that give the same float32 back.

    CSV has no place for metadata: if the model has a caveat, it is repeated in a column `caveat` before the vectors.

    Texts that a spreadsheet would take for formulas have an apostrophe before them (`files.text.to_cell`).

    Raises:
        OSError: the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow.csv import CSVWriter, WriteOptions

    columns_only, caveat = columns_schema(table), table.file.caveat
    numbered = [pa.field(f"{VECTOR}_{i}", pa.float32()) for i in range(table.width)]
    schema = pa.schema([*columns_only, *([pa.field("caveat", pa.string())] if caveat else []), *numbered])
    # An open file, because Arrow takes no names that are not UTF-8.
    with (
        path.open("wb") as file,
        CSVWriter(file, schema, write_options=WriteOptions(quoting_header="none")) as writer,
    ):
        for columns, vectors in table.blocks():
            texts = columns.select_dtypes(exclude="number")
            columns = columns.assign(**{str(name): texts[name].map(to_cell) for name in texts})
            arrays = column_arrays(columns, columns_only)
            arrays += [pa.array([caveat] * len(vectors))] if caveat else []
            arrays += [pa.array(column) for column in vectors.T.copy()]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
