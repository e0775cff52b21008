"""How parameters are chosen: out of fold, by whole groups, with everything fitted in the fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_limits

from prima_features.evaluation.folds import deal, strata_of
from prima_features.probes.estimators import RidgeProbe, make
from prima_features.probes.steps.adjust import ComBat, Residualizer


class Recorder(BaseEstimator):
    """An adjustment that changes nothing and notes what it was fitted on and what it was asked to transform."""

    fitted_on: list[np.ndarray] = []  # noqa: RUF012  # shared by the clones
    transformed: list[tuple[int, np.ndarray]] = []  # noqa: RUF012

    def fit(self, X: np.ndarray, sites: Any, covariates: np.ndarray) -> Recorder:
        self.number_ = len(self.fitted_on)
        self.fitted_on.append(covariates[:, 0].astype(int))
        return self

    def transform(self, X: np.ndarray, sites: Any, covariates: np.ndarray) -> np.ndarray:
        self.transformed.append((self.number_, covariates[:, 0].astype(int)))
        return X


def one_candidate(case: Any) -> dict[str, Any]:
    """The first of each list that is tried."""
    grids = {"alphas", "C", "depths", "rounds", "neighbours", "steps"}
    return {name: values[:1] for name, values in case.make().get_params().items() if name in grids}


def test_out_of_fold_predictions_do_not_know_the_groups_own_targets(case: Any) -> None:
    data = case.cohort
    inner = data.groups % 3
    changed = inner == 1
    y = data.y.copy()
    y[changed] = np.roll(y[changed], 4)
    before, after = (
        case.make(**one_candidate(case)).fit(data.X, target, data.groups, inner=inner).out_of_fold_
        for target in (data.y, y)
    )
    assert np.array_equal(before[changed], after[changed])
    assert not np.array_equal(before[~changed], after[~changed])


def test_out_of_fold_predictions_are_of_a_model_without_the_groups_rows(case: Any) -> None:
    data = case.cohort
    inner = data.groups % 3
    one = one_candidate(case)
    whole = case.make(**one).fit(data.X, data.y, data.groups, inner=inner)
    train, test = inner != 2, inner == 2
    part = case.make(**one).fit(data.X[train], data.y[train], data.groups[train])
    expected = case.predict(part, data.X[test])
    assert np.allclose(whole.out_of_fold_[test], expected, atol=1e-5)


def test_groups_are_not_cut_by_drawn_folds(case: Any) -> None:
    data = case.cohort
    Recorder.fitted_on, Recorder.transformed = [], []
    case.make(adjust=Recorder()).fit(data.X, data.y, data.groups, covariates=data.groups[:, None])
    # Three inner folds, then all rows.
    assert [len(np.unique(rows)) for rows in Recorder.fitted_on] == [20, 20, 20, 30]
    for number, rows in Recorder.transformed:
        train = set(Recorder.fitted_on[number])
        assert set(rows) <= train or not set(rows) & train


def test_an_adjustment_is_fitted_anew_in_each_fold_on_its_training_rows_alone(case: Any) -> None:
    data = case.cohort
    inner = data.groups % 3
    Recorder.fitted_on, Recorder.transformed = [], []
    row = np.arange(len(data.y))
    case.make(adjust=Recorder()).fit(data.X, data.y, data.groups, covariates=row[:, None], inner=inner)
    for fold in range(3):
        assert np.array_equal(Recorder.fitted_on[fold], row[inner != fold])
        held_out = [rows for number, rows in Recorder.transformed if number == fold][-1]
        assert np.array_equal(held_out, row[inner == fold])
    assert np.array_equal(Recorder.fitted_on[3], row)


@pytest.mark.parametrize("adjust", [Residualizer(), ComBat()])
def test_adjusted_folds_equal_adjusting_by_hand(cohort: Any, adjust: BaseEstimator) -> None:
    data = cohort()
    inner = data.groups // 2 % 3
    given = {"sites": data.sites, "covariates": data.covariates}
    probe = RidgeProbe((10.0,), adjust=adjust).fit(data.X, data.y, data.groups, inner=inner, **given)
    for fold in range(3):
        train, test = inner != fold, inner == fold
        adjust.fit(data.X[train], data.sites[train], data.covariates[train])
        Z = adjust.transform(data.X, data.sites, data.covariates)
        plain = RidgeProbe((10.0,)).fit(Z[train], data.y[train])
        assert np.allclose(probe.out_of_fold_[test], plain.predict(Z[test]))
    adjust.fit(data.X, *given.values())
    whole = RidgeProbe((10.0,)).fit(adjust.transform(data.X, *given.values()), data.y)
    assert np.allclose(
        probe.predict(data.X, **given), whole.predict(adjust.transform(data.X, *given.values()))
    )


def test_the_least_loss_is_chosen(case: Any) -> None:
    data = case.cohort
    fitted = case.make().fit(data.X, data.y, data.groups)
    candidates = list(fitted._candidates())
    assert len(fitted.inner_losses_) == len(candidates)
    assert fitted.best_params_ == candidates[int(np.argmin(fitted.inner_losses_))]


@pytest.mark.parametrize(("name", "classes"), [("ridge", False), ("logistic", True), ("xgboost", False)])
def test_ties_go_to_the_more_regularised(cohort: Any, name: str, classes: bool) -> None:
    data = cohort(2 if classes else 0)
    blind = make(name, kind="classes" if classes else "number").fit(np.zeros((60, 3)), data.y, data.groups)
    if name == "xgboost":  # trees of any depth are one leaf; more of them still come closer to the mean
        assert blind.best_params_["max_depth"] == 2
        assert np.array_equal(blind.inner_losses_[:4], blind.inner_losses_[4:])
    else:
        assert blind.best_params_ == blind._candidates()[0]
        assert np.ptp(blind.inner_losses_) == 0


@pytest.mark.parametrize(
    ("name", "classes", "options", "expected"),
    [
        ("ridge", False, {"alphas": (1, 100, 10, 10)}, [{"alpha": 100}, {"alpha": 10}, {"alpha": 1}]),
        ("logistic", True, {"C": (1, 0.1)}, [{"C": 0.1}, {"C": 1}]),
        ("mlp", False, {"alphas": (0.1, 1)}, [{"alpha": 1}, {"alpha": 0.1}]),
        ("knn", True, {"neighbours": (5, 20)}, [{"k": 20}, {"k": 5}]),
        (
            "xgboost",
            False,
            {"depths": (4, 2), "rounds": (9, 3)},
            [{"max_depth": d, "rounds": r} for d in (2, 4) for r in (3, 9)],
        ),
    ],
)
def test_grids_run_from_the_most_regularised_whatever_order_they_are_given_in(
    name: str, classes: bool, options: dict[str, Any], expected: list[dict[str, float]]
) -> None:
    kind: Any = "classes" if classes else "number"
    assert list(make(name, kind=kind, **options)._candidates()) == expected


def test_inner_folds_can_be_given_and_are_drawn_as_for_the_outer_loop(case: Any) -> None:
    data = case.cohort
    strata = strata_of(data.y, data.groups, classes=case.n_classes > 0, n_folds=3)
    drawn = case.make().fit(data.X, data.y, data.groups)
    given = case.make().fit(data.X, data.y, data.groups, inner=deal(data.groups, strata, 3, 0))
    assert np.array_equal(drawn.out_of_fold_, given.out_of_fold_)


def test_fewer_groups_than_folds_make_fewer_folds_and_one_group_is_refused(cohort: Any) -> None:
    data = cohort(n_subjects=3)
    assert np.isfinite(RidgeProbe().fit(data.X, data.y, data.groups).out_of_fold_).all()
    with pytest.raises(ValueError, match="at least 2 folds and 2 groups"):
        RidgeProbe().fit(data.X, data.y, np.zeros(len(data.y)))
    with pytest.raises(ValueError, match="not 1 folds and 3 groups"):
        RidgeProbe(inner_folds=1).fit(data.X, data.y, data.groups)
    with pytest.raises(ValueError, match="needs at least 2 folds, but all rows"):
        RidgeProbe().fit(data.X, data.y, inner=np.zeros(len(data.y)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        RidgeProbe().fit(data.X, data.y, data.groups[1:])


@pytest.mark.parametrize("name", ["logistic", "xgboost", "mlp", "knn"])
def test_a_class_that_an_inner_training_fold_lacks_gets_no_probability_there(cohort: Any, name: str) -> None:
    data = cohort(3)
    inner = np.where(data.y == 2, 0, 1 + data.groups % 2)  # the third class is in one fold
    fitted = make(name, kind="classes").fit(data.X, data.y, inner=inner)
    assert np.array_equal(fitted.out_of_fold_[inner == 0, 2], np.zeros((inner == 0).sum()))
    assert (fitted.out_of_fold_[inner == 1, 2] > 0).all()
    assert np.allclose(fitted.out_of_fold_.sum(axis=1), 1)
    assert np.isfinite(fitted.inner_losses_).all()
    assert np.allclose(fitted.predict_proba(data.X).sum(axis=1), 1)


def test_folds_side_by_side_predict_what_one_after_the_other_predicts(case: Any) -> None:
    data = case.cohort
    found = []
    for threads in (1, 3):
        with threadpool_limits(threads, user_api="blas"):
            found.append(case.make().fit(data.X, data.y, data.groups))
    assert found[0].best_params_ == found[1].best_params_
    assert np.allclose(found[0].out_of_fold_, found[1].out_of_fold_, rtol=1e-6, atol=1e-9)
