"""A count from 0, such as a score that adds up deficits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation import counts
from prima_features.probes.kinds.base import Outcome, Words
from prima_features.probes.kinds.numbers import Numbers
from prima_features.probes.steps.outputs import Steps
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation.scored import Scored
    from prima_features.probes.recipe import Recipe
    from prima_features.probes.samples import Samples

COUNT_METRICS: tuple[str, ...] = ("deviance", "d2", "calibration_slope", "calibration_ratio", "mae")
MIN_COUNTED = 10


class Counts(Numbers):
    """y is float64: whole numbers from 0. Predictions are means."""

    name = "count"
    estimators = ("poisson", "xgboost")
    baseline_options: ClassVar[Mapping[str, Any]] = {"alphas": (100.0, 1.0, 0.01)}
    quick_options: ClassVar[Mapping[str, Any]] = {"alphas": (10.0,)}
    metrics = COUNT_METRICS
    primary = "deviance"

    @property
    def words(self) -> Words:
        """Parts of sentences."""
        return Words(
            primary="Mean Poisson deviance",
            strata="the count in bins",
            loss="mean deviance",
            dummy="Training mean",
            typical="the mean training count",
            association="epsilon squared, the share of the variance between sites,",
            association_long="epsilon squared, the share of its variance between sites",
            pipeline="tabular-regression",
        )

    def encode(self, target: pd.Series) -> np.ndarray:
        """Whole numbers from 0."""
        y = super().encode(target)
        if bad := int(((y < 0) | (y != np.round(y))).sum()):
            example = y[(y < 0) | (y != np.round(y))][0]
            raise UsageError(
                f"counts must be whole numbers from 0, but {count(bad, 'study')} of {self.task.name} "
                f"{verb(bad, 'has', 'have')} others, such as {example:g}: use --kind number, or name codes of missing "
                "values with --missing-values"
            )
        return y

    def absent(self, y: np.ndarray) -> str:
        """Counts above 0, if there are none."""
        return "" if (y > 0).any() else "a count above 0"

    def limits(self, y: np.ndarray) -> list[str]:
        """Counts of 0 alone."""
        return [] if (y > 0).any() else ["all counts of this cohort are 0: calibration and D2 are undefined"]

    def check_sizes(self, y: np.ndarray, groups: np.ndarray) -> list[str]:
        """As for numbers; refused below `MIN_COUNTED` subjects with a count above 0."""
        n = len(np.unique(groups[y > 0]))
        if n < MIN_COUNTED:
            raise UsageError(
                f"{count(n, 'subject')} {verb(n, 'has', 'have')} a count above 0, but a probe needs at least "
                f"{MIN_COUNTED}"
            )
        return super().check_sizes(y, groups)

    def criteria(self, y: np.ndarray, r2: float) -> None:  # type: ignore[override]
        """None: there are none for counts."""

    def steps(self, recipe: Recipe, held_out: np.ndarray, y: np.ndarray) -> Steps:
        """None."""
        return Steps()

    def outcome(self, fitted: Steps, raw: np.ndarray, age: np.ndarray) -> Outcome:
        """The means."""
        n = len(raw)
        return Outcome(raw, np.empty((n, 0)), np.full(n, -1), np.full(n, np.nan))

    def of_covariates(self, linear: np.ndarray) -> np.ndarray:
        """The mean, by the log link."""
        return np.asarray(np.exp(np.clip(linear[:, 0], -50, 50)))

    def columns(self, outcome: Outcome, age: np.ndarray) -> dict[str, np.ndarray]:
        """The predicted mean."""
        return {"prediction": outcome.value}

    def scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Deviance, D2, calibration and mean absolute error."""
        return counts.metrics(y, outcome.value, weights)

    def primary_score(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> np.ndarray:
        """(B,) mean Poisson deviance."""
        return counts.deviance(y, outcome.value, weights)

    def details(self, result: Scored, samples: Samples, recipe: Recipe) -> dict[str, Any]:
        """The dispersion."""
        from prima_features.probes.evaluation.dispersion import dispersion

        return {"dispersion": dispersion(result)}
