"""ABIDE: autism and controls of many sites."""

from prima_features.probes.labels.cohorts.cohort import Cohort, IdColumn, Target

ABIDE1 = Cohort(
    name="abide1",
    title="ABIDE I, Autism Brain Imaging Data Exchange",
    files=("Phenotypic_V1_0b*.csv",),
    ids=(IdColumn("SUB_ID", (r"match:(?<!\d)(\d{5,7})(?!\d)", "number:%07d")),),
    targets={
        "autism": (Target("DX_GROUP", {"1": "autism", "2": "control"}),),
        "health": (Target("DX_GROUP", {"1": "patient", "2": "control"}),),
    },
    age=("AGE_AT_SCAN",),
    sex=("SEX",),
    sex_codes={"1": "M", "2": "F"},
    site=("SITE_ID",),
    notes=("missing values are -9999 or a stray backtick",),
)

ABIDE2 = Cohort(
    name="abide2",
    title="ABIDE II, Autism Brain Imaging Data Exchange",
    files=("ABIDEII_Composite_Phenotypic.csv", "ABIDEII*.csv"),
    ids=ABIDE1.ids,
    targets=ABIDE1.targets,
    age=ABIDE1.age,
    sex=ABIDE1.sex,
    sex_codes=ABIDE1.sex_codes,
    site=ABIDE1.site,
    notes=(
        "the header `AGE_AT_SCAN ` ends in a space and the file is cp1252; both are read as they are",
        "sites are written like ABIDEII-NYU_1",
    ),
)

COHORTS = (ABIDE1, ABIDE2)
