"""Fitting a probe: checked, evaluated, fitted on everybody, and written with its report; or checked only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prima_features.files.targets import Maker, as_inputs, check_folder
from prima_features.probes.evaluation import (
    Evaluation,
    LearningPoint,
    Plan,
    Splits,
    draw,
    evaluate,
    learning_curve,
)
from prima_features.probes.evaluation.checks import check, check_harmonization
from prima_features.probes.persistence import Extras
from prima_features.probes.probe import Probe
from prima_features.probes.recipe import Recipe, fit_recipe
from prima_features.probes.report import ReportContent, feature_map
from prima_features.probes.runs.sources import Data, Sources, read
from prima_features.probes.samples import Samples, samples
from prima_features.wording import count

if TYPE_CHECKING:
    import numpy as np

OnStep = Callable[[str], None]
OnWarnings = Callable[[tuple[str, ...]], None]


@dataclass(frozen=True)
class FitOptions:
    """How a probe is fitted and evaluated."""

    recipe: Recipe = field(default_factory=Recipe)
    plan: Plan = field(default_factory=Plan)
    learning_curve: bool = True
    """Evaluate with parts of the training sets too: about as long again as the evaluation itself."""
    overwrite: bool = False
    command: str = ""
    """For the records."""


@dataclass(frozen=True)
class FitResult:
    """What a run came to."""

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
) -> FitResult:
    """Fit a probe on an embeddings file's studies and write its directory.

    Args:
        sources: the studies and their labels.
        output: the directory to make.
        options: how.
        on_step: is called with what is done next.
        on_warnings: is called with the warnings of the join, which explain a later refusal.

    Raises:
        UsageError: the labels, the recipe or the plan do not fit; see `sources.read` and `Probe.cross_validate`.
        OutputError: the directory cannot be written.
    """
    options = options or FitOptions()
    on_step("reading embeddings and labels")
    plan = _plan(sources, output, options, on_warnings)
    data, probe = plan.data, plan.probe
    on_step(f"evaluating on {count(len(data.frame), 'study')}")
    evaluation = probe.cross_validate(data.features, data.frame, options.plan, plan.splits)
    evaluation = replace(evaluation, warnings=(*data.warnings, *evaluation.warnings))
    curve = _curve(data, options.recipe, evaluation, on_step) if options.learning_curve else ()
    on_step("fitting on all studies")
    probe.fit(data.features, data.frame, data.joined.cohort)
    on_step("writing the report")
    report = ReportContent(
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
    on_step(f"checking the evaluation on {count(len(plan.data.frame), 'study')}")
    few = replace(plan.given, X=plan.given.X[:, :_REHEARSED_FEATURES])
    single: dict[str, Any] = {"C": (1.0,), "components": None} if few.task.classes else {"alphas": (1.0,)}
    quick = replace(options.recipe, estimator="", options=single)
    asked = replace(options.plan, n_bootstrap=0, n_permutations=min(options.plan.n_permutations, 1))
    evaluate(few, quick, asked, plan.splits)
    first = plan.splits.folds[0]
    fit_recipe(options.recipe, few, first.train, first.inner)
    return plan


_REHEARSED_FEATURES = 8


def _plan(
    sources: Sources, output: Path | None, options: FitOptions, on_warnings: OnWarnings
) -> FitPlan:
    if output is not None:
        maker = Maker(
            "prima probe fit", as_inputs(sources.embeddings, sources.labels.files), option="--overwrite"
        )
        check_folder(output, maker, options.overwrite)
    data = read(sources)
    on_warnings(data.warnings)
    probe = Probe(data.task, options.recipe)
    given = samples(data.features.X, data.frame, data.task)
    scheme = options.plan.scheme
    found = check(given, scheme, allow_confounded=options.plan.allow_confounded)
    splits = draw(given, scheme)
    more = check_harmonization(given, options.recipe, scheme)
    return FitPlan(data, probe, given, splits, (*data.warnings, *found, *more))


def _curve(data: Data, recipe: Recipe, evaluation: Evaluation, on_step: OnStep) -> tuple[LearningPoint, ...]:
    assert evaluation.splits is not None
    on_step("measuring the learning curve")
    given = samples(data.features.X, data.frame, data.task)
    return learning_curve(given, recipe, evaluation.splits)
