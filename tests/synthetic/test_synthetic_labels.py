"""Labels of synthetic studies: published names, referrals and priority."""

import pytest

from prima_features.reports.diagnoses import DIAGNOSES as PUBLISHED
from prima_features.synthetic import CONDITIONS, Subject, draw_subject
from prima_features.synthetic.labels import (
    COLUMNS,
    CONDITION_DIAGNOSES,
    DIAGNOSES,
    FINDINGS,
    PRIORITIES,
    REFERRALS,
    diagnoses,
    finding_row,
    label_row,
    priority,
)

TRUTH = {"midline_shift_mm": 0.0, "oedema_ml": 0.0, "wmh_ml": 0.0}


def young(condition: str, **facts: object) -> Subject:
    """A subject without signs of age."""
    return Subject(0, 0, 30.0, "F", "general", condition).with_facts(**facts)


def present(subject: Subject, **truth: float) -> set[str]:
    return {name for name, found in diagnoses(subject, {**TRUTH, **truth}).items() if found}


def test_names_are_published_ones_in_their_order_and_conditions_are_known() -> None:
    assert list(DIAGNOSES) == [name for name in PUBLISHED if name in DIAGNOSES]
    assert len(DIAGNOSES) == 23
    assert {*CONDITION_DIAGNOSES, *(name for names in REFERRALS.values() for name in names)} <= {*CONDITIONS}
    assert {*CONDITIONS} - {*CONDITION_DIAGNOSES} == {"control", "autism", "dementia"}
    assert len({*COLUMNS}) == len(COLUMNS)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_names_of_a_condition_are_present_and_those_of_others_are_not(condition: str) -> None:
    subject = draw_subject(5, 3, condition=condition)
    found = present(subject)
    assert set(CONDITION_DIAGNOSES.get(condition, ())) <= found
    of_others = {name for other in CONDITION_DIAGNOSES.values() for name in other}
    # What is measured may be there in addition.
    measured = {"ventricular_ventriculomegaly", "structural_encephalomalacia"}
    assert not (found & of_others) - set(CONDITION_DIAGNOSES.get(condition, ())) - measured


def test_a_glioma_is_of_high_or_low_grade() -> None:
    names = ("tumor_adult_glioma", "tumor_adult_low_grade_glioma", "tumor_adult_high_grade_glioma")
    assert present(young("glioma", grade=2)) == {names[0], names[1]}
    assert present(young("glioma", grade=3)) == present(young("glioma", grade=4)) == {names[0], names[2]}


def test_measures_count_from_the_degrees_of_the_reports() -> None:
    assert present(young("control")) == set()
    assert present(young("control"), wmh_ml=4) == {"vascular_ischemic_small_vessel_disease"}
    assert present(young("meningioma"), oedema_ml=2) == {"tumor_adult_meningioma", "structural_edema"}
    shifted = {"structural_midline_shift", "structural_mass_effect"}
    assert present(young("arachnoid_cyst"), midline_shift_mm=-3) == {"cyst_arachnoid_cyst", *shifted}


def test_the_white_matter_of_a_hydrocephalus_is_unknown() -> None:
    subject = young("hydrocephalus")
    assert diagnoses(subject, TRUTH)["vascular_ischemic_small_vessel_disease"] is None
    assert label_row(subject, TRUTH, "sub-01")["vascular_ischemic_small_vessel_disease"] == ""


def test_an_old_infarct_is_also_encephalomalacia() -> None:
    new, old = (present(young("stroke", days_since_onset=days)) for days in (2, 200))
    assert old - new == {"structural_encephalomalacia"}


def test_priority_follows_condition_age_of_the_lesion_and_shift() -> None:
    expected = {
        "none": (young("control"), young("autism")),
        "low": (young("stroke", days_since_onset=90), young("cavernoma"), young("dementia")),
        "medium": (young("glioma", grade=2), young("lacunar_infarct", days_since_onset=20)),
        "high": (
            young("stroke", days_since_onset=1),
            young("haemorrhage", days_since_onset=2),
            young("abscess"),
        ),
    }
    assert tuple(expected) == PRIORITIES
    for level, subjects in expected.items():
        assert {priority(subject, TRUTH) for subject in subjects} == {level}
    assert priority(young("meningioma"), TRUTH | {"midline_shift_mm": 4}) == "high"
    assert priority(young("control"), TRUTH | {"wmh_ml": 5}) == "low"


def test_referrals_follow_the_condition() -> None:
    row = label_row(young("haemorrhage", days_since_onset=2), TRUTH, "sub-01")
    assert (row["neurosurgery"], row["neurology"], row["neuro_oncology"]) == ("1", "1", "0")
    assert tuple(row) == COLUMNS


def test_finding_columns_agree_with_the_diagnoses_and_the_incidental_names() -> None:
    subjects = [draw_subject(5, index) for index in range(60)]
    for subject in subjects:
        cells, found = finding_row(subject, TRUTH), diagnoses(subject, TRUTH)
        assert tuple(cells) == FINDINGS
        unknown = found["vascular_ischemic_small_vessel_disease"] is None
        assert (cells["finding_small_vessel_disease"] == "") == unknown
        assert cells["finding_atrophy"] == str(int(bool(found["structural_cerebral_atrophy"])))
        names = {name for name in subject.fact("incidental").split("; ") if name}
        listed = {f"finding_{name.replace(' ', '_')}" for name in names}
        assert {name for name, cell in cells.items() if cell == "1"} >= listed
        assert all(cells[name] == "0" for name in FINDINGS[6:] if name not in listed)
    assert any(finding_row(subject, TRUTH)["finding_small_vessel_disease"] == "" for subject in subjects)
