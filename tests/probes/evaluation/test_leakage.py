"""Nothing that is fitted in a fold depends on the rows that the fold tests."""

from dataclasses import replace

import numpy as np
import pytest

from prima_features.probes import Recipe
from prima_features.probes.evaluation.refits import baselines
from prima_features.probes.evaluation.scored import cross_validate
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.steps.novelty import TrainingRange

SITES = ("a", "b", "c")
AGE_RECIPES = {
    "ridge-cole": Recipe("ridge", {"alphas": (1e3, 1e1)}, bias_correction="cole"),
    "ridge-combat-beheshti": Recipe(
        "ridge", {"alphas": (1e3, 1e1)}, harmonize="combat", bias_correction="beheshti"
    ),
    "ridge-confounds": Recipe("ridge", {"alphas": (1e3, 1e1)}, confounds=("sex", "icv")),
    "knn": Recipe("knn", {"neighbours": (20, 5), "components": 4}),
    "mlp": Recipe("mlp", {"alphas": (1.0,), "hidden": (4,), "components": 5, "max_steps": 20}),
    "xgboost": Recipe("xgboost", {"depths": (2,), "rounds": (5, 10), "n_jobs": 1}),
}
CLASS_RECIPES = {
    "logistic-platt": Recipe("logistic", {"C": (1e-2, 1.0), "components": 6}, calibration="platt"),
    "logistic-combat-isotonic": Recipe(
        "logistic", {"C": (1e-2, 1.0)}, harmonize="combat", calibration="isotonic"
    ),
    "logistic-confounds": Recipe("logistic", {"C": (1e-2, 1.0)}, confounds=("age", "sex")),
    "knn": Recipe("knn", {"neighbours": (20, 5), "components": 4}, calibration="platt"),
    "xgboost": Recipe("xgboost", {"depths": (2,), "rounds": (5, 10), "n_jobs": 1}),
}
CASES = [("brain_age", name) for name in AGE_RECIPES] + [
    (kind, name) for kind in ("binary", "triple") for name in CLASS_RECIPES
]


def everything_fitted(fitted):
    """All numbers that a fold fitted, by name."""
    found = {
        f"chosen {name}": np.asarray(value, dtype=float)
        for name, value in fitted.estimator.best_params_.items()
    }
    found["out of fold"] = fitted.estimator.out_of_fold_
    found["inner losses"] = fitted.estimator.inner_losses_
    if hasattr(fitted.estimator, "state"):
        found |= {f"estimator {name}": values for name, values in fitted.estimator.state().items()}
    if hasattr(fitted.estimator, "model_bytes"):
        found["estimator trees"] = np.frombuffer(fitted.estimator.model_bytes(), dtype=np.uint8)
    if fitted.estimator.adjust_ is not None:
        document, arrays = fitted.estimator.adjust_.state()
        found |= {f"adjust {name}": values for name, values in arrays.items()}
        found["adjust sites"] = np.array(document.get("sites", []))
    for i, curve in enumerate(fitted.calibration.curves):
        found |= {f"calibration {i} {j}": np.array(part) for j, part in enumerate(curve)}
    found["decision"] = np.array([fitted.decision.threshold, *fitted.decision.frequency])
    found["bias"] = np.array([fitted.correction.slope, fitted.correction.intercept])
    return found


def perturbed(samples, rows, seed=0):
    """The same with features, labels, ages and sexes of some rows replaced."""
    rng = np.random.default_rng(seed)
    X, y, frame = samples.X.copy(), samples.y.copy(), samples.frame.copy()
    X[rows] = 100 * rng.normal(size=(len(rows), X.shape[1]))
    if samples.task.classes:
        y[rows] = (y[rows] + 1) % len(samples.task.classes)
    else:
        y[rows] += 40
    frame.loc[rows, "age"] = frame.loc[rows, "age"] + 40
    frame.loc[rows, "icv"] = frame.loc[rows, "icv"] * 2
    frame.loc[rows, "sex"] = frame.loc[rows, "sex"].map({"M": "F", "F": "M"})
    return replace(samples, X=X, y=y, frame=frame)


