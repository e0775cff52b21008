"""Stroke cohorts. All their cases are patients: stroke needs controls of another cohort."""

from prima_features.probes.labels.cohorts.cohort import Cohort, IdColumn, Target

_PATIENTS = {"health": "patient", "stroke": "stroke"}

SOOP = Cohort(
    name="soop",
    title="SOOP, Stroke Outcome Optimization Project (ds004889)",
    files=("participants.tsv",),
    ids=(IdColumn("participant_id", (r"match:(?:^|sub-)(\d{1,4})(?!\d)", "number:%d")),),
    targets={"stroke": (Target("acuteischaemicstroke", {"1": "stroke", "0": "control"}),)},
    constant={"health": "patient"},
    age=("age",),
    sex=("sex",),
    notes=(
        "all are patients; rows of n/a have no label",
        "ages of 89 and more are written 89+ and read as 89",
        "nihss and gs_rankin_6isdeath (0 to 6, where 6 is death) can be custom targets",
    ),
    unverified=("how sex is coded: words and letters are read, numbers are not",),
)

ATLAS2 = Cohort(
    name="atlas2",
    title="ATLAS v2.0, anatomical tracings of lesions after stroke",
    files=("*ATLAS_2.0_MetaData*",),
    ids=(IdColumn("Subject ID", (r"match:(r\d{3}s\d{3})",)),),
    constant=_PATIENTS,
    site_pattern=r"(r\d{3})s\d{3}",
    notes=("all have had a stroke; the site is the first part of the id", "no ages or sexes"),
    unverified=("that every case is a patient",),
)

ISLES2022 = Cohort(
    name="isles2022",
    title="ISLES 2022, acute ischaemic stroke",
    constant=_PATIENTS,
    notes=("no table of labels: every study is a stroke",),
    unverified=("that there is no table of ages and sexes",),
)

COHORTS = (SOOP, ATLAS2, ISLES2022)
