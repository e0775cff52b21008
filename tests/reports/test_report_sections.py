"""Cutting reports: sections, persons and dates, statements."""

from collections.abc import Sequence

import pytest

from prima_features.reports.clean import clean
from prima_features.reports.sections import Sections, cut, statements

BOTH = Sections("The brain is odd.", "Odd brain.")
LAYOUTS = {
    "headings with colons": "TECHNIQUE: routine\n\nFINDINGS: The brain is odd.\n\nIMPRESSION: Odd brain.",
    "headings on their own lines": "Technique\nroutine\n\nFindings\nThe brain is odd.\n\nImpression\nOdd brain.",
    "lower case": "technique: routine\nfindings: The brain is odd.\nimpression:\nOdd brain.",
    "markdown": "**Technique:** routine\n**Findings:**\nThe brain is odd.\n## Impression\nOdd brain.",
    "other names": "Clinical details: pain\nReport:\nThe brain is odd.\nConclusion:\nOdd brain.",
    "line breaks lost": "TECHNIQUE: routine FINDINGS: The brain is odd. IMPRESSION: Odd brain.",
    "line breaks and colons lost": "TECHNIQUE Routine FINDINGS The brain is odd. IMPRESSION Odd brain.",
    "Windows line ends": "FINDINGS:\r\nThe brain is odd.\r\n\r\nIMPRESSION:\r\nOdd brain.\r\n",
    "signature": "FINDINGS: The brain is odd.\nIMPRESSION: Odd brain.\nDictated by Jane Roe\nBoard certified",
    "header": "Patient: Jane Roe\nDate: 1/2/2020\nFINDINGS: The brain is odd.\nOPINION: Odd brain.",
    "recommendation": "FINDINGS: The brain is odd.\nIMPRESSION: Odd brain.\nRECOMMENDATION: none",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_findings_and_impression_are_found_in_any_layout(layout: str) -> None:
    assert cut(LAYOUTS[layout]) == BOTH


def test_a_report_without_headings_is_all_findings() -> None:
    assert cut("The brain is odd.\nNo infarct.") == Sections("The brain is odd.\nNo infarct.", "")


def test_a_report_without_a_heading_of_findings_keeps_what_is_under_no_heading() -> None:
    report = "Patient: Jane Roe\nHistory: headache\nfor a week\n\nThe brain is odd.\nSigned by Jane Roe"
    assert cut(report) == Sections("The brain is odd.", "")


def test_words_that_are_also_headings_cut_nothing_in_the_middle_of_a_sentence() -> None:
    text = "THERE ARE NO FINDINGS OF INFARCT. THE IMPRESSION OF A MASS IS FALSE."
    assert cut(f"FINDINGS: {text}").findings == text
    text = "These findings are new in comparison to before. No history of trauma."
    assert cut(f"Findings: {text}").findings == text


HOLES = {
    "Stable since 01/02/2020.": "Stable.",
    "Compared to 2020-01-02 the mass has grown.": "the mass has grown.",
    "Unchanged from March 3, 2019, at 10:15 AM.": "Unchanged.",
    "Seen by Dr. Jane Q. Roe yesterday.": "Seen yesterday.",
    "Reviewed by Jane Roe, MD.": "Reviewed.",
    "Similar to [**2150-3-4**] and ___.": "Similar and.",
    "Accession number A-1234567 applies.": "applies.",
    "A 4 mm cyst (series 5, image 12).": "A 4 mm cyst.",
}


@pytest.mark.parametrize("text", HOLES)
def test_names_dates_numbers_and_placeholders_are_taken_out_with_their_preposition(text: str) -> None:
    assert clean(text) == HOLES[text]


@pytest.mark.parametrize(
    "text",
    [
        "A 2.3 x 1.8 x 1.2 cm mass.",
        "4-5 mm at C3/4, L5-S1.",
        "Grade 2, T2/FLAIR, 1/2 of it.",
        "Since 2019.",
        "Ratio 1:2.",
    ],
)
def test_measurements_levels_and_years_stay(text: str) -> None:
    assert clean(text) == text


def test_list_items_wrapped_lines_and_sentences_become_statements() -> None:
    section = (
        "1. A mass of 1.5 cm in the left frontal lobe that goes on\n   over the line. It enhances.\n"
        "2) Edema vs. gliosis.\n- A cyst\n- Another cyst\nVentricles: Normal\nSinuses: Clear\n\n3. "
    )
    assert statements(section) == [
        "A mass of 1.5 cm in the left frontal lobe that goes on over the line.",
        "It enhances.",
        "Edema vs. gliosis.",
        "A cyst",
        "Another cyst",
        "Ventricles: Normal",
        "Sinuses: Clear",
    ]


def test_a_numbered_list_on_one_line_is_split_and_a_grade_is_not() -> None:
    assert statements("1. Glioma of grade 2. 2. Edema. 3. Cyst.") == ["Glioma of grade 2.", "Edema.", "Cyst."]


def test_nothing_that_identifies_survives(full_report: str, identifying: Sequence[str]) -> None:
    from prima_features.reports import Options, findings

    kept = "\n".join(findings(full_report, Options(keep_normal=True, max_items=99)))
    assert "meningioma" in kept
    assert [word for word in identifying if word in kept] == []
