"""Summaries by rules."""

import pytest

from prima_features.reports import Options, findings, numbered, split_numbered
from prima_features.reports.records import ReportError
from prima_features.reports.rules import is_normal


def test_a_report_becomes_its_findings_the_impression_first(full_report: str) -> None:
    assert findings(full_report) == [
        "Left frontal convexity meningioma measuring 2.3 x 1.8 cm, slightly increased.",
        "Extra-axial dural based enhancing mass over the left frontal convexity measuring 2.3 x 1.8 cm, "
        "previously 2.1 cm.",
        "Mild surrounding vasogenic edema.",
        "Chronic microvascular ischemic changes, similar.",
        "Mucosal thickening, seen before.",
    ]


def test_normal_statements_are_kept_on_request_and_never_twice(full_report: str) -> None:
    kept = findings(full_report, Options(keep_normal=True))
    assert kept.count("No acute infarct.") == 1
    assert {"No midline shift.", "Ventricles: Normal in size.", "Flow voids are preserved."} <= set(kept)
    assert set(findings(full_report)) < set(kept)


def test_a_normal_study_keeps_the_sentence_that_says_so() -> None:
    report = "FINDINGS: The ventricles are normal. No infarct.\nIMPRESSION: Normal MRI of the brain."
    assert findings(report) == ["Normal MRI of the brain."]


def test_no_more_than_the_most_items_are_kept() -> None:
    report = "FINDINGS:\n" + "\n".join(f"- Cyst of {n} mm." for n in range(1, 9))
    assert findings(report, Options(max_items=3)) == ["Cyst of 1 mm.", "Cyst of 2 mm.", "Cyst of 3 mm."]


def test_what_another_statement_says_more_fully_is_left_out() -> None:
    report = "FINDINGS: Acute infarct in the left MCA territory with edema.\nIMPRESSION: Acute left MCA infarct. Cyst."
    assert findings(report) == ["Acute infarct in the left MCA territory with edema.", "Cyst."]


def test_another_side_or_size_is_another_finding() -> None:
    report = (
        "FINDINGS: Small infarct in the right frontal lobe. Cyst of 3 mm.\n"
        "IMPRESSION: Small infarct in the left frontal lobe. Cyst of 4 mm."
    )
    assert len(findings(report)) == 4


@pytest.mark.parametrize(
    "statement",
    [
        "No mass, midline shift or hydrocephalus.",
        "The ventricles, sulci and cisterns are normal in size and configuration.",
        "Major flow voids are preserved.",
        "The paranasal sinuses are clear.",
        "There is no evidence of acute infarct or haemorrhage.",
        "Brain parenchyma: Unremarkable.",
        "Midline structures are normal without abnormal enhancement.",
    ],
)
def test_a_statement_that_only_denies_is_normal(statement: str) -> None:
    assert is_normal(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "The ventricles are normal in size with mild periventricular white matter hyperintensities.",
        "No acute infarct, but chronic lacunar infarct in the left thalamus.",
        "No significant change in the left frontal meningioma.",
        "Mass in the pons without enhancement.",
        "Mildly prominent ventricles.",
        "Possible small focus of enhancement, otherwise normal.",
        "Postsurgical changes in the right frontal lobe.",
    ],
)
def test_a_statement_that_finds_anything_is_not_normal(statement: str) -> None:
    assert not is_normal(statement)


@pytest.mark.parametrize(
    "report",
    ["", "  \n", "TECHNIQUE: routine.\nCOMPARISON: None.", "Dictated by Jane Roe", "FINDINGS:\nIMPRESSION:"],
)
def test_a_report_without_findings_fails_with_a_reason(report: str) -> None:
    with pytest.raises(ReportError, match=r"empty|no findings"):
        findings(report)


def test_a_numbered_list_reads_back_as_it_was() -> None:
    items = ["Glioma of grade 2. Edema.", "A 1.5 cm\n mass", "3. degree"]
    assert numbered(items).splitlines()[1] == "2. A 1.5 cm mass"
    assert split_numbered(numbered(items)) == ["Glioma of grade 2. Edema.", "A 1.5 cm mass", "3. degree"]


@pytest.mark.parametrize(
    "text",
    [
        "1. A cyst.\n2. Edema.",
        "Here is the list:\n\n1) A cyst.\n2) Edema.\n\nAnything else?",
        "- A cyst.\n* Edema.",
        "1. A cyst. 2. Edema.",
        "**1.** A cyst.\n**2.** Edema.",
    ],
)
def test_lists_are_read_in_the_forms_that_models_write(text: str) -> None:
    assert split_numbered(text) == ["A cyst.", "Edema."]


def test_prose_is_no_list() -> None:
    assert split_numbered("The brain has a cyst of 1.5 cm. No edema.") == []
