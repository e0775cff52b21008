"""`prima probe predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from prima_features.cli.console import count, out
from prima_features.cli.probe.label_options import with_labels
from prima_features.wording import RESEARCH_ONLY


@with_labels(
    "positive",
    "target_column",
    "group_column",
    "split_column",
    "scanner_column",
    "field_strength_column",
    "control_column",
    "control_values",
    "blank_labels",
)
def predict(
    request: Any,
    probe: Annotated[
        str,
        typer.Argument(metavar="PROBE", help="Probe folder made by prima probe fit, or a probe on the Hub."),
    ],
    embeddings: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.h5", help="Embeddings file, made with the model that the probe was fitted on."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT.tsv", help="Table to write.")],
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite OUT.tsv even if this command did not write it.")
    ] = False,
) -> None:
    """Predict every study of an embeddings file with a saved probe.

    Tables given with --labels add ages (for the brain-age gap), sexes and sites (for harmonisation); no target is
    read from them, and rows that match no study are reported. Studies that are unlike the training set are marked
    in the columns unlike_training and unlike_how. If the model that made the embeddings has a caveat, such as
    synthetic training data, the column caveat states it.
    """
    from prima_features.cli.probe.show import print_warnings
    from prima_features.probes import runs

    predicted = runs.predict(probe, embeddings, request, output, force)
    print_warnings(predicted.warnings)
    out.print(f"[bold]{escape(str(output))}[/]: {count(len(predicted.table), 'study')} predicted")
    out.print(RESEARCH_ONLY)
