"""`prima merge`, `prima export` and `prima report`: commands on embeddings files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from prima_features.cli.console import out, print_caveat, print_failures, print_report
from prima_features.cli.options import NoPictures, NoReport, split_values
from prima_features.wording import count


def merge(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.h5", help="The embeddings file to write.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PARTS|FILE.h5",
            help="Folders of parts and embeddings files (default: OUTPUT.h5.parts).",
            show_default=False,
        ),
    ] = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Leave out the studies that are not finished yet.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite OUTPUT.h5 if it exists and is not an input.")
    ] = False,
    no_report: NoReport = False,
    no_pictures: NoPictures = False,
) -> None:
    """Combine the results of `prima embed --shard` jobs, or several embeddings files, in one file.

    All must have been made by the same model with the same options. OUTPUT.h5.parts is deleted once OUTPUT.h5 is
    complete; everything else is left as it is.
    """
    from prima_features.embedding.merge import merge as run

    merged = run(output, inputs or (), incomplete, force, not no_report, not no_pictures)
    print_failures(merged.failures)
    out.print(
        f"[bold]{escape(str(output))}[/]: {count(merged.n_studies, 'study')} with {merged.n_series} series"
    )
    print_report(merged.report)
    print_caveat(merged.caveat)
    if not merged.complete:
        raise typer.Exit(3)


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


def report(
    source: Annotated[
        Path, typer.Argument(metavar="FILE.h5", help="Embeddings file made by prima embed or merge.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", help="HTML file to write (default: FILE.report.html).", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite a file that this command did not write.")
    ] = False,
    no_pictures: Annotated[
        bool,
        typer.Option(
            "--no-pictures", help="Leave out the thumbnails of the scans, for example before sharing."
        ),
    ] = False,
) -> None:
    """Write the HTML report of an embeddings file again: counts, failures, pictures, a map, near-duplicates, outliers.

    `prima embed` and `prima merge` write it themselves. Pictures are taken from the existing page; if it was
    deleted, they return only when the studies are embedded again.
    """
    from prima_features.embedding.record.output import check_page, report_path
    from prima_features.embedding.record.run_file import run_path
    from prima_features.embedding.report import write_report
    from prima_features.errors import UsageError
    from prima_features.files.targets import as_inputs

    if not source.is_file():
        raise UsageError(f"{source} does not exist or is not a file")
    check_page(output or report_path(source), as_inputs(source, run_path(source)), force)
    print_report(write_report(source, pictures=not no_pictures, path=output))
