"""Reports say what was drawn and measured, to this project's own reader of reports."""

import pytest

from prima_features.reports import label
from prima_features.reports.rules import findings
from prima_features.synthetic import CONDITIONS, draw_acquisitions, draw_subject
from prima_features.synthetic.report import phrases, write_report
from prima_features.synthetic.report.write import ATROPHY_MM, HYPERINTENSITY_ML, has_mass_effect

EXPECTED = {
    "glioma": "tumor_adult_glioma",
    "stroke": None,  # by the stage and the territory: see below
    "multiple_sclerosis": "inflammatory_multiple_sclerosis",
    "meningioma": "tumor_adult_meningioma",
    "subdural_haematoma": "trauma_subdural_hematoma",
    "hydrocephalus": "ventricular_ventriculomegaly",
    "metastases": "tumor_adult_brain_metastasis",
    "haemorrhage": "vascular_hemorrhagic_intracranial_hemorrhage",
    "lacunar_infarct": "vascular_ischemic_lacunar_stroke",
    "encephalomalacia": "structural_encephalomalacia",
    "arachnoid_cyst": "cyst_arachnoid_cyst",
    "cavernoma": "vascular_malformation_cavernoma",
    "abscess": "infectious_brain_abscess",
    "pituitary_adenoma": "sellar_pituitary_adenoma",
    "schwannoma": "tumor_adult_schwannoma",
    "colloid_cyst": "cyst_colloid_cyst",
    "dementia": "structural_cerebral_atrophy",
}
SINGLE = {name for name in EXPECTED.values() if name} - {
    "structural_cerebral_atrophy",
    "structural_encephalomalacia",
}


def report_of(condition: str, index: int, wmh: float = 0.0, shift: float = 0.0, **who: float) -> str:
    subject = draw_subject(4, index, condition=condition, **who)
    scans = draw_acquisitions(4, index, subject.site)
    return write_report(subject, {"wmh_ml": wmh, "midline_shift_mm": shift}, scans)


def labels_of(report: str) -> dict:
    return label(findings(report))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_reader_of_reports_finds_the_diagnosis_and_no_other(condition: str) -> None:
    for index in range(8):
        report = report_of(condition, index)
        found = {name for name, value in labels_of(report).items() if value == 1}
        wanted = EXPECTED.get(condition)
        if wanted:
            assert wanted in found, report
        broader = (
            {"vascular_hemorrhagic_intracranial_hemorrhage"} if condition == "subdural_haematoma" else set()
        )
        assert found & SINGLE <= {wanted} | broader, report


def test_a_stroke_is_told_with_its_stage_and_side() -> None:
    for index in range(12):
        subject = draw_subject(4, index, condition="stroke")
        report = report_of("stroke", index)
        days = float(subject.fact("days_since_onset"))
        word = "acute" if days < 7 else "subacute" if days < 45 else ("chronic", "old")
        impression = report.split("IMPRESSION:")[1].lower()
        assert any(w in impression for w in ([word] if isinstance(word, str) else word)), report
        assert subject.lesions[0].side in impression
        denied = "No restricted diffusion to suggest acute infarct."
        told = report.replace(denied, "")
        assert ("restricted diffusion" in told or "diffusion restriction" in told) == (days < 7), report
        assert denied not in report or days >= 7, report


@pytest.mark.parametrize(("grade", "kind"), [("2", "low"), ("3", "high"), ("4", "high")])
def test_a_glioma_is_told_with_its_grade(grade: str, kind: str) -> None:
    name = f"tumor_adult_{kind}_grade_glioma"
    index = next(i for i in range(50) if draw_subject(4, i, condition="glioma").fact("grade") == grade)
    assert labels_of(report_of("glioma", index))[name] == 1


def test_hyperintensities_and_atrophy_are_told_from_their_thresholds_on() -> None:
    for index in range(6):
        few, many = (
            labels_of(report_of("control", index, wmh=ml)) for ml in (HYPERINTENSITY_ML[0] * 0.9, 20.0)
        )
        assert few["vascular_ischemic_small_vessel_disease"] == 0
        assert many["vascular_ischemic_small_vessel_disease"] == 1
        for age in (20.0, 90.0):
            shrunken = draw_subject(4, index, condition="control", age=age).sulcal_mm >= ATROPHY_MM[0]
            assert labels_of(report_of("control", index, age=age))["structural_cerebral_atrophy"] == shrunken


def test_what_is_told_of_ventricles_and_sulci_agrees() -> None:
    widths = set()
    for index in range(300):
        for condition in ("control", "dementia"):
            report = report_of(condition, index)
            wide = "generous ventricles" in report or "large ventricles" in report
            prominent = "Sulci and ventricles are prominent" in report
            normal = any(sentence in report for sentence in phrases.NORMAL_VENTRICLES)
            assert not (wide and normal) and (wide or not prominent), report
            if "Hippocampal and cerebral atrophy" in report:
                assert draw_subject(4, index, condition=condition).sulcal_mm >= ATROPHY_MM[0], report
            widths |= {(wide, prominent, normal)}
    assert len(widths) == 4, widths


def test_midline_shift_and_mass_effect_are_told_where_they_are() -> None:
    for index in range(6):
        subject = draw_subject(4, index, condition="meningioma")
        found = labels_of(report_of("meningioma", index, shift=-6.4))
        assert found["structural_midline_shift"] == 1
        still = labels_of(report_of("meningioma", index))
        assert still["structural_midline_shift"] == 0
        assert still["structural_mass_effect"] == has_mass_effect(subject)


def test_enhancement_is_told_only_where_contrast_agent_was_given() -> None:
    for index in range(30):
        subject = draw_subject(4, index, condition="meningioma")
        scans = draw_acquisitions(4, index, subject.site)
        given = any(scan.contrast_dose > 0 for scan in scans)
        assert ("enhance" in report_of("meningioma", index)) == given


def test_wording_varies() -> None:
    assert len({report_of("control", index, age=30).split("IMPRESSION")[0] for index in range(20)}) > 12
