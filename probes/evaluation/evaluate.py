"""Evaluating a recipe by nested cross-validation, or a fitted probe on another cohort."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.covariates import CovariateBaseline
from prima_features.probes.evaluation.attention import Attention, summarize
from prima_features.probes.evaluation.checks import (
    check,
    check_harmonization,
    label_by_site,
    site_decodability,
)
from prima_features.probes.evaluation.leakage import check_leakage
from prima_features.probes.evaluation.over_time import RETEST_DAYS, GapOverTime, gap_over_time
from prima_features.probes.evaluation.permuted import permutation_test
from prima_features.probes.evaluation.record import Evaluation, check_scale, fold_scores
from prima_features.probes.evaluation.refits import baselines
from prima_features.probes.evaluation.scored import (
    OutOfFold,
    Scored,
    by_groups,
    cross_validate,
    predictions_table,
    scored,
)
from prima_features.probes.evaluation.sizes import DEFAULT_R2, sample_size_of
from prima_features.probes.evaluation.splits import Scheme, Splits, draw
from prima_features.probes.kinds import Outcome
from prima_features.probes.linalg.logistic import unconverged_warning
from prima_features.probes.recipe import FittedRecipe, Recipe
from prima_features.probes.samples import Samples
from prima_features.wording import listed, verb


@dataclass(frozen=True)
class EvaluationPlan:
    """Folds of an evaluation, and what else it computes."""

    scheme: Scheme = field(default_factory=Scheme)
    n_bootstrap: int = 1000
    n_permutations: int = 0
    """Each runs the whole nested evaluation once more."""
    allow_confounded: bool = False
    """Continue even if each site has a single class."""
    site_check: bool = True
    """Measure how well the site can be read from the embedding."""
    leakage_check: bool = False
    """Permute labels within sites and within subjects (see `leakage.check_leakage`)."""
    anticipated_r2: float = DEFAULT_R2
    """For the sample sizes of Riley's criteria."""
    retest_days: float = RETEST_DAYS
    """Most days between two visits of a subject that count as a repeat, for the reliability of the brain-age gap."""


def evaluate(
    samples: Samples, recipe: Recipe, plan: EvaluationPlan | None = None, splits: Splits | None = None
) -> Evaluation:
    """Evaluate a recipe: everything in it is fitted on training folds alone.

    Args:
        samples: N studies with their labels.
        recipe: what is fitted.
        plan: how it is evaluated.
        splits: folds of an earlier run on the same samples, to replay it or to compare with it; the plan's scheme
            is then not used.

    Raises:
        UsageError: what `checks.check`, `splits.draw` or `Recipe.check` refuse, or splits of other samples.
    """
    plan = plan or EvaluationPlan()
    recipe.check(samples.task)
    scheme = splits.scheme if splits else plan.scheme
    warnings = check(samples, scheme, allow_confounded=plan.allow_confounded)
    splits = splits or draw(samples, scheme)
    _check_splits(splits, samples)
    predicted = cross_validate(samples, recipe, splits)
    result = scored(samples, predicted, plan.n_bootstrap, scheme.seed)
    found, in_folds = result.values(), fold_scores(samples, predicted, splits)
    rivals = {
        name: scored(samples, one, plan.n_bootstrap, scheme.seed)
        for name, one in baselines(samples, splits).items()
    }
    weighed = _attention(result, predicted, samples, recipe, splits, plan)
    permuted = plan.n_permutations > 0
    by_site = site_decodability(samples, plan.n_bootstrap, scheme.seed, recipe) if plan.site_check else None
    leakage = None
    if plan.leakage_check:
        chance = rivals["dummy"].values()[samples.task.primary]
        leakage = check_leakage(samples, recipe, scheme, chance)
    over_time = _over_time(samples, predicted, recipe, plan.retest_days)
    return Evaluation(
        recipe=recipe,
        predictions=predictions_table(samples, predicted),
        **assess(result, samples, np.flatnonzero(predicted.tested & samples.eligible), recipe),
        baselines={name: rival.estimates() for name, rival in rivals.items()},
        over_baselines={
            name: {result.task.primary: difference(result, rival)} for name, rival in rivals.items()
        },
        gap_over_time=over_time,
        site_decodability=by_site,
        leakage=leakage,
        sample_size=sample_size_of(samples, plan.anticipated_r2),
        permutation=permutation_test(samples, recipe, scheme, plan.n_permutations) if permuted else None,
        attention=weighed,
        splits=splits,
        fold_scores=in_folds,
        out_of_fold=predicted,
        warnings=(
            *warnings,
            *unconverged_warning(predicted.unconverged),
            *unconverged_warning(
                by_site.unconverged if by_site else (),
                "of the site",
                "the site may be easier to read than its balanced accuracy suggests",
            ),
            *check_harmonization(samples, recipe, scheme),
            *(leakage.warnings if leakage else ()),
            *check_scale(samples, in_folds, found[samples.task.primary]),
            *(over_time.notes if over_time else ()),
        ),
    )


