"""What is done in one training fold, and afterwards on all data: adjust, fit, calibrate, decide, correct."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.kinds import Kind, KindName, Outcome, kind_of
from prima_features.probes.linalg.rows import Rows
from prima_features.probes.steps.outputs import (
    BIAS_CORRECTIONS,
    CALIBRATIONS,
    BiasMethod,
    CalibrationMethod,
    Steps,
)

if TYPE_CHECKING:
    from prima_features.probes.estimators.base import ProbeEstimator
    from prima_features.probes.samples import Samples
    from prima_features.probes.tasks import Task


CONFOUNDS = ("age", "sex", "icv")
_PREDICTED: dict[KindName, str] = {
    "number": "a number",
    "survival": "a time to an event",
    "ordinal": "ordered classes",
    "count": "a count",
    "labels": "several labels",
}


@dataclass(frozen=True)
class Recipe:
    """How a probe is fitted."""

    estimator: str = ""
    """A name in `estimators.ESTIMATORS`; default is the first that the kind of the target names."""
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
        if self.calibration != "none" and not kind_of(task).has_probabilities:
            raise UsageError(
                f"calibration is for probabilities of classes, and {task.name} predicts {_PREDICTED[task.kind_name]}"
            )
        self.make(task)

    def estimator_name(self, task: Task) -> str:
        """Name of the estimator; the task's default if none is given."""
        return self.estimator or kind_of(task).estimators[0]

    def make(self, task: Task) -> ProbeEstimator:
        """The estimator, not fitted."""
        from prima_features.probes.estimators import make

        name = self.estimator_name(task)
        common = {"inner_folds": self.inner_folds, "adjust": self._adjust(), "random_state": self.seed}
        return make(name, kind=task.kind_name, **common | dict(self.options))

    @property
    def reads_bags(self) -> bool:
        """Whether its estimator pools the vectors of series or tokens itself."""
        from prima_features.probes.estimators import ESTIMATORS

        return any(one.reads_bags for one in ESTIMATORS.get(self.estimator, {}).values())

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


@dataclass(frozen=True, kw_only=True)
class FittedRecipe(Steps):
    """All that was fitted on some training rows."""

    recipe: Recipe
    estimator: ProbeEstimator

    def raw(self, samples: Samples) -> np.ndarray:
        """(N,) numbers, or (N, K) probabilities before calibration."""
        return samples.kind.raw(self.estimator, samples.X, **self._where(samples))

    def attention(self, samples: Samples) -> np.ndarray | None:
        """(m,) weight of each row of `samples.bags.index`, which sum to 1 per study; None if it pools nothing."""
        if not self.estimator.reads_bags or samples.bags is None:
            return None
        return np.asarray(self.estimator.attention(samples.X, **self._where(samples)))

    def _where(self, samples: Samples) -> dict[str, Any]:
        where = {"sites": samples.sites, "covariates": self.recipe.covariates(samples)}
        return where | ({"bags": samples.bags} if self.estimator.reads_bags else {})

    def predict(self, samples: Samples) -> Outcome:
        """Predict studies; their targets are only used if they are ages, by the bias correction."""
        return samples.kind.outcome(self, self.raw(samples), samples.age)


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
        UsageError: there are no rows to train on, none of a class, or no bags for an estimator that pools them.
    """
    from prima_features.probes.estimators.base import RowMetadata

    rows = np.flatnonzero(samples.eligible) if rows is None else rows
    metadata = RowMetadata(samples.groups, samples.sites, recipe.covariates(samples)).take(rows)
    y = samples.y[rows]
    _check_training(samples.kind, y)
    estimator = recipe.make(samples.task)
    if estimator.reads_bags and samples.bags is None:
        raise UsageError(
            f"the estimator {recipe.estimator_name(samples.task)} pools the vectors of series or tokens: give --level "
            "series or --level token (in Python, features with bags=True)"
        )
    estimator.fit_rows(Rows(samples.X, rows, samples.bags), y, metadata, inner)
    # Each training row's prediction here is by a model that had not seen its group.
    steps = samples.kind.steps(recipe, estimator.out_of_fold_, y)
    return FittedRecipe(recipe=recipe, estimator=estimator, **vars(steps))


def _check_training(kind: Kind, y: np.ndarray) -> None:
    name = kind.task.name
    if not len(y):
        raise UsageError(f"no study to train the task {name} on: check --control-column, if there is one")
    if absent := kind.absent(y):
        raise UsageError(f"no study of {absent} to train the task {name} on")


def _one_of(what: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise UsageError(f"{what} must be one of {', '.join(allowed)}, not {given!r}")
