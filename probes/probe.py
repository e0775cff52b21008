"""A probe: a task, a recipe, and once fitted the numbers that predict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes import tasks
from prima_features.probes.features import Features, FeatureSource
from prima_features.probes.recipe import FittedRecipe, Recipe, fit_recipe
from prima_features.probes.samples import Samples, samples, unlabelled
from prima_features.probes.tasks import Task
from prima_features.probes.training import TrainingSet, subject_digest

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation import Evaluation, Plan, Splits
    from prima_features.probes.steps.familiar import TrainingRange

UNLIKE_SHARE = 0.05
"""A warning is given where more of the studies are unlike the training set; 1 in 100 is by chance."""


@dataclass(frozen=True)
class Predictions:
    """What a probe says of new studies."""

    table: pd.DataFrame
    """A row a study: `study subject`, the columns of `Evaluation.predictions` from `prediction` on, and `distance`
    (see `TrainingRange`), `unlike_training` and `outside_age_range` (1 or 0)."""
    warnings: tuple[str, ...] = ()
    """A sentence each."""


class Probe:
    """A small model on embeddings.

    Args:
        task: what is predicted, or its name.
        recipe: how it is fitted.

    Raises:
        UsageError: the recipe does not fit the task.
    """

    def __init__(self, task: Task | str, recipe: Recipe | None = None):
        self.task = tasks.get(task) if isinstance(task, str) else task
        self.recipe = recipe or Recipe()
        self.recipe.check(self.task)
        self.fitted: FittedRecipe | None = None
        self.training: TrainingSet | None = None
        self.range: TrainingRange | None = None

    def cross_validate(
        self, features: Features, frame: pd.DataFrame, plan: Plan | None = None, splits: Splits | None = None
    ) -> Evaluation:
        """Evaluate the recipe by nested cross-validation; the probe itself is not changed.

        Args:
            features: of the studies; rows are found by the table's column `row`.
            frame: labels (see `samples.samples`), a row a study.
            plan: how it is evaluated.
            splits: folds of an earlier evaluation of the same studies.
        """
        from prima_features.probes.evaluation import evaluate

        return evaluate(self._samples(features, frame), self.recipe, plan, splits)

    def fit(self, features: Features, frame: pd.DataFrame, cohort: str = "") -> Probe:
        """Fit on all eligible studies; arguments as `cross_validate`.

        Args:
            features: of the studies.
            frame: labels.
            cohort: its name, to warn where the probe is tested on a cohort that holds the same subjects.
        """
        from prima_features.probes.steps.familiar import TrainingRange

        given = self._samples(features, frame)
        rows = np.flatnonzero(given.eligible)
        self.fitted = fit_recipe(self.recipe, given, rows)
        self.training = TrainingSet.of(given, features.source, cohort)
        self.range = TrainingRange.fit(given.X[rows], given.groups[rows], self.recipe.seed)
        return self

    def evaluate(
        self, features: Features, frame: pd.DataFrame, cohort: str = "", *, n_bootstrap: int = 1000
    ) -> Evaluation:
        """Evaluate the fitted probe on another cohort.

        Raises:
            UsageError: the probe is not fitted, the features are not those it was fitted on, or labels are not of
                its task.
        """
        from prima_features.probes.evaluation import evaluate_fitted

        fitted, training = self._fitted(features.source, features.X.shape[1])
        given = self._samples(features, frame)
        warnings = (*_shared_subjects(training, given, cohort), *self._unlike(given)[1])
        return evaluate_fitted(
            fitted, given, np.array(training.typical), n_bootstrap=n_bootstrap, warnings=warnings
        )

    def predict(self, features: Features, frame: pd.DataFrame) -> Predictions:
        """Predict studies whose target is not known.

        Args:
            features: of the studies.
            frame: what is known of them: `row`, `study`, and `site`, `age` and `sex` as far as known. Without
                `age` a brain age has no gap.
        """
        from prima_features.probes.evaluation.table import add_outcome

        fitted, _ = self._fitted(features.source, features.X.shape[1])
        features, frame = _aligned(features, frame)
        given = unlabelled(features.X, frame, self.task)
        table = given.frame[["study", "subject"]].copy()
        table = add_outcome(table, given, fitted.predict(given))
        flags, warnings = self._unlike(given)
        return Predictions(table.assign(**flags), warnings)

    def save(self, folder: str | Path, evaluation: Evaluation | None = None) -> Path:
        """Write the probe's directory (see `persistence`), with the evaluation's numbers and predictions."""
        from prima_features.probes.persistence import save

        return save(self, Path(folder), evaluation)

    @classmethod
    def load(cls, folder: str | Path) -> Probe:
        """Read a probe's directory. Runs no code from it.

        Raises:
            UsageError: it is not one, is damaged, or was written by a newer release.
        """
        from prima_features.probes.persistence import load

        return load(Path(folder))

    def _samples(self, features: Features, frame: pd.DataFrame) -> Samples:
        features, frame = _aligned(features, frame)
        return samples(features.X, frame, self.task)

    def _fitted(self, source: FeatureSource, n_features: int) -> tuple[FittedRecipe, TrainingSet]:
        if self.fitted is None or self.training is None:
            raise UsageError("this probe is not fitted: call fit, or load one that is")
        check_source(self.training, source, n_features)
        return self.fitted, self.training

    def _unlike(self, given: Samples) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
        """Columns that say how unlike the training set each study is, and sentences about it."""
        assert self.range is not None and self.training is not None
        distance = self.range.distance(given.X)
        unlike = distance > 1
        flags = {"distance": distance, "unlike_training": unlike.astype(int)}
        warnings = []
        if unlike.mean() > UNLIKE_SHARE:
            warnings.append(
                f"{int(unlike.sum())} of {len(unlike)} studies are less like the training set than 99 in 100 of its "
                "own: another scanner, sequence or population? Their numbers may mean little"
            )
        if self.training.age_range is not None:
            low, high = self.training.age_range
            outside = (given.age < low) | (given.age > high)
            flags["outside_age_range"] = outside.astype(int)
            if outside.any():
                warnings.append(
                    f"{int(outside.sum())} of {len(outside)} subjects are outside the ages of the training set, "
                    f"{low:.0f} to {high:.0f} years"
                )
        return flags, tuple(warnings)


def check_source(training: TrainingSet, source: FeatureSource, n_features: int) -> None:
    """Refuse features that are not of the kind that a probe was fitted on.

    Raises:
        UsageError: another model, level or series pattern, or another number of features.
    """
    was = training.source
    if was.model_sha256 != source.model_sha256:
        raise UsageError(
            f"this probe was fitted on embeddings of {was.model or 'an unnamed model'} "
            f"({was.model_sha256[:12] or 'no hash'}), and these are of {source.model or 'an unnamed model'} "
            f"({source.model_sha256[:12] or 'no hash'}): embed with the probe's model"
        )
    if (was.level, was.series) != (source.level, source.series):
        raise UsageError(
            f"this probe reads level {was.level} {was.series}".rstrip()
            + f", and these features are of level {source.level} {source.series}".rstrip()
        )
    if training.n_features != n_features:
        raise UsageError(f"this probe reads {training.n_features} numbers a study, not {n_features}")


def _aligned(features: Features, frame: pd.DataFrame) -> tuple[Features, pd.DataFrame]:
    return features.aligned(frame) if "row" in frame else (features, frame)


def _shared_subjects(training: TrainingSet, given: Samples, cohort: str) -> list[str]:
    from prima_features.probes.labels.cohorts import overlap

    found = []
    if training.cohort and cohort and (reason := overlap(training.cohort, cohort)):
        found.append(reason)
    known = set(training.subject_digests)
    if shared := sum(subject_digest(name) in known for name in given.frame["subject"].unique()):
        found.append(
            f"{shared} subjects have ids that are in the training set too: are they the same people?"
        )
    return found
