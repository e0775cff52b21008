"""What is done in one training fold, and afterwards on all data: adjust, fit, calibrate, decide, correct."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.linalg.rows import Rows
from prima_features.probes.steps.outputs import (
    BIAS_CORRECTIONS,
    CALIBRATIONS,
    BiasCorrection,
    BiasMethod,
    Calibration,
    CalibrationMethod,
    Decision,
)

if TYPE_CHECKING:
    from prima_features.probes.estimators.base import ProbeEstimator
    from prima_features.probes.samples import Samples
    from prima_features.probes.tasks import Task


@dataclass(frozen=True)
class Outcome:
    """Predictions of N studies."""

    value: np.ndarray
    """(N,) predicted numbers; NaN for classes."""
    probability: np.ndarray
    """(N, K) of the classes; K is 0 for numbers."""
    label: np.ndarray
    """(N,) class numbers by the rule chosen in training; -1 for numbers."""
    corrected: np.ndarray
    """(N,) ages after bias correction, for the gap; NaN if there is none."""

    @classmethod
    def empty(cls, n: int, n_classes: int) -> Outcome:
        """No predictions yet: NaN, and -1 for classes."""
        unknown = np.full(n, np.nan)
        return cls(unknown, np.full((n, n_classes), np.nan), np.full(n, -1), unknown.copy())

    def take(self, rows: np.ndarray) -> Outcome:
        """Of some studies, by mask or position."""
        return Outcome(self.value[rows], self.probability[rows], self.label[rows], self.corrected[rows])

    def put(self, rows: np.ndarray, other: Outcome) -> None:
        """Write the outcome of some studies into this one's arrays."""
        self.value[rows], self.probability[rows] = other.value, other.probability
        self.label[rows], self.corrected[rows] = other.label, other.corrected


CONFOUNDS = ("age", "sex", "icv")


@dataclass(frozen=True)
class Recipe:
    """How a probe is fitted."""

    estimator: str = ""
    """`ridge`, `logistic`, `xgboost`, `mlp` or `knn`; default is ridge for a number, logistic for classes."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the estimator in place of its defaults."""
    harmonize: str = "none"
    """`none` or `combat`. ComBat keeps the effects of age and sex, or of sex alone if age is the target."""
    unseen_sites: Literal["keep", "error"] = "keep"
    """What ComBat does with sites that were not in training: `keep` leaves them as they are, `error` refuses."""
    confounds: tuple[str, ...] = ()
    """Of `age`, `sex`, `icv`: what is taken out of the features, linearly."""
    calibration: CalibrationMethod = "none"
    bias_correction: BiasMethod = "none"
    """Of the brain-age gap."""
    inner_folds: int = 5
    seed: int = 0

    def check(self, task: Task) -> None:
        """Refuse what does not fit the task, before anything is computed.

        Raises:
            UsageError: an unknown name, or steps that contradict the task or each other.
        """
        _one_of("harmonize", self.harmonize, ("none", "combat"))
        _one_of("unseen_sites", self.unseen_sites, ("keep", "error"))
        _one_of("calibration", self.calibration, CALIBRATIONS)
        _one_of("bias_correction", self.bias_correction, BIAS_CORRECTIONS)
        for name in self.confounds:
            _one_of("confounds", name, CONFOUNDS)
        if self.harmonize != "none" and self.confounds:
            raise UsageError(
                "ComBat keeps the effects of age and sex, and confounds takes them out: choose one"
            )
        if task.is_age and "age" in self.confounds:
            raise UsageError("age is the target: it cannot be taken out of the features as a confound")
        if self.bias_correction != "none" and not task.is_age:
            raise UsageError(f"bias correction is for the gap of brain age, not for {task.name}")
        if self.calibration != "none" and not task.is_classification:
            raise UsageError(f"calibration is for probabilities, and {task.name} predicts a number")
        self.make(task)

    def estimator_name(self, task: Task) -> str:
        """Name of the estimator; the task's default if none is given."""
        return self.estimator or ("logistic" if task.is_classification else "ridge")

    def make(self, task: Task) -> ProbeEstimator:
        """The estimator, not fitted."""
        from prima_features.probes.estimators import make

        name = self.estimator_name(task)
        common = {"inner_folds": self.inner_folds, "adjust": self._adjust(), "random_state": self.seed}
        return make(name, classes=task.is_classification, **common | dict(self.options))

    def covariates(self, samples: Samples) -> np.ndarray | None:
        """(N, C) what `adjust` needs to know of each study."""
        if self.confounds:
            return samples.covariates(self.confounds)
        if self.harmonize == "combat":
            # Keeping the effect of the target would let ComBat write it into the features.
            return samples.covariates(("sex",) if samples.task.is_age else ("age", "sex"))
        return None

    def _adjust(self) -> Any:
        from prima_features.probes.steps.adjust import ComBat, Residualizer

        return (
            ComBat(self.unseen_sites)
            if self.harmonize == "combat"
            else Residualizer()
            if self.confounds
            else None
        )


