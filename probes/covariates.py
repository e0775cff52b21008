"""A linear model of age and sex that is fitted with a probe, as the baseline to beat on other cohorts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from prima_features.probes.kinds import Kind, Outcome
from prima_features.probes.recipe import Recipe, fit_recipe
from prima_features.probes.samples import Samples
from prima_features.probes.steps.hazard import SurvivalCurve
from prima_features.probes.steps.outputs import Decision, Steps

_YEARS = 50.0
"""Age squared is centred here."""


def baseline_recipe(kind: Kind) -> Recipe:
    """How models of covariates are fitted."""
    return Recipe(kind.estimators[0], kind.baseline_options)


@dataclass(frozen=True)
class CovariateBaseline:
    """Ridge or logistic regression on covariates; no study or subject is named in it."""

    names: tuple[str, ...]
    """Of `age` (with its square), `sex`, `icv`."""
    typical: tuple[float, ...]
    """Mean of each in training, for studies whose value is unknown."""
    coefficients: tuple[tuple[float, ...], ...]
    """One row for a number or two classes, else one per class."""
    intercept: tuple[float, ...]
    """One per row."""
    decision: Decision
    curve: SurvivalCurve = field(default_factory=SurvivalCurve)
    """Of survival."""

    @property
    def name(self) -> str:
        """As among the baselines of cross-validation, such as `age_sex`."""
        return "_".join(self.names)

    @classmethod
    def fit(cls, samples: Samples, rows: np.ndarray, inner_folds: int, seed: int) -> CovariateBaseline | None:
        """Fit on some rows of the samples; None if no covariate is known.

        Args:
            samples: N studies.
            rows: (n,) positions.
            inner_folds: of the choice of the penalty.
            seed: of those folds.
        """
        asked = ("sex", "icv") if samples.task.is_age else ("age", "sex")
        values = samples.covariates(asked)[rows]
        names = tuple(one for one, column in zip(asked, values.T, strict=True) if np.isfinite(column).any())
        if not names:
            return None
        typical = tuple(float(np.nanmean(samples.covariates((one,))[rows])) for one in names)
        recipe = replace(baseline_recipe(samples.kind), inner_folds=inner_folds, seed=seed)
        fitted = fit_recipe(recipe, replace(samples, X=_design(samples, names, typical)), rows)
        state = fitted.estimator.state()
        return cls(
            names,
            typical,
            tuple(map(tuple, np.atleast_2d(state["coef"]).tolist())),
            tuple(np.atleast_1d(state["intercept"]).tolist()),
            fitted.decision,
            fitted.curve,
        )

    def unknown(self, samples: Samples) -> list[str]:
        """Covariates that no study has."""
        return [one for one in self.names if not np.isfinite(samples.covariates((one,))).any()]

    def predict(self, samples: Samples) -> Outcome:
        """Predict N studies."""
        value = _design(samples, self.names, self.typical) @ np.array(self.coefficients).T + self.intercept
        kind = samples.kind
        return kind.outcome(
            Steps(decision=self.decision, curve=self.curve), kind.of_covariates(value), samples.age
        )


def _design(samples: Samples, names: tuple[str, ...], typical: tuple[float, ...]) -> np.ndarray:
    """(N, c) covariates without missing values, and the square of age."""
    columns = []
    for name, mean in zip(names, typical, strict=True):
        column = samples.covariates((name,))[:, 0]
        column = np.where(np.isfinite(column), column, mean)
        columns += [column, (column - _YEARS) ** 2] if name == "age" else [column]
    return np.column_stack(columns)
