"""bench.html: what a reader sees first, and that it states noise."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from prima_features.bench import TaskRequest, bench
from prima_features.bench.metric_names import METRICS
from prima_features.bench.page import methods_text, page
from prima_features.probes import tasks
from prima_features.probes.labels import LabelRequest
from tests.bench.conftest import QUICK, Cohort

Document = dict


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    """Two encoders and a copy, on two tasks and repeat scans."""
    folder = tmp_path_factory.mktemp("cohort")
    cohort = Cohort(folder, n=60)
    files = {"clear": cohort.encoder("clear", 0.1), "noisy": cohort.encoder("noisy", 5.0)}
    files["copy"] = Path(shutil.copy(files["clear"], folder / "copy.h5"))
    pd.DataFrame(
        {
            "study": [f"sub-{i:03d}" for i in range(20)],
            "subject": np.arange(20) // 2,
            "scanner": np.arange(20) % 2,
        }
    ).to_csv(folder / "repeats.tsv", sep="\t", index=False)
    options = replace(
        QUICK,
        probes=("linear",),
        site_check=True,
        repeats_table=folder / "repeats.tsv",
        n_bootstrap=100,
        cohort="ds1",
    )
    requests = [TaskRequest("brain-age"), TaskRequest("autism", "diagnosis")]
    return bench(files, None, requests, LabelRequest((cohort.labels,)), options).document


def text_of(html: str) -> str:
    return " ".join(html.split())


def test_the_page_opens_with_the_best_encoder_and_who_does_not_differ(document: Document) -> None:
    html = text_of(page(document))
    assert "brain-age: clear has the best MAE" in html
    assert "copy does not differ from it beyond noise" in html
    assert "3 encoders on 60 studies of 60 subjects" in html
    for heading in ("Accuracy and cost", "Reliability", "Differences between encoders", "Sites and groups",
                    "Few labels", "Methods text", "Encoders and provenance"):  # fmt: skip
        assert f"<h2>{heading}</h2>" in html
    assert html.count("<svg viewBox") == 2, "one figure of accuracy, one of reliability"


def test_every_task_has_a_panel_and_those_without_few_shot_curves_are_named(document: Document) -> None:
    (key, task), *_ = ((key, one) for key, one in document["tasks"].items() if one["few_shot"])
    without = {**task, "few_shot": {}}
    many = {key: task} | {f"task{i}": without for i in range(5)}
    html = page({**document, "tasks": many})
    start = html.index("<svg viewBox")
    figure = html[start : html.index("</svg>", start)]
    assert all(f">{name}</text>" in figure for name in many)
    assert "Not for task0, task1, task2, task3 and task4: curves need classes without order" in text_of(html)


def test_no_study_is_named_and_nothing_is_loaded(document: Document) -> None:
    html = page(document)
    assert "sub-0" not in html
    assert "http" not in html.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_the_page_is_made_from_the_file_alone(document: Document) -> None:
    assert page(json.loads(json.dumps(document))) == page(document)


def test_files_of_one_model_with_other_settings_are_told_apart(document: Document) -> None:
    changed = json.loads(json.dumps(document))
    first, second, third = changed["encoders"].values()
    second["sha256"], third["sha256"] = first["sha256"], "another"
    first["settings"] = {"nan": "error", "options": {"names": "keep"}}
    second["settings"] = {"nan": "error", "options": {"names": "hidden"}}
    a, b, *_ = changed["encoders"]
    said = text_of(page(changed))
    assert f"differ in the setting options.names: keep in {a}, hidden in {b}." in said
    assert "setting nan" not in said and "differ in the setting" not in text_of(page(document))


def test_costs_are_shown_if_the_run_files_have_them(document: Document) -> None:
    assert "Seconds per scan" not in page(document)
    changed = json.loads(json.dumps(document))
    for i, one in enumerate(changed["encoders"].values()):
        one["cost_per_scan"] = {"seconds": 0.5 * 10**i, "gflop": None, "machine": "a processor (2 cores)"}
    html = page(changed)
    assert "Seconds per scan" in html and "GFLOP" not in html
    assert "Times were measured on a processor (2 cores)" in html


def test_the_methods_text_defines_the_metrics_and_names_only_what_was_run(document: Document) -> None:
    said = methods_text(document)
    assert "mean absolute error (MAE in years) for brain-age" in said
    assert "area under the ROC curve (AUROC) for autism" in said
    assert "logistic regression. Penalties were chosen" in said and "neighbours" not in said


@pytest.mark.parametrize(("name", "kind"), [(task.primary, task.kind) for task in tasks.TASKS.values()])
def test_the_primary_metric_of_every_task_has_a_definition(document: Document, name: str, kind: str) -> None:
    task = document["tasks"]["brain-age"] | {"primary": name, "kind": kind, "unit": ""}
    said = methods_text(document | {"tasks": {"any": task}})
    assert f"compared by the {METRICS[name]} for any" not in said
    assert "{unit}" not in said


def test_the_methods_text_states_folds_tests_and_reliability(document: Document) -> None:
    said = methods_text(document)
    assert "3 encoders (clear, noisy and copy) were evaluated on the 60 studies of 60 subjects" in said
    assert "ridge regression and logistic regression" in said
    assert "4-fold cross-validation, grouped by subject" in said
    assert "adjusted for all pairs of encoders in a task (Holm 1979)" in said
    assert "not on the challenge's own sets" in said
    assert "20 scans of 10 subjects on 2 scanners" in said


def test_a_page_of_reliability_alone(document: Document) -> None:
    html = page(document | {"tasks": {}})
    assert "<h2>Reliability</h2>" in html and "<h2>Accuracy and cost</h2>" not in html


@pytest.mark.filterwarnings("ignore::prima_features.models.caveats.ModelCaveatWarning")
def test_a_caveat_names_all_encoders_that_have_it_and_names_keep_their_spelling(
    tmp_path: Path,
) -> None:
    cohort = Cohort(tmp_path, n=40)
    files = {name: cohort.encoder(name, 0.1) for name in ("a", "b", "c")}
    for name in ("a", "b"):
        with h5py.File(files[name], "r+") as file:
            file.attrs["caveat"] = "nothing is known"
    found = bench(files, None, [TaskRequest("brain-age")], LabelRequest((cohort.labels,)), QUICK)
    assert "a, b: nothing is known" in found.warnings
    html = text_of(page(found.document))
    assert "<li>a, b: nothing is known.</li>" in html
    assert "<li>brain-age: controls are unknown" in html
