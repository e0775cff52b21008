"""What can be had without the image, on the same folds."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error

from prima_features.probes import Recipe
from prima_features.probes.evaluation import EvaluationPlan, Scheme, draw, evaluate
from prima_features.probes.evaluation.refits import baselines, designs
from prima_features.probes.kinds import kind_of

SITES = ("a", "b", "c")
PLAN = EvaluationPlan(Scheme(inner_folds=2), n_bootstrap=100, site_check=False)
RIDGE = Recipe("ridge", {"alphas": (1e2,)}, inner_folds=2)


def test_the_dummy_orders_nobody_however_uneven_the_folds(make_cohort, binary):
    cohort = make_cohort(binary, 63)
    target = np.where(
        np.arange(63) % 9 < 2, "case", "control"
    )  # 14 cases: five folds cannot share them evenly
    found = evaluate(cohort.known(target=target).samples, Recipe("logistic", {"C": (1e-2,)}), PLAN)
    dummy = found.baselines["dummy"]
    assert dummy["auroc"].value == 0.5
    assert dummy["auprc"].value == pytest.approx(14 / 63)
    assert dummy["balanced_accuracy"].value == 0.5
    assert dummy["brier"].value == pytest.approx(14 / 63 * 49 / 63, abs=1e-3)
    assert np.isnan(dummy["calibration_slope"].value)


def test_the_dummy_of_a_number_explains_nothing(make_cohort, number):
    samples = make_cohort(number, 60).samples
    dummy = evaluate(samples, RIDGE, PLAN).baselines["dummy"]
    assert dummy["mae"].value == pytest.approx(np.abs(samples.y - samples.y.mean()).mean(), rel=1e-3)
    assert dummy["r2"].value == pytest.approx(0, abs=1e-3)
    assert np.isnan(dummy["pearson_r"].value)


def test_the_dummy_takes_the_most_frequent_class(triple, make_cohort):
    outcome = kind_of(triple).constant(4, np.array([0.2, 0.5, 0.3]))
    assert outcome.label.tolist() == [1] * 4
    np.testing.assert_array_equal(outcome.probability[2], [0.2, 0.5, 0.3])


def test_age_and_sex_predict_what_goes_with_them(make_cohort, binary):
    cohort = make_cohort(binary, 200, signal=0.0)
    older = cohort.known(age=cohort.frame["age"] + 25 * (cohort.frame["target"] == "case"))
    found = evaluate(older.samples, Recipe("logistic", {"C": (1e-2,)}), PLAN)
    assert found.baselines["age_sex"]["auroc"].value > 0.85
    assert found.over_baselines["age_sex"]["auroc"].ci_high < 0
    plain = evaluate(cohort.samples, Recipe("logistic", {"C": (1e-2,)}), PLAN)
    assert plain.baselines["age_sex"]["auroc"].ci_low < 0.5 < plain.baselines["age_sex"]["auroc"].ci_high


def test_brain_age_is_compared_with_sex_and_volume_never_with_age(make_cohort, brain_age):
    cohort = make_cohort(brain_age, 60, sites=SITES)
    assert set(designs(cohort.samples)) == {"sex", "site"}
    with_volume = cohort.known(icv=1500 - 4 * cohort.frame["age"])
    made = designs(with_volume.samples)
    assert set(made) == {"sex_icv", "site"}
    assert made["sex_icv"].shape == (60, 2)
    found = evaluate(with_volume.samples, RIDGE, PLAN)
    assert found.baselines["sex_icv"]["mae"].value < 1


@pytest.mark.parametrize("unknown", [["age"], ["sex"], ["age", "sex"]])
def test_only_what_is_known_is_used(make_cohort, binary, unknown):
    cohort = make_cohort(binary, 40)
    frame = cohort.frame.drop(columns=unknown)
    expected = "_".join(name for name in ("age", "sex") if name not in unknown)
    assert set(designs(type(cohort)(binary, cohort.X, frame).samples)) == ({expected} if expected else set())


def test_a_missing_age_is_told_apart_from_the_age_of_zero(make_cohort, binary):
    cohort = make_cohort(binary, 40)
    cohort.frame.loc[3, "age"] = np.nan
    made = designs(cohort.samples)["age_sex"]
    assert made.shape == (40, 4)  # age, its square, that it is missing, sex
    assert made[3, :3].tolist() == [0, 0, 1]
    assert np.isfinite(made).all()


def test_baselines_use_the_probes_own_folds(make_cohort, number):
    samples = make_cohort(number, 60, sites=SITES).samples
    splits = draw(samples, Scheme(inner_folds=2, repeats=2))
    for one in baselines(samples, splits).values():
        assert len(one.repeats) == 2
        for i, fold in enumerate(splits.folds):
            assert (one.fold[fold.repeat, fold.test] == i).all()
        assert one.tested.all()


def test_the_difference_to_a_baseline_is_paired(make_cohort, number):
    found = evaluate(make_cohort(number, 150, signal=2.0).samples, RIDGE, PLAN)
    over = found.over_baselines["dummy"]["mae"]
    assert over.value == pytest.approx(found.metrics["mae"].value - found.baselines["dummy"]["mae"].value)
    assert over.ci_high < 0
    unpaired = sum(
        (one.ci_high - one.ci_low) ** 2 for one in (found.metrics["mae"], found.baselines["dummy"]["mae"])
    )
    assert over.ci_high - over.ci_low < np.sqrt(unpaired)


def test_a_recipe_scores_what_its_predictions_say(make_cohort, number):
    found = evaluate(make_cohort(number, 60).samples, RIDGE, PLAN)
    table = found.predictions
    assert found.metrics["mae"].value == pytest.approx(
        mean_absolute_error(table["target"], table["prediction"])
    )
