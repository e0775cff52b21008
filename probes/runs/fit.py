"""Fitting a probe: read features and labels, check, evaluate, fit on all studies, and write it with its HTML report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.files.targets import Maker, as_inputs, check_folder
from prima_features.probes.change import Change, Contrasts, contrasts
from prima_features.probes.evaluation import (
    Evaluation,
    EvaluationPlan,
    LearningCurve,
    Splits,
    draw,
    evaluate,
    learning_curve,
)
from prima_features.probes.evaluation.checks import check, check_harmonization
from prima_features.probes.evaluation.sizes import sample_size_of, size_sentence
from prima_features.probes.feature_matrix import Features, Level, features, lacked, series_names
from prima_features.probes.labels import Joined, JoinSummary, LabelRequest, join, summarize, task_of
from prima_features.probes.linalg.logistic import unconverged_warning
from prima_features.probes.persistence import Extras
from prima_features.probes.probe import Probe
from prima_features.probes.recipe import Recipe, fit_recipe
from prima_features.probes.report import PageContent, feature_map
from prima_features.probes.samples import Samples, samples
from prima_features.probes.tasks import Task
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from prima_features.embedding.file.read import Embeddings
    from prima_features.evaluation.sample_size import SampleSize

_REHEARSED_FEATURES = 8


@dataclass(frozen=True)
class Sources:
    """What a probe is fitted or evaluated on."""

    embeddings: Path
    """File that `prima embed` made."""
    labels: LabelRequest = field(default_factory=LabelRequest)
    """Its task is the probe's."""
    level: Level = "study"
    series: str = ""


@dataclass(frozen=True)
class Data:
    """Features and labels, row by row."""

    task: Task
    features: Features
    frame: pd.DataFrame
    """See `labels.Joined.frame`, or `change.Contrasts.frame`; studies without features are left out."""
    joined: Joined
    changes: Contrasts | None = None
    """How the rows were made of studies, if the target is a change."""
    lacking: str = ""
    """A sentence on studies without features."""

    @property
    def join(self) -> JoinSummary:
        """The join in numbers."""
        return summarize(self.joined)

    @property
    def noun(self) -> str:
        """What a row is: a study, or a change between studies."""
        return "change" if self.changes else "study"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the join, how many studies lack the series that were asked for, and of the changes."""
        lacking = (self.lacking,) if self.lacking else ()
        return (*self.joined.warnings, *lacking, *(self.changes.warnings if self.changes else ()))


def read(sources: Sources, *, bags: bool = False) -> Data:
    """Read features and labels, with `bags` for an estimator that pools series or tokens itself.

    Raises:
        UsageError: see `labels.join` and `feature_matrix.features`.
    """
    from prima_features.embedding.file.read import read_embeddings

    embeddings = read_embeddings(sources.embeddings)
    joined = join(embeddings, sources.labels)
    found, frame = features(embeddings, sources.level, sources.series, bags=bags).aligned(joined.frame)
    missing = len(joined.frame) - len(frame)
    lacking = (
        f"{count(missing, 'labelled study')} {verb(missing, 'has', 'have')} no {lacked(found.source)} and "
        f"{verb(missing, 'is', 'are')} left out"
    )
    data = Data(task_of(joined), found, frame, joined, lacking=lacking if missing else "")
    if joined.task != "change":
        return data
    if bags:
        raise UsageError("attention pools the series of single studies: use another estimator for changes")
    made, changed, frame = changes(embeddings, found, frame, sources.labels.change)
    return replace(data, features=changed, frame=frame, changes=made)


def changes(
    embeddings: Embeddings, found: Features, frame: pd.DataFrame, change: Change
) -> tuple[Contrasts, Features, pd.DataFrame]:
    """The changes between visits of studies, with their features and their table.

    Args:
        embeddings: the file.
        found: features of N studies.
        frame: N rows of the same studies.
        change: how they are made.

    Raises:
        UsageError: see `change.contrasts`.
    """
    made = contrasts(frame, change, series_names(embeddings, frame["row"], found.source.series))
    source = replace(found.source, change=change)
    return made, Features.of(made.features(found.X), source), made.frame(frame)


OnStep = Callable[[str], None]
OnWarnings = Callable[[tuple[str, ...]], None]
OnNote = Callable[[str], None]


@dataclass(frozen=True)
class FitOptions:
    """How a probe is fitted and evaluated."""

    recipe: Recipe = field(default_factory=Recipe)
    plan: EvaluationPlan = field(default_factory=EvaluationPlan)
    learning_curve: bool = True
    """Evaluate with parts of the training sets too: about as long again as the evaluation itself."""
    overwrite: bool = False
    command: str = ""
    """For the records."""


@dataclass(frozen=True)
class FitResult:
    """The result of a run."""

    probe: Probe
    evaluation: Evaluation
    folder: Path


@dataclass(frozen=True)
class FitPlan:
    """Everything that a fit needs, checked, before anything is computed."""

    data: Data
    probe: Probe
    given: Samples
    splits: Splits
    warnings: tuple[str, ...]
    """A sentence each: of the join, and of what makes results mislead."""
    sample_size: SampleSize | None
    """Of Riley's criteria; None if they do not cover the kind."""

    @property
    def trains(self) -> np.ndarray:
        """(N,) which studies of `data.frame` train and count in the metrics; the others are only predicted."""
        return self.given.eligible


