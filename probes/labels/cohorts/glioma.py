"""Glioma cohorts. All their cases are patients; several hold the same scans under other ids."""

from prima_features.probes.labels.cohorts.cohort import Cohort, IdColumn, Target

_PATIENTS = {"health": "patient", "glioma-presence": "glioma"}
_GRADES = {"2": "2", "3": "3", "4": "4"}

UCSF_PDGM = Cohort(
    name="ucsf-pdgm",
    title="UCSF-PDGM, preoperative diffuse glioma MRI",
    files=("UCSF-PDGM-metadata*.csv", "UCSF-PDGM-metadata*.xlsx"),
    ids=(
        IdColumn(
            "ID",
            (r"match:ucsf-?pdgm-?0*(\d{1,4})(?!\d)[-_]?(fu\d{1,4}d)?", "bare"),
        ),
    ),
    person=(r"match:^(\d+)",),
    targets={
        "glioma-grade": (Target("WHO CNS Grade", _GRADES),),
        "glioma-idh": (Target("IDH", {"wildtype": "wildtype", "*": "mutant"}),),
    },
    constant=_PATIENTS,
    age=("Age at MRI",),
    sex=("Sex",),
    notes=(
        "ids have three digits in the table and four in the folders; follow-ups end in _FU007d",
        "IDH is `wildtype` or the mutation's text: everything else that is not missing is mutant",
    ),
)

UPENN_GBM = Cohort(
    name="upenn-gbm",
    title="UPENN-GBM, glioblastoma",
    files=("UPENN-GBM_clinical_info_v*.csv",),
    ids=(
        IdColumn("ID", (r"match:upenn-?gbm-?(\d{5})[-_]?(?:ses-)?(11|21)(?!\d)",)),
        IdColumn("ID", (r"match:upenn-?gbm-?(\d{5})",)),
    ),
    person=(r"match:(\d{5})",),
    targets={
        "glioma-idh": (Target("IDH1", {"wildtype": "wildtype", "mutated": "mutant"}),),
    },
    constant={**_PATIENTS, "glioma-grade": "4"},
    age=("Age_at_scan_years",),
    sex=("Gender",),
    notes=(
        "_11 is the scan before surgery and _21 the follow-up; a scan without either needs rows that agree",
        "IDH1 NOS/NEC is unknown",
        "every case is grade 4",
    ),
)

BRATS2020 = Cohort(
    name="brats2020",
    title="BraTS 2020 training data",
    files=("name_mapping.csv", "survival_info.csv"),
    ids=(
        IdColumn("BraTS_2020_subject_ID"),
        IdColumn("BraTS_2019_subject_ID"),
        IdColumn("BraTS_2018_subject_ID"),
        IdColumn("BraTS_2017_subject_ID"),
        IdColumn("TCGA_TCIA_subject_ID"),
        IdColumn("Brats20ID"),
    ),
    targets={"glioma-grade": (Target("Grade", {"hgg": "4", "lgg": "2-3"}),)},
    constant=_PATIENTS,
    age=("Age",),
    contains=("tcga-glioma",),
    notes=(
        "LGG is grade 2 or 3 and HGG grade 4: the three grades cannot be told apart",
        "ages are in survival_info.csv, for part of the cases",
    ),
)

BRATS2021 = Cohort(
    name="brats2021",
    title="BraTS 2021",
    files=("BraTS2021_MappingToTCIA*",),
    ids=(IdColumn("BraTS2021 ID"), IdColumn("TCIA PatientID")),
    constant=_PATIENTS,
    site=("Site No (represents the originating institution)",),
    contains=("upenn-gbm", "ucsf-pdgm", "tcga-glioma", "brats2020"),
    notes=("no grade; the column `MGMT value` can be a custom target",),
    unverified=("the site's column, and that it holds the cases of BraTS 2020",),
)

EGD = Cohort(
    name="egd",
    title="EGD, Erasmus Glioma Database",
    files=("*Genetic_and_Histological_labels*", "*Clinical_data*"),
    ids=(IdColumn("Subject", (r"match:egd-?(\d{4})",)),),
    targets={
        "glioma-grade": (Target("Grade", _GRADES),),
        "glioma-idh": (Target("IDH", {"0": "wildtype", "1": "mutant"}),),
    },
    constant=_PATIENTS,
    age=("Age",),
    sex=("Sex",),
    missing=("-1",),
    notes=("age and sex are in Clinical_data.xlsx, a second table", "-1 is unknown"),
    unverified=("the column Grade, and the columns of Clinical_data.xlsx",),
)

TCGA_GLIOMA = Cohort(
    name="tcga-glioma",
    title="TCGA-GBM and TCGA-LGG, table of Ceccarelli 2016",
    files=("*Ceccarelli*", "*TCGA*glioma*"),
    ids=(IdColumn("Case", (r"match:(tcga-?[0-9a-z]{2}-?[0-9a-z]{4})", "bare")),),
    targets={
        "glioma-grade": (Target("Grade", {"g2": "2", "g3": "3", "g4": "4"}),),
        "glioma-idh": (Target("IDH status", {"wt": "wildtype", "mutant": "mutant"}),),
    },
    constant=_PATIENTS,
    age=("Age (years at diagnosis)",),
    sex=("Gender",),
    site_pattern=r"tcga-?([0-9a-z]{2})-?[0-9a-z]{4}",
    notes=("the site is the second part of the case's id",),
    unverified=("the columns of age and sex",),
)

COHORTS = (UCSF_PDGM, UPENN_GBM, BRATS2020, BRATS2021, EGD, TCGA_GLIOMA)
