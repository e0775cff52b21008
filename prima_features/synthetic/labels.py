"""Labels of synthetic studies: diagnoses under the names of Prima's published heads, referrals and priority.

Referrals and priority are simple rules of this project (`REFERRALS`, `priority`), not those of any clinic. Of the 52
names, 29 have no counterpart among synthetic brains and are left out, as are conditions without a fitting name:
controls, autism, dementia (moderate atrophy counts as such), and all incidental findings.
"""

from __future__ import annotations

from collections.abc import Mapping

from prima_features.synthetic.incidental import INCIDENTAL
from prima_features.synthetic.lesions.vascular import BLOOD_CHRONIC, CHRONIC, SUBACUTE
from prima_features.synthetic.report.write import (
    ATROPHY_MM,
    HYPERINTENSITY_ML,
    SHIFT_MM,
    VENTRICLE_RATIOS,
    has_mass_effect,
)
from prima_features.synthetic.subject import Subject

CONDITION_DIAGNOSES: Mapping[str, tuple[str, ...]] = {
    "glioma": ("tumor_adult_glioma",),
    "stroke": ("vascular_ischemic_large_vessel_stroke",),
    "multiple_sclerosis": ("inflammatory_multiple_sclerosis",),
    "meningioma": ("tumor_adult_meningioma",),
    "subdural_haematoma": ("trauma_subdural_hematoma", "vascular_hemorrhagic_intracranial_hemorrhage"),
    "hydrocephalus": ("ventricular_ventriculomegaly",),
    "metastases": ("tumor_adult_brain_metastasis",),
    "haemorrhage": ("vascular_hemorrhagic_intracranial_hemorrhage",),
    "lacunar_infarct": ("vascular_ischemic_lacunar_stroke",),
    "encephalomalacia": ("structural_encephalomalacia",),
    "arachnoid_cyst": ("cyst_arachnoid_cyst",),
    "cavernoma": ("vascular_malformation_cavernoma",),
    "abscess": ("infectious_brain_abscess",),
    "pituitary_adenoma": ("sellar_pituitary_adenoma",),
    "schwannoma": ("tumor_adult_schwannoma",),
    "colloid_cyst": ("cyst_colloid_cyst",),
}
"""Names that follow from a condition alone. A subdural haematoma is intracranial blood, as in `prima reports`."""
_FURTHER = (
    "structural_cerebral_atrophy",
    "structural_edema",
    "structural_mass_effect",
    "structural_midline_shift",
    "tumor_adult_high_grade_glioma",
    "tumor_adult_low_grade_glioma",
    "vascular_ischemic_small_vessel_disease",
)
DIAGNOSES = tuple(sorted({*_FURTHER, *(name for names in CONDITION_DIAGNOSES.values() for name in names)}))
"""The names that synthetic brains can have, in the published order."""
OEDEMA_ML = 2.0
"""Volume from which oedema counts."""

REFERRALS: Mapping[str, tuple[str, ...]] = {
    "neurosurgery": (
        "glioma", "meningioma", "metastases", "pituitary_adenoma", "schwannoma", "colloid_cyst", "hydrocephalus",
        "abscess", "haemorrhage", "subdural_haematoma", "cavernoma",
    ),
    "neurology": (
        "stroke", "lacunar_infarct", "haemorrhage", "multiple_sclerosis", "dementia", "encephalomalacia",
    ),
    "neuro_oncology": ("glioma", "metastases"),
}  # fmt: skip
"""Conditions that are referred to a service."""

PRIORITIES = ("none", "low", "medium", "high")
_HIGH = ("abscess", "haemorrhage", "hydrocephalus")
_MEDIUM = (
    "glioma", "meningioma", "metastases", "pituitary_adenoma", "schwannoma", "colloid_cyst", "multiple_sclerosis",
    "subdural_haematoma",
)  # fmt: skip
_LOW = ("stroke", "lacunar_infarct", "encephalomalacia", "arachnoid_cyst", "cavernoma", "dementia")

_FINDINGS = {
    "atrophy": "structural_cerebral_atrophy",
    "small_vessel_disease": "vascular_ischemic_small_vessel_disease",
    "wide_ventricles": "ventricular_ventriculomegaly",
    "oedema": "structural_edema",
    "mass_effect": "structural_mass_effect",
    "midline_shift": "structural_midline_shift",
}
"""Those of `DIAGNOSES` that several conditions cause, and that can be present together."""
FINDINGS = tuple(f"finding_{'_'.join(name.split())}" for name in (*_FINDINGS, *INCIDENTAL))
"""Columns of `finding_row`: such findings, and the incidental ones."""
CHANGING_FINDINGS = FINDINGS[: len(_FINDINGS)]
"""Those that can be present at one visit and not at another."""

