"""Metrics by group are fairlearn's, with intervals of the same resamples."""

import json

import numpy as np
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate, true_positive_rate
from sklearn import metrics as sk

from prima_features.evaluation.intervals import Bootstrap
from prima_features.probes.evaluation.scored import (
    OutOfFold,
    Scored,
    age_bands,
    by_groups,
    by_variable,
    cross_validate,
    scored,
)
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.recipe import Outcome


def evaluated(cohort, recipe):
    samples = cohort.samples
    predicted = cross_validate(samples, recipe, draw(samples, Scheme(inner_folds=2)))
    return scored(samples, predicted, 100), predicted.repeats[0], samples


SITES = ("a", "b", "c")


def test_classes_by_site_are_fairlearns(make_cohort, binary, logistic):
    result, outcome, samples = evaluated(make_cohort(binary, 200, signal=0.4, sites=SITES), logistic)
    found = by_variable(result, samples.sites, "site")
    frames = {
        "balanced_accuracy": (sk.balanced_accuracy_score, outcome.label),
        "sensitivity": (true_positive_rate, outcome.label),
        "auroc": (sk.roc_auc_score, outcome.probability[:, 1]),
        "auprc": (sk.average_precision_score, outcome.probability[:, 1]),
        "brier": (sk.brier_score_loss, outcome.probability[:, 1]),
    }
    for name, (metric, predicted) in frames.items():
        frame = MetricFrame(
            metrics=metric, y_true=samples.y, y_pred=predicted, sensitive_features=samples.sites
        )
        for site in SITES:
            assert found.levels[site][name].value == pytest.approx(frame.by_group[site]), name
        assert found.gaps[name].value == pytest.approx(frame.difference(method="between_groups")), name
    alarms = MetricFrame(
        metrics=false_positive_rate,
        y_true=samples.y,
        y_pred=outcome.label,
        sensitive_features=samples.sites,
    ).by_group
    assert found.levels["a"]["specificity"].value == pytest.approx(1 - alarms["a"])


def test_numbers_by_sex_are_fairlearns(make_cohort, number, ridge):
    result, outcome, samples = evaluated(make_cohort(number, 120), ridge)
    sexes = samples.frame["sex"].to_numpy(dtype=str)
    found = by_variable(result, sexes, "sex")
    for name, metric in (("mae", sk.mean_absolute_error), ("r2", sk.r2_score)):
        frame = MetricFrame(metrics=metric, y_true=samples.y, y_pred=outcome.value, sensitive_features=sexes)
        assert found.levels["F"][name].value == pytest.approx(frame.by_group["F"])
        assert found.gaps[name].value == pytest.approx(frame.difference())
    women = sexes == "F"
    error = (outcome.value - samples.y)[women].mean()
    assert found.levels["F"]["mean_error"].value == pytest.approx(error)


def test_intervals_of_a_group_are_inside_its_bounds_and_hold_its_value(make_cohort, binary, logistic):
    result, _, samples = evaluated(make_cohort(binary, 200, signal=0.4, sites=SITES), logistic)
    for level in by_variable(result, samples.sites, "site").levels.values():
        for name, one in level.items():
            assert one.ci_low <= one.value <= one.ci_high, name
            if name not in ("calibration_slope", "in_the_large"):
                assert 0 <= one.ci_low <= one.ci_high <= 1


def test_levels_of_few_subjects_are_left_out_with_the_reason(make_cohort, binary, logistic):
    cohort = make_cohort(binary, 60)
    where = np.array(["large"] * 51 + ["small"] * 9)
    result, _, _ = evaluated(cohort, logistic)
    found = by_variable(result, where, "site")
    assert set(found.levels) == {"large"}
    assert "subjects of class" in found.left_out["small"]
    assert found.n == {"large": 51, "small": 9}
    assert found.gaps == {}
    assert json.dumps(found.to_dict(), allow_nan=False)


def test_scans_of_one_person_count_as_one(make_cohort, number, ridge):
    result, _, _ = evaluated(make_cohort(number, 30, scans=3), ridge)
    where = np.where(np.arange(90) < 27, "nine people", "others")
    assert set(by_variable(result, where, "site").left_out) == {"nine people"}


def test_unknown_values_make_no_level(make_cohort, number, ridge):
    cohort = make_cohort(number, 60)
    cohort.frame.loc[:19, "sex"] = ""
    result, _, samples = evaluated(cohort, ridge)
    found = by_groups(result, samples.frame)
    assert set(found) == {"sex", "age_band"}
    assert sum(found["sex"].n.values()) == 40


def test_a_tab_in_a_name_is_part_of_the_name(make_cohort, number, ridge):
    result, _, _ = evaluated(make_cohort(number, 40), ridge)
    where = np.where(np.arange(40) < 20, "one\ttesla", "three")
    assert set(by_variable(result, where, "scanner").levels) == {"one\ttesla", "three"}


def test_age_bands_hold_their_lower_bounds():
    found = age_bands(np.array([0, 17.9, 18, 39.99, 80, 104, np.nan]))
    assert found.tolist() == ["0-17", "0-17", "18-29", "30-39", "80-119", "80-119", ""]


def test_repeats_are_averaged_after_the_metric(number):
    y, first, second = np.array([0.0, 0.0]), np.array([1.0, 1.0]), np.array([-1.0, -1.0])
    repeats = tuple(Outcome(one, np.empty((2, 0)), np.full(2, -1), one) for one in (first, second))
    predicted = OutOfFold(repeats, np.zeros((2, 2), dtype=int), ())
    assert predicted.tested.all()
    result = Scored(number, y, repeats, Bootstrap(np.array(["a", "b"]), np.zeros(2, dtype=int), 0))
    # The mean of the two predictions is exactly right, which would be an ensemble's error.
    assert result.values()["mae"] == 1
