"""Encoders on the same studies, folds and probes: what differs, what does not, and what is said of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prima_features.bench import TaskRequest, bench
from prima_features.bench.measure import Difference, plain
from prima_features.bench.validate import read_bench
from prima_features.errors import UsageError
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.labels import LabelRequest
from tests.bench.conftest import QUICK, Cohort, write_vectors

MakeCohort = Callable[..., Cohort]
BRAIN_AGE, AUTISM = TaskRequest("brain-age"), TaskRequest("autism", "diagnosis")


def labels(cohort: Cohort) -> LabelRequest:
    return LabelRequest((cohort.labels,))


def test_two_copies_of_an_encoder_do_not_differ_and_a_warning_says_so(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    first = cohort.encoder("first", 0.5)
    copy = shutil.copy(first, cohort.folder / "copy.h5")
    found = bench({"A": first, "B": copy}, None, [BRAIN_AGE, AUTISM], labels(cohort), QUICK)
    for one in found.tasks.values():
        for probe in one.probes.values():
            (pair,) = probe.differences
            assert pair.estimate.value == 0
            assert pair.p == pair.p_holm == 1
            assert pair.within_noise
        assert any("no encoder differs from the best one, A, beyond noise" in text for text in one.warnings)


def test_an_encoder_with_less_noise_is_better_and_the_interval_excludes_0(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(n=120)
    files = {"noisy": cohort.encoder("noisy", 4.0), "clear": cohort.encoder("clear", 0.1)}
    options = replace(QUICK, scheme=replace(QUICK.scheme, repeats=2))
    found = bench(files, None, [BRAIN_AGE], labels(cohort), options).tasks["brain-age"]
    assert found.ranked == ["clear", "noisy"]
    (pair,) = found.main.differences
    assert 0 < pair.estimate.ci_low < pair.estimate.value < pair.estimate.ci_high
    expected = [found.main.encoders[name]["mae"].value for name in ("noisy", "clear")]
    assert pair.estimate.value == pytest.approx(expected[0] - expected[1])
    assert pair.p < 0.01 and not pair.within_noise
    assert not any("beyond noise" in text for text in found.warnings)


def test_the_order_of_the_files_changes_nothing_but_the_sign(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    one, other = cohort.encoder("one", 0.5), cohort.encoder("other", 1.0)
    made = [
        bench(files, None, [AUTISM], labels(cohort), QUICK).tasks["autism"].main
        for files in ({"A": one, "B": other}, {"B": other, "A": one})
    ]
    assert made[0].encoders["A"] == made[1].encoders["A"]
    forward, back = made[0].differences[0], made[1].differences[0]
    assert (forward.first, back.first) == ("A", "B")
    assert forward.estimate.value == -back.estimate.value
    assert forward.estimate.ci_low == pytest.approx(-back.estimate.ci_high)
    assert forward.p == pytest.approx(back.p)


def test_metrics_and_folds_are_those_of_a_probe_on_the_same_studies(make_cohort: MakeCohort) -> None:
    from prima_features.probes.evaluation import EvaluationPlan, evaluate
    from prima_features.probes.recipe import Recipe
    from prima_features.probes.runs.fit import Sources, read
    from prima_features.probes.samples import samples

    cohort = make_cohort()
    file = cohort.encoder("one", 0.5)
    found = bench({"A": file}, None, [AUTISM], labels(cohort), QUICK).tasks["autism"]
    data = read(Sources(file, AUTISM.labels(labels(cohort))))
    recipe = Recipe("logistic", inner_folds=2)
    plan = EvaluationPlan(QUICK.scheme, QUICK.n_bootstrap)
    expected = evaluate(samples(data.features.X, data.frame, data.task), recipe, plan)
    assert found.main.encoders["A"] == expected.metrics
    for name, metrics in expected.baselines.items():
        assert plain(found.rivals.metrics[name]) == plain(metrics)
    assert found.folds["digest"] == expected.metrics_json()["folds"]["digest"]
    for name, one in expected.over_baselines.items():
        assert found.rivals.over["A"][name].value == pytest.approx(one["auroc"].value)
        assert found.rivals.over["A"][name].ci_low == pytest.approx(one["auroc"].ci_low)


def test_only_studies_in_all_files_count_and_the_others_are_named(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    files = {"all": cohort.encoder("all", 0.5), "fewer": cohort.encoder("fewer", 0.5, without=3)}
    found = bench(files, None, [BRAIN_AGE], labels(cohort), QUICK)
    assert len(found.shared.studies) == cohort.n - 3
    assert found.tasks["brain-age"].n_studies == cohort.n - 3
    assert found.document["left_out"]["n_studies"] == 3
    assert found.document["left_out"]["studies"]["sub-079"] == {"fewer": "not in the file"}
    said = "fewer lacks 3 studies of another file, left out for all encoders: sub-077, sub-078, sub-079"
    assert said in found.warnings
    counted = bench(files, None, [BRAIN_AGE], labels(cohort), replace(QUICK, list_left_out=False))
    assert counted.document["left_out"] == {"n_studies": 3, "studies": None}


def test_studies_in_another_order_are_matched_by_id(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    rng = np.random.default_rng(5)
    vectors, order = rng.normal(size=(cohort.n, 4)), rng.permutation(cohort.n)
    ids = [(name, "") for name in cohort.names]
    files = {
        "straight": write_vectors(cohort.folder / "a.h5", ids, vectors),
        "shuffled": write_vectors(cohort.folder / "b.h5", [ids[i] for i in order], vectors[order]),
    }
    found = bench(files, None, [BRAIN_AGE], labels(cohort), QUICK).tasks["brain-age"].main
    assert found.encoders["straight"] == found.encoders["shuffled"]


def test_the_files_are_those_of_the_contract(make_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = make_cohort()
    files = {"A": cohort.encoder("one", 0.5), "B": cohort.encoder("two", 1.0)}
    custom = TaskRequest.parse("custom=sex")
    bench(files, tmp_path / "out", [BRAIN_AGE, AUTISM, custom], labels(cohort), QUICK)
    document = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert set(document["tasks"]) == {"brain-age", "autism", "sex"}
    one = document["tasks"]["brain-age"]
    assert set(one["encoders"]["A"]["mae"]) == {"value", "ci_low", "ci_high"}
    assert {"value", "ci_low", "ci_high", "p"} <= set(one["differences"]["A - B"])
    assert set(one["baselines"]) == {"dummy", "sex", "site"}
    assert set(one["probes"]) == {"knn"}
    table = pd.read_csv(tmp_path / "out" / "bench.tsv", sep="\t")
    row = table[(table.part == "encoder") & (table.task == "autism") & (table.encoder == "B")]
    row = row[(row.metric == "auroc") & (row.probe == "logistic")]
    assert row.value.item() == document["tasks"]["autism"]["encoders"]["B"]["auroc"]["value"]
    # A second run may replace the folder, and gives the same numbers.
    bench(files, tmp_path / "out", [BRAIN_AGE, AUTISM, custom], labels(cohort), QUICK)
    again = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert again["tasks"] == document["tasks"]


def test_errors_name_the_file_and_what_to_do(make_cohort: MakeCohort, tmp_path: Path) -> None:
    cohort = make_cohort()
    one = cohort.encoder("one", 0.5)
    other = write_vectors(tmp_path / "other.h5", [("x", ""), ("y", "")], np.ones((2, 3)))
    with pytest.raises(UsageError, match="no study is in all of the embeddings files of A and B"):
        bench({"A": one, "B": other}, None, [BRAIN_AGE], labels(cohort), QUICK)
    with pytest.raises(UsageError, match="there is nothing to compare: give --task"):
        bench({"A": one}, None, [], labels(cohort), QUICK)
    with pytest.raises(UsageError, match="--task has brain-age twice"):
        bench({"A": one}, None, [BRAIN_AGE, BRAIN_AGE], labels(cohort), QUICK)
    with pytest.raises(UsageError, match="write --task custom=COLUMN"):
        TaskRequest.parse("custom")
    with pytest.raises(UsageError, match="unknown task 'brainage'"):
        TaskRequest.parse("brainage")


def test_labels_of_studies_that_are_not_shared_are_refused(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    files = {"all": cohort.encoder("all", 0.5), "fewer": cohort.encoder("fewer", 0.5, without=3)}
    pd.read_csv(cohort.labels, sep="\t").tail(3).to_csv(cohort.labels, sep="\t", index=False)
    with pytest.raises(UsageError, match="none of the 3 labelled studies is in all embeddings files"):
        bench(files, None, [BRAIN_AGE], labels(cohort), QUICK)


@pytest.mark.parametrize(
    ("low", "high", "p", "noise"),
    [
        (0.1, 0.3, 0.01, False),
        (-0.1, 0.3, 0.01, True),
        (0.1, 0.3, 0.2, True),
        (0.1, 0.3, np.nan, False),
        (np.nan, np.nan, 0.01, False),
        (np.nan, np.nan, np.nan, True),
        (0.0, 0.0, 1.0, True),
    ],
)
def test_a_difference_beyond_noise_needs_interval_and_test(
    low: float, high: float, p: float, noise: bool
) -> None:
    assert Difference("A", "B", Estimate(0.2, low, high), p, p).within_noise is noise


def test_encoders_are_compared_on_labels_that_can_be_present_together(
    make_cohort: MakeCohort, tmp_path: Path
) -> None:
    cohort = make_cohort(n=120)
    table = pd.read_csv(cohort.labels, sep="\t")
    table.assign(old=table["age"] > 50, sick=cohort.sick).to_csv(cohort.labels, sep="\t", index=False)
    files = {"noisy": cohort.encoder("noisy", 4.0), "clear": cohort.encoder("clear", 0.3)}
    asked = replace(labels(cohort), label_columns=("old", "sick"))
    found = bench(files, tmp_path / "out", [TaskRequest("findings"), BRAIN_AGE], asked, QUICK)
    assert found.tasks["findings"].ranked == ["clear", "noisy"]
    document = read_bench(tmp_path / "out" / "bench.json")
    assert (document["tasks"]["findings"]["kind"], document["tasks"]["findings"]["labels"]) == (
        "labels",
        ["old", "sick"],
    )
    with pytest.raises(UsageError, match="takes its columns from --label-columns"):
        TaskRequest.parse("findings=old")
