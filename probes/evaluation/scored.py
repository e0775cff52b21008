"""The outer loop of cross-validation, and its out-of-fold predictions as a table and as metrics (overall, by group).

The loop is written out because scikit-learn's own nested loops drop the groups.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.evaluation import groups, weighted
from prima_features.evaluation.groups import GroupMetrics, age_bands
from prima_features.evaluation.intervals import Bootstrap, Estimate
from prima_features.probes.evaluation.splits import Splits
from prima_features.probes.kinds import Kind, Outcome, kind_of
from prima_features.probes.recipe import FittedRecipe, Recipe, fit_recipe
from prima_features.probes.samples import Samples
from prima_features.probes.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

KNOWN = ("study", "subject", "group", "site", "sex", "age", "scanner", "field_strength")
_LONGITUDINAL = ("visit_years", "interval_years", "initial_value")
VARIABLES = ("sex", "age_band", "site", "scanner", "field_strength")


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of rows by probes that were not trained on their groups."""

    repeats: tuple[Outcome, ...]
    """One per repeat, of all N rows; NaN and -1 for rows that were never tested."""
    fold: np.ndarray
    """(repeats, N) fold that tested each row, -1 if none did."""
    parameters: tuple[dict[str, Any], ...]
    """Parameters chosen by the inner loop of each fold."""
    fitted: tuple[FittedRecipe, ...] = ()
    """What was fitted in each fold, if requested."""
    variance: float = 1.0
    """Of the bootstrap's weights (see `intervals`): above 1 if tested subjects are also used for training."""
    unconverged: tuple[float, ...] = ()
    """Inverse penalties with which a logistic regression did not converge."""
    attention: np.ndarray | None = None
    """(m,) weights of the rows of `Samples.bags.index`, mean over repeats, if the probes pool with attention; NaN for
    rows that were never tested."""

    @property
    def tested(self) -> np.ndarray:
        """(N,) rows that were predicted."""
        return np.asarray((self.fold >= 0).all(axis=0))


def cross_validate(
    samples: Samples, recipe: Recipe, splits: Splits, *, keep_fitted: bool = False, log_folds: bool = True
) -> OutOfFold:
    """Fit on each fold's training rows, and predict its test rows.

    Args:
        samples: N studies.
        recipe: what is fitted in each fold.
        splits: the folds (see `splits.draw`).
        keep_fitted: also return what was fitted.
        log_folds: log each fold. A caller that evaluates many times logs its own progress.
    """
    n = len(samples)
    repeats = tuple(samples.kind.empty(n) for _ in range(splits.n_repeats))
    fold_of = np.full((splits.n_repeats, n), -1)
    parameters, kept, unconverged = [], [], set[float]()
    bags = samples.bags if recipe.reads_bags else None
    weights = None if bags is None else np.full((splits.n_repeats, len(bags.index)), np.nan)
    for i, fold in enumerate(splits.folds):
        fitted = fit_recipe(recipe, samples, fold.train, fold.inner)
        tested = samples.take(fold.test)
        repeats[fold.repeat].put(fold.test, fitted.predict(tested))
        if bags is not None and weights is not None:
            weights[fold.repeat, bags.positions(fold.test)] = fitted.attention(tested)
        fold_of[fold.repeat, fold.test] = i
        parameters.append(fitted.estimator.best_params_)
        unconverged |= {*getattr(fitted.estimator, "unconverged_", ())}
        if keep_fitted:
            kept.append(fitted)
        _log.log(logging.INFO if log_folds else logging.DEBUG, "fold %d of %d", i + 1, len(splits.folds))
        _log.debug("parameters: %s", parameters[-1])
    variance = training_variance(samples, splits)
    return OutOfFold(
        repeats,
        fold_of,
        tuple(parameters),
        tuple(kept),
        variance,
        tuple(sorted(unconverged)),
        None if weights is None else weights.mean(axis=0),
    )


