from dataclasses import replace

import pandas as pd
import pytest

from prima_features.probes import tasks
from prima_features.probes.evaluation import Estimate
from prima_features.probes.report import PageContent
from prima_features.probes.report.content import (
    class_counts,
    decodability,
    main_result,
    target,
    the_metric,
    versus_baseline,
)
from prima_features.probes.tasks import Task


def with_difference(made: PageContent, difference: Estimate) -> PageContent:
    found = made.evaluation
    over = {name: {found.task.primary: difference} for name in found.over_baselines}
    return replace(made, evaluation=replace(found, over_baselines=over))


@pytest.mark.parametrize(
    ("kind", "difference", "verdict"),
    [
        ("autism", Estimate(0.1, 0.05, 0.2), "the probe is better."),
        ("autism", Estimate(-0.1, -0.2, -0.05), "the probe is worse."),
        ("autism", Estimate(0.1, -0.05, 0.2), "the probe is not shown to be better."),
        ("brain_age", Estimate(-3.0, -4.0, -2.0), "the probe is better."),
        ("brain_age", Estimate(3.0, 2.0, 4.0), "the probe is worse."),
    ],
)
def test_the_verdict_follows_the_interval(
    kind: str, difference: Estimate, verdict: str, request: pytest.FixtureRequest
) -> None:
    assert versus_baseline(with_difference(request.getfixturevalue(kind), difference)).endswith(verdict)


@pytest.mark.parametrize(
    ("name", "classes", "called", "described"),
    [
        ("mrs", ("0", "1", "2"), "mRS", "disability after a stroke, modified Rankin scale: 0, 1, 2"),
        ("cdr", (), "CDR", "global Clinical Dementia Rating"),
        ("nihss", (), "NIHSS points", "severity of a stroke, NIHSS points"),
        ("glioma-idh", (), "glioma IDH", "IDH mutation of a glioma"),
        ("dementia", ("cn", "mci", "ad"), "dementia", "dementia: cn, mci, ad"),
    ],
)
def test_tasks_are_called_as_people_write_them(
    name: str, classes: tuple[str, ...], called: str, described: str
) -> None:
    task = tasks.get(name, classes)
    assert (target(task), task.description) == (called, described)


def test_classes_that_are_numbers_are_called_classes() -> None:
    table = pd.DataFrame({"target": ["0", "1", "1"]})
    grades = Task("custom", "the column grade", ("0", "1", "2"))
    assert class_counts(table, grades) == ["1 of class 0", "2 of class 1", "0 of class 2"]
    stages = replace(grades, classes=("low", "high"))
    assert class_counts(table.replace({"0": "low", "1": "high"}), stages) == ["1 low", "2 high"]


@pytest.mark.parametrize(
    ("metric", "words"),
    [("c_index", "Harrell's C"), ("mae", "the mean absolute error"), ("auroc", "the AUROC")],
)
def test_names_of_persons_have_no_article(metric: str, words: str) -> None:
    assert the_metric(metric) == words


def test_nothing_is_concluded_without_an_interval(autism: PageContent) -> None:
    text = versus_baseline(with_difference(autism, Estimate(0.1)))
    assert text.endswith("probe minus baseline is 0.100.")
    site = replace(autism.evaluation.site_decodability, balanced_accuracy=Estimate(0.9))
    assert "(3 sites, chance 0.333). After harmonisation" in decodability(
        replace(autism.evaluation, site_decodability=site)
    )


def test_sites_that_cannot_be_read_are_said_to_be_so(autism: PageContent) -> None:
    site = replace(autism.evaluation.site_decodability, balanced_accuracy=Estimate(0.4, 0.3, 0.5))
    text = decodability(replace(autism.evaluation, site_decodability=site))
    assert "(3 sites, chance 0.333), not shown to be above chance. After harmonisation" in text


def test_the_first_sentence_says_where_it_was_measured(
    left_out_site: PageContent, other_cohort: PageContent, brain_age: PageContent
) -> None:
    assert main_result(left_out_site).endswith(
        "in 150 subjects (75 control, 75 stroke), each site predicted by a probe that was fitted on the other sites."
    )
    assert main_result(other_cohort).endswith("in another cohort, 60 subjects (30 wildtype, 30 mutant).")
    assert main_result(brain_age).endswith("in 110 subjects aged 20 to 80 years, out-of-fold predictions.")