@dataclass(frozen=True)
class FittedRecipe:
    """All that was fitted on some training rows."""

    recipe: Recipe
    estimator: ProbeEstimator
    calibration: Calibration = field(default_factory=Calibration)
    decision: Decision = field(default_factory=Decision)
    correction: BiasCorrection = field(default_factory=BiasCorrection)

    def raw(self, samples: Samples) -> np.ndarray:
        """(N,) numbers, or (N, K) probabilities before calibration."""
        where = {"sites": samples.sites, "covariates": self.recipe.covariates(samples)}
        if samples.task.is_classification:
            return self.estimator.predict_proba(samples.X, **where)
        return self.estimator.predict(samples.X, **where)

    def predict(self, samples: Samples) -> Outcome:
        """Predict studies; their targets are only used if they are ages, by the bias correction."""
        task, n = samples.task, len(samples)
        value = self.raw(samples)
        if task.is_classification:
            probability = self.calibration.apply(value)
            unknown = np.full(n, np.nan)
            return Outcome(unknown, probability, self.decision(probability), unknown)
        corrected = self.correction.apply(value, samples.age) if task.is_age else np.full(n, np.nan)
        return Outcome(value, np.empty((n, 0)), np.full(n, -1), corrected)


def fit_recipe(
    recipe: Recipe, samples: Samples, rows: np.ndarray | None = None, inner: np.ndarray | None = None
) -> FittedRecipe:
    """Fit on some rows of the samples and on nothing else.

    Args:
        recipe: how.
        samples: N studies.
        rows: (n,) training rows; default is all that are eligible.
        inner: (n,) inner fold of each training row, instead of drawing them.

    Raises:
        UsageError: there are no rows to train on, or none of a class.
    """
    from prima_features.probes.estimators.base import RowMetadata

    rows = np.flatnonzero(samples.eligible) if rows is None else rows
    metadata = RowMetadata(samples.groups, samples.sites, recipe.covariates(samples)).take(rows)
    y = samples.y[rows]
    _check_training(samples.task, y)
    estimator = recipe.make(samples.task).fit_rows(Rows(samples.X, rows), y, metadata, inner)
    # Each training row's prediction here is by a model that had not seen its group.
    held_out = estimator.out_of_fold_
    if samples.task.is_classification:
        curves = Calibration.fit(recipe.calibration, held_out, y)
        return FittedRecipe(recipe, estimator, curves, Decision.fit(curves.apply(held_out), y))
    correction = BiasCorrection.fit(recipe.bias_correction, y, held_out)
    return FittedRecipe(recipe, estimator, correction=correction)


def _check_training(task: Task, y: np.ndarray) -> None:
    if not len(y):
        raise UsageError(
            f"no study to train the task {task.name} on: check --control-column, if there is one"
        )
    if absent := sorted(set(range(len(task.classes))) - set(y.tolist())):
        raise UsageError(f"no study of class {task.classes[absent[0]]} to train the task {task.name} on")


def _one_of(what: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise UsageError(f"{what} must be one of {', '.join(allowed)}, not {given!r}")
