"""`export()`: from an embeddings file to one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from prima_features.embedding.export.table import Level, VectorTable, vector_table
from prima_features.embedding.export.write import write_csv, write_npz, write_parquet
from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.record.output import files_next_to
from prima_features.errors import UsageError
from prima_features.files.disk import replacing
from prima_features.files.targets import Maker, as_inputs, check_file

Format = Literal["parquet", "csv", "npz"]
FORMATS: tuple[Format, ...] = get_args(Format)
_WRITERS: dict[Format, Callable[[VectorTable, Path], None]] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "npz": write_npz,
}


@dataclass(frozen=True)
class Exported:
    """What was written."""

    n_rows: int
    columns: tuple[str, ...]
    """Columns in addition to the vectors."""
    width: int
    """Length of the vectors."""
    caveat: str = ""
    """Caveat of the model; empty if there is none."""


def export(
    source: str | Path,
    output: str | Path,
    level: Level = "study",
    columns: Sequence[str] = (),
    format: Format | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write the vectors of one level, with their ids and other columns, as Parquet, CSV or NPZ.

    The table appears, by rename, when it is complete. float16 vectors are converted to float32.

    Args:
        source: an embeddings file.
        output: the table; its extension determines the format if `format` is None.
        level: `study`, `clip` or `series` (see `table.vector_table`).
        columns: columns to keep in addition to `id` and the vectors; none for all.
        format: overrides the extension of `output`.
        overwrite: replace `output` if it exists; never the source.

    Raises:
        UsageError: the source is not an embeddings file or lacks the level or a column, or the output is refused.
        OutputError: the disk is full or the folder cannot be written to.
    """
    output = Path(output)
    write = _WRITERS[format or _format_of(output)]
    inputs = as_inputs(source, files_next_to(Path(source)))
    check_file(output, Maker("prima export", inputs, option="--overwrite"), overwrite)
    table = vector_table(read_embeddings(source), level, columns)
    with replacing(output) as temporary:
        write(table, temporary)
    return Exported(len(table), table.names, table.width, table.file.caveat)


def _format_of(output: Path) -> Format:
    ending = output.suffix.lower().removeprefix(".")
    for format in FORMATS:
        if ending == format:
            return format
    endings = ", ".join(f".{format}" for format in FORMATS)
    raise UsageError(
        f"{output} has no extension of a known format: end its name in {endings}, or use --format"
    )
