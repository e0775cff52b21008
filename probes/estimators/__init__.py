"""scikit-learn estimators for embeddings, by the names that the command knows them by."""

from __future__ import annotations

from typing import Any

from prima_features.errors import UsageError
from prima_features.probes.estimators.base import ProbeEstimator, RowMetadata
from prima_features.probes.estimators.knn import KNNClassifierProbe, KNNRegressorProbe
from prima_features.probes.estimators.linear import LogisticProbe, RidgeProbe
from prima_features.probes.estimators.mlp import MLPClassifierProbe, MLPRegressorProbe
from prima_features.probes.estimators.xgb import XGBClassifierProbe, XGBRegressorProbe

__all__ = [
    "ESTIMATORS",
    "KNNClassifierProbe",
    "KNNRegressorProbe",
    "LogisticProbe",
    "MLPClassifierProbe",
    "MLPRegressorProbe",
    "ProbeEstimator",
    "RidgeProbe",
    "RowMetadata",
    "XGBClassifierProbe",
    "XGBRegressorProbe",
    "estimator_class",
    "make",
]

ESTIMATORS: dict[str, tuple[type[ProbeEstimator] | None, type[ProbeEstimator] | None]] = {
    "ridge": (RidgeProbe, None),
    "logistic": (None, LogisticProbe),
    "xgboost": (XGBRegressorProbe, XGBClassifierProbe),
    "mlp": (MLPRegressorProbe, MLPClassifierProbe),
    "knn": (KNNRegressorProbe, KNNClassifierProbe),
}
"""For a number and for classes."""


def estimator_class(name: str, *, classes: bool) -> type[ProbeEstimator]:
    """The estimator of this name, for a number or for classes.

    Raises:
        UsageError: there is none, or it is for the other kind of target.
    """
    if name not in ESTIMATORS:
        raise UsageError(f"unknown estimator {name!r}: expected one of {', '.join(ESTIMATORS)}")
    found = ESTIMATORS[name][classes]
    if found is None:
        target, other = ("classes", "logistic") if classes else ("a number", "ridge")
        raise UsageError(f"the estimator {name} cannot predict {target}: use {other}, xgboost, mlp or knn")
    return found


def make(name: str, *, classes: bool, **options: Any) -> ProbeEstimator:
    """An estimator that is not fitted, with constructor arguments in place of its defaults.

    Raises:
        UsageError: there is no such estimator, it has no such argument, or a list of what is tried is not one of
            positive numbers.
    """
    kind = estimator_class(name, classes=classes)
    if unknown := sorted(set(options) - set(kind().get_params(deep=False))):
        raise UsageError(
            f"the estimator {name} has no option {unknown[0]!r}: expected one of "
            f"{', '.join(kind().get_params(deep=False))}"
        )
    made = kind(**options)
    made._candidates()
    return made
