"""What a kind of target defines. The rest of `probes` asks the kind instead of branching on the target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.evaluation.intervals import Bootstrap, Estimate
    from prima_features.evaluation.sample_size import Criteria
    from prima_features.probes.evaluation.scored import Scored
    from prima_features.probes.recipe import Recipe
    from prima_features.probes.samples import Samples
    from prima_features.probes.steps.outputs import Steps
    from prima_features.probes.tasks import Task

KindName = Literal["number", "classes", "survival", "ordinal", "count", "labels"]
MIN_GROUPS = 10
"""Metrics by group leave out levels with fewer subjects (of each class)."""


@dataclass(frozen=True)
class Outcome:
    """Predictions of N studies."""

    value: np.ndarray
    """(N,) predicted numbers, log risks of an event, or expected positions of ordered classes; NaN for classes."""
    probability: np.ndarray
    """(N, K) of the classes, of K labels, or of surviving K times; K is 0 for numbers."""
    label: np.ndarray
    """(N,) class numbers, or risk groups, by the rule chosen in training; -1 for numbers. (N, K) 1 or 0 of K labels."""
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


@dataclass(frozen=True)
class Words:
    """Parts of sentences that depend on the kind."""

    primary: str
    """The primary metric, at the start of a sentence."""
    strata: str
    """What folds are stratified by."""
    loss: str
    """What hyperparameters are chosen by."""
    dummy: str
    """Name of the constant baseline."""
    typical: str
    """What the constant baseline predicts."""
    association: str
    """Measure of the association of target and site, in plain text."""
    association_long: str
    """The same with its meaning, as on a page."""
    pipeline: str
    """The Hub's name of such a task."""


