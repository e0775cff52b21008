"""scikit-learn estimators for embeddings, by the names that the command knows them by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prima_features.errors import UsageError
from prima_features.probes.estimators.attention import AttentionClassifierProbe, AttentionRegressorProbe
from prima_features.probes.estimators.base import ProbeEstimator, RowMetadata
from prima_features.probes.estimators.counts import CountProbe, XGBCountProbe
from prima_features.probes.estimators.knn import KNNClassifierProbe, KNNRegressorProbe
from prima_features.probes.estimators.labels import (
    KNNLabelsProbe,
    LogisticLabelsProbe,
    MLPLabelsProbe,
    XGBLabelsProbe,
)
from prima_features.probes.estimators.linear import LogisticProbe, RidgeProbe
from prima_features.probes.estimators.mlp import MLPClassifierProbe, MLPRegressorProbe
from prima_features.probes.estimators.ordinal import OrdinalProbe
from prima_features.probes.estimators.survival import CoxProbe, XGBCoxProbe
from prima_features.probes.estimators.xgb import XGBClassifierProbe, XGBRegressorProbe
from prima_features.wording import listed

if TYPE_CHECKING:
    from prima_features.probes.kinds import KindName

__all__ = [
    "ESTIMATORS",
    "AttentionClassifierProbe",
    "AttentionRegressorProbe",
    "CountProbe",
    "CoxProbe",
    "KNNClassifierProbe",
    "KNNLabelsProbe",
    "KNNRegressorProbe",
    "LogisticLabelsProbe",
    "LogisticProbe",
    "MLPClassifierProbe",
    "MLPLabelsProbe",
    "MLPRegressorProbe",
    "OrdinalProbe",
    "ProbeEstimator",
    "RidgeProbe",
    "RowMetadata",
    "XGBClassifierProbe",
    "XGBCountProbe",
    "XGBCoxProbe",
    "XGBLabelsProbe",
    "XGBRegressorProbe",
    "estimator_class",
    "make",
]

ESTIMATORS: dict[str, dict[KindName, type[ProbeEstimator]]] = {
    "ridge": {"number": RidgeProbe},
    "logistic": {"classes": LogisticProbe, "labels": LogisticLabelsProbe},
    "cox": {"survival": CoxProbe},
    "ordinal": {"ordinal": OrdinalProbe},
    "poisson": {"count": CountProbe},
    "xgboost": {
        "number": XGBRegressorProbe,
        "classes": XGBClassifierProbe,
        "survival": XGBCoxProbe,
        "count": XGBCountProbe,
        "labels": XGBLabelsProbe,
    },
    "mlp": {"number": MLPRegressorProbe, "classes": MLPClassifierProbe, "labels": MLPLabelsProbe},
    "attention": {"number": AttentionRegressorProbe, "classes": AttentionClassifierProbe},
    "knn": {"number": KNNRegressorProbe, "classes": KNNClassifierProbe, "labels": KNNLabelsProbe},
}
"""By name, then kind of target."""
_TARGETS: dict[KindName, str] = {
    "number": "a number",
    "classes": "classes",
    "survival": "a time to an event",
    "ordinal": "ordered classes",
    "count": "a count",
    "labels": "several labels",
}


def estimator_class(name: str, *, kind: KindName) -> type[ProbeEstimator]:
    """The estimator of this name, for a kind of target.

    Raises:
        UsageError: there is none, or it is for other kinds of targets.
    """
    if name not in ESTIMATORS:
        raise UsageError(f"unknown estimator {name!r}: expected one of {', '.join(ESTIMATORS)}")
    if kind not in ESTIMATORS[name]:
        others = listed((other for other, own in ESTIMATORS.items() if kind in own), "or")
        raise UsageError(f"the estimator {name} cannot predict {_TARGETS[kind]}: use {others}")
    return ESTIMATORS[name][kind]


def make(name: str, *, kind: KindName, **options: Any) -> ProbeEstimator:
    """An estimator that is not fitted, with constructor arguments in place of its defaults.

    Raises:
        UsageError: there is no such estimator, it has no such argument, or a list of what is tried is not one of
            positive numbers.
    """
    found = estimator_class(name, kind=kind)
    if unknown := sorted(set(options) - set(found().get_params(deep=False))):
        raise UsageError(
            f"the estimator {name} has no option {unknown[0]!r}: expected one of "
            f"{', '.join(found().get_params(deep=False))}"
        )
    made = found(**options)
    made._candidates()
    return made
