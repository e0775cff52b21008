"""`prima merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from prima_features.cli.console import count, out, print_caveat, print_failures, print_report
from prima_features.cli.options import NoPictures, NoReport


def merge(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT.h5", help="The embeddings file to write.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PARTS|FILE.h5]...",
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