@pytest.fixture
def case(request, make_cohort):
    kind, name = request.param
    task = request.getfixturevalue(kind)
    cohort = make_cohort(task, 72, width=8, sites=SITES, site_shift=0.5)
    icv = np.random.default_rng(5).normal(1500, 100, 72)
    recipe = (AGE_RECIPES if kind == "brain_age" else CLASS_RECIPES)[name]
    return cohort.known(icv=icv, control=1).samples, replace(recipe, inner_folds=2)


def fit_first_fold(samples, recipe, splits):
    one = replace(splits, folds=splits.folds[:1])
    return everything_fitted(cross_validate(samples, recipe, one, keep_fitted=True).fitted[0])


@pytest.mark.parametrize("case", CASES, indirect=True, ids="-".join)
def test_what_a_fold_tests_changes_nothing_that_it_fits_and_what_it_trains_on_does(case):
    samples, recipe = case
    splits = draw(samples, Scheme(outer_folds=3, inner_folds=2))
    fold, before = splits.folds[0], fit_first_fold(samples, recipe, splits)

    other_test = fit_first_fold(perturbed(samples, fold.test), recipe, splits)
    assert before.keys() == other_test.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(values, other_test[name], err_msg=name)

    other_training = fit_first_fold(perturbed(samples, fold.train[:1]), recipe, splits)
    changed = {
        name
        for name, values in before.items()
        if values.shape != other_training[name].shape or (values != other_training[name]).any()
    }
    assert "out of fold" in changed
    expected = {
        "estimator coef",
        "estimator known",
        "estimator layer0.weights",
        "estimator trees",
        "adjust effect",
        "calibration 0 0",
    } & before.keys()
    assert expected <= changed
    if recipe.bias_correction != "none":
        assert "bias" in changed


def test_the_harmonisation_of_a_fold_is_that_of_its_training_rows_alone(make_cohort, number):
    samples = make_cohort(number, 60, width=6, sites=SITES, site_shift=1.0).samples
    recipe = Recipe("ridge", {"alphas": (1.0,)}, harmonize="combat", inner_folds=2)
    splits = draw(samples, Scheme(outer_folds=3, inner_folds=2))
    fitted = cross_validate(samples, recipe, splits, keep_fitted=True).fitted
    for fold, one in zip(splits.folds, fitted, strict=True):
        covariates = recipe.covariates(samples)[fold.train]
        alone = type(one.estimator.adjust_)().fit(
            samples.X[fold.train], samples.sites[fold.train], covariates
        )
        for name, values in alone.state()[1].items():
            np.testing.assert_array_equal(values, one.estimator.adjust_.state()[1][name])
    slopes = [one.estimator.adjust_.slope_ for one in fitted]
    assert not np.allclose(slopes[0], slopes[1])


@pytest.mark.parametrize("kind", ["binary", "brain_age"])
def test_baselines_predict_a_row_without_its_own_label(make_cohort, kind, request):
    samples = make_cohort(request.getfixturevalue(kind), 60, sites=SITES).samples
    splits = draw(samples, Scheme(outer_folds=3, inner_folds=2))
    rows = splits.folds[0].test
    y = samples.y.copy()
    y[rows] = 1 - y[rows] if kind == "binary" else y[rows] + 30
    before, after = baselines(samples, splits), baselines(replace(samples, y=y), splits)
    for name in before.keys() - {"dummy"}:
        first, second = before[name].repeats[0].take(rows), after[name].repeats[0].take(rows)
        np.testing.assert_array_equal(first.value, second.value)
        np.testing.assert_array_equal(first.probability, second.probability)
    assert {"dummy", "site"} < before.keys()


def test_the_training_range_depends_on_training_rows_alone(make_cohort, number):
    samples = make_cohort(number, 80).samples
    rows = np.arange(50)
    fit = [
        TrainingRange.fit(one.X, rows, samples.groups[rows])
        for one in (samples, perturbed(samples, np.arange(50, 80)))
    ]
    for name, values in fit[0].state().items():
        np.testing.assert_array_equal(values, fit[1].state()[name])
