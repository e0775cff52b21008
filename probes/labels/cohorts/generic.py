"""Any other table: column names that BIDS and most labs use."""

from prima_features.probes.labels.cohorts.cohort import Cohort, IdColumn

_ID_COLUMNS = ("participant_id", "subject_id", "subject", "patient_id", "participant", "sub", "id")

GENERIC = Cohort(
    ids=tuple(IdColumn(column) for column in _ID_COLUMNS),
    age=("age",),
    sex=("sex", "gender"),
    site=("site", "site_id", "center", "centre"),
    session=("session_id", "session"),
    split="split",
    scanner="scanner",
    field_strength="magnetic_field_strength",
    icv="tiv",
)
"""Used where no cohort is named. It maps no labels: a target is named by its column."""
