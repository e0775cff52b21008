"""`prima probe evaluate`, `predict` and `compare`: commands on saved probes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from prima_features.cli.console import count, out, print_caveat
from prima_features.cli.options import ForceTable, Overwrite, shown_command
from prima_features.cli.probe.label_options import CHANGE_OPTIONS, with_labels
from prima_features.wording import RESEARCH_ONLY

SavedProbe = Annotated[
    str, typer.Argument(metavar="PROBE", help="Probe folder made by prima probe fit, or a probe on the Hub.")
]


@with_labels("split_column", "horizons", *CHANGE_OPTIONS)
def evaluate(
    request: Any,
    context: typer.Context,
    probe: SavedProbe,
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
    overwrite: Overwrite = False,
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


@with_labels(
    "positive",
    "target_column",
    "label_columns",
    "group_column",
    "split_column",
    "scanner_column",
    "field_strength_column",
    "control_column",
    "control_values",
    "blank_labels",
    "grade_column",
    "event_column",
    "event_values",
    "horizons",
    *CHANGE_OPTIONS,
)
def predict(
    request: Any,
    probe: SavedProbe,
    embeddings: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.h5", help="Embeddings file, made with the model that the probe was fitted on."
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT.tsv", help="Table to write.")],
    force: ForceTable = False,
) -> None:
    """Predict every study of an embeddings file with a saved probe.

    Tables given with --labels add ages (for the brain-age gap), sexes and sites (for harmonisation); no target is
    read from them, and rows that match no study are reported. Studies that are unlike the training set are marked
    in the columns unlike_training and unlike_how. If the model that made the embeddings has a caveat, such as
    synthetic training data, the column caveat states it. A probe fitted with --estimator attention also writes the
    weight of each series or token to OUT.attention.tsv.
    """
    from prima_features.cli.probe.show import print_warnings
    from prima_features.probes import runs
    from prima_features.probes.runs.saved import attention_file

    predicted = runs.predict(probe, embeddings, request, output, force)
    print_warnings(predicted.warnings)
    out.print(f"[bold]{escape(str(output))}[/]: {count(len(predicted.table), predicted.noun)} predicted")
    if predicted.attention is not None:
        out.print(f"Attention weights: {escape(str(attention_file(output)))}")
    out.print(RESEARCH_ONLY)


def compare(
    first: Annotated[Path, typer.Argument(metavar="DIR_A", help="Probe folder made by prima probe fit.")],
    second: Annotated[
        Path, typer.Argument(metavar="DIR_B", help="Another probe folder, fitted on the same studies.")
    ],
) -> None:
    """Test whether two probes differ on the folds that both were evaluated on.

    Uses the corrected resampled t-test of Nadeau and Bengio (2003), which accounts for overlapping training sets.
    """
    from prima_features.probes import runs

    found = runs.compare(first, second)
    out.print(
        f"{found.metric}: first minus second {found.difference:.4g} over {found.n_folds} folds, "
        f"t = {found.t:.3g}, {found.degrees_of_freedom} degrees of freedom, p = {found.p_value:.3g} (two-sided)"
    )
    print_caveat(found.caveat)
