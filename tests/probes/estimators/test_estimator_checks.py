"""The estimators keep scikit-learn's contract."""

from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from prima_features.probes.estimators import (
    KNNClassifierProbe,
    KNNRegressorProbe,
    LogisticProbe,
    MLPClassifierProbe,
    MLPRegressorProbe,
    RidgeProbe,
    XGBClassifierProbe,
    XGBRegressorProbe,
)

ESTIMATORS = (
    KNNClassifierProbe,
    KNNRegressorProbe,
    LogisticProbe,
    MLPClassifierProbe,
    MLPRegressorProbe,
    RidgeProbe,
    XGBClassifierProbe,
    XGBRegressorProbe,
)


@parametrize_with_checks([kind() for kind in ESTIMATORS])
def test_scikit_learns_own_checks_pass(estimator: BaseEstimator, check: object) -> None:
    check(estimator)