def fit(
    sources: Sources,
    output: Path,
    options: FitOptions | None = None,
    on_step: OnStep = lambda step: None,
    on_warnings: OnWarnings = lambda warnings: None,
    on_note: OnNote = lambda text: None,
) -> FitResult:
    """Fit a probe on an embeddings file's studies and write its directory.

    Args:
        sources: the studies and their labels.
        output: the directory to make.
        options: how it is fitted and evaluated.
        on_step: is called with the name of the next step.
        on_warnings: is called with the warnings of the join, which explain a later refusal.
        on_note: is called with the sample sizes of Riley's criteria, before anything is fitted.

    Raises:
        UsageError: the labels, the recipe or the plan do not fit; see `sources.read` and `Probe.cross_validate`.
        OutputError: the directory cannot be written.
    """
    options = options or FitOptions()
    on_step("reading embeddings and labels")
    plan = _plan(sources, output, options, on_warnings)
    data, probe = plan.data, plan.probe
    if plan.sample_size is not None:
        on_note(size_sentence(plan.sample_size))
    on_step(f"evaluating on {count(len(data.frame), data.noun)}")
    evaluation = probe.cross_validate(data.features, data.frame, options.plan, plan.splits)
    evaluation = replace(
        evaluation,
        visits=data.changes.summary if data.changes else None,
        warnings=(*data.warnings, *evaluation.warnings),
    )
    curve = _curve(data, options.recipe, evaluation, on_step) if options.learning_curve else None
    on_step("fitting on all studies")
    probe.fit(data.features, data.frame, data.joined.cohort)
    evaluation = replace(evaluation, warnings=(*evaluation.warnings, *_unconverged(curve, probe)))
    on_step("writing the report")
    report = PageContent(
        evaluation=evaluation,
        training=probe.fitted.training if probe.fitted else None,
        curve=curve,
        map=feature_map(data.features.X, data.frame, data.task, options.recipe.seed),
        join=data.join,
        command=options.command,
        n_bootstrap=options.plan.n_bootstrap,
    )
    probe.save(output, Extras(evaluation, report, options.command, options.overwrite))
    return FitResult(probe, evaluation, output)


def rehearse(
    sources: Sources,
    output: Path | None = None,
    options: FitOptions | None = None,
    on_step: OnStep = lambda step: None,
    on_warnings: OnWarnings = lambda warnings: None,
) -> FitPlan:
    """Run all checks of `fit` and write nothing.

    Besides the checks that come first, the whole evaluation is run on the first few features with one setting of a
    linear estimator, and one fold with the estimator asked for: what a fold's subjects, sites or covariates do not
    allow is found, in a small part of the time.

    Raises:
        UsageError: as `fit`.
        OutputError: as `fit`, as far as that can be known.
    """
    options = options or FitOptions()
    on_step("reading embeddings and labels")
    plan = _plan(sources, output, options, on_warnings)
    on_step(f"checking the evaluation on {count(len(plan.data.frame), plan.data.noun)}")
    few = replace(plan.given, X=plan.given.X[:, :_REHEARSED_FEATURES])
    if few.bags is not None:
        few = replace(few, bags=replace(few.bags, values=few.bags.values[:, :_REHEARSED_FEATURES]))
    quick = replace(options.recipe, estimator="", options=few.kind.quick_options)
    asked = replace(
        options.plan, n_bootstrap=0, n_permutations=min(options.plan.n_permutations, 1), leakage_check=False
    )
    evaluate(few, quick, asked, plan.splits)
    first = plan.splits.folds[0]
    fit_recipe(options.recipe, few, first.train, first.inner)
    return plan


def _plan(sources: Sources, output: Path | None, options: FitOptions, on_warnings: OnWarnings) -> FitPlan:
    if output is not None:
        maker = Maker(
            "prima probe fit", as_inputs(sources.embeddings, sources.labels.files), option="--overwrite"
        )
        check_folder(output, maker, options.overwrite)
    data = read(sources, bags=options.recipe.reads_bags)
    on_warnings(data.warnings)
    probe = Probe(data.task, options.recipe)
    given = samples(data.features.X, data.frame, data.task, data.features.bags)
    scheme = options.plan.scheme
    found = check(given, scheme, allow_confounded=options.plan.allow_confounded)
    splits = draw(given, scheme)
    more = check_harmonization(given, options.recipe, scheme)
    size = sample_size_of(given, options.plan.anticipated_r2)
    return FitPlan(data, probe, given, splits, (*data.warnings, *found, *more), size)


def _unconverged(curve: LearningCurve | None, probe: Probe) -> tuple[str, ...]:
    last = getattr(probe.fitted.recipe.estimator, "unconverged_", ()) if probe.fitted else ()
    return (
        *unconverged_warning(curve.unconverged if curve else (), "of the learning curve"),
        *unconverged_warning(last, "on all studies"),
    )


def _curve(data: Data, recipe: Recipe, evaluation: Evaluation, on_step: OnStep) -> LearningCurve:
    assert evaluation.splits is not None
    on_step("measuring the learning curve")
    given = samples(data.features.X, data.frame, data.task, data.features.bags)
    return learning_curve(given, recipe, evaluation.splits, whole=evaluation.out_of_fold)
