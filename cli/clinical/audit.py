"""`prima audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from prima_features.cli.console import count, counting, err, out, print_caveat
from prima_features.cli.options import split_values
from prima_features.wording import RESEARCH_ONLY


def audit(
    scores: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES.tsv",
            help="Scores of prima diagnose, predictions of a probe, or another tool's table: one row per study.",
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder to write; see docs/audit.md.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="TABLE",
            help="Labels: one column per name with 1, 0 or empty (default: the column target of SCORES.tsv).",
        ),
    ] = None,
    attributes: Annotated[
        list[Path] | None,
        typer.Option(
            "--attributes",
            metavar="TABLE...",
            help="Tables with sex, age, site, scanner and so on, per study or subject.",
        ),
    ] = None,
    id_column: Annotated[
        str,
        typer.Option(
            "--id-column",
            metavar="COLUMN",
            help="Column with study or subject ids in the labels and attributes (default: found by its name).",
        ),
    ] = "",
    target_column: Annotated[
        str,
        typer.Option(
            "--target-column",
            metavar="COLUMN",
            help="Column of the labels with one class per study, instead of one column per name.",
        ),
    ] = "",
    score_columns: Annotated[
        list[str] | None,
        typer.Option("--score-columns", metavar="NAME...", help="Columns of scores in another tool's table."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold",
            metavar="X",
            help="A score of this or more means present (default: the stored thresholds).",
        ),
    ] = None,
    sensitivity: Annotated[
        float,
        typer.Option("--sensitivity", metavar="X", help="Sensitivity at which to report the specificity."),
    ] = 0.9,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--groups", metavar="COLUMN...", help="Columns to compare (default: all of the attributes)."
        ),
    ] = None,
    cross: Annotated[
        list[str] | None,
        typer.Option(
            "--cross",
            metavar="A,B",
            help="Also compare the intersections of columns, such as sex,age_band. Repeat for more.",
        ),
    ] = None,
    date_column: Annotated[
        str, typer.Option("--date-column", metavar="COLUMN", help="Column of the studies' dates.")
    ] = "",
    by: Annotated[
        Literal["month", "quarter"] | None, typer.Option("--by", help="Compare periods; needs --date-column.")
    ] = None,
    freeze_before: Annotated[
        str,
        typer.Option(
            "--freeze-before",
            metavar="DATE",
            help="Choose thresholds for --sensitivity before this date and apply them from then on.",
        ),
    ] = "",
    embeddings: Annotated[
        Path | None,
        typer.Option(
            "--embeddings",
            metavar="FILE.h5",
            help="Embeddings of the studies: drift of study vectors from before --freeze-before to each "
            "later period (--by; default: quarters).",
        ),
    ] = None,
    wait_column: Annotated[
        str,
        typer.Option(
            "--wait-column",
            metavar="COLUMN",
            help="Column of days until the result: odds of long waits by group.",
        ),
    ] = "",
    queue_load: Annotated[
        float,
        typer.Option("--queue-load", metavar="X", help="Share of time that the simulated reader is busy."),
    ] = 0.8,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare", metavar="B.tsv", help="Second table of scores: paired differences per name."
        ),
    ] = None,
    calibrate: Annotated[
        Literal["platt", "isotonic"] | None,
        typer.Option(
            "--calibrate", help="Fit curves from scores to probabilities and write calibration.json."
        ),
    ] = None,
    min_positives: Annotated[
        int,
        typer.Option(
            "--min-positives",
            metavar="N",
            help="Minimum number of positive and of negative subjects for the metrics of a group.",
        ),
    ] = 10,
    resamples: Annotated[
        int, typer.Option("--resamples", metavar="N", help="Number of bootstrap resamples of subjects.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Random seed.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite OUT_DIR even if this command did not write it.")
    ] = False,
) -> None:
    """Compare scores with labels: accuracy, calibration, and gaps between groups, with intervals.

    Writes audit.html, audit.json, audit.tsv (one row per name, group and metric) and unmatched.tsv (ids without scores
    or labels) to OUT_DIR. Intervals resample subjects, keeping all studies of a subject together. Groups that are too
    small are listed with the reason.
    """
    from prima_features.clinical.audit import AuditOptions
    from prima_features.clinical.audit import audit as run

    options = AuditOptions(
        id_column=id_column,
        target_column=target_column,
        score_columns=split_values(score_columns),
        threshold=threshold,
        sensitivity=sensitivity,
        groups=split_values(groups),
        cross=tuple(split_values([one]) for one in cross or ()),
        date_column=date_column,
        by=by or "",
        freeze_before=freeze_before,
        wait_column=wait_column,
        queue_load=queue_load,
        calibrate=calibrate or "",
        min_positives=min_positives,
        resamples=resamples,
        seed=seed,
    )
    with counting("groups") as on_step:
        found = run(
            scores,
            output,
            labels,
            attributes or (),
            options,
            compare_with=compare,
            embeddings=embeddings,
            force=force,
            on_step=on_step,
        )
    for note in found.cohort.notes:
        err.print(f"[yellow]Note:[/] {escape(note)}")
    mean, n = found.macro["auroc"], len(found.cohort.subject)
    what = f"mean AUROC {mean.estimate}, SD over names {mean.sd:.3f}"
    if mean.n_names == 1:
        what = f"AUROC {mean.estimate}"
    out.print(
        f"[bold]{escape(str(output / 'audit.html'))}[/]: {count(n, 'study')}, {count(mean.n_names, 'name')}; {what}"
    )
    if len(found.cohort.unmatched):
        err.print(
            f"[yellow]Note:[/] {count(len(found.cohort.unmatched), 'row')} without a partner, in "
            f"unmatched.tsv"
        )
    print_caveat(found.cohort.scores.caveat)
    out.print(RESEARCH_ONLY)
