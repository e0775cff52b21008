"""`prima bench`: several encoders on one cohort."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from prima_features.cli.console import count, err, out
from prima_features.cli.options import (
    EVALUATION,
    Bootstrap,
    EvaluationSeed,
    Folds,
    InnerFolds,
    named_values,
    shown_command,
    split_values,
)
from prima_features.cli.probe.label_options import with_labels
from prima_features.wording import RESEARCH_ONLY

_RELIABILITY = "Reliability"


@with_labels()
def bench(
    request: Any,
    context: typer.Context,
    output: Annotated[Path, typer.Argument(metavar="OUT_DIR", help="Folder to write; see docs/bench.md.")],
    embeddings: Annotated[
        list[str],
        typer.Option(
            "--embeddings",
            metavar="NAME=FILE.h5",
            help="Embeddings file of one encoder, and what to call it. Repeat for each encoder.",
        ),
    ],
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="TASK[=COLUMN]",
            help="Task of prima probe and the column of its labels; any other column: custom=COLUMN, or by its "
            "type number=, class=, ordinal= or count=COLUMN. Repeat for more.",
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--classes", metavar="NAME...", help="Classes to distinguish, the positive one last."),
    ] = None,
    kind: Annotated[
        Literal["auto", "number", "class", "ordinal", "count"],
        typer.Option(
            "--kind",
            help="Type of custom targets; auto: number or class, detected. ordinal also orders the classes of "
            "other tasks.",
        ),
    ] = "auto",
    probes: Annotated[
        list[str] | None,
        typer.Option(
            "--probes",
            metavar="NAME...",
            help="Probes: linear (ridge, logistic or Cox regression) and knn; the first is the main one "
            "(default: both).",
            rich_help_panel=EVALUATION,
        ),
    ] = None,
    level: Annotated[
        Literal["study", "series"],
        typer.Option(
            "--level",
            help="study: the study's vector. series: the mean of the vectors of its series.",
            rich_help_panel=EVALUATION,
        ),
    ] = "study",
    series: Annotated[
        str,
        typer.Option(
            "--series",
            metavar="PATTERN",
            help="Use only series with a matching name, such as T1w, and average them per study.",
            rich_help_panel=EVALUATION,
        ),
    ] = "",
    folds: Folds = 5,
    inner_folds: InnerFolds = 5,
    repeats: Annotated[
        int,
        typer.Option(
            "--repeats",
            metavar="N",
            min=1,
            help="Number of repeats of cross-validation to average.",
            rich_help_panel=EVALUATION,
        ),
    ] = 1,
    seed: EvaluationSeed = 0,
    bootstrap: Bootstrap = 1000,
    draws: Annotated[
        int,
        typer.Option(
            "--draws",
            metavar="N",
            min=0,
            help="Number of few-shot training sets per size; 0: no few-shot curves.",
            rich_help_panel=EVALUATION,
        ),
    ] = 100,
    site_check: Annotated[
        bool,
        typer.Option(
            "--site-check/--no-site-check",
            help="Leave each site out once, and measure how well a classifier identifies the site.",
            rich_help_panel=EVALUATION,
        ),
    ] = True,
    allow_confounded: Annotated[
        bool,
        typer.Option(
            "--allow-confounded",
            help="Continue even if each site has a single class; the probes may then learn the site.",
            rich_help_panel=EVALUATION,
        ),
    ] = False,
    repeats_table: Annotated[
        Path | None,
        typer.Option(
            "--repeats-table",
            metavar="TABLE",
            help="Table of repeat scans: study, subject, scanner (and site). Adds reliability.",
            rich_help_panel=_RELIABILITY,
        ),
    ] = None,
    sessions_are_repeats: Annotated[
        bool,
        typer.Option(
            "--sessions-are-repeats",
            help="Take the sessions of each subject as repeat scans, if nothing has changed between them.",
            rich_help_panel=_RELIABILITY,
        ),
    ] = False,
    cohort_name: Annotated[
        str,
        typer.Option(
            "--cohort-name", metavar="TEXT", help="Name of the cohort in the results (default: --cohort)."
        ),
    ] = "",
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Mark the results as those of a synthetic cohort.")
    ] = False,
    no_ids: Annotated[
        bool,
        typer.Option(
            "--no-ids", help="Count the studies that are left out in bench.json instead of naming them."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Run all checks; show which studies would be compared, which are left out and why, and the number "
            "of fits. Write nothing.",
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite OUT_DIR even if this command did not write it.")
    ] = False,
) -> None:
    """Compare encoders on one cohort: the same studies, labels, folds and probes for each.

    Only studies that all embeddings files contain are used. Writes bench.json, bench.tsv (one row per number) and
    bench.html to OUT_DIR. Differences between encoders are paired: their intervals resample the same subjects for both,
    and their p-values are those of the corrected resampled t-test, adjusted for all pairs (Holm).

    `prima bench validate FILE` checks a bench.json.
    """
    from prima_features.bench import BenchOptions, TaskRequest, plan
    from prima_features.bench import bench as run
    from prima_features.cli.probe.show import print_warnings, steps
    from prima_features.probes.evaluation import Scheme

    files = named_values(embeddings, "--embeddings")
    requests = [TaskRequest.parse(one) for one in task or ()]
    options = BenchOptions(
        probes=_probes(split_values(probes, "--probes")),
        scheme=Scheme("nested", folds, inner_folds, repeats, seed),
        n_bootstrap=bootstrap,
        level="series" if series else level,
        series=series,
        allow_confounded=allow_confounded,
        site_check=site_check,
        n_draws=draws,
        repeats_table=repeats_table,
        sessions_are_repeats=sessions_are_repeats,
        cohort=cohort_name or Path(request.cohort).stem,
        synthetic=synthetic,
        list_left_out=not no_ids,
    )
    labels = replace(request, classes=split_values(classes), kind=kind)
    if dry_run:
        with steps() as on_step:
            planned = plan(files, output, requests, labels, options, force=force, on_step=on_step)
        _print_plan(planned)
        return
    with steps() as on_step:
        found = run(
            files,
            output,
            requests,
            labels,
            options,
            command=shown_command(context.obj),
            force=force,
            on_step=on_step,
        )
    _print(found)
    print_warnings(found.warnings)
    out.print(
        f"[bold]{escape(str(output))}[/]: {count(len(files), 'encoder')}, {count(len(requests), 'task')}"
    )
    out.print(f"Report: {escape(str(output / 'bench.html'))}")
    out.print(RESEARCH_ONLY)


def as_validate(arguments: list[str]) -> list[str]:
    """`bench validate FILE` as the command that it is; all other arguments as they are.

    `prima bench OUT_DIR` takes any folder name, so it cannot have subcommands. A folder called validate can still be
    written to, because a comparison always has `--embeddings`.
    """
    if arguments[:2] != ["bench", "validate"] or any(one.startswith("--embeddings") for one in arguments):
        return arguments
    return ["bench-validate", *arguments[2:]]


def validate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="bench.json files made by prima bench.")
    ],
) -> None:
    """Check bench.json files: their format, and that their numbers fit each other. Also `prima bench validate`."""
    from prima_features.bench.validate import read_bench

    for path in files:
        document = read_bench(path)
        what = (
            f"{count(len(document['encoders']), 'encoder')}, {count(len(document['tasks']), 'task')}, "
            f"{count(document['n_studies'], 'study')}"
        )
        out.print(f"[bold]{escape(str(path))}[/]: valid; {what}")
        if document["left_out"].get("studies"):
            err.print(
                f"[yellow]Note:[/] {escape(str(path))} names studies that were left out; use prima bench --no-ids if "
                "their ids must not be published"
            )


def _probes(names: tuple[str, ...]) -> Any:
    if unknown := [name for name in names if name not in ("linear", "knn")]:
        raise typer.BadParameter(f"unknown probe {unknown[0]}: expected linear or knn", param_hint="--probes")
    return names or ("linear", "knn")


def _print_plan(planned: Any) -> None:
    """What `--dry-run` shows: the shared studies, and the labels, folds and fits of each task."""
    from prima_features.cli.probe.show import print_join, print_warnings
    from prima_features.probes.labels import summarize

    for text in planned.shared.sentences():
        out.print(escape(text))
    for one in planned.tasks:
        out.print(f"\n[bold]{escape(one.asked.key)}[/]")
        print_join(one.joined, summarize(one.joined))
        scheme = one.splits.scheme
        folds = f"{scheme.outer_folds} folds" + (f", {scheme.repeats} repeats" if scheme.repeats > 1 else "")
        out.print(
            f"Probes: {', '.join(one.probes)}; {folds}; {count(one.n_fits, 'fit')} of {count(one.n_rows, 'row')}, each "
            f"with {scheme.inner_folds} inner folds"
        )
        print_warnings(one.warnings)
    if (repeats := planned.repeats) is not None:
        on = f" on {count(len(repeats.scanners), 'scanner')}" if repeats.scanners else ""
        subjects = count(repeats.n_subjects, "subject")
        out.print(f"\nReliability: {count(len(repeats.rows), 'scan')} of {subjects}{on}")
        print_warnings(repeats.warnings)
    out.print("All checks have passed; nothing was written.")


def _print(found: Any) -> None:
    """The metrics of each task, the best encoder first, and how far the others are from it."""
    from prima_features.cli.console import table

    for text in found.shared.sentences()[:1]:
        err.print(escape(text))
    for key, one in found.tasks.items():
        task, main = one.task, one.main
        out.print(
            f"[bold]{escape(key)}[/], {main.estimator}: {count(one.n_studies, 'study')} of {one.n_subjects} subjects; "
            "95% intervals over subjects"
        )
        shown = table("", *task.metrics)
        for name in one.ranked:
            shown.add_row(escape(name), *(str(main.encoders[name][metric]) for metric in task.metrics))
        for name, metrics in one.rivals.metrics.items():
            shown.add_row(f"baseline {name}", *(str(metrics[metric]) for metric in task.metrics))
        out.print(shown)
        if main.differences:
            shown = table(f"difference of {task.primary}", "value", "p", "p (Holm)")
            for pair in main.differences:
                label = f"{pair.first} - {pair.second}"
                shown.add_row(escape(label), str(pair.estimate), f"{pair.p:.3g}", f"{pair.p_holm:.3g}")
            out.print(shown)
    if found.reliability is not None:
        names = ("icc", "icc_distance", "identification", "discriminability", "scanner_variance")
        shown = table("reliability", *names)
        for name, one in found.reliability.encoders.items():
            for label, numbers in ((name, one.before), (f"{name}, ComBat", one.after)):
                if numbers is not None:
                    values = (numbers.estimates.get(metric, "-") for metric in names)
                    shown.add_row(escape(label), *map(str, values))
        out.print(shown)
