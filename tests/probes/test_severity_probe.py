"""Ordered classes and counts from the table to the saved probe: planted signals are found, none in noise."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from prima_features.errors import UsageError
from prima_features.probes import Features, Probe, Recipe, tasks
from prima_features.probes.estimators import CountProbe, OrdinalProbe, make
from prima_features.probes.evaluation import EvaluationPlan, Scheme
from prima_features.probes.evaluation.checks import check
from prima_features.probes.persistence.files import DOCUMENT
from prima_features.probes.report.content import PageContent
from prima_features.probes.report.methods import methods_text, references
from prima_features.probes.report.page import page
from prima_features.probes.samples import samples
from prima_features.probes.steps.outputs import Decision

CLASSES = ("none", "mild", "moderate", "severe")
"""In an order that is not that of the alphabet."""
TASKS = {"ordinal": tasks.custom("scale", CLASSES, "ordinal"), "count": tasks.custom("points", (), "count")}
QUICK = {
    "ordinal": Recipe("ordinal", {"C": (1e-3, 1e-2, 1e-1)}, inner_folds=3),
    "poisson": Recipe("poisson", {"alphas": (1e3, 1e2, 1e1)}, inner_folds=3),
    "xgboost": Recipe("xgboost", {"depths": (2,), "rounds": (30, 60), "n_jobs": 1}, inner_folds=3),
}
PROBES = [("ordinal", "ordinal"), ("count", "poisson"), ("count", "xgboost")]
PLAN = EvaluationPlan(Scheme(outer_folds=3, inner_folds=3), n_bootstrap=100)
CITED = {"ordinal": ("proportional-odds", "kappa", "somers", "rps"), "count": ("dispersion",)}


def cohort(kind: str, signal: float = 1.0, n: int = 200, seed: int = 0) -> tuple[Features, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    latent = signal * (X[:, 0] + X[:, 1])
    if kind == "ordinal":
        place = np.digitize(1.5 * latent + rng.logistic(size=n), [-1.5, 0, 1.5])
        target: np.ndarray = np.array(CLASSES, dtype=object)[place]
    else:
        mean = np.exp(1.2 + 0.5 * latent)
        target = rng.negative_binomial(3, 3 / (3 + mean)).astype(float)
    frame = pd.DataFrame(
        {
            "study": [f"sub-{i}" for i in range(n)],
            "target": target,
            "age": rng.normal(55, 10, n),
            "sex": np.where(rng.random(n) < 0.5, "M", "F"),
            "site": np.where(rng.random(n) < 0.5, "A", "B"),
        }
    )
    return Features.of(X), frame


def test_planted_classes_are_found_by_threshold_and_as_a_whole() -> None:
    features, frame = cohort("ordinal")
    found = Probe(TASKS["ordinal"], QUICK["ordinal"]).cross_validate(features, frame, PLAN)
    assert tuple(found.metrics) == TASKS["ordinal"].metrics
    assert found.metrics["kappa"].ci_low > 0.2
    assert found.metrics["ordinal_c"].ci_low > 0.6
    assert found.baselines["dummy"]["kappa"].value == 0
    assert found.baselines["dummy"]["ordinal_c"].value == pytest.approx(0.5, abs=0.05)
    assert found.over_baselines["age_sex"]["kappa"].ci_low > 0
    assert found.metrics["rps"].value < found.baselines["dummy"]["rps"].value
    assert found.thresholds is not None
    assert list(found.thresholds.thresholds) == list(CLASSES[1:])
    assert all(one.auroc.value > 0.65 for one in found.thresholds.thresholds.values())
    assert found.thresholds.p_value > 0.001
    table = found.predictions
    share = table[[f"probability_{name}" for name in CLASSES]].to_numpy(dtype=float)
    np.testing.assert_allclose(share.sum(axis=1), 1)
    np.testing.assert_allclose(table["prediction"], share @ np.arange(4))
    said, truth = (table[name].value_counts()[list(CLASSES)] for name in ("predicted", "target"))
    assert (said - truth).abs().max() < 40
    assert found.metrics_json()["thresholds"]["proportional_odds"]["n_thresholds"] == 3


def test_classes_whose_odds_are_not_proportional_are_told() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    above = rng.random(400) < 1 / (1 + np.exp(-4 * X[:, 0]))
    far = above & (rng.random(400) < 0.5)
    frame = pd.DataFrame(
        {"study": [f"s{i}" for i in range(400)], "target": np.array(["a", "b", "c"])[above * 1 + far]}
    )
    task = tasks.custom("scale", ("a", "b", "c"), "ordinal")
    found = Probe(task, QUICK["ordinal"]).cross_validate(Features.of(X), frame, PLAN)
    assert found.thresholds is not None
    assert found.thresholds.p_value < 0.01
    assert "The slopes differ" in page(PageContent(found))


@pytest.mark.parametrize("name", ["poisson", "xgboost"])
def test_planted_counts_are_found_and_calibrated(name: str) -> None:
    features, frame = cohort("count")
    found = Probe(TASKS["count"], QUICK[name]).cross_validate(features, frame, PLAN)
    assert tuple(found.metrics) == TASKS["count"].metrics
    assert found.over_baselines["age_sex"]["deviance"].ci_high < 0
    assert found.metrics["d2"].ci_low > 0
    assert 0.7 < found.metrics["calibration_ratio"].value < 1.3
    assert (found.predictions["prediction"] > 0).all()
    assert found.dispersion is not None
    assert found.dispersion.p_value < 1e-6
    assert found.dispersion.pearson.ci_low > 1


def test_poisson_counts_are_fitted_as_such_and_overdispersed_ones_are_not() -> None:
    features, frame = cohort("count")
    X, y = features.X, frame["target"].to_numpy()
    options: dict[str, Any] = {"alphas": (1e2, 1e1), "inner_folds": 3}
    fitted = make("poisson", kind="count", **options).fit(X, y)
    assert fitted.best_params_["dispersion"] > 0.1
    assert (
        make("poisson", kind="count", family="poisson", **options).fit(X, y).best_params_["dispersion"] == 0
    )
    plain = np.random.default_rng(1).poisson(np.exp(1 + X[:, 0] / 2)).astype(float)
    assert make("poisson", kind="count", **options).fit(X, plain).best_params_["dispersion"] == 0
    with pytest.raises(UsageError, match="family must be one of auto, poisson, negative-binomial"):
        make("poisson", kind="count", family="gamma")


@pytest.mark.parametrize("kind", TASKS)
def test_nothing_is_found_in_noise(kind: str) -> None:
    features, frame = cohort(kind, signal=0.0, seed=3)
    found = Probe(TASKS[kind], QUICK["ordinal" if kind == "ordinal" else "poisson"]).cross_validate(
        features, frame, PLAN
    )
    difference = found.over_baselines["dummy"][found.task.primary]
    assert difference.ci_low < 0 < difference.ci_high or difference.value > 0


@pytest.mark.parametrize(("kind", "name"), PROBES)
def test_a_saved_probe_predicts_the_same_and_is_evaluated_elsewhere(
    kind: str, name: str, tmp_path: Path
) -> None:
    features, frame = cohort(kind)
    probe = Probe(TASKS[kind], QUICK[name]).fit(features, frame)
    again = Probe.load(probe.save(tmp_path / "probe"))
    expected = probe.predict(features, frame).table
    pd.testing.assert_frame_equal(again.predict(features, frame).table, expected)
    other, labels = cohort(kind, seed=1)
    found = again.evaluate(other, labels, n_bootstrap=20)
    assert {"dummy", "age_sex"} == set(found.baselines)
    assert found.metrics["kappa" if kind == "ordinal" else "d2"].value > 0.1


def test_a_saved_probe_with_wrong_cuts_or_thresholds_is_refused(tmp_path: Path) -> None:
    features, frame = cohort("ordinal")
    folder = Probe(TASKS["ordinal"], QUICK["ordinal"]).fit(features, frame).save(tmp_path / "probe")
    whole = (folder / DOCUMENT).read_text()
    for cuts in ([], [1.0], [0.5, 1.5, 2.5, 3.5], [2.0, 1.0, 0.0]):
        document = json.loads(whole)
        document["decision"]["cuts"] = cuts
        (folder / DOCUMENT).write_text(json.dumps(document))
        with pytest.raises(UsageError):
            Probe.load(folder)
    fitted = OrdinalProbe((0.1,), inner_folds=3).fit(features.X, np.arange(200) % 3)
    for intercept in (np.array([1.0]), np.array([-1.0, 1.0])):
        with pytest.raises(ValueError, match="thresholds of the classes"):
            fitted.restore({"coef": np.ones(8), "intercept": intercept})


@pytest.mark.parametrize("kind", TASKS)
def test_the_page_and_the_methods_text_state_what_was_done(kind: str) -> None:
    features, frame = cohort(kind)
    recipe = QUICK["ordinal" if kind == "ordinal" else "poisson"]
    content = PageContent(Probe(TASKS[kind], recipe).cross_validate(features, frame, PLAN), n_bootstrap=100)
    text, shown = methods_text(content), page(content)
    assert not re.search(r"[a-z)]\.[A-Z]", text.split("References")[0])
    parts = {
        "ordinal": ("4 classes in order, from low to high: none, mild, moderate and severe", "proportional"),
        "count": ("The target was a count", "negative binomial was used in 3 of 3 folds", "overdispersed"),
    }[kind]
    for part in parts:
        assert part in text
    assert "Riley" not in text and "()" not in text
    for key in CITED[kind]:
        assert references()[key].full in text
    on_page = {
        "ordinal": ("mild or above", "Proportional odds", "Quadratic weighted kappa", "Confusion matrix"),
        "count": ("Mean Poisson deviance", "overdispersed", "Calibration of"),
    }[kind]
    for part in on_page:
        assert part in shown
    assert "sub-1" not in shown


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (-1.0, "counts must be whole numbers from 0, but 1 study of custom has others, such as -1"),
        (2.5, "such as 2.5: use --kind number"),
        (np.nan, "needs a number for every study"),
    ],
)
def test_counts_that_are_negative_or_not_whole_are_refused(target: float, reason: str) -> None:
    features, frame = cohort("count")
    frame.loc[3, "target"] = target
    with pytest.raises(UsageError, match=reason):
        samples(features.X, frame, TASKS["count"])


def test_cohorts_without_counts_or_with_a_rare_class_are_refused() -> None:
    features, frame = cohort("count")
    with pytest.raises(UsageError, match="0 subjects have a count above 0"):
        check(samples(features.X, frame.assign(target=0.0), TASKS["count"]), Scheme())
    features, frame = cohort("ordinal")
    rare = frame.assign(target=np.where(np.arange(200) < 3, "severe", "none"))
    rare.loc[100:, "target"] = "mild"
    with pytest.raises(
        UsageError, match=r"class moderate has 0 subjects.*: combine rare classes .* --classes"
    ):
        check(samples(features.X, rare, TASKS["ordinal"]), Scheme())


def test_tasks_refuse_what_does_not_belong_to_their_scale() -> None:
    with pytest.raises(UsageError, match="three or more classes in order"):
        tasks.custom("scale", ("a", "b"), "ordinal")
    with pytest.raises(UsageError, match="predicts a count: leave out --classes"):
        tasks.get("nihss", ("a", "b"))
    with pytest.raises(UsageError, match="--kind count is for custom targets"):
        tasks.get("dementia", scale="count")
    with pytest.raises(UsageError, match="cannot predict ordered classes: use ordinal"):
        Probe(TASKS["ordinal"], Recipe("logistic"))
    with pytest.raises(UsageError, match="cannot predict a count: use poisson or xgboost"):
        Probe(TASKS["count"], Recipe("ridge"))
    with pytest.raises(UsageError, match="calibration is for probabilities of classes"):
        Recipe(calibration="platt").check(TASKS["ordinal"])
    graded = tasks.get("glioma-grade", ("2", "3", "4"), scale="ordinal")
    assert (graded.kind, graded.primary) == ("ordinal", "kappa")
    assert replace(graded, scale="").kind == "multiclass"


def test_estimators_refuse_negative_counts_and_counts_of_0_alone() -> None:
    X = np.random.default_rng(0).normal(size=(30, 3))
    for y, reason in ((-np.ones(30), "a count is negative"), (np.zeros(30), "all counts are 0")):
        with pytest.raises(ValueError, match=reason):
            CountProbe().fit(X, y)


def test_cuts_give_the_classes_their_frequencies() -> None:
    rng = np.random.default_rng(0)
    share = rng.dirichlet(np.ones(4), 500)
    y = rng.permutation(np.repeat(np.arange(4), (200, 150, 100, 50)))
    label = Decision.of_ordered(share, y)(share)
    assert np.abs(np.bincount(label, minlength=4) - np.bincount(y)).max() <= 1
    same = np.tile([0.1, 0.2, 0.3, 0.4], (500, 1))
    assert (Decision.of_ordered(same, y)(same) == 2).all()
