"""`prima export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from prima_features.cli.arguments import split_values
from prima_features.cli.console import out, print_caveat
from prima_features.wording import count


def export(
    source: Annotated[Path, typer.Argument(metavar="FILE.h5", help="Embeddings file made by prima embed.")],
    output: Annotated[
        Path,
        typer.Argument(metavar="OUTPUT", help="Table to write (.parquet, .csv or .npz)."),
    ],
    level: Annotated[
        Literal["study", "clip", "series"],
        typer.Option(
            "--level",
            help="study: vectors for probes; clip: vectors comparable with text; series: one row per series.",
        ),
    ] = "study",
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--columns", metavar="NAME...", help="Columns in addition to id and the vectors (default: all)."
        ),
    ] = None,
    format: Annotated[
        Literal["parquet", "csv", "npz"] | None,
        typer.Option("--format", help="File format (default: from the extension of OUTPUT)."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "--force", help="Overwrite OUTPUT if it exists.")
    ] = False,
) -> None:
    """Write the vectors of an embeddings file as Parquet, CSV or NPZ, one row per study or series.

    Parquet has them as one column of lists, `embedding`; CSV as `embedding_0`, `embedding_1` and so on; NPZ as
    one array. Each row has the study's id. If the model has a caveat, such as synthetic training data, the metadata of
    Parquet, the attributes of NPZ and a column of CSV state it. Spacings are in mm, shapes in voxels.
    """
    from prima_features.embedding.export import export as write

    written = write(source, output, level, split_values(columns), format, overwrite)
    out.print(
        f"[bold]{escape(str(output))}[/]: {count(written.n_rows, 'row')} with vectors of {written.width} numbers; "
        f"columns {escape(', '.join(written.columns))}"
    )
    print_caveat(written.caveat)
