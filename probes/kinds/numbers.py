"""A number, such as age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation import sample_size, weighted
from prima_features.evaluation.folds import strata_of
from prima_features.evaluation.intervals import Bootstrap, Estimate
from prima_features.probes.kinds.base import MIN_GROUPS, Kind, KindName, Outcome, Words
from prima_features.probes.steps.outputs import BiasCorrection, Steps
from prima_features.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation.scored import Scored
    from prima_features.probes.recipe import Recipe
    from prima_features.probes.samples import Samples

REGRESSION_METRICS: tuple[str, ...] = ("mae", "rmse", "r2", "pearson_r")
FEW_SUBJECTS = 50


class Numbers(Kind):
    """y is float64."""

    name: ClassVar[KindName] = "number"
    estimators: ClassVar[tuple[str, ...]] = ("ridge", "xgboost", "mlp", "attention", "knn")
    baseline_options: ClassVar[Mapping[str, Any]] = {"alphas": (100.0, 1.0, 0.01)}
    quick_options: ClassVar[Mapping[str, Any]] = {"alphas": (1.0,)}
    higher_is_better = False
    metrics = REGRESSION_METRICS
    primary = "mae"

    @property
    def words(self) -> Words:
        """Parts of sentences."""
        return Words(
            primary="Mean absolute error",
            strata="age in bins" if self.task.is_age else "the target in bins",
            loss="mean squared error",
            dummy="Training mean",
            typical="the mean training target",
            association="epsilon squared, the share of the variance between sites,",
            association_long="epsilon squared, the share of its variance between sites",
            pipeline="tabular-regression",
        )

    def unknown(self, n: int) -> np.ndarray:
        """NaN."""
        return np.full(n, np.nan)

    def encode(self, target: pd.Series) -> np.ndarray:
        """Finite numbers."""
        import pandas as pd

        y = pd.to_numeric(target, errors="coerce").to_numpy(dtype=float)
        if not np.isfinite(y).all():
            missing = int((~np.isfinite(y)).sum())
            raise UsageError(
                f"the task {self.task.name} needs a number for every study, but {missing} have none"
            )
        return y

    def decode(self, y: np.ndarray) -> np.ndarray:
        """The numbers."""
        return y

    def strata(self, y: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
        """Bins of the group's mean."""
        return strata_of(y, groups, classes=False, n_folds=n_folds)

    def check_sizes(self, y: np.ndarray, groups: np.ndarray) -> list[str]:
        """A warning below `FEW_SUBJECTS`."""
        n = len(np.unique(groups))
        return [f"only {count(n, 'subject')}: expect wide intervals"] if n < FEW_SUBJECTS else []

    def criteria(self, y: np.ndarray, r2: float) -> sample_size.Criteria:
        """Those of linear regression."""
        return sample_size.for_numbers(r2)

    def too_few(self, y: np.ndarray, groups: np.ndarray) -> str:
        """Fewer than `MIN_GROUPS` subjects."""
        n = len(np.unique(groups))
        return "" if n >= MIN_GROUPS else f"{n} subjects, fewer than {MIN_GROUPS}"

    def steps(self, recipe: Recipe, held_out: np.ndarray, y: np.ndarray) -> Steps:
        """The bias correction of the brain-age gap."""
        return Steps(correction=BiasCorrection.fit(recipe.bias_correction, y, held_out))

    def outcome(self, fitted: Steps, raw: np.ndarray, age: np.ndarray) -> Outcome:
        """The numbers; for ages also corrected."""
        n = len(raw)
        corrected = fitted.correction.apply(raw, age) if self.task.is_age else np.full(n, np.nan)
        return Outcome(raw, np.empty((n, 0)), np.full(n, -1), corrected)

    def of_covariates(self, linear: np.ndarray) -> np.ndarray:
        """The linear predictor."""
        return linear[:, 0]

    def typical(self, y: np.ndarray) -> np.ndarray:
        """(1,) mean."""
        return np.array([y.mean()])

    def constant(self, n: int, typical: np.ndarray) -> Outcome:
        """The mean for everyone."""
        made = self.empty(n)
        made.value[:] = typical[0]
        return made

    def columns(self, outcome: Outcome, age: np.ndarray) -> dict[str, np.ndarray]:
        """The prediction; for ages also the gap."""
        made = {"prediction": outcome.value}
        if self.task.is_age:
            made["prediction_corrected"] = outcome.corrected
            made["gap"] = outcome.value - age
            made["gap_corrected"] = outcome.corrected - age
        return made

    def scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Errors, R2 and Pearson's r."""
        return weighted.regression(y, outcome.value, weights)

    def primary_score(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> np.ndarray:
        """(B,) mean absolute error."""
        return weighted.mean(np.abs(outcome.value - y), weights)

    def group_scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Mean error, and the slope of the target on the prediction."""
        return {
            "mean_error": weighted.mean(outcome.value - y, weights),
            "slope": weighted.slope(y, outcome.value, weights),
        }

    def bounded(
        self, found: dict[str, Estimate], y: np.ndarray, repeats: Sequence[Outcome], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """No interval if every prediction is right: resampling says nothing then."""
        return {name: one if one.ci_low < one.ci_high else Estimate(one.value) for name, one in found.items()}

    def details(self, result: Scored, samples: Samples, recipe: Recipe) -> dict[str, Any]:
        """The brain-age gap."""
        from prima_features.probes.evaluation.scored import brain_age_gap

        return {"gap": brain_age_gap(result, recipe.bias_correction)} if self.task.is_age else {}

    def by_site(self, y: np.ndarray, sites: np.ndarray) -> tuple[dict[str, dict[str, float]], float]:
        """Mean, deviation and range; the association is epsilon squared (Kelley 1935)."""
        table = {str(name): _summary(y[sites == name]) for name in np.unique(sites)}
        return table, epsilon_squared(y[sites != ""], sites[sites != ""])


def _summary(y: np.ndarray) -> dict[str, float]:
    return {
        "n": len(y),
        "mean": float(y.mean()),
        "sd": float(y.std()),
        "min": float(y.min()),
        "max": float(y.max()),
    }


def epsilon_squared(y: np.ndarray, sites: np.ndarray) -> float:
    """Share of the variance of (N,) numbers between sites, less what many small sites have by chance.

    NaN if fewer than two sites are known.
    """
    names, site, n = np.unique(sites, return_inverse=True, return_counts=True)
    if len(names) < 2 or len(y) <= len(names) or np.ptp(y) == 0:
        return float("nan")
    within = ((y - (np.bincount(site, weights=y) / n)[site]) ** 2).sum() / (len(y) - len(names))
    return float(max(0.0, 1 - within / y.var(ddof=1)))
