import platform
import re
from dataclasses import replace
from importlib.metadata import version

import pytest

from prima_features import __version__
from prima_features.page.digits import brief, interval, number
from prima_features.probes import FeatureSource
from prima_features.probes.report import PageContent, methods_text
from prima_features.probes.report.content import decimals
from prima_features.probes.report.methods import Citations, references

ALWAYS = {"prima", "bootstrap", "expanded", "jackknife", "freedom", "scikit-learn", "numpy"}
FOLDS = {"variance"}
CLASSES = {"slope", "cramer", "newcombe", "exact"}
SURVIVAL = {
    "cox", "breslow", "harrell", "uno", "auc", "graf", "log-rank", "simon", "kaplan-meier", "greenwood", "log-log",
}  # fmt: skip
"""Cited by reports of survival alone (see `test_survival_probe`)."""
SEVERITY = {"proportional-odds", "kappa", "somers", "rps", "dispersion"}
"""Cited by reports of ordered classes and counts alone (see `test_severity_probe`)."""
ATTENTION = {"attention", "adam"}
"""Cited by reports of attention pooling alone (see `test_attention_report`)."""
LONGITUDINAL = {"mixed-model", "statsmodels", "icc", "icc-interval", "measurement-error"}
"""Cited by reports of brain age with several visits alone (see `test_change`)."""
LABELS = {"van-elteren", "holm"}
"""Cited by reports of several labels alone (see `test_labels_probe`)."""
CITED = {
    "brain_age": ALWAYS | FOLDS | {"riley-numbers", "nested", "ridge", "beheshti", "gap", "epsilon"},
    "autism": ALWAYS
    | FOLDS
    | CLASSES
    | {"riley-classes", "nested", "logistic", "combat", "combat-mri", "platt", "youden", "blocks", "p-value"},
    "dementia": ALWAYS
    | FOLDS
    | CLASSES
    | {"riley-classes", "pate", "nested", "xgboost", "hand-till", "mid-p"},
    "memory": ALWAYS | FOLDS | {"riley-numbers", "nested", "knn", "confounds"},
    "left_out_site": ALWAYS | FOLDS | CLASSES | {"riley-classes", "lbfgs", "isotonic", "youden"},
    "other_cohort": ALWAYS | CLASSES | {"logistic", "youden"},
    "given_split": (ALWAYS | {"riley-numbers", "ridge", "cole", "correction", "gap", "epsilon"}) - {"prima"},
}
SAID = {
    "brain_age": (
        "nested cross-validation",
        "3 outer folds, repeated 2 times",
        "stratified by age in bins",
        "all studies of one subject stayed on one side",
        "by 3-fold cross-validation",
        "a penalty of 1, 100 or 10,000",
        "corrected age = predicted age − (a × age + b)",
        "the metrics are of uncorrected predictions",
        "each is the mean over repeats",
        "50 resamples",
        "ridge regression on sex or on the site",
        "10 further studies were of patients or of unknown status: predicted by the probe of their fold",
        "120 of 130 embedded studies had a label",
        "revision r1, SHA-256 " + "ab" * 32,
        "the mean training target",
        "an anticipated R² of 0.15",
    ),
    "autism": (
        "harmonised between sites with ComBat",
        "keeping the effects of age and sex",
        "left as they were",
        "Platt's logistic curve",
        "highest Youden index",
        "labels were permuted 5 times",
        "the labels were permuted 4 times within sites, between subjects, and the whole",
        "With labels permuted within sites, the AUROC was",
        "an anticipated Nagelkerke R² of 0.15",
        "120 subjects are too few for a model of any size without penalty; all 32 features would need",
        "autism (positive class) against control",
        "60 control and 60 autism",
        "on age, age squared and sex or on the site",
        "within classes",
    ),
    "dementia": (
        "gradient-boosted trees",
        "a depth of 2 and a number of trees of 5 or 20",
        "3 classes: cn, mci and ad",
        "highest relative to its frequency in training",
        "of each class against the rest, averaged without weights",
        "Intervals of the AUPRC and the calibration slope are Student's",
        "Probabilities were not calibrated",
    ),
    "memory": (
        "Linear effects of age and sex were removed",
        "5, 10, 20 or 50",
        "in 30 groups (such as families)",
        "every group (such as a family) has a random weight",
        "all studies of one group (such as a family)",
        "The target was memory score",
    ),
    "left_out_site": (
        "Each of 3 sites was tested by a probe fitted on the other sites",
        "1 hidden layer of 32 rectified linear units",
        "isotonic regression",
    ),
    "other_cohort": (
        "applied, unchanged, to another cohort",
        "fitted on 120 studies of 120 subjects of the cohort UCSF-PDGM",
        "by 5-fold cross-validation within the training set",
        "mutant (positive class) against wildtype",
        "fitted on the training set alone",
    ),
    "given_split": (
        "80 studies trained and 40 studies tested",
        "corrected age = (predicted age − b) / a",
        "Intervals (95%) are from resamples",
        "Intervals of the mean absolute error, the root mean squared error and the R² are Student's, with the bias",
        "fitted on the training set alone",
    ),
}
NOT_SAID = {
    "brain_age": ("ComBat", "calibrated", "Youden", "xgboost", "permutation"),
    "autism": ("age bias", "repeats", "Isotonic", "harmonised between sites, and no"),
    "dementia": ("Youden", "ComBat", "age bias"),
    "memory": ("AUROC", "Label", "harmonised", "age bias", "site"),
    "left_out_site": ("nested cross-validation", "Platt", "outer folds"),
    "other_cohort": ("outer folds", "final probe", "variance of the weights", "50 resamples"),
    "given_split": (
        "outer folds",
        "final probe",
        "Features were the study",
        "50 ",
        "variance of the weights",
    ),
}


