"""What is fitted can be taken out and put back; the same input gives the same bits; wrong options are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from prima_features.errors import UsageError
from prima_features.probes.estimators import ESTIMATORS, RowMetadata, estimator_class, make
from prima_features.probes.linalg.rows import Rows


def test_a_restored_estimator_predicts_the_same_bits(case: Any) -> None:
    data = case.cohort
    fitted = case.make().fit(data.X, data.y, data.groups)
    again = case.make()
    if hasattr(fitted, "state"):
        again.restore({name: values.copy() for name, values in fitted.state().items()})
    else:
        again.restore_model(fitted.model_bytes())
    if case.n_classes:
        again.classes_ = fitted.classes_
    assert np.array_equal(case.predict(again), case.predict(fitted))
    assert np.array_equal(again.predict(data.X), fitted.predict(data.X))
    assert again.n_features_in_ == data.X.shape[1]


def test_state_is_arrays_that_a_plain_file_of_numbers_holds(case: Any) -> None:
    data = case.cohort
    fitted = case.make().fit(data.X, data.y, data.groups)
    if not hasattr(fitted, "state"):
        assert fitted.model_bytes().startswith(b"{")
        return
    for values in fitted.state().values():
        assert values.dtype in (np.float64, np.float32, np.int64)
        assert np.isfinite(values).all()


def test_the_same_input_gives_the_same_bits(case: Any) -> None:
    data = case.cohort
    one, two = (case.make().fit(data.X, data.y, data.groups) for _ in range(2))
    assert np.array_equal(one.out_of_fold_, two.out_of_fold_)
    assert np.array_equal(one.inner_losses_, two.inner_losses_)
    assert np.array_equal(case.predict(one), case.predict(two))


def test_rows_of_a_matrix_fit_as_a_copy_of_them_does(case: Any) -> None:
    data = case.cohort
    rows = np.random.default_rng(0).permutation(60)[:48]
    of_copy = case.make().fit(data.X[rows], data.y[rows], data.groups[rows])
    of_rows = case.make().fit_rows(Rows(data.X, rows), data.y[rows], RowMetadata(data.groups[rows]))
    assert np.array_equal(of_rows.out_of_fold_, of_copy.out_of_fold_)
    assert np.array_equal(case.predict(of_rows), case.predict(of_copy))


def test_fitting_again_forgets_what_was_fitted_before(case: Any) -> None:
    data = case.cohort
    names = np.array(["low", "middle", "high"])
    y = names[data.y] if case.n_classes else data.y + 100
    again = case.make().fit(data.X, y, data.groups)
    again.fit_rows(Rows.all(data.X), data.y, RowMetadata(data.groups))
    fresh = case.make().fit(data.X, data.y, data.groups)
    assert np.array_equal(again.predict(data.X), fresh.predict(data.X))


def test_fitting_leaves_the_data_as_they_are(case: Any) -> None:
    data = case.cohort
    X, y = data.X.copy(), data.y.copy()
    case.predict(case.make().fit(X, y, data.groups), X)
    assert np.array_equal(X, data.X)
    assert np.array_equal(y, data.y)


def test_a_prediction_rests_on_its_own_row_alone(case: Any) -> None:
    data = case.cohort
    fitted = case.make().fit(data.X, data.y, data.groups)
    one_by_one = np.concatenate([case.predict(fitted, row[None]) for row in data.X[:10]])
    assert np.allclose(one_by_one, case.predict(fitted)[:10], rtol=1e-6, atol=1e-9)


def test_classes_of_any_type_come_back_as_they_were(cohort: Any) -> None:
    data = cohort(3)
    names = np.array(["cn", "mci", "ad"])[data.y]
    for name, kinds in ESTIMATORS.items():
        if "classes" in kinds:
            fitted = make(name, kind="classes").fit(data.X, names, data.groups)
            assert set(fitted.predict(data.X)) <= {"cn", "mci", "ad"}
            assert list(fitted.classes_) == ["ad", "cn", "mci"]


@pytest.mark.parametrize(
    ("name", "kind", "options", "reason"),
    [
        ("lasso", "number", {}, "unknown estimator 'lasso'"),
        ("ridge", "classes", {}, "ridge cannot predict classes: use logistic"),
        ("logistic", "number", {}, "logistic cannot predict a number: use ridge"),
        ("ridge", "number", {"alpha": 1.0}, "ridge has no option 'alpha': expected one of .*alphas"),
        ("ridge", "number", {"alphas": ()}, "alphas must be a list of one or more positive numbers"),
        ("ridge", "number", {"alphas": (1.0, 0.0)}, "alphas must be a list of one or more positive numbers"),
        (
            "ridge",
            "number",
            {"alphas": (float("nan"),)},
            "alphas must be a list of one or more positive numbers",
        ),
        ("ridge", "number", {"alphas": 1.0}, "alphas must be a list of one or more positive numbers"),
        ("logistic", "classes", {"C": (-1,)}, "C must be a list of one or more positive numbers"),
        ("mlp", "classes", {"alphas": ("much",)}, "alphas must be a list of one or more positive numbers"),
        (
            "knn",
            "number",
            {"neighbours": (0, 5)},
            "neighbours must be a list of one or more positive numbers",
        ),
        ("knn", "number", {"neighbours": (2.5,)}, "neighbours must be a list of whole numbers"),
        ("xgboost", "classes", {"rounds": ()}, "rounds must be a list of one or more positive numbers"),
        ("xgboost", "number", {"depths": (1.5,)}, "depths must be a list of whole numbers"),
    ],
)
def test_wrong_options_are_refused_with_a_reason(
    name: str, kind: Any, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        make(name, kind=kind, **options)


def test_every_estimator_has_its_name_for_the_targets_it_predicts() -> None:
    for name, kinds in ESTIMATORS.items():
        for kind, expected in kinds.items():
            assert estimator_class(name, kind=kind) is expected
            assert type(make(name, kind=kind, inner_folds=4)) is expected
