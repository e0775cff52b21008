"""Cohorts of ageing and dementia. MCI (CDR 0.5) is a class of its own: in no class of the binary task."""

from prima_features.probes.labels.cohorts.cohort import Cohort, IdColumn, Target

_CDR = {"0": "cn", "0.5": "mci", "1": "ad", "2": "ad", "3": "ad"}
_CDR_HEALTH = {"0": "control", "*": "patient"}
_DX_CODES = {"1": "cn", "2": "mci", "3": "ad"}
_DX_CODES_HEALTH = {"1": "control", "2": "patient", "3": "patient"}
_CDR_NOTE = (
    "classes follow the CDR: 0 is cn, 0.5 is mci, 1 and more is ad; "
    "--target-column with --positive 0.5 --positive 1 --positive 2 counts very mild dementia as dementia"
)

_YOUNG = (
    "Marcus et al. 2007, 10.1162/jocn.2007.19.9.1498: 316 of 416 subjects are nondemented, all those under 60 among "
    "them, most of whom had no CDR"
)

OASIS1 = Cohort(
    name="oasis1",
    title="OASIS-1, cross-sectional",
    files=("oasis_cross-sectional*",),
    ids=(IdColumn("ID", (r"match:oas(?:is)?1_?(\d{4})[-_]?(mr2)?", "bare")),),
    person=(r"match:^(\d{4})",),
    targets={
        "dementia": (Target("CDR", _CDR, blank="cn", blank_under=60, blank_source=_YOUNG),),
        "health": (Target("CDR", _CDR_HEALTH, blank="control", blank_under=60, blank_source=_YOUNG),),
    },
    age=("Age",),
    sex=("M/F",),
    icv="eTIV",
    notes=(
        _CDR_NOTE,
        "subjects under 60 without a CDR are nondemented (Marcus et al. 2007, 10.1162/jocn.2007.19.9.1498); a blank "
        "CDR at 60 or older is unknown; --blank-labels missing leaves out both",
        "MR2 is a second scan of a subject within weeks: a row of its own, and the same person",
    ),
)

OASIS2 = Cohort(
    name="oasis2",
    title="OASIS-2, longitudinal",
    files=("oasis_longitudinal*",),
    ids=(
        IdColumn("MRI ID", (r"match:oas(?:is)?2_?(\d{4})[-_]?(?:ses[-_]?)?(?:mr)?[-_]?0*(\d{1,2})(?!\d)",)),
    ),
    person=(r"match:^(\d{4})",),
    targets={
        "dementia": (
            Target("CDR", _CDR),
            Target("Group", {"nondemented": "cn", "demented": "ad"}),
        ),
        "health": (Target("CDR", _CDR_HEALTH),),
    },
    age=("Age",),
    sex=("M/F",),
    icv="eTIV",
    notes=(
        _CDR_NOTE,
        "each row is a scan (MRI ID) with the CDR and age of its visit: 373 scans of 150 persons, who stay on one side "
        "of every split (Marcus et al. 2010, 10.1162/jocn.2009.21407)",
        "--target-column Group takes the person's group; Converted is in no class, since it changes between visits",
        "Demented in Group includes CDR 0.5",
    ),
)

OASIS3 = Cohort(
    name="oasis3",
    title="OASIS-3, longitudinal",
    files=("OASIS3_UDSb4_cdr.csv", "OASIS3_demographics.csv"),
    ids=(IdColumn("OASISID", (r"match:(oas3\d{4})",)),),
    targets={
        "dementia": (
            Target("CDRTOT", _CDR),
            Target("dx1", {"cognitively normal": "cn", "ad dementia": "ad"}),
        ),
        "health": (Target("CDRTOT", _CDR_HEALTH),),
    },
    age=("age at visit",),
    sex=("GENDER",),
    sex_codes={"1": "M", "2": "F"},
    day="days_to_visit",
    scan_day=r"(?<![a-z])d(\d{4,5})(?!\d)|mr_?d(\d{4,5})(?!\d)",
    notes=(
        _CDR_NOTE,
        "sex is in OASIS3_demographics.csv, a second table",
        "the scan's day is dNNNN in its session, counted like days_to_visit from entry",
        "--target-column dx1 takes the clinician's text instead of the CDR",
    ),
    unverified=("values of dx1 other than `Cognitively normal` and `AD Dementia`, which are left out",),
)

ADNI = Cohort(
    name="adni",
    title="ADNI, Alzheimer's Disease Neuroimaging Initiative",
    files=("ADNIMERGE*.csv", "DXSUM*.csv"),
    ids=(
        IdColumn("PTID", (r"match:(?<!\d)(\d{3})_?s_?(\d{4,5})(?!\d)",)),
        IdColumn("RID", (r"match:(?<!\d)\d{3}_?s_?(\d{4,5})(?!\d)|^(\d{1,5})$", "number:%05d")),
    ),
    targets={
        "dementia": (
            Target("DX", {"cn": "cn", "mci": "mci", "dementia": "ad", "ad": "ad"}),
            Target("DIAGNOSIS", _DX_CODES),
            Target("CDGLOBAL", _CDR),
        ),
        "health": (
            Target("DX", {"cn": "control", "*": "patient"}),
            Target("DIAGNOSIS", _DX_CODES_HEALTH),
            Target("CDGLOBAL", _CDR_HEALTH),
        ),
    },
    age=("AGE",),
    age_at="baseline",
    years_since_baseline="Years_bl",
    sex=("PTGENDER",),
    sex_codes={"1": "M", "2": "F"},
    site=("SITE", "SITEID"),
    site_pattern=r"(?<!\d)(\d{3})_?s_?\d{4}",
    date="EXAMDATE",
    visit=("VISCODE2", "VISCODE"),
    scan_date=r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)",
    missing=("-1", "-4"),
    notes=(
        "DX is the diagnosis of the visit; DX_bl, that of the first visit, is never taken unless it is named",
        "AGE is the age at the first visit: the years since (Years_bl, else the visit's code) are added",
        "scans are dated by the archive's folder names (2006-04-18_...), --scan-dates, or sessions like M006",
    ),
    unverified=("the columns EXAMDATE, Years_bl and the codes of PTGENDER in tables other than ADNIMERGE",),
)

AIBL = Cohort(
    name="aibl",
    title="AIBL, Australian Imaging, Biomarker and Lifestyle study",
    files=("aibl_pdxconv*.csv", "aibl_ptdemog*.csv", "aibl_cdr*.csv", "aibl_mmse*.csv"),
    ids=(IdColumn("RID", (r"match:aibl_?0*(\d{1,4})(?!\d)|^(?:sub-)?(\d{1,4})$", "number:%04d")),),
    targets={
        "dementia": (Target("DXCURREN", _DX_CODES), Target("CDGLOBAL", _CDR)),
        "health": (Target("DXCURREN", _DX_CODES_HEALTH), Target("CDGLOBAL", _CDR_HEALTH)),
    },
    birth="PTDOB",
    sex=("PTGENDER",),
    sex_codes={"1": "M", "2": "F"},
    site=("SITEID",),
    date="EXAMDATE",
    date_format="%m/%d/%Y",
    visit=("VISCODE",),
    scan_date=ADNI.scan_date,
    missing=("-4", "-1"),
    notes=(
        "PTDOB holds the year of birth: ages are good to about a year, and need EXAMDATE",
        "DXCURREN 7 and -4 are no diagnoses",
    ),
    unverified=("which of the tables hold EXAMDATE",),
)

COHORTS = (OASIS1, OASIS2, OASIS3, ADNI, AIBL)