def training_variance(samples: Samples, splits: Splits) -> float:
    """Nadeau and Bengio's factor, 1 + n_tested / n_train; 1 for a single fold, whose test subjects never train."""
    if len(splits.folds) == 1:
        return 1.0
    n_tested = sum(int(samples.eligible[fold.test].sum()) for fold in splits.folds) / splits.n_repeats
    return 1 + n_tested / float(np.mean([len(fold.train) for fold in splits.folds]))


def predictions_table(samples: Samples, predicted: OutOfFold) -> pd.DataFrame:
    """Out-of-fold predictions, the mean over repeats; `counts` is 1 for rows that the metrics count.

    The class is that of the first repeat, and so is `fold`.
    """
    rows = np.flatnonzero(predicted.tested)
    known = [*KNOWN, *(name for name in _LONGITUDINAL if samples.frame[name].notna().any())]
    table = samples.frame.loc[rows, known].reset_index(drop=True)
    table = table.assign(**samples.kind.target_columns(samples.y[rows]))
    table["counts"] = samples.eligible[rows].astype(int)
    table["fold"] = predicted.fold[0, rows]
    mean = _mean_outcome([outcome.take(rows) for outcome in predicted.repeats])
    return add_outcome(table, samples.take(rows), mean)


def add_outcome(table: pd.DataFrame, samples: Samples, outcome: Outcome) -> pd.DataFrame:
    """The table with the columns of a prediction (see `record.Evaluation.predictions`)."""
    return table.assign(**samples.kind.columns(outcome, samples.age))


def _mean_outcome(repeats: list[Outcome]) -> Outcome:
    return Outcome(
        np.mean([one.value for one in repeats], axis=0),
        np.mean([one.probability for one in repeats], axis=0),
        repeats[0].label,
        np.mean([one.corrected for one in repeats], axis=0),
    )


