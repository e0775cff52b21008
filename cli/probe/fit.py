"""`prima probe fit`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.markup import escape

from prima_features.cli.console import err, out
from prima_features.cli.options import (
    EVALUATION,
    Bootstrap,
    EvaluationSeed,
    Folds,
    InnerFolds,
    Overwrite,
    shown_command,
    split_values,
)
from prima_features.cli.probe.label_options import with_labels
from prima_features.files.safe import load_json

_MODEL = "Probe"
_CHECKS = "Checks of the evaluation"


@with_labels()
def fit(
    request: Any,
    context: typer.Context,
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help="brain-age, autism, dementia, glioma, stroke, survival, mrs, cdr, nihss, change, findings, or "
            "custom (see prima probe list).",
        ),
    ],
    embeddings: Annotated[
        Path, typer.Argument(metavar="FILE.h5", help="Embeddings file made by prima embed.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Folder to write.", show_default=False)
    ] = None,
    variant: Annotated[
        Literal["presence", "grade", "idh"] | None,
        typer.Option("--variant", help="Variant of the glioma task (default: presence)."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--classes",
            metavar="NAME...",
            help="Classes to distinguish, the positive one last, or from low to high: cn mci ad. Findings: the "
            "names to take from a label column that lists names.",
        ),
    ] = None,
    kind: Annotated[
        Literal["auto", "number", "class", "ordinal", "count"],
        typer.Option(
            "--kind",
            help="Type of a custom target; auto: number or class, detected. ordinal: classes in the order of --classes "
            "or of their numbers, also for other tasks with three or more classes. count: whole numbers from 0.",
        ),
    ] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Run all checks; show which studies would be used for training, which would only be predicted, "
            "and which are left out and why. Write nothing.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    estimator: Annotated[
        Literal["ridge", "logistic", "cox", "ordinal", "poisson", "xgboost", "mlp", "attention", "knn"]
        | None,
        typer.Option(
            "--estimator",
            metavar="NAME",
            help="Estimator: ridge, logistic, cox, ordinal, poisson, xgboost, mlp, attention or knn (default: "
            "ridge for numbers, logistic for classes and labels, cox for survival, ordinal for classes in order, "
            "poisson for counts). attention needs --level series or token.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="NAME=VALUE",
            help="Option of the estimator, such as alphas=[1,10,100]; repeat for more.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    level: Annotated[
        Literal["study", "series", "token"],
        typer.Option(
            "--level",
            help="study: the study's vector. series: the mean of the vectors of its series. token: the mean of the "
            "vectors of its tokens. --estimator attention weighs series or tokens instead of averaging them.",
            rich_help_panel=_MODEL,
        ),
    ] = "study",
    series: Annotated[
        str,
        typer.Option(
            "--series",
            metavar="PATTERN",
            help="Use only series with a matching name, such as T1w (--level series, the default with this option, or "
            "token).",
            rich_help_panel=_MODEL,
        ),
    ] = "",
    harmonize: Annotated[
        Literal["none", "combat"],
        typer.Option(
            "--harmonize",
            help="Harmonise sites with ComBat, fitted within the folds.",
            rich_help_panel=_MODEL,
        ),
    ] = "none",
    unseen_sites: Annotated[
        Literal["keep", "error"],
        typer.Option(
            "--unseen-sites",
            help="Sites that are not in the training data: keep them unharmonised, or stop.",
            rich_help_panel=_MODEL,
        ),
    ] = "keep",
    confounds: Annotated[
        list[str] | None,
        typer.Option(
            "--confounds",
            metavar="NAME...",
            help="Confounds to remove from the features: age, sex, icv.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    calibration: Annotated[
        Literal["none", "platt", "isotonic"],
        typer.Option("--calibration", help="Probability calibration.", rich_help_panel=_MODEL),
    ] = "none",
    bias_correction: Annotated[
        Literal["none", "cole", "beheshti"],
        typer.Option(
            "--bias-correction", help="Bias correction of the brain-age gap.", rich_help_panel=_MODEL
        ),
    ] = "none",
    scheme: Annotated[
        Literal["nested", "leave-site-out", "split"],
        typer.Option(
            "--scheme",
            metavar="SCHEME",
            help="How studies are split: nested (cross-validation), leave-site-out, or split (by --split-column).",
            rich_help_panel=EVALUATION,
        ),
    ] = "nested",
    folds: Folds = 5,
    inner_folds: InnerFolds = 5,
    repeats: Annotated[
        int,
        typer.Option(
            "--repeats",
            metavar="N",
            min=1,
            help="Number of repeats of nested cross-validation to average.",
            rich_help_panel=EVALUATION,
        ),
    ] = 1,
    seed: EvaluationSeed = 0,
    bootstrap: Bootstrap = 1000,
    permutations: Annotated[
        int,
        typer.Option(
            "--permutations",
            metavar="N",
            min=0,
            help="Number of permutations for a p-value; each repeats the whole evaluation.",
            rich_help_panel=EVALUATION,
        ),
    ] = 0,
    site_check: Annotated[
        bool,
        typer.Option(
            "--site-check/--no-site-check",
            help="Measure how well a classifier identifies the site from the embedding.",
            rich_help_panel=_CHECKS,
        ),
    ] = True,
    leakage_check: Annotated[
        bool,
        typer.Option(
            "--leakage-check",
            help="Also evaluate with labels permuted within sites and within subjects (39 times each), and look for "
            "one scan under two names.",
            rich_help_panel=_CHECKS,
        ),
    ] = False,
    anticipated_r2: Annotated[
        float,
        typer.Option(
            "--anticipated-r2",
            metavar="R2",
            help="Anticipated R2 (of classes and survival Nagelkerke's), for the sample sizes of Riley's criteria.",
            rich_help_panel=_CHECKS,
        ),
    ] = 0.15,
    retest_days: Annotated[
        float,
        typer.Option(
            "--retest-days",
            metavar="DAYS",
            min=0,
            help="Brain age: most days between two visits of a subject that count as a repeat, for the reliability of "
            "the gap.",
            rich_help_panel=EVALUATION,
        ),
    ] = 90.0,
    learning_curve: Annotated[
        bool,
        typer.Option(
            "--learning-curve/--no-learning-curve",
            help="Also compute a learning curve on subsets of the training data.",
            rich_help_panel=_CHECKS,
        ),
    ] = True,
    allow_confounded: Annotated[
        bool,
        typer.Option(
            "--allow-confounded",
            help="Continue even if each site has a single class; the probe may then learn the site.",
            rich_help_panel=_CHECKS,
        ),
    ] = False,
) -> None:
    """Fit a probe on labels and evaluate it by nested cross-validation, next to baselines.

    The new folder contains the probe, its metrics (metrics.json), the out-of-fold prediction of each study
    (predictions.tsv), and an HTML report (report.html).
    """
    from prima_features.probes import runs, tasks

    name = tasks.get(task, variant=variant or "").name
    request = replace(request, task=name, classes=split_values(classes), kind=kind)
    sources = runs.Sources(embeddings, request, "series" if series and level == "study" else level, series)
    if output is None and not dry_run:
        raise typer.BadParameter("name the folder to make, such as probe-dir", param_hint="--output")

    from prima_features.cli.probe.show import print_evaluation, print_plan, print_warnings, steps
    from prima_features.probes.evaluation import EvaluationPlan, Scheme
    from prima_features.probes.recipe import Recipe

    recipe = Recipe(
        estimator=estimator or "",
        options=dict(map(_named_value, option or ())),
        harmonize=harmonize,
        unseen_sites=unseen_sites,
        confounds=split_values(confounds),
        calibration=calibration,
        bias_correction=bias_correction,
        inner_folds=inner_folds,
        seed=seed,
    )
    plan = EvaluationPlan(
        Scheme(scheme, folds, inner_folds, repeats, seed),
        bootstrap,
        permutations,
        allow_confounded,
        site_check,
        leakage_check,
        anticipated_r2,
        retest_days,
    )
    options = runs.FitOptions(recipe, plan, learning_curve, overwrite, shown_command(context.obj))
    shown: list[str] = []

    def show(warnings: tuple[str, ...]) -> None:
        print_warnings(warning for warning in warnings if warning not in shown)
        shown.extend(warnings)

    def note(text: str) -> None:
        err.print(escape(text))

    if output is None or dry_run:
        with steps() as on_step:
            plan_made = runs.rehearse(sources, output, options, on_step, show)
        show(plan_made.warnings)
        print_plan(plan_made)
        return
    with steps() as on_step:
        result = runs.fit(sources, output, options, on_step, show, note)
    show(result.evaluation.warnings)
    print_evaluation(result.evaluation)
    out.print(f"Probe: {escape(str(output))}; report: {escape(str(output / 'report.html'))}")


def _named_value(text: str) -> tuple[str, Any]:
    """`alphas=[1,2]` to its name and value; what is not JSON is text."""
    name, found, value = text.partition("=")
    if not found or not name:
        raise typer.BadParameter(f"write NAME=VALUE, not {text!r}", param_hint="--option")
    try:
        return name, load_json(value)
    except ValueError:
        return name, value
