"""A probe: a task, a recipe, and once fitted the numbers that predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prima_features.errors import UsageError
from prima_features.models.caveats import warn_of
from prima_features.probes import tasks
from prima_features.probes.covariates import CovariateBaseline
from prima_features.probes.feature_matrix import Features
from prima_features.probes.recipe import FittedRecipe, Recipe, fit_recipe
from prima_features.probes.samples import Samples, samples, unlabelled
from prima_features.probes.tasks import Task
from prima_features.probes.training import TrainingSet, check_source, shared_subjects, unlike_training

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation import Evaluation, EvaluationPlan, Splits
    from prima_features.probes.persistence import Extras
    from prima_features.probes.steps.novelty import TrainingRange


@dataclass(frozen=True)
class Fitted:
    """The result of fitting."""

    recipe: FittedRecipe
    training: TrainingSet
    range: TrainingRange

    @property
    def caveat(self) -> str:
        """The caveat of the model that made the features; empty for most models."""
        return self.training.source.caveat


@dataclass(frozen=True)
class Predictions:
    """Predictions of new studies."""

    table: pd.DataFrame
    """One row per study: `study subject`, the columns of `Evaluation.predictions` from `prediction` on, and those of
    `cautions.unlike_training`; if the model that made the features has a caveat, it is repeated in `caveat`."""
    warnings: tuple[str, ...] = ()
    """A sentence each."""
    attention: pd.DataFrame | None = None
    """Attention weights (see `evaluation.attention.weights_table`), if the probe pools series or tokens."""
    noun: str = "study"
    """What a row is: a study, or a change between studies."""


class Probe:
    """A small model on embeddings.

    Args:
        task: what is predicted, or its name.
        recipe: how it is fitted.

    Attributes:
        fitted: the result of fitting, None before.

    Raises:
        UsageError: the recipe does not fit the task.
    """

    def __init__(self, task: Task | str, recipe: Recipe | None = None):
        self.task = tasks.get(task) if isinstance(task, str) else task
        self.recipe = recipe or Recipe()
        self.recipe.check(self.task)
        self.fitted: Fitted | None = None

    def cross_validate(
        self,
        features: Features,
        frame: pd.DataFrame,
        plan: EvaluationPlan | None = None,
        splits: Splits | None = None,
    ) -> Evaluation:
        """Evaluate the recipe by nested cross-validation; the probe itself is not changed.

        Args:
            features: of the studies, found by the table's column `row`; without that column, row by row.
            frame: labels (see `samples.samples`), one row per study.
            plan: how it is evaluated.
            splits: folds of an earlier evaluation of the same studies.

        Raises:
            UsageError: see `samples.samples` and `evaluation.evaluate`.

        Warns:
            ModelCaveatWarning: the model that made the features has a caveat; once per process. The other
                methods issue it too.
        """
        from prima_features.probes.evaluation import evaluate

        _warn(features)
        found = evaluate(self._samples(features, frame), self.recipe, plan, splits)
        return found.with_caveat(features.source.caveat)

    def fit(self, features: Features, frame: pd.DataFrame, cohort: str = "") -> Probe:
        """Fit on all eligible studies; arguments as `cross_validate`.

        Args:
            features: of the studies.
            frame: labels.
            cohort: its name, to warn if the probe is tested on a cohort with the same subjects.
        """
        from prima_features.probes.steps.novelty import TrainingRange, scores_of

        _warn(features)
        given = self._samples(features, frame)
        rows = np.flatnonzero(given.eligible)
        recipe = fit_recipe(self.recipe, given, rows)
        scores = scores_of(recipe.estimator.out_of_fold_)
        covariates = CovariateBaseline.fit(given, rows, self.recipe.inner_folds, self.recipe.seed)
        self.fitted = Fitted(
            recipe,
            TrainingSet.of(given, features.source, cohort, covariates),
            TrainingRange.fit(given.X, rows, given.groups[rows], self.recipe.seed, scores),
        )
        return self

    def evaluate(
        self, features: Features, frame: pd.DataFrame, cohort: str = "", *, n_bootstrap: int = 1000
    ) -> Evaluation:
        """Evaluate the fitted probe on another cohort; arguments as `fit`.

        Raises:
            UsageError: the probe is not fitted, the features are not of the kind it was fitted on, or the labels
                are not of its task.
        """
        from prima_features.probes.evaluation import evaluate_fitted

        fitted = self._fitted(features)
        given = self._samples(features, frame)
        warnings = (
            *shared_subjects(fitted.training, given, cohort),
            *unlike_training(fitted.range, fitted.training, given, fitted.recipe.raw(given))[1],
        )
        typical = np.array(fitted.training.typical)
        found = evaluate_fitted(
            fitted.recipe,
            given,
            typical,
            fitted.training.covariates,
            n_bootstrap=n_bootstrap,
            warnings=warnings,
        )
        return found.with_caveat(fitted.caveat)

    def predict(self, features: Features, frame: pd.DataFrame) -> Predictions:
        """Predict studies whose target is not known.

        Args:
            features: of the studies, as in `cross_validate`.
            frame: covariates: `study`, and `subject`, `site`, `sex` and `age` as far as known. Without `age` a
                brain age has no gap.

        Raises:
            UsageError: the probe is not fitted, or the features are not of the kind it was fitted on.
        """
        from prima_features.probes.evaluation.attention import weights_table
        from prima_features.probes.evaluation.scored import add_outcome

        fitted = self._fitted(features)
        features, frame = _aligned(features, frame)
        given = unlabelled(features.X, frame, self.task, features.bags)
        change = fitted.training.source.change
        known = ["study", "subject", "interval_years"] if change else ["study", "subject"]
        table = add_outcome(given.frame[known].copy(), given, fitted.recipe.predict(given))
        raw = fitted.recipe.raw(given)
        flags, warnings = unlike_training(fitted.range, fitted.training, given, raw)
        table = table.assign(**flags)
        weights = fitted.recipe.attention(given)
        attention = None if weights is None else weights_table(given, weights)
        if fitted.caveat:
            table, warnings = table.assign(caveat=fitted.caveat), [fitted.caveat, *warnings]
            attention = None if attention is None else attention.assign(caveat=fitted.caveat)
        return Predictions(table, tuple(warnings), attention, "change" if change else "study")

    def check(self, features: Features) -> None:
        """Check that the fitted probe reads these features.

        Raises:
            UsageError: as `predict`.
        """
        self._fitted(features)

    def save(self, folder: str | Path, extras: Extras | None = None) -> Path:
        """Write the probe's directory; see `persistence.save`."""
        from prima_features.probes.persistence import save

        return save(self, Path(folder), extras)

    @classmethod
    def load(cls, name: str | Path) -> Probe:
        """Read a probe from its directory or from the Hub; see `persistence`. Runs no code from it."""
        from prima_features.probes.persistence import load, locate

        return load(locate(name))

    def _samples(self, features: Features, frame: pd.DataFrame) -> Samples:
        features, frame = _aligned(features, frame)
        return samples(features.X, frame, self.task, features.bags)

    def _fitted(self, features: Features) -> Fitted:
        if self.fitted is None:
            raise UsageError("this probe is not fitted: call fit, or load a saved probe")
        check_source(self.fitted.training, features.source, features.X.shape[1])
        if self.fitted.recipe.estimator.reads_bags and features.bags is None:
            raise UsageError(
                "this probe pools the vectors of series or tokens: read the features with bags=True"
            )
        _warn(features, self.fitted.caveat)
        return self.fitted


def _warn(features: Features, caveat: str = "") -> None:
    warn_of(caveat or features.source.caveat, stacklevel=4 if caveat else 3)


def _aligned(features: Features, frame: pd.DataFrame) -> tuple[Features, pd.DataFrame]:
    return features.aligned(frame) if "row" in frame else (features, frame)