COLUMNS = ("study_id", *DIAGNOSES, *REFERRALS, "priority")


def diagnoses(subject: Subject, truth: Mapping[str, float]) -> dict[str, bool | None]:
    """Whether each of `DIAGNOSES` is present; None if it cannot be said.

    Besides what follows from the condition: glioma of grade 2 is low grade, of 3 and 4 high grade; a stroke that is a
    cavity (45 days or more) is also encephalomalacia; atrophy and small vessel disease count from the degree that
    reports call moderate, ventricles from the width that they call large, shift of the midline from 3 mm, oedema from
    2 ml. The white matter around the ventricles of a hydrocephalus is not counted either way.

    Args:
        truth: what `prima_features.synthetic.measure` found.
    """
    condition, grade = subject.condition, subject.fact("grade")
    shifted = abs(truth["midline_shift_mm"]) >= SHIFT_MM
    found = dict.fromkeys(CONDITION_DIAGNOSES.get(condition, ()), True) | {
        "structural_edema": truth["oedema_ml"] >= OEDEMA_ML,
        "structural_mass_effect": shifted or has_mass_effect(subject),
        "structural_midline_shift": shifted,
        "structural_cerebral_atrophy": subject.sulcal_mm >= ATROPHY_MM[1],
        "tumor_adult_low_grade_glioma": grade == "2",
        "tumor_adult_high_grade_glioma": grade in ("3", "4"),
    }
    found["ventricular_ventriculomegaly"] = (
        condition == "hydrocephalus" or subject.ventricle_ratio >= VENTRICLE_RATIOS[2]
    )
    found["structural_encephalomalacia"] = condition == "encephalomalacia" or (
        condition == "stroke" and _days(subject) >= CHRONIC
    )
    labels: dict[str, bool | None] = {name: found.get(name, False) for name in DIAGNOSES}
    wide = condition == "hydrocephalus"
    labels["vascular_ischemic_small_vessel_disease"] = (
        None if wide else truth["wmh_ml"] >= HYPERINTENSITY_ML[1]
    )
    return labels


def finding_row(subject: Subject, truth: Mapping[str, float]) -> dict[str, str]:
    """Whether each of `FINDINGS` is present: 1, 0, or empty if it cannot be said.

    Args:
        truth: what `prima_features.synthetic.measure` found.
    """
    found, listed = diagnoses(subject, truth), subject.fact("incidental").split("; ")
    present = [*(found[name] for name in _FINDINGS.values()), *(name in listed for name in INCIDENTAL)]
    return {name: "" if one is None else str(int(one)) for name, one in zip(FINDINGS, present, strict=True)}


def priority(subject: Subject, truth: Mapping[str, float]) -> str:
    """One of `PRIORITIES`.

    High: abscess, haemorrhage, hydrocephalus, infarcts of the first week, subdural blood of the first three weeks, and
    any shift of the midline of 3 mm or more. Medium: other tumours, colloid cyst, multiple sclerosis, older subdural
    blood, infarcts until day 45. Low: other conditions, and moderate atrophy or small vessel disease. None: the rest.

    Args:
        truth: what `prima_features.synthetic.measure` found.
    """
    condition, days = subject.condition, _days(subject)
    infarct = condition in ("stroke", "lacunar_infarct")
    if (
        condition in _HIGH
        or abs(truth["midline_shift_mm"]) >= SHIFT_MM
        or (infarct and days < SUBACUTE)
        or (condition == "subdural_haematoma" and days < BLOOD_CHRONIC)
    ):
        return "high"
    if condition in _MEDIUM or (infarct and days < CHRONIC):
        return "medium"
    moderate = ("structural_cerebral_atrophy", "vascular_ischemic_small_vessel_disease")
    found = diagnoses(subject, truth)
    return "low" if condition in _LOW or any(found[name] for name in moderate) else "none"


def label_row(subject: Subject, truth: Mapping[str, float], study: str) -> dict[str, str]:
    """The cells of labels.tsv, by the names of `COLUMNS`; 1, 0, or empty if unknown.

    Args:
        truth: what `prima_features.synthetic.measure` found.
        study: the study's id.
    """
    return {
        "study_id": study,
        **{
            name: "" if present is None else str(int(present))
            for name, present in diagnoses(subject, truth).items()
        },
        **{name: str(int(subject.condition in of)) for name, of in REFERRALS.items()},
        "priority": priority(subject, truth),
    }


def _days(subject: Subject) -> float:
    """Since the onset; 0 if the condition has none."""
    return float(subject.fact("days_since_onset") or 0)
