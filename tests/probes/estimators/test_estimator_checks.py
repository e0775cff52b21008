"""The estimators keep scikit-learn's contract."""

from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from prima_features.probes.estimators import (
    AttentionClassifierProbe,
    AttentionRegressorProbe,
    CountProbe,
    KNNClassifierProbe,
    KNNRegressorProbe,
    LogisticProbe,
    MLPClassifierProbe,
    MLPRegressorProbe,
    OrdinalProbe,
    RidgeProbe,
    XGBClassifierProbe,
    XGBRegressorProbe,
)

# Small grids: the contract is the same, and each of the hundreds of checks fits several times.
TREES = {"depths": (2,), "rounds": (20, 40), "n_jobs": 1, "inner_folds": 2}
NETWORK = {"alphas": (0.1,), "hidden": (8,), "max_steps": 100, "inner_folds": 2}
POOLING = {"alphas": (1.0,), "steps": (0, 40), "inner_folds": 2}
ESTIMATORS = (
    AttentionClassifierProbe(**POOLING),
    AttentionRegressorProbe(**POOLING),
    CountProbe((100.0, 1.0)),
    KNNClassifierProbe(),
    KNNRegressorProbe(),
    LogisticProbe(),
    MLPClassifierProbe(**NETWORK),
    MLPRegressorProbe(**NETWORK),
    OrdinalProbe(),
    RidgeProbe(),
    XGBClassifierProbe(**TREES),
    XGBRegressorProbe(**TREES),
)


@parametrize_with_checks(list(ESTIMATORS))
def test_scikit_learns_own_checks_pass(estimator: BaseEstimator, check: object) -> None:
    check(estimator)