@pytest.mark.parametrize("kind", CITED)
def test_the_text_says_what_was_done_and_nothing_else(kind: str, request: pytest.FixtureRequest) -> None:
    text = methods_text(request.getfixturevalue(kind))
    for phrase in SAID[kind]:
        assert phrase in text
    body = text.partition("References")[0]
    for phrase in NOT_SAID[kind]:
        assert phrase not in body


@pytest.mark.parametrize("kind", CITED)
def test_the_references_are_those_of_the_methods_used(kind: str, request: pytest.FixtureRequest) -> None:
    body, _, listed = methods_text(request.getfixturevalue(kind)).partition("\nReferences\n\n")
    assert {name for name, one in references().items() if one.full in listed} == CITED[kind]
    for name in CITED[kind]:
        assert references()[name].short in body
        assert references()[name].doi in listed


def test_every_reference_that_has_a_doi_gives_it() -> None:
    without = {name for name, one in references().items() if not re.match(r"10\.\d{4,}/", one.doi)}
    assert without == {"platt", "van-elteren", "holm", "greenwood"}


def test_no_reference_is_kept_that_no_report_can_cite() -> None:
    cited = set().union(SURVIVAL, SEVERITY, ATTENTION, LONGITUDINAL, LABELS, *CITED.values())
    assert cited == set(references())


def test_the_results_are_the_records_numbers(any_content: PageContent) -> None:
    found = any_content.evaluation
    results = methods_text(any_content).partition("\nResults\n")[2]
    for name, estimate in found.metrics.items():
        digits = decimals(name, found)
        assert number(estimate.value, digits) in results
        assert interval(estimate, digits) in results
    primary = found.task.primary
    for one in found.over_baselines.values():
        assert number(one[primary].value, decimals(primary, found)) in results
    for group in found.groups.values():
        if group.gaps:
            assert interval(group.gaps[primary], decimals(primary, found)) in results


def test_the_gap_is_given_before_and_after_correction(brain_age: PageContent) -> None:
    gap = brain_age.evaluation.gap
    results = methods_text(brain_age).partition("\nResults\n")[2]
    for one in (gap.raw_age_correlation, gap.corrected_age_correlation):
        assert brief(one, 2) in results


def test_versions_are_those_that_ran(dementia: PageContent) -> None:
    text = methods_text(dementia)
    assert f"prima-features {__version__}" in text
    assert f"Python {platform.python_version()}" in text
    for package in ("scikit-learn", "numpy", "xgboost"):
        assert f"{package} {version(package)}" in text


def test_pooled_series_are_told_with_their_pattern(memory: PageContent) -> None:
    source = FeatureSource("prima", "v1", "cd" * 32, "series", "t1")
    made = replace(memory, training=replace(memory.training, source=source))
    text = methods_text(made)
    assert "the means over each study's series whose name matches the pattern 't1'" in text
    assert "the model prima (revision v1, SHA-256 cdcd" in text


def test_features_of_an_unnamed_model_are_not_called_primas(memory: PageContent) -> None:
    made = replace(memory, training=replace(memory.training, source=FeatureSource()))
    text = methods_text(made)
    assert "Features were 32 numbers per study." in text
    assert "Lyu" not in text


def test_a_paper_cited_twice_is_listed_once() -> None:
    cite = Citations()
    assert cite("platt") == "(Platt 1999)"
    assert cite("platt", "ridge") == "(Platt 1999; Hoerl and Kennard 1970)"
    assert len(cite.listed()) == 2


def test_the_text_is_plain_sentences(any_content: PageContent) -> None:
    text = methods_text(any_content)
    assert not re.search(r"nan|None|np\.|\{|\}|  |—| ,| \.|\(\)", text)
    paragraphs = text.split("\n\n")
    assert [paragraphs[i] for i in (0, 6, 8)] == ["Methods", "Results", "References"]
    assert len(paragraphs) == 10
    assert all(one.strip() for one in paragraphs)