@dataclass(frozen=True)
class Scored:
    """N predicted rows with their truth."""

    task: Task
    y: np.ndarray
    """(N,)."""
    repeats: tuple[Outcome, ...]
    """Predictions of the N rows, one a repeat."""
    bootstrap: Bootstrap
    fold: np.ndarray | None = None
    """(repeats, N) fold that tested each row; None if one probe predicted all."""

    @property
    def kind(self) -> Kind:
        """Kind of the target."""
        return kind_of(self.task)

    def statistic(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """(B,) metrics for (B, N) weights: the mean over repeats of each repeat's metric.

        A metric of averaged predictions would be that of an ensemble, and flatter the probe.
        """
        each = [self.kind.scores(self.y, outcome, weights) for outcome in self.repeats]
        return {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}

    def primary(self, weights: np.ndarray) -> np.ndarray:
        """(B,) primary metric alone, mean over repeats."""
        return np.asarray(
            np.mean([self.kind.primary_score(self.y, one, weights) for one in self.repeats], axis=0)
        )

    def estimates(self) -> dict[str, Estimate]:
        """The task's metrics with their intervals."""
        return self.bounded(self.bootstrap.estimates(self.statistic))

    def bounded(self, found: dict[str, Estimate]) -> dict[str, Estimate]:
        """Estimates of the task's metrics with intervals extended near the metrics' ends (`bounds`)."""
        return self.kind.bounded(found, self.y, self.repeats, self.bootstrap)

    def values(self) -> dict[str, float]:
        """The task's metrics alone."""
        return {name: float(value[0]) for name, value in self.statistic(np.ones((1, len(self.y)))).items()}

    def take(self, rows: np.ndarray) -> Scored:
        """Some of the rows, by mask or position."""
        bootstrap = replace(
            self.bootstrap, groups=self.bootstrap.groups[rows], strata=self.bootstrap.strata[rows]
        )
        fold = None if self.fold is None else self.fold[:, rows]
        return Scored(self.task, self.y[rows], tuple(one.take(rows) for one in self.repeats), bootstrap, fold)


def scored(samples: Samples, predicted: OutOfFold, n_resamples: int = 1000, seed: int = 0) -> Scored:
    """The rows that were tested and are eligible, with a bootstrap of their groups, stratified as the kind says."""
    rows = np.flatnonzero(predicted.tested & samples.eligible)
    strata = samples.kind.resampling_strata(samples.y[rows])
    bootstrap = Bootstrap(samples.groups[rows], strata, n_resamples, seed, predicted.variance)
    repeats = tuple(outcome.take(rows) for outcome in predicted.repeats)
    return Scored(samples.task, samples.y[rows], repeats, bootstrap, predicted.fold[:, rows])


def by_groups(scored: Scored, frame: pd.DataFrame) -> dict[str, GroupMetrics]:
    """Metrics by each variable with at least two known levels.

    Args:
        scored: N predicted rows.
        frame: their covariates, N rows.
    """
    columns = {name: frame[name].to_numpy(dtype=str) for name in VARIABLES if name != "age_band"}
    columns["age_band"] = age_bands(frame["age"].to_numpy(dtype=float))
    found = {name: by_variable(scored, columns[name], name) for name in VARIABLES}
    return {name: metrics for name, metrics in found.items() if len(metrics.n) > 1}


def by_variable(scored: Scored, values: np.ndarray, name: str) -> GroupMetrics:
    """Metrics of N predicted rows by the levels of one variable: (N,) text, empty if unknown."""
    return groups.by_variable(
        name,
        values,
        lambda rows: _estimates(scored.take(np.flatnonzero(rows))),
        lambda rows: scored.kind.too_few(scored.y[rows], scored.bootstrap.groups[rows]),
    )


def _estimates(part: Scored) -> dict[str, Estimate]:
    """The metrics of one level, including those computed for groups only.

    Resamples for the latter do not keep the share of each class, which calibration in the large depends on.
    """

    def further(weights: np.ndarray) -> dict[str, np.ndarray]:
        more = [part.kind.group_scores(part.y, one, weights) for one in part.repeats]
        return {name: np.mean([one[name] for one in more], axis=0) for name in more[0]}

    unstratified = replace(part.bootstrap, strata=np.zeros(len(part.y), dtype=np.int64))
    found = part.estimates() | unstratified.estimates(further)
    return part.kind.bounded_group(found, part.y, part.bootstrap)


@dataclass(frozen=True)
class BrainAgeGap:
    """Predicted minus true age."""

    method: str
    """Of the correction, fitted on out-of-fold predictions of training subjects."""
    raw_age_correlation: Estimate
    corrected_age_correlation: Estimate
    raw_mean: Estimate
    corrected_mean: Estimate
    """Years."""
    age_range: tuple[float, float]
    """Years, of the rows that count."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        estimates = {name: one.to_dict() for name, one in vars(self).items() if isinstance(one, Estimate)}
        return estimates | {"method": self.method, "age_range": list(self.age_range)}


def brain_age_gap(scored: Scored, method: str) -> BrainAgeGap:
    """The gap's mean and its correlation with age, over N rows of a brain-age probe."""
    age = scored.y

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        raw = [one.value - age for one in scored.repeats]
        corrected = [one.corrected - age for one in scored.repeats]
        return {
            "raw_age_correlation": np.mean([weighted.pearson(gap, age, weights) for gap in raw], axis=0),
            "corrected_age_correlation": np.mean(
                [weighted.pearson(gap, age, weights) for gap in corrected], axis=0
            ),
            "raw_mean": np.mean([weighted.mean(gap, weights) for gap in raw], axis=0),
            "corrected_mean": np.mean([weighted.mean(gap, weights) for gap in corrected], axis=0),
        }

    found = scored.bootstrap.estimates(statistic, ("raw_age_correlation", "corrected_age_correlation"))
    return BrainAgeGap(method, **found, age_range=(float(age.min()), float(age.max())))
