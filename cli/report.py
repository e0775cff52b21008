"""`prima report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from prima_features.cli.console import print_report


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
