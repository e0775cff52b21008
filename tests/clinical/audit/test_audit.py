"""`prima audit`: the field's metrics, honest about what is missing, too small, or repeated."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from prima_features.cli.main import main
from prima_features.clinical.audit import AuditOptions, audit
from prima_features.clinical.audit.reporting import checklist, methods_text
from prima_features.clinical.audit.scores import read_scores
from prima_features.clinical.threshold import best_threshold
from prima_features.errors import UsageError

QUICK = AuditOptions(resamples=200)


@pytest.fixture(scope="module")
def golden_metrics(golden: Path) -> dict[str, np.ndarray]:
    file = golden.parent / "golden_clinical" / "a_metrics.npz"
    if not file.is_file():
        pytest.skip("needs the folder shared/golden_clinical beside the checkout")
    return dict(np.load(file))


def test_thresholds_are_those_of_the_public_rule(golden_metrics: dict[str, np.ndarray]) -> None:
    pairs = zip(golden_metrics["label"], golden_metrics["output"], strict=True)
    assert [best_threshold(*one) for one in pairs] == golden_metrics["best_threshold"].tolist()
    edges = [([1, 1, 1], [5, 6, 7]), ([0, 0], [5, 6]), ([0, 1], [-9, -8]), ([0, 1], [0.2, 0.2])]
    found = [best_threshold(np.array(label), np.array(logit)) for label, logit in edges]
    assert found == golden_metrics["edge_threshold"].tolist()


@pytest.mark.parametrize("at", ["at_zero", "at_best"])
def test_accuracies_and_auroc_are_those_of_the_public_code(
    golden_metrics: dict[str, np.ndarray], tmp_path: Path, at: str
) -> None:
    label, output = golden_metrics["label"], golden_metrics["output"].astype(np.float64)
    threshold = np.zeros(4) if at == "at_zero" else golden_metrics["best_threshold"]
    names, study = list("abcd"), [f"s{i}" for i in range(label.shape[1])]
    score = output - threshold[:, None]
    pd.DataFrame({"study": study} | {f"diagnosis/{n}": score[i] for i, n in enumerate(names)}).to_csv(
        tmp_path / "scores.tsv", sep="\t", index=False
    )
    pd.DataFrame({"study": study} | {n: label[i] for i, n in enumerate(names)}).to_csv(
        tmp_path / "labels.tsv", sep="\t", index=False
    )
    options = AuditOptions(resamples=100, min_positives=2)
    found = audit(tmp_path / "scores.tsv", labels=tmp_path / "labels.tsv", options=options)
    for i, one in enumerate(found.overall):
        if one.reason:  # a single negative study
            assert (label[i] == 0).sum() < 2 or label[i].sum() < 2
            continue
        rates = [one.estimates[name].value for name in ("balanced_accuracy", "sensitivity", "specificity")]
        np.testing.assert_allclose(rates, golden_metrics[at][i], atol=1e-12)
        np.testing.assert_allclose(one.estimates["auroc"].value, golden_metrics["auc"][i], atol=1e-12)


def test_metrics_are_those_of_scikit_learn_and_fairlearn(simulate) -> None:
    from fairlearn.metrics import MetricFrame, false_positive_rate, true_positive_rate

    made = simulate()
    scores, labels, attributes = made.paths
    found = audit(scores, labels=labels, attributes=[attributes], options=QUICK)
    score, truth = made.scores["diagnosis/condition_0"].round(12), made.labels["condition_0"]
    called, own = score >= 0, found.overall[0].estimates
    expected = {
        "auroc": metrics.roc_auc_score(truth, score),
        "auprc": metrics.average_precision_score(truth, score),
        "sensitivity": metrics.recall_score(truth, called),
        "specificity": metrics.recall_score(truth, called, pos_label=0),
        "ppv": metrics.precision_score(truth, called),
        "npv": metrics.precision_score(truth, called, pos_label=0),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, called),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(own[name].value, value, atol=1e-12, err_msg=name)
    false, true, _ = metrics.roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose(own["specificity_at"].value, 1 - false[np.argmax(true >= 0.9)], atol=1e-12)
    rates = {"tpr": true_positive_rate, "fpr": false_positive_rate}
    frame = MetricFrame(
        metrics=rates, y_true=truth, y_pred=called, sensitive_features=made.attributes["site"]
    )
    by_site = found.groups["site"]
    for metric in rates:
        for level, value in frame.by_group[metric].items():
            np.testing.assert_allclose(by_site.levels[level][0].estimates[metric].value, value, atol=1e-12)
        gap = by_site.gaps[0][metric].estimate
        np.testing.assert_allclose(gap.value, frame.difference()[metric], atol=1e-12)
        assert gap.ci_low <= gap.value <= gap.ci_high


def test_the_command_writes_json_page_and_tables(
    simulate, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    made = simulate()
    made.scores["caveat"] = "Synthetic scores."
    scores, labels, attributes = map(str, made.paths)
    out = tmp_path / "out"
    command = [
        "audit",
        scores,
        str(out),
        "--labels",
        labels,
        "--attributes",
        attributes,
        "--resamples",
        "100",
    ]
    assert main([*command, "--cross", "sex,age_band"]) == 0
    document = json.loads((out / "audit.json").read_text())
    assert document["notice"] == "For research use only: not a medical device."
    assert document["caveat"] == "Synthetic scores."
    one = document["names"]["condition_0"]
    assert {"value", "ci_low", "ci_high"} <= one["overall"]["auroc"].keys()
    assert one["overall"]["n"] == 400
    level = one["groups"]["sex"]["F"]
    assert {"n", "positives", "auroc", "tpr", "fpr", "ppv"} <= level.keys()
    assert one["gaps"]["sex"]["tpr"]["p_holm"] >= one["gaps"]["sex"]["tpr"]["p"]
    assert "F, 60-69" in one["groups"]["sex x age_band"]
    assert document["macro"]["auroc"]["n_names"] == 2
    page = (out / "audit.html").read_text()
    assert "For research use only: not a medical device." in page
    assert "Synthetic scores." in page
    assert "sub-0001" not in page  # no study is named
    assert "research use only" in capsys.readouterr().out
    assert len(pd.read_csv(out / "audit.tsv", sep="\t")) > 100
    assert main(command) == 0  # its own folder is replaced


def test_an_unknown_label_is_not_negative_and_lost_rows_are_listed(simulate, tmp_path: Path) -> None:
    made = simulate()
    labels = made.labels.astype(object)
    labels.loc[:49, "condition_0"] = ""
    labels = labels.iloc[:-10]  # ten studies without labels
    labels.loc[len(labels)] = ["sub-nobody_ses-1", 1, 0]
    labels.to_csv(tmp_path / "l.csv", index=False)
    scores, _, _ = made.paths
    found = audit(scores, tmp_path / "out", tmp_path / "l.csv", options=QUICK)
    one = found.overall[0]
    assert one.n == 340
    known = slice(50, 390)
    expected = metrics.roc_auc_score(
        made.labels["condition_0"][known], made.scores["diagnosis/condition_0"][known]
    )
    assert one.estimates["auroc"].value == pytest.approx(expected, abs=1e-12)
    assert found.document["unmatched"] == {"scores": 10, "labels": 1, "attributes": 0}
    lost = pd.read_csv(tmp_path / "out" / "unmatched.tsv", sep="\t")
    assert (lost["table"] == "scores").sum() == 10
    assert "nobody_ses-1" in set(lost["id"])


def test_small_groups_are_listed_with_the_reason(simulate, tmp_path: Path) -> None:
    made = simulate()
    made.attributes.loc[:14, "site"] = "tiny"
    scores, labels, attributes = made.paths
    found = audit(scores, tmp_path / "out", labels, [attributes], QUICK)
    tiny = found.document["names"]["condition_0"]["groups"]["site"]["tiny"]
    assert tiny["n"] == 15
    assert "fewer than 10" in tiny["reason"]
    assert tiny["auroc"] is None
    assert "tiny" in (tmp_path / "out" / "audit.html").read_text()


def test_a_planted_gap_is_found_and_none_where_there_is_none(simulate) -> None:
    for gap in (2.0, 0.0):
        made = simulate(n=1500, names=3, gap=gap, seed=4)
        scores, labels, attributes = made.paths
        found = audit(
            scores,
            labels=labels,
            attributes=[attributes],
            options=AuditOptions(resamples=400, groups=("sex",)),
        )
        first, *others = (one["tpr"] for one in found.groups["sex"].gaps)
        assert (first.p_holm < 0.001) == bool(gap)
        assert (first.estimate.ci_low > 0) == bool(gap)
        assert all(one.estimate.ci_low == 0 and one.p_holm > 0.05 for one in others)
        if gap:
            assert (first.lowest, first.highest) == ("F", "M")


def test_studies_of_a_subject_share_one_weight(simulate) -> None:
    made = simulate(n=200)
    twice = [pd.concat([one, one]) for one in (made.scores, made.labels)]
    for one, ending in zip(twice, ("a", "b"), strict=True):
        one["study"] += np.repeat(["_run-1", "_run-2"], 200)
        one.to_csv(made.folder / f"{ending}.tsv", sep="\t", index=False)
    scores, labels, _ = made.paths
    once = audit(scores, labels=labels, options=QUICK).overall[0]
    doubled = audit(made.folder / "a.tsv", labels=made.folder / "b.tsv", options=QUICK).overall[0]
    assert doubled.n == 2 * once.n
    for metric in ("auroc", "sensitivity", "ppv"):
        narrow, wide = (
            one.estimates[metric].ci_high - one.estimates[metric].ci_low for one in (once, doubled)
        )
        assert wide == pytest.approx(narrow, rel=0.25)


def test_predictions_of_a_probe_carry_their_truth_and_decisions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.4
    probability = 1 / (1 + np.exp(-(rng.normal(size=200) + 2 * truth - 1)))
    pd.DataFrame(
        {
            "study": [f"sub-{i}" for i in range(200)],
            "subject": range(200),
            "group": range(200),
            "site": "A",
            "sex": np.where(rng.random(200) < 0.5, "F", "M"),
            "target": np.where(truth, "glioma", "control"),
            "counts": [1] * 190 + [0] * 10,
            "fold": 0,
            "prediction": probability,
            "probability_control": 1 - probability,
            "probability_glioma": probability,
            "predicted": np.where(probability >= 0.3, "glioma", "control"),
        }
    ).to_csv(tmp_path / "predictions.tsv", sep="\t", index=False)
    found = audit(tmp_path / "predictions.tsv", options=QUICK)
    assert found.cohort.names == ("glioma",)
    one = found.overall[0]
    assert one.n == 190
    called = probability[:190] >= 0.3
    assert one.estimates["sensitivity"].value == pytest.approx(metrics.recall_score(truth[:190], called))
    assert found.calibration[0] is not None
    expected = metrics.brier_score_loss(truth[:190], probability[:190])
    assert found.calibration[0].brier.value == pytest.approx(expected)
    assert set(found.groups) == {"sex", "site"}


def test_scores_of_another_tool_are_read_with_a_note_on_the_threshold(simulate, tmp_path: Path) -> None:
    made = simulate()
    probability = 1 / (1 + np.exp(-made.scores["diagnosis/condition_1"]))
    pd.DataFrame({"ID": made.scores["study"], "condition_1": probability, "seconds": 3}).to_csv(
        tmp_path / "tool.csv", index=False
    )
    _, labels, _ = made.paths
    found = audit(tmp_path / "tool.csv", labels=labels, options=QUICK)
    assert found.cohort.names == ("condition_1",)
    assert found.cohort.scores.thresholds == (0.5,)
    assert any("0.5 or more means present" in note for note in found.cohort.notes)


def test_the_mean_over_one_name_has_the_interval_of_the_name(simulate) -> None:
    made = simulate()
    made.scores["diagnosis/condition_0"] = made.labels["condition_0"].astype(float) - 0.5  # all are separated
    del made.labels["condition_1"]
    scores, labels, _ = made.paths
    found = audit(scores, labels=labels, options=QUICK)
    assert found.macro["auroc"].estimate == found.overall[0].estimates["auroc"]
    assert found.macro["auroc"].estimate.ci_low < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda made: made.labels.__setitem__("condition_0", "maybe"), "'maybe'.*expected 1"),
        (lambda made: made.labels.__setitem__("study", "other"), "has none of the studies|two different rows"),
        (lambda made: setattr(made.labels, "columns", ["study", "x", "y"]), "no column of any"),
        (lambda made: made.scores.__setitem__("diagnosis/condition_0", "high"), "'high' is not a number"),
        (lambda made: made.labels.__setitem__(["condition_0", "condition_1"], 0), "0 subjects with a positive"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused_in_a_sentence(simulate, change, message: str) -> None:
    made = simulate()
    change(made)
    scores, labels, _ = made.paths
    with pytest.raises(UsageError, match=message):
        audit(scores, labels=labels, options=QUICK)


def test_the_page_has_sentences_for_a_paper_and_the_items_that_are_known(simulate, tmp_path: Path) -> None:
    made = simulate(n=900, gap=2.0)
    made.attributes["date"] = "2025-03-31"
    scores, labels, attributes = made.paths
    options = AuditOptions(resamples=200, groups=("sex", "site"), date_column="date")
    found = audit(scores, tmp_path / "out", labels, [attributes], options)
    text = methods_text(found)
    assert (
        "2 findings were compared with labels in 900 studies of 900 subjects (2025-03-31 to 2025-03-31)"
        in text
    )
    assert "For condition 0, the true positive rate differed by sex" in text
    assert "random-effects pooling" in text
    items = {(guideline, item): known for guideline, item, _, known in checklist(found)}
    assert items["TRIPOD+AI", "5b"] == "2025-03-31 to 2025-03-31"
    assert items["TRIPOD+AI", "17"] == ""  # the authors know
    assert len(items) > 50
    assert "to be written by the authors" in (tmp_path / "out" / "audit.html").read_text()


def test_one_table_can_have_labels_and_attributes(simulate, tmp_path: Path) -> None:
    made = simulate()
    made.labels.merge(made.attributes.assign(days=3), on="study").to_csv(tmp_path / "all.csv", index=False)
    scores, _, _ = made.paths
    options = AuditOptions(resamples=100, wait_column="days")
    found = audit(scores, labels=tmp_path / "all.csv", attributes=[tmp_path / "all.csv"], options=options)
    assert set(found.groups) == {"sex", "age_band", "site"}


def test_a_repeated_row_counts_once_and_two_different_ones_are_refused(simulate) -> None:
    made = simulate()
    _, labels, _ = made.paths
    twice = pd.concat([made.scores, made.scores[:3]])
    twice.to_csv(made.folder / "twice.tsv", sep="\t", index=False)
    found = audit(made.folder / "twice.tsv", labels=labels, options=QUICK)
    assert len(found.cohort.subject) == 400
    assert "3 rows of twice.tsv are repeated and counted once" in found.cohort.notes
    twice.iloc[-1, -1] = 9.0
    twice.to_csv(made.folder / "twice.tsv", sep="\t", index=False)
    with pytest.raises(UsageError, match=r"two different rows of 'sub-0002_ses-2'"):
        audit(made.folder / "twice.tsv", labels=labels, options=QUICK)


def test_labels_per_subject_are_used_for_all_studies_with_a_note(simulate) -> None:
    made = simulate(per_subject=2)
    scores, _, _ = made.paths
    labels = made.labels.iloc[::2].assign(subject=made.scores["subject"][::2]).drop(columns="study")
    labels.to_csv(made.folder / "l.tsv", sep="\t", index=False)
    found = audit(scores, labels=made.folder / "l.tsv", options=QUICK)
    assert found.overall[0].n == 400
    assert "l.tsv has labels per subject: 200 of them are used for several studies" in found.cohort.notes


def test_one_score_takes_a_binary_target_column_of_any_name(simulate) -> None:
    made = simulate()
    scores = pd.DataFrame(
        {
            "study": made.scores["study"],
            "score": made.scores["diagnosis/condition_0"],
            "target": np.where(made.labels["condition_0"], "yes", "no"),
        }
    )
    scores.to_csv(made.folder / "tool.csv", index=False)
    found = audit(made.folder / "tool.csv", options=QUICK).overall[0]
    expected = metrics.roc_auc_score(made.labels["condition_0"], scores["score"])
    assert found.estimates["auroc"].value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda score: -score, "check the direction of the scores"),
        (lambda score: score + 100, "every study is called present for condition 0 and condition 1"),
        (lambda score: score - 100, "called absent"),
    ],
)
def test_scores_that_are_probably_a_mistake_get_a_note(simulate, change, note: str) -> None:
    made = simulate()
    columns = ["diagnosis/condition_0", "diagnosis/condition_1"]
    made.scores[columns] = change(made.scores[columns])
    scores, labels, _ = made.paths
    notes = audit(scores, labels=labels, options=QUICK).cohort.notes
    assert any(re.search(note, one) for one in notes)


def test_nothing_is_doubted_without_a_reason(simulate) -> None:
    scores, labels, attributes = simulate().paths
    assert audit(scores, labels=labels, attributes=[attributes], options=QUICK).cohort.notes == ()


def test_heads_that_are_chosen_by_column_keep_their_threshold_of_0(simulate) -> None:
    cohort = simulate()
    cohort.scores["diagnosis/condition_0"] = 1 / (1 + np.exp(-cohort.scores["diagnosis/condition_0"]))
    scores = read_scores(cohort.paths[0], ["diagnosis/condition_0"])
    assert (scores.names, scores.thresholds, scores.kind) == (("condition_0",), (0.0,), "score")


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": float("nan")},
        {"threshold": float("inf")},
        {"seed": -1},
        {"cross": (("sex", "sex"),)},
        {"sensitivity": float("nan")},
    ],
)
def test_options_without_a_meaning_are_refused(options) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(options))} "):
        AuditOptions(**options)


def test_a_wait_that_is_no_number_is_named_as_it_is_written(simulate) -> None:
    cohort = simulate()
    scores, labels, attributes = cohort.paths
    with pytest.raises(UsageError, match=r"has '[FM]': expected days"):
        audit(scores, None, labels, [attributes], AuditOptions(resamples=100, wait_column="sex"))


@pytest.mark.parametrize("cell", ["inf", "-Infinity", ">3", "3+", "1.234,5", "high"])
def test_scores_that_are_no_finite_numbers_are_refused(simulate, cell: str) -> None:
    cohort = simulate()
    column = "diagnosis/condition_0"
    cohort.scores[column] = [cell, *cohort.scores[column].astype(str)[1:]]
    with pytest.raises(UsageError, match=f"{column}: {re.escape(repr(cell))} is not a number"):
        read_scores(cohort.paths[0])


def test_scores_with_decimal_commas_and_exponents_are_read(simulate) -> None:
    cohort = simulate()
    column = "diagnosis/condition_0"
    cohort.scores[column] = ["1,5", "+2", "-1e-3", "n/a", *cohort.scores[column].astype(str)[4:]]
    np.testing.assert_array_equal(read_scores(cohort.paths[0]).score[:4, 0], [1.5, 2, -0.001, np.nan])
