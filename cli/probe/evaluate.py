"""`prima probe evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from prima_features.cli.console import out
from prima_features.cli.probe.label_options import with_labels
from prima_features.cli.probe.shown_command import shown_command


@with_labels("split_column")
def evaluate(
    request: Any,
    context: typer.Context,
    probe: Annotated[
        str,
        typer.Argument(metavar="PROBE", help="Probe folder made by prima probe fit, or a probe on the Hub."),
    ],
    embeddings: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.h5", help="Embeddings file of another cohort, made with the same model."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder for metrics, predictions and an HTML report."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "--force", help="Replace DIR if it is not empty.")
    ] = False,
    bootstrap: Annotated[
        int,
        typer.Option(
            "--bootstrap", metavar="N", min=0, help="Number of resamples for the confidence intervals."
        ),
    ] = 1000,
) -> None:
    """Evaluate a saved probe on another cohort's labels. Nothing is fitted."""
    from prima_features.cli.probe.show import print_evaluation, print_warnings
    from prima_features.probes import runs

    found = runs.evaluate(
        probe,
        embeddings,
        request,
        output,
        n_bootstrap=bootstrap,
        command=shown_command(context.obj),
        overwrite=overwrite,
    )
    print_warnings(found.warnings)
    print_evaluation(found)
    if output is not None:
        out.print(f"Report: {escape(str(output / 'report.html'))}")
