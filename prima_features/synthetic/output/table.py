"""The table of labels: one row per subject, and descriptions of its columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path

from prima_features.synthetic.acquisition import Acquisition
from prima_features.synthetic.labels import CHANGING_FINDINGS, FINDINGS, finding_row
from prima_features.synthetic.protocol import Settings
from prima_features.synthetic.severity import severity
from prima_features.synthetic.subject import Subject
from prima_features.synthetic.survival import survival
from prima_features.synthetic.visits import Visit, ageing_rate

ABSENT = "n/a"
COLUMNS: dict[str, dict[str, object]] = {
    "participant_id": {"Description": "in DICOM output the PatientID"},
    "age": {"Description": "age at the scan", "Units": "years"},
    "sex": {"Description": "sex", "Levels": {"F": "female", "M": "male"}},
    "site": {"Description": "where the subject was scanned; each site has one scanner and its habits"},
    "diagnosis": {"Description": "what the subject was drawn with"},
    "autism": {"Description": "class for a probe: control or autism; n/a for other diagnoses"},
    "dementia": {"Description": "class for a probe: cn (cognitively normal) or ad; n/a for other diagnoses"},
    "glioma": {"Description": "class for a probe: control or glioma; n/a for other diagnoses"},
    "stroke": {"Description": "class for a probe: control or stroke; n/a for other diagnoses"},
    "glioma_grade": {"Description": "class for a probe: 2-3 or 4"},
    "grade": {"Description": "grade of a glioma: 2, 3 or 4"},
    "territory": {"Description": "arterial territory of a stroke"},
    "days_since_onset": {"Description": "of a stroke or a bleed", "Units": "days"},
    "lesion_side": {"Description": "left, right, midline or both"},
    "lesion_place": {"Description": "where the largest lesion lies"},
    "n_lesions": {"Description": "lesions of the diagnosis, without white-matter hyperintensities"},
    "incidental": {"Description": "findings other than the diagnosis: names, separated by ;, or none"},
    **{
        name: {
            "Description": f"finding: {name.removeprefix('finding_').replace('_', ' ')}",
            "Levels": {"0": "absent", "1": "present"},
        }
        for name in FINDINGS
    },
    "ventricle_asymmetry": {"Description": "of lateral ventricles, aimed at: logarithm of right over left"},
    "brain_ml": {"Description": "volume of brain tissue", "Units": "ml"},
    "ventricle_ml": {"Description": "volume of all ventricles", "Units": "ml"},
    "temporal_horn_ml": {"Description": "volume of both temporal horns", "Units": "ml"},
    "hippocampus_ml": {"Description": "volume of both hippocampi", "Units": "ml"},
    "sulcal_mm": {"Description": "how far sulci are widened beyond the atlas's", "Units": "mm"},
    "wmh_ml": {"Description": "volume of white-matter hyperintensities", "Units": "ml"},
    "lesion_ml": {"Description": "volume of the diagnosis's lesions without oedema", "Units": "ml"},
    "oedema_ml": {"Description": "volume of oedema around lesions", "Units": "ml"},
    "midline_shift_mm": {
        "Description": "by which masses push the midline, positive to the right",
        "Units": "mm",
    },
    "survival_days": {
        "Description": "from the scan to death or to the end of the follow-up; n/a at later visits",
        "Units": "days",
    },
    "death": {"Description": "whether death was observed", "Levels": {"0": "censored", "1": "dead"}},
    "log_hazard": {"Description": "true log hazard ratio of death: age, lesions and ventricles"},
    "nihss": {"Description": "NIHSS points of a stroke"},
    "nihss_mean": {"Description": "true mean of the NIHSS points, from the volume of the lesion"},
    "mrs": {"Description": "modified Rankin scale after a stroke, 0 to 5"},
    "mrs_log_odds": {"Description": "true log odds of a higher mrs: lesion volume and age"},
    "cdr": {"Description": "Clinical Dementia Rating of controls and dementia: 0, 0.5, 1, 2 or 3"},
    "cdr_log_odds": {"Description": "true log odds of a higher cdr: hippocampi, ventricles and age"},
    "ageing_rate": {"Description": "by which the brain ages between visits", "Units": "years per year"},
    "manufacturer": {"Description": "of the scanner, as its headers say"},
    "field_strength": {"Description": "of the scanner", "Units": "T"},
    "settings": {"Description": "ranges of the scanner's settings: usual, varied or wide"},
    "contrast": {"Description": "whether contrast agent was given", "Levels": {"0": "no", "1": "yes"}},
    "n_series": {"Description": "series of the study"},
    "seed": {"Description": "of the cohort"},
}
"""By name, with their descriptions in participants.json."""
_SURVIVAL = ("survival_days", "death", "log_hazard")
"""Of the first visit alone: times are drawn from its brain, and a subject may die before the next."""
_CHANGING = (
    "age", "ventricle_asymmetry", "brain_ml", "ventricle_ml", "temporal_horn_ml", "hippocampus_ml", "sulcal_mm",
    "wmh_ml", "lesion_ml", "oedema_ml", "midline_shift_mm", *_SURVIVAL, "nihss", "nihss_mean", "mrs",
    "mrs_log_odds", "cdr", "cdr_log_odds", *CHANGING_FINDINGS,
)  # fmt: skip
SUBJECT_COLUMNS = {name: about for name, about in COLUMNS.items() if name not in _CHANGING}
"""Those of participants.tsv if subjects have several visits."""
VISIT_COLUMNS: dict[str, dict[str, object]] = {
    "participant_id": COLUMNS["participant_id"],
    "session_id": {"Description": "visit of the participant"},
    "acq_time": {"Description": "date of the scan"},
    "days": {"Description": "since the first visit", "Units": "days"},
    "anatomical_age": {
        "Description": "age of the brain: age at the first visit, and ageing_rate for each year since",
        "Units": "years",
    },
    **{name: COLUMNS[name] for name in _CHANGING},
}
"""Those of sessions.tsv, one row per visit, described in sessions.json."""
_CLASSES = {
    "autism": ("control", "autism"),
    "dementia": ("cn", "ad"),
    "glioma": ("control", "glioma"),
    "stroke": ("control", "stroke"),
}


def row(
    subject: Subject,
    truth: Mapping[str, float],
    scans: Sequence[Acquisition],
    settings: Settings,
    participant: str,
) -> dict[str, str]:
    """A subject's row, by the names of `COLUMNS`."""
    cells: dict[str, object] = {
        "participant_id": participant,
        "age": subject.age,
        "sex": subject.sex,
        "site": subject.site,
        "diagnosis": subject.condition,
        "n_lesions": len(subject.lesions),
        "ventricle_asymmetry": round(subject.ventricle_asymmetry, 2),
        "sulcal_mm": round(subject.sulcal_mm + 0.0, 3),
        "manufacturer": scans[0].manufacturer,
        "field_strength": scans[0].field_strength,
        "settings": settings,
        "contrast": int(any(scan.contrast_dose > 0 for scan in scans)),
        "n_series": len(scans),
        "seed": subject.seed,
        "incidental": "none",
        **dict(subject.facts),
        **truth,
        **_classes(subject),
        **survival(subject, truth),
        **severity(subject, truth),
        **{name: cell or ABSENT for name, cell in finding_row(subject, truth).items()},
        "ageing_rate": ageing_rate(subject),
    }
    if subject.lesions:
        sides = {lesion.side for lesion in subject.lesions}
        cells["lesion_side"] = sides.pop() if len(sides) == 1 else "both"
        cells["lesion_place"] = max(subject.lesions, key=lambda lesion: lesion.diameter).place
    return {name: str(cells.get(name, ABSENT)) for name in COLUMNS}


def visit_row(row: Mapping[str, str], visit: Visit, day: date) -> dict[str, str]:
    """The row of a visit, by the names of `VISIT_COLUMNS`, from the subject's row at that visit and the date."""
    own = {
        "session_id": f"ses-{visit.session}",
        "acq_time": f"{day.isoformat()}T10:00:00",
        "days": str(visit.days),
        "anatomical_age": str(visit.anatomical_age),
        **(dict.fromkeys(_SURVIVAL, ABSENT) if visit.number else {}),
    }
    return {name: own.get(name, row.get(name, ABSENT)) for name in VISIT_COLUMNS}


def _classes(subject: Subject) -> dict[str, str]:
    found = {
        name: positive if subject.condition == name else negative
        for name, (negative, positive) in _CLASSES.items()
        if subject.condition in (name, "control")
    }
    if grade := subject.fact("grade"):
        found["glioma_grade"] = "4" if grade == "4" else "2-3"
    return found


def write_table(path: Path, rows: Iterable[Mapping[str, str]], columns: Sequence[str]) -> None:
    """A TSV table; cells with line breaks are quoted."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
