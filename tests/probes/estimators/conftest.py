"""Quick estimators, and made-up cohorts with two scans a subject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from prima_features.probes.estimators import ProbeEstimator, make

QUICK: dict[str, dict[str, Any]] = {
    "ridge": {"alphas": (1e4, 1e2, 1.0)},
    "logistic": {"C": (1e-3, 1e-1)},
    "xgboost": {"depths": (2, 3), "rounds": (3, 6), "n_jobs": 1},
    "mlp": {"alphas": (10.0, 0.1), "hidden": (4,), "components": 6, "max_steps": 20},
    "attention": {"alphas": (10.0, 1.0), "steps": (0, 5), "components": 6, "width": 3},
    "knn": {"neighbours": (9, 3), "components": 5},
}
NUMBERS = ("ridge", "xgboost", "mlp", "attention", "knn")
CLASSES = ("logistic", "xgboost", "mlp", "attention", "knn")
KINDS = [(name, 0) for name in NUMBERS] + [(name, n) for n in (2, 3) for name in CLASSES]
"""Every estimator, for a number, two classes and three."""


@dataclass(frozen=True)
class Cohort:
    """(N, D) features, a target that is linear in them or cut into classes, and what goes with each scan."""

    X: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    sites: np.ndarray
    covariates: np.ndarray


@dataclass(frozen=True)
class Case:
    """An estimator with a cohort that it can be fitted on."""

    name: str
    n_classes: int
    cohort: Cohort

    def make(self, **options: Any) -> ProbeEstimator:
        """The estimator with a small grid."""
        return make(
            self.name,
            kind="classes" if self.n_classes else "number",
            **QUICK[self.name] | {"inner_folds": 3} | options,
        )

    def predict(self, estimator: ProbeEstimator, X: np.ndarray | None = None, **more: Any) -> np.ndarray:
        """Numbers or probabilities."""
        X = self.cohort.X if X is None else X
        return estimator.predict_proba(X, **more) if self.n_classes else estimator.predict(X, **more)


def made_up(n_classes: int = 0, n_subjects: int = 30, width: int = 12, seed: int = 0) -> Cohort:
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n_subjects), 2)
    X = rng.standard_normal((n_subjects, width))[subject] + 0.3 * rng.standard_normal((len(subject), width))
    score = X[:, 0] - X[:, 1] + 0.3 * rng.standard_normal(n_subjects)[subject]
    edges = np.quantile(score, np.arange(1, max(n_classes, 1)) / max(n_classes, 1))
    return Cohort(
        X.astype(np.float32),
        np.digitize(score, edges) if n_classes else 50 + 10 * score,
        subject,
        np.array(["A", "B", "C"])[subject % 3],
        rng.standard_normal((len(subject), 1)),
    )


@pytest.fixture
def cohort() -> Callable[..., Cohort]:
    return made_up


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1] or 'number'}")
def case(request: pytest.FixtureRequest) -> Case:
    """Each estimator for each kind of target."""
    name, n_classes = request.param
    return Case(name, n_classes, made_up(n_classes))
