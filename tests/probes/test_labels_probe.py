"""Several labels from the table to the saved probe: each is fitted on the studies where it is known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from prima_features.errors import UsageError
from prima_features.probes import Features, Probe, Recipe, tasks
from prima_features.probes.estimators import LogisticLabelsProbe, make
from prima_features.probes.evaluation import EvaluationPlan, Scheme
from prima_features.probes.evaluation.checks import check
from prima_features.probes.evaluation.labels import label_results, of_label
from prima_features.probes.evaluation.scored import Scored
from prima_features.probes.evaluation.splits import draw
from prima_features.probes.kinds import Outcome, kind_of
from prima_features.probes.kinds.labels import encoded
from prima_features.probes.linalg.logistic import label_paths, logistic_path
from prima_features.probes.linalg.rows import Rows
from prima_features.probes.persistence.files import ARRAYS, DOCUMENT, TREES
from prima_features.probes.report.content import PageContent
from prima_features.probes.report.methods import methods_text, references
from prima_features.probes.report.page import page
from prima_features.probes.samples import samples

NAMES = ("edema", "mass", "bleed")
TASK = tasks.findings(NAMES)
QUICK = {
    "logistic": Recipe("logistic", {"C": (1e-3, 1e-2, 1e-1)}, inner_folds=3, calibration="platt"),
    "xgboost": Recipe("xgboost", {"depths": (2,), "rounds": (10, 20), "n_jobs": 1}, inner_folds=3),
    "mlp": Recipe("mlp", {"hidden": (4,), "components": 6, "max_steps": 20, "alphas": (0.1,)}, inner_folds=3),
    "knn": Recipe("knn", {"neighbours": (20, 10), "components": 6}, inner_folds=3),
}
PLAN = EvaluationPlan(Scheme(outer_folds=3, inner_folds=3), n_bootstrap=50)


def labels(n: int = 200, signal: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    y = (signal * X[:, :3] * [3, 2, 0] + rng.logistic(size=(n, 3)) > [0.5, 1.0, 1.2]).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    return X, y


def cohort(n: int = 200, signal: float = 1.0, seed: int = 0) -> tuple[Features, pd.DataFrame]:
    X, y = labels(n, signal, seed)
    rng = np.random.default_rng(seed + 1)
    frame = pd.DataFrame(
        {
            "study": [f"sub-{i}" for i in range(n)],
            "target": [encoded(row) for row in y],
            "age": rng.normal(55, 10, n),
            "sex": np.where(rng.random(n) < 0.5, "M", "F"),
            "site": np.where(rng.random(n) < 0.5, "A", "B"),
        }
    )
    return Features.of(X), frame


def test_each_label_is_a_logistic_regression_on_the_rows_where_it_is_known() -> None:
    X, y = labels(120)
    Z = StandardScaler().fit(X)
    for width in (8, 300):  # more rows than features, and fewer
        wide = np.hstack([X, np.random.default_rng(1).normal(size=(120, width - 8))])
        Z = StandardScaler().fit(wide)
        weights = np.isfinite(y).astype(float)
        paths = label_paths(Rows.all(wide), weights, np.nan_to_num(y), [(1e-3, 1e-1)] * 3)
        for path, column in zip(paths, y.T, strict=True):
            assert path.converged.all()
            known = np.isfinite(column)
            for i, C in enumerate((1e-3, 1e-1)):
                model = LogisticRegression(C=C, tol=1e-10, max_iter=10_000)
                model.fit(Z.transform(wide[known]), column[known])
                share = 1 / (1 + np.exp(-(wide @ path.weights[i, :, 0] + path.intercepts[i, 0])))
                expected = model.predict_proba(Z.transform(wide))[:, 1]
                np.testing.assert_allclose(share, expected, atol=1e-4)


def test_without_unknown_labels_the_path_is_that_of_two_classes() -> None:
    X, y = labels(90)
    y = np.nan_to_num(y)
    paths = label_paths(Rows.all(X), np.ones(y.shape), y, [(1e-2, 1.0)] * 3)
    for path, column in zip(paths, y.T, strict=True):
        alone = logistic_path(Rows.all(X), column.astype(int), (1e-2, 1.0))
        np.testing.assert_array_equal(path.weights, alone.weights)
        np.testing.assert_array_equal(path.intercepts, alone.intercepts)
    with pytest.raises(ValueError, match="single value in training"):
        label_paths(Rows.all(X), np.ones((90, 1)), np.zeros((90, 1)), [(1.0,)])


def test_metrics_are_scikit_learns_macro_and_micro() -> None:
    rng = np.random.default_rng(3)
    _, y = labels(80)
    full, share = np.nan_to_num(y), rng.random(y.shape)
    outcome = Outcome(np.full(80, np.nan), share, (share > 0.5).astype(int), np.full(80, np.nan))
    ones = np.ones((1, 80))
    found = kind_of(TASK).scores(full, outcome, ones)
    for name, score in (("auroc", sk.roc_auc_score), ("auprc", sk.average_precision_score)):
        assert found[name][0] == pytest.approx(score(full, share, average="macro"), abs=1e-12)
        assert found[f"{name}_micro"][0] == pytest.approx(score(full, share, average="micro"), abs=1e-12)
    partly = kind_of(TASK).scores(y, outcome, ones)
    known = np.isfinite(y)
    each = [
        sk.roc_auc_score(column[own], p[own]) for column, own, p in zip(y.T, known.T, share.T, strict=True)
    ]
    assert partly["auroc"][0] == pytest.approx(np.mean(each), abs=1e-12)
    assert partly["auroc_micro"][0] == pytest.approx(sk.roc_auc_score(y[known], share[known]), abs=1e-12)
    weights = rng.integers(0, 3, (1, 80)).astype(float)
    row = np.repeat(np.arange(80), weights[0].astype(int))
    weighed = kind_of(TASK).scores(full, outcome, weights)
    assert weighed["auroc_micro"][0] == pytest.approx(
        sk.roc_auc_score(full[row], share[row], average="micro"), abs=1e-12
    )
    assert kind_of(TASK).primary_score(y, outcome, weights)[0] == pytest.approx(
        kind_of(TASK).scores(y, outcome, weights)["auroc"][0], abs=1e-12
    )


@pytest.mark.parametrize("name", QUICK)
def test_planted_labels_are_found_and_a_saved_probe_predicts_the_same(name: str, tmp_path: Path) -> None:
    features, frame = cohort()
    probe = Probe(TASK, QUICK[name])
    found = probe.cross_validate(features, frame, PLAN)
    assert tuple(found.metrics) == TASK.metrics
    assert list(found.labels) == list(NAMES)
    edema, mass, bleed = found.labels.values()
    assert edema.metrics["auroc"].value > 0.75
    assert edema.p_holm < 0.001
    assert bleed.p_holm > 0.05
    assert mass.p_holm >= mass.p_value
    assert (edema.n + edema.n_unknown, edema.n_unknown > 0) == (200, True)
    assert found.baselines["dummy"]["auroc"].value == pytest.approx(0.5, abs=1e-12)
    document = json.loads(json.dumps(found.metrics_json(), allow_nan=False))
    assert set(document["labels"]["mass"]) == {
        "n", "n_positive", "n_unknown", "metrics", "p_value", "p_holm", "decisions"
    }  # fmt: skip
    table = found.predictions
    assert table["target"].tolist() == frame["target"].tolist()
    assert table["target_edema"].isna().sum() == edema.n_unknown
    assert table[[f"probability_{one}" for one in NAMES]].to_numpy(dtype=float).min() > 0
    again = Probe.load(probe.fit(features, frame).save(tmp_path / "probe"))
    expected = probe.predict(features, frame).table
    pd.testing.assert_frame_equal(again.predict(features, frame).table, expected)
    other, known = cohort(seed=5)
    elsewhere = again.evaluate(other, known, n_bootstrap=20)
    assert {"dummy", "age_sex"} == set(elsewhere.baselines)
    assert elsewhere.labels["edema"].metrics["auroc"].value > 0.7


def test_each_label_has_the_numbers_of_a_probe_of_two_classes() -> None:
    features, frame = cohort()
    found = Probe(TASK, QUICK["logistic"]).cross_validate(features, frame, PLAN)
    table = found.predictions
    for name in NAMES:
        own = table[table[f"target_{name}"].notna()]
        truth, share = own[f"target_{name}"].to_numpy(dtype=int), own[f"probability_{name}"]
        metrics = found.labels[name].metrics
        assert metrics["auroc"].value == pytest.approx(sk.roc_auc_score(truth, share), abs=1e-12)
        assert metrics["brier"].value == pytest.approx(sk.brier_score_loss(truth, share), abs=1e-12)
        decided = own[f"predicted_{name}"]
        assert metrics["sensitivity"].value == pytest.approx(sk.recall_score(truth, decided), abs=1e-12)
        assert metrics["auroc"].ci_low <= metrics["auroc"].value <= metrics["auroc"].ci_high
    mean = np.mean([found.labels[name].metrics["auroc"].value for name in NAMES])
    assert found.metrics["auroc"].value == pytest.approx(mean, abs=1e-12)


def test_nothing_is_found_in_noise_and_perfect_labels_have_an_interval() -> None:
    features, frame = cohort(signal=0.0, seed=7)
    found = Probe(TASK, QUICK["logistic"]).cross_validate(features, frame, PLAN)
    assert found.metrics["auroc"].ci_low < 0.5
    assert min(one.p_holm for one in found.labels.values()) > 0.01
    _, y = labels(60)
    y = np.nan_to_num(y)
    outcome = Outcome(np.full(60, np.nan), 0.1 + 0.8 * y, y.astype(int), np.full(60, np.nan))
    from prima_features.evaluation.intervals import Bootstrap

    bootstrap = Bootstrap(np.arange(60), np.zeros(60, dtype=int), 50)
    perfect = Scored(TASK, y, (outcome,), bootstrap)
    assert perfect.estimates()["auroc"].value == 1
    assert 0.8 < perfect.estimates()["auroc"].ci_low < 1
    assert label_results(perfect)["edema"].p_value < 1e-6
    assert of_label(perfect, 0).task.classes == ("without edema", "with edema")


def test_the_page_and_the_methods_text_state_what_was_done() -> None:
    features, frame = cohort()
    found = Probe(TASK, QUICK["logistic"]).cross_validate(features, frame, PLAN)
    content = PageContent(found, n_bootstrap=50)
    text, shown = methods_text(content), page(content)
    assert not re.search(r"[a-z)]\.[A-Z]", text.split("References")[0])
    for part in (
        "The target had 3 labels, which can be present together",
        "for each label logistic regression",
        "chosen, label by label",
        "all known labels of all studies together (micro)",
        "van Elteren's stratified rank-sum test",
        "A study with an unknown label counted for its other labels",
        "By label: edema AUROC",
    ):
        assert part in text
    for key in ("van-elteren", "holm", "newcombe", "logistic", "slope", "cramer"):
        assert references()[key].full in text
    for part in (
        "Micro AUROC",
        "p, adjusted",
        "Unknown",
        "Sensitivity",
        "mean AUROC of 3 labels",
        "With mass",
    ):
        assert part in shown
    assert "sub-1" not in shown


def test_a_label_that_few_subjects_have_is_refused_and_unknown_ones_are_counted() -> None:
    features, frame = cohort()
    given = samples(features.X, frame, TASK)
    assert any("unknown labels are left out: edema in" in text for text in check(given, Scheme()))
    rare = given.y.copy()
    rare[:, 1] = np.where(np.arange(200) < 4, 1, 0)
    with pytest.raises(UsageError, match="the label mass is present in 4 subjects and absent in 196"):
        check(replace(given, y=rare), Scheme())
    with pytest.raises(UsageError, match="needs two labels or more"):
        check(samples(features.X, frame.assign(target="1"), tasks.findings(["a"])), Scheme())
    with pytest.raises(UsageError, match=r"1, 0 or \? for each of 3 labels"):
        samples(features.X, frame.assign(target="1,0"), TASK)
    same = np.where((frame["site"] == "A").to_numpy()[:, None], [1.0, 0, 1], [0.0, 0, 0])
    same[:, 1:] = given.y[:, 1:]
    with pytest.raises(UsageError, match="each site has a single value of edema"):
        check(replace(given, y=same), Scheme())


def test_folds_share_out_each_label() -> None:
    features, frame = cohort()
    given = samples(features.X, frame, TASK)
    for fold in draw(given, Scheme()).folds:
        share = np.nanmean(given.y[fold.test], axis=0)
        np.testing.assert_allclose(share, np.nanmean(given.y, axis=0), atol=0.06)


def test_estimators_choose_for_each_label_and_refuse_what_is_no_label() -> None:
    X, y = labels(120)
    fitted = LogisticLabelsProbe((1e-3, 1e-1), inner_folds=3).fit(X, y, np.arange(120) // 2)
    assert set(fitted.best_params_) == {f"C of label {i}" for i in (1, 2, 3)}
    assert fitted.out_of_fold_.shape == fitted.predict_proba(X).shape == (120, 3)
    assert set(np.unique(fitted.predict(X))) <= {0, 1}
    for bad, reason in ((y[:, 0], "a table of 1, 0 and NaN"), (y + 1, "a table of 1, 0 and NaN")):
        with pytest.raises(ValueError, match=reason):
            LogisticLabelsProbe().fit(X, bad)
    with pytest.raises(ValueError, match="label 2 of 3 has a single value"):
        LogisticLabelsProbe().fit(X, np.where([False, True, False], 1.0, y))
    with pytest.raises(UsageError, match="cannot predict several labels: use logistic, xgboost, mlp or knn"):
        make("ridge", kind="labels")


def test_hostile_probes_are_refused(tmp_path: Path) -> None:
    import hashlib

    features, frame = cohort()
    for name in ("logistic", "xgboost", "knn"):
        folder = Probe(TASK, QUICK[name]).fit(features, frame).save(tmp_path / name)
        whole = json.loads((folder / DOCUMENT).read_text())

        def load(document: dict, folder: Path = folder) -> None:
            for file in document["files"]:
                document["files"][file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
            (folder / DOCUMENT).write_text(json.dumps(document))
            Probe.load(folder)

        load(json.loads(json.dumps(whole)))
        for change in ({"labels": ["a", "b"]}, {"labels": []}, {"labels": ["a", "a", "b"]}, {"scale": ""}):
            document = json.loads(json.dumps(whole))
            document["task"] |= change
            with pytest.raises(UsageError):
                load(document)
        for thresholds in ([], [0.5], [0.5] * 4):
            document = json.loads(json.dumps(whole))
            document["decision"]["thresholds"] = thresholds
            with pytest.raises(UsageError):
                load(document)
        if name == "xgboost":
            trees = json.loads((folder / TREES).read_text())
            for broken in ({"labels": trees["labels"][:2]}, trees["labels"][0], {"labels": [{}] * 3}):
                (folder / TREES).write_text(json.dumps(broken))
                with pytest.raises(UsageError):
                    load(json.loads(json.dumps(whole)))
        else:
            from safetensors.numpy import load_file, save_file

            arrays = load_file(folder / ARRAYS)
            key = "estimator.coef" if name == "logistic" else "estimator.label0.y"
            arrays[key] = arrays[key][:2] if name == "logistic" else arrays[key] + 5
            save_file(arrays, folder / ARRAYS)
            with pytest.raises(UsageError, match="do not fit together"):
                load(json.loads(json.dumps(whole)))
