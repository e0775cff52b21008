"""`prima synth`: synthetic brains with known factors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from prima_features.cli.console import out, study_progress, table
from prima_features.cli.options import split_values
from prima_features.cli.process import stopping_on_signals
from prima_features.errors import UsageError
from prima_features.wording import count

if TYPE_CHECKING:
    from prima_features.synthetic.output.run import Made


def synth(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="New folder to write.")],
    subjects: Annotated[int, typer.Option("--subjects", metavar="N", min=1, help="Number of subjects.")] = 10,
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", min=0, help="Random seed: the same seed gives the same cohort."),
    ] = 0,
    format: Annotated[
        Literal["bids", "dicom"],
        typer.Option("--format", help="BIDS with NIfTI, or DICOM, one file per slice."),
    ] = "bids",
    settings: Annotated[
        Literal["usual", "varied", "wide"],
        typer.Option(
            "--settings",
            help="Scanner settings: usual; varied, for training; wide, to test generalisation beyond both.",
        ),
    ] = "usual",
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--condition",
            metavar="NAME...",
            help="Only subjects with these diagnoses, such as control dementia glioma (default: all).",
        ),
    ] = None,
    visits: Annotated[
        int,
        typer.Option(
            "--visits", metavar="N", min=1, help="Studies of each subject, whose brain ages between them."
        ),
    ] = 1,
    visit_days: Annotated[
        list[str] | None,
        typer.Option(
            "--visit-days",
            metavar="MIN MAX",
            help="Days from one visit to the next, drawn between these (default: 365 1095).",
        ),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Also write preview.png, a sheet of middle slices.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", metavar="N", min=1, help="Number of processes.")] = 1,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="Device: auto (a GPU if available, otherwise the CPU), cpu or cuda.",
        ),
    ] = "cpu",
) -> None:
    """Make synthetic brain MRI studies with known factors, reports and labels.

    Subjects differ in age, sex, site and diagnosis. participants.tsv contains the ground truth, reports.tsv one
    radiology report per subject, and labels.tsv diagnoses under the names of Prima's heads. The same seed gives the
    same subjects for any --format, --settings and --workers. With --visits, sessions.tsv has a row per visit.
    """
    from prima_features.embedding.engine.device import pick_device
    from prima_features.synthetic import CONDITIONS
    from prima_features.synthetic.output.run import CohortOptions, make_cohort

    chosen = split_values(conditions)
    if unknown := [name for name in chosen if name not in CONDITIONS]:
        raise UsageError(
            f"Unknown condition {unknown[0]}: --condition must be one of {', '.join(CONDITIONS)}"
        )
    if visit_days and visits == 1:
        raise UsageError("--visit-days is for cohorts with several visits: give --visits")
    options = CohortOptions(
        subjects,
        seed,
        format,
        settings,
        str(pick_device(device)),
        preview,
        chosen,
        visits,
        _days(split_values(visit_days)) if visit_days else CohortOptions.visit_days,
    )
    with study_progress("making", options.studies) as show, stopping_on_signals() as stopping:

        def on_study(study: Made, done: int) -> None:
            row = study.row
            show(
                done, options.studies, row["participant_id"], f"{row['n_series']} series, {row['diagnosis']}"
            )

        made = make_cohort(output, options, workers, on_study, stopping)
    _print_made(made)
    series = sum(int(study.row["n_series"]) for study in made)
    out.print(f"[bold]{escape(str(output))}[/]: {count(len(made), 'synthetic study')} with {series} series")


def _days(given: Sequence[str]) -> tuple[float, float]:
    try:
        low, high = map(float, given)
    except ValueError:
        low, high = 0.0, -1.0
    if not 1 <= low <= high < 36525:
        raise UsageError(
            f"--visit-days must be two numbers of days, such as 365 1095, the smaller first, not {' '.join(given)}"
        )
    return low, high


def _print_made(made: Sequence[Made]) -> None:
    """One row per diagnosis."""
    shown = table("diagnosis", "studies", "ages", "sites")
    rows = [study.row for study in made]
    for diagnosis, n in Counter(row["diagnosis"] for row in rows).most_common():
        these = [row for row in rows if row["diagnosis"] == diagnosis]
        ages = [float(row["age"]) for row in these]
        span = f"{min(ages):.0f} to {max(ages):.0f}" if len(ages) > 1 else f"{ages[0]:.0f}"
        shown.add_row(diagnosis, str(n), span, ", ".join(sorted({row["site"] for row in these})))
    out.print(shown)
