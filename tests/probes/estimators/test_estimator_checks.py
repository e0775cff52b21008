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
    make,
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


LABELS = (
    make("knn", kind="labels"),
    make("logistic", kind="labels"),
    make("mlp", kind="labels", **NETWORK),
    make("xgboost", kind="labels", **TREES),
)
WITH_ONE_TARGET = (
    "check_class_weight_classifiers",
    "check_classifier_data_not_an_array",
    "check_classifiers_classes",
    "check_classifiers_one_label",
    "check_classifiers_regression_target",
    "check_classifiers_train",
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_predict1d",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in_after_fitting",
    "check_positive_only_tag_during_fit",
    "check_readonly_memmap_input",
    "check_requires_y_none",
)
"""scikit-learn gives these targets of one column, or of names and numbers other than 0 and 1."""


def is_refused(estimator: BaseEstimator) -> dict[str, str]:
    return dict.fromkeys(WITH_ONE_TARGET, "labels are tables of 1, 0 and NaN")


@parametrize_with_checks(list(LABELS), expected_failed_checks=is_refused)
def test_scikit_learns_own_checks_of_tables_of_labels_pass(estimator: BaseEstimator, check: object) -> None:
    check(estimator)
