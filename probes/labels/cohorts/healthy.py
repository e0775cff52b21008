"""Cohorts of healthy volunteers: ages for brain age, and controls for everything else."""

from prima_features.probes.labels.cohorts.cohort import Cohort, IdColumn

_CONTROLS = {
    "health": "control",
    "autism": "control",
    "dementia": "cn",
    "glioma-presence": "control",
    "stroke": "control",
}

OPENBHB = Cohort(
    name="openbhb",
    title="OpenBHB, the open big healthy brains benchmark",
    files=("participants.tsv",),
    ids=(IdColumn("participant_id", (r"match:(?<!\d)(\d{9,12})(?!\d)", "number:%012d")),),
    constant=_CONTROLS,
    age=("age",),
    sex=("sex",),
    site=("site",),
    split="split",
    field_strength="magnetic_field_strength",
    icv="tiv",
    contains=("ixi", "abide1", "abide2"),
    notes=(
        "every case is a control",
        "ids have 12 digits; a program that read them as numbers and lost leading zeros is allowed for",
        "holds subjects of IXI and ABIDE under other ids",
    ),
)

IXI = Cohort(
    name="ixi",
    title="IXI, Information eXtraction from Images",
    files=("IXI.xls", "IXI*.xls*", "IXI*.csv"),
    ids=(IdColumn("IXI_ID", (r"match:(?:^|ixi)(\d{1,3})(?!\d)", "number:IXI%03d")),),
    constant=_CONTROLS,
    age=("AGE",),
    sex=("SEX_ID (1=m, 2=f)",),
    sex_codes={"1": "M", "2": "F"},
    site_pattern=r"ixi\d{3}[-_]?(guys|hh|iop)",
    missing=("0",),
    duplicates="leave-out",
    notes=(
        "619 rows name 593 ids: rows without the label do not count, rows that agree are one, "
        "and an id whose rows disagree is left out",
        "the site (Guys, HH, IOP) is in the file name only",
        "0 stands for a missing value",
    ),
)

CAMCAN = Cohort(
    name="camcan",
    title="Cam-CAN, Cambridge Centre for Ageing and Neuroscience",
    files=("participants.tsv",),
    ids=(IdColumn("participant_id", (r"match:(cc\d{6})",)),),
    constant=_CONTROLS,
    age=("age",),
    sex=("gender_text", "sex", "gender", "gender_code"),
    sex_codes={"1": "M", "2": "F"},
    notes=("one site: nothing can be said about others",),
    unverified=("the columns gender_code (taken as 1 male, 2 female) and gender_text",),
)

HCP_YA = Cohort(
    name="hcp-ya",
    title="Human Connectome Project, young adults",
    files=("RESTRICTED*.csv", "*unrestricted*.csv", "*HCP*.csv"),
    ids=(IdColumn("Subject", (r"match:(?<!\d)(\d{6})(?!\d)",)),),
    constant=_CONTROLS,
    age=("Age_in_Yrs", "Age"),
    sex=("Gender",),
    family="Family_ID",
    notes=(
        "twins and siblings: give the restricted table too, so that families stay together",
        "the open table has bands of age (22-25), which are no ages: brain age needs the restricted one",
    ),
    unverified=("the bands in the column Age",),
)

COHORTS = (OPENBHB, IXI, CAMCAN, HCP_YA)