@dataclass(frozen=True)
class Kind(ABC):
    """A kind of target, of one task."""

    task: Task

    name: ClassVar[KindName]
    estimators: ClassVar[tuple[str, ...]]
    """Names of the estimators that predict it, the default first."""
    baseline_options: ClassVar[Mapping[str, Any]]
    """Of the default estimator, for models of covariates."""
    quick_options: ClassVar[Mapping[str, Any]]
    """Of the default estimator: a single candidate, for a rehearsal."""
    higher_is_better: ClassVar[bool]
    """Of the primary metric."""
    chance: ClassVar[float | None] = None
    """Primary metric of predictions without information; None if it depends on the data."""
    has_probabilities: ClassVar[bool] = False
    """Whether predicted probabilities can be calibrated."""

    # ---- Names ----

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""

    @property
    @abstractmethod
    def primary(self) -> str:
        """The metric that probes are compared by."""

    @property
    @abstractmethod
    def words(self) -> Words:
        """Parts of sentences."""

    # ---- From labels to y ----

    @abstractmethod
    def unknown(self, n: int) -> np.ndarray:
        """(n,) y of studies whose target is not known."""

    @abstractmethod
    def encode(self, target: pd.Series) -> np.ndarray:
        """(N,) y of the column `target`.

        Raises:
            UsageError: a target is missing or not of the task.
        """

    @abstractmethod
    def decode(self, y: np.ndarray) -> np.ndarray:
        """(N,) targets as they were given, from y."""

    def target_columns(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of the known target in a table of predictions."""
        return {"target": self.decode(y)}

    # ---- Folds and resamples ----

    @abstractmethod
    def strata(self, y: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
        """What is shared out evenly over folds (`folds.deal`): (N,) integers from 0, or (N, C) columns of 0 and 1."""

    def resampling_strata(self, y: np.ndarray) -> np.ndarray:
        """(N,) integers: bootstrap resamples keep the total weight of each."""
        return np.zeros(len(y), dtype=np.int64)

    def thinning_strata(self, y: np.ndarray) -> np.ndarray:
        """(N,) integers: smaller training sets keep the share of each."""
        return self.resampling_strata(y)

    def limits(self, y: np.ndarray) -> list[str]:
        """What another cohort's targets do not allow to measure, a sentence each."""
        return []

    def absent(self, y: np.ndarray) -> str:
        """What training or testing on these rows lacks, such as a class; empty if nothing."""
        return ""

    def check_sizes(self, y: np.ndarray, groups: np.ndarray) -> list[str]:
        """Warnings about small numbers of subjects, a sentence each.

        Raises:
            UsageError: there are too few to fit anything.
        """
        return []

    def criteria(self, y: np.ndarray, r2: float) -> Criteria | None:
        """Riley's criteria for sample sizes; None if they do not cover the kind.

        Args:
            y: (N,) of one study per subject.
            r2: anticipated R2, as in `evaluation.sample_size`.
        """
        return None

    @abstractmethod
    def too_few(self, y: np.ndarray, groups: np.ndarray) -> str:
        """Why these rows are too few for metrics by group; empty if they are enough."""

    # ---- Predictions ----

    @property
    def width(self) -> int:
        """Number of columns of `Outcome.probability`."""
        return 0

    def empty(self, n: int) -> Outcome:
        """No predictions yet, of n studies."""
        return Outcome.empty(n, self.width)

    def raw(self, estimator: Any, X: np.ndarray, **where: Any) -> np.ndarray:
        """(N,) numbers or (N, K) probabilities that a fitted estimator predicts."""
        return np.asarray(estimator.predict(X, **where))

    @abstractmethod
    def steps(self, recipe: Recipe, held_out: np.ndarray, y: np.ndarray) -> Steps:
        """What follows the estimator, fitted on out-of-fold predictions of training rows."""

    def fits(self, fitted: Steps) -> bool:
        """Whether steps that were read from a file are of this task."""
        return True

    @abstractmethod
    def outcome(self, fitted: Steps, raw: np.ndarray, age: np.ndarray) -> Outcome:
        """Predictions of N studies from an estimator's; age in years, NaN if unknown."""

    @abstractmethod
    def of_covariates(self, linear: np.ndarray) -> np.ndarray:
        """(N,) or (N, K) predictions, as of `raw`, from (N, rows) linear predictors of the default estimator."""

    @property
    def coefficient_rows(self) -> int:
        """Rows of coefficients of the default estimator."""
        return 1

    @abstractmethod
    def typical(self, y: np.ndarray) -> np.ndarray:
        """(k,) what is typical in training, for the constant baseline."""

    @abstractmethod
    def constant(self, n: int, typical: np.ndarray) -> Outcome:
        """The same prediction for n studies."""

    @abstractmethod
    def columns(self, outcome: Outcome, age: np.ndarray) -> dict[str, np.ndarray]:
        """Columns of a table of predictions (see `record.Evaluation.predictions`)."""

    # ---- Metrics ----

    @abstractmethod
    def scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """All metrics for each set of weights.

        Args:
            y: (N,).
            outcome: predictions of the N rows, none missing.
            weights: (B, N).

        Returns:
            (B,) values by the names in `metrics`.
        """

    def primary_score(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> np.ndarray:
        """(B,) primary metric alone."""
        return self.scores(y, outcome, weights)[self.primary]

    def group_scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Further metrics that are only computed by group."""
        return {}

    def bounded(
        self, found: dict[str, Estimate], y: np.ndarray, repeats: Sequence[Outcome], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """The metrics with intervals extended near the metrics' ends (`evaluation.bounds`)."""
        return found

    def bounded_group(
        self, found: dict[str, Estimate], y: np.ndarray, bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """The same for the metrics of `group_scores`."""
        return found

    def bounded_difference(self, found: Estimate, first: Estimate, second: Estimate) -> Estimate:
        """The interval of first minus second of the primary metric, extended likewise."""
        return found

    def details(self, result: Scored, samples: Samples, recipe: Recipe) -> dict[str, Any]:
        """Further fields of `record.Evaluation`."""
        return {}

    # ---- Target and site ----

    @abstractmethod
    def by_site(self, y: np.ndarray, sites: np.ndarray) -> tuple[dict[str, dict[str, float]], float]:
        """A summary of the target by site, and its association with the site: 0 none, 1 the site determines it."""

    def confounded(self, y: np.ndarray, sites: np.ndarray) -> str:
        """Why the site alone determines the target, with examples; empty if it does not."""
        return ""
