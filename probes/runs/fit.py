"""Fitting a probe: evaluated first, then fitted on everybody, and written with its report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from prima_features.probes.evaluation import Evaluation, LearningPoint, Plan, learning_curve
from prima_features.probes.persistence import Extras
from prima_features.probes.probe import Probe
from prima_features.probes.recipe import Recipe
from prima_features.probes.report import ReportContent, feature_map
from prima_features.probes.runs.sources import Data, Sources, read
from prima_features.probes.samples import samples

OnStep = Callable[[str], None]


@dataclass(frozen=True)
class FitOptions:
    """How a probe is fitted, and what is made beside it."""

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


def fit(
    sources: Sources,
    output: Path,
    options: FitOptions | None = None,
    on_step: OnStep = lambda step: None,
) -> FitResult:
    """Fit a probe on an embeddings file's studies and write its directory.

    Args:
        sources: the studies and their labels.
        output: the directory to make.
        options: how.
        on_step: is told what is done next.

    Raises:
        UsageError: the labels, the recipe or the plan do not fit; see `sources.read` and `Probe.cross_validate`.
        OutputError: the directory cannot be written.
    """
    options = options or FitOptions()
    on_step("reading embeddings and labels")
    data = read(sources)
    probe = Probe(data.task, options.recipe)
    on_step(f"evaluating on {len(data.frame)} studies")
    evaluation = probe.cross_validate(data.features, data.frame, options.plan)
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


def _curve(data: Data, recipe: Recipe, evaluation: Evaluation, on_step: OnStep) -> tuple[LearningPoint, ...]:
    assert evaluation.splits is not None
    on_step("measuring the learning curve")
    given = samples(data.features.X, data.frame, data.task)
    return learning_curve(given, recipe, evaluation.splits)