def _attention(
    result: Scored,
    predicted: OutOfFold,
    samples: Samples,
    recipe: Recipe,
    splits: Splits,
    plan: EvaluationPlan,
) -> Attention | None:
    """Weights of out-of-fold predictions, and the default estimator on the means in the same folds; or None."""
    if predicted.attention is None:
        return None
    counted = predicted.tested & samples.eligible
    found = summarize(samples, predicted.attention, counted, predicted.fold[0])
    of_mean = cross_validate(samples, replace(recipe, estimator="", options={}), splits)
    rival = scored(samples, of_mean, plan.n_bootstrap, splits.scheme.seed)
    return replace(found, mean=rival.estimates(), over_mean=difference(result, rival))


def _over_time(
    samples: Samples, predicted: OutOfFold, recipe: Recipe, retest_days: float = RETEST_DAYS
) -> GapOverTime | None:
    if not samples.task.is_age:
        return None
    corrected = recipe.bias_correction != "none"
    return gap_over_time(samples, predicted, corrected=corrected, retest_days=retest_days)


def _check_splits(splits: Splits, samples: Samples) -> None:
    splits.check(samples.groups)
    if not all(samples.eligible[fold.train].all() for fold in splits.folds):
        raise UsageError(
            "these splits use studies of patients for training, but this task is fitted on controls: draw new splits"
        )
    if not any(samples.eligible[fold.test].any() for fold in splits.folds):
        raise UsageError("no study of a control is in a test set: check --split-column and --control-column")


def assess(result: Scored, samples: Samples, rows: np.ndarray, recipe: Recipe) -> dict[str, Any]:
    """The parts of an `Evaluation` that only need predictions: of cross-validation, or of another cohort.

    Args:
        result: predictions of the rows that count.
        samples: all N studies.
        rows: which of them those are.
        recipe: how the probe was fitted.
    """
    frame = samples.frame.iloc[rows].assign(age=samples.age[rows])
    return {
        "task": samples.task,
        "metrics": result.estimates(),
        "groups": by_groups(result, frame),
        "label_by_site": label_by_site(samples),
        "n_studies": len(rows),
        "n_subjects": int(frame["subject"].nunique()),
        **samples.kind.details(result, samples, recipe),
    }


def difference(first: Scored, second: Scored) -> Estimate:
    """First minus second of the primary metric, with a paired bootstrap interval, extended near the metric's end."""
    name = first.task.primary

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        # Not by the metric's name: a difference may be negative, and some metrics have intervals of their own kind.
        return {"difference": first.primary(weights) - second.primary(weights)}

    found = first.bootstrap.estimates(statistic)["difference"]
    return first.kind.bounded_difference(found, first.estimates()[name], second.estimates()[name])


def evaluate_fitted(
    fitted: FittedRecipe,
    samples: Samples,
    typical: np.ndarray,
    covariates: CovariateBaseline | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    warnings: tuple[str, ...] = (),
) -> Evaluation:
    """Predict another cohort and compare with its labels. Nothing is fitted.

    Args:
        fitted: the probe.
        samples: the other cohort, with labels.
        typical: what the dummy baseline predicts for everyone: (1,) mean training target, or (K,) class
            frequencies in training.
        covariates: what age and sex alone predict, fitted on the training set as well.
        n_bootstrap: resamples of subjects.
        seed: of the resamples.
        warnings: earlier warnings, a sentence each.

    Raises:
        UsageError: no study counts, as if none is of a control.
    """
    if not samples.eligible.any():
        raise UsageError(
            "no study is of a control, but brain age is evaluated on controls: check --control-column"
        )
    predicted, weights = _as_out_of_fold(fitted.predict(samples), len(samples)), fitted.attention(samples)
    result = scored(samples, predicted, n_bootstrap, seed)
    outcomes = {"dummy": samples.kind.constant(len(samples), typical)}
    if covariates is not None:
        if unknown := covariates.unknown(samples):
            warnings = (
                *warnings,
                f"{listed(unknown)} {verb(len(unknown), 'is', 'are')} unknown in this cohort: the baseline "
                f"{covariates.name} of the training set is left out",
            )
        else:
            outcomes[covariates.name] = covariates.predict(samples)
    counted = np.flatnonzero(samples.eligible)
    rivals = {name: replace(result, repeats=(one.take(counted),)) for name, one in outcomes.items()}
    over_time = _over_time(samples, predicted, fitted.recipe)
    return Evaluation(
        recipe=fitted.recipe,
        predictions=predictions_table(samples, predicted),
        **assess(result, samples, counted, fitted.recipe),
        baselines={name: rival.estimates() for name, rival in rivals.items()},
        over_baselines={
            name: {samples.task.primary: difference(result, rival)} for name, rival in rivals.items()
        },
        attention=None if weights is None else summarize(samples, weights, samples.eligible, None),
        gap_over_time=over_time,
        warnings=(
            *warnings,
            *samples.kind.limits(samples.y[counted]),
            *(over_time.notes if over_time else ()),
        ),
    )


def _as_out_of_fold(outcome: Outcome, n: int) -> OutOfFold:
    return OutOfFold((outcome,), np.zeros((1, n), dtype=int), ())
