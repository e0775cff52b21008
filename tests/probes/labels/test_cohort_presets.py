"""Every preset on a small made-up table in its cohort's format, quirks included."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.probes.labels import LabelRequest, join

Studies = Callable[..., Embeddings]
Table = Callable[..., Path]
Workbook = Callable[[Sequence[Sequence[str | float]]], bytes]


def _excel(path: Path, columns: dict[str, list[object]]) -> Path:
    pd.DataFrame(columns).to_excel(path, index=False)
    return path


def test_openbhb_gives_ages_sites_and_its_split(studies: Studies, table: Table) -> None:
    labels = table(
        "participants.tsv",
        [
            "participant_id\tstudy\tsex\tage\tsite\tdiagnosis\ttiv\tmagnetic_field_strength\tsiteXacq\tsplit",
            "100053248969\tABIDE\tmale\t26.9\t7\tcontrol\t1512.5\t3.0\t7_1\ttrain",
            "012345678901\tIXI\tfemale\t61\t12\tcontrol\t1401\t1.5\t12_1\texternal_test",
        ],
    )
    found = studies("sub-100053248969", "sub-012345678901")
    joined = join(found, LabelRequest((labels,), task="brain-age", cohort="openbhb"))
    assert joined.frame["target"].tolist() == [26.9, 61]
    assert joined.frame["sex"].tolist() == ["M", "F"]
    assert joined.frame["site"].tolist() == ["7", "12"]
    assert joined.frame["split"].tolist() == ["train", "external_test"]
    assert joined.frame["field_strength"].tolist() == ["3.0", "1.5"]
    assert joined.frame["icv"].tolist() == [1512.5, 1401]
    assert joined.frame["control"].tolist() == [1, 1]
    assert joined.classes == ()


def test_ixi_pads_ids_takes_sites_from_names_and_leaves_out_ids_that_disagree(
    studies: Studies, tmp_path: Path, old_workbook: Workbook
) -> None:
    labels = tmp_path / "IXI.xls"
    labels.write_bytes(
        old_workbook(
            [
                ["IXI_ID", "SEX_ID (1=m, 2=f)", "HEIGHT", "AGE"],
                [2.0, 2.0, 164.0, 35.8],
                [12.0, 1.0, 175.0, 38.78],
                [12.0, 1.0, 175.0, 38.78],
                [13.0, 0.0, 182.0, 46.71],
                [14.0, 2.0, 163.0, 34.24],
                [14.0, 2.0, 163.0, 35.5],
                [15.0, 1.0, 181.0, 0.0],
            ]
        )
    )
    found = studies(
        "sub-IXI002Guys0828T1<IXI002-Guys-0828-T1.nii.gz",
        "sub-IXI012HH1211T1<IXI012-HH-1211-T1.nii.gz",
        "sub-IXI012HH1211T2<IXI012-HH-1211-T2.nii.gz",
        "sub-IXI013HH1212<IXI013-HH-1212-T1.nii.gz",
        "sub-IXI014IOP1236<IXI014-IOP-1236-T1.nii.gz",
        "sub-IXI015HH1258<IXI015-HH-1258-T1.nii.gz",
    )
    joined = join(found, LabelRequest((labels,), task="brain-age", cohort="ixi"))
    assert joined.frame["row"].tolist() == [0, 1, 2, 3]
    assert joined.frame["site"].tolist() == ["Guys", "HH", "HH", "HH"]
    assert joined.frame["sex"].tolist() == ["F", "M", "M", ""]
    assert joined.frame["group"].nunique() == 3, "both scans of IXI012 are one group"
    reasons = dict(zip(joined.unmatched_studies["study"], joined.unmatched_studies["reason"], strict=True))
    assert "disagree" in reasons["sub-IXI014IOP1236"]
    assert "missing" in reasons["sub-IXI015HH1258"]


def test_camcan_reads_sex_from_words_or_codes(studies: Studies, table: Table) -> None:
    lines = ["participant_id\tage\thand\tgender_code", "sub-CC110033\t24\t100\t1", "sub-CC110037\t18\t95\t2"]
    joined = join(
        studies("sub-CC110033", "sub-CC110037"),
        LabelRequest((table("participants.tsv", lines),), task="brain-age", cohort="camcan"),
    )
    assert joined.frame["target"].tolist() == [24, 18]
    assert joined.frame["sex"].tolist() == ["M", "F"]
    assert any("gender_code" in warning for warning in joined.warnings)


def test_hcp_keeps_families_together_and_joins_its_two_tables(studies: Studies, table: Table) -> None:
    restricted = table(
        "RESTRICTED.csv", ["Subject,Age_in_Yrs,Family_ID", "100307,27,51488_81352", "100408,33,F2"]
    )
    restricted.write_text(restricted.read_text() + "\n101006,35,51488_81352")
    open_table = table(
        "unrestricted.csv", ["Subject,Gender,Age", "100307,F,26-30", "100408,M,31-35", "101006,F,31-35"]
    )
    joined = join(
        studies("sub-100307", "sub-100408", "sub-101006"),
        LabelRequest((restricted, open_table), task="brain-age", cohort="hcp-ya"),
    )
    assert joined.frame["target"].tolist() == [27, 33, 35]
    assert joined.frame["sex"].tolist() == ["F", "M", "F"]
    groups = joined.frame["group"].tolist()
    assert groups[0] == groups[2] != groups[1]


def test_hcp_age_bands_are_no_ages(studies: Studies, table: Table) -> None:
    labels = table("unrestricted.csv", ["Subject,Gender,Age", "100307,F,26-30"])
    with pytest.raises(UsageError, match="Age contains no ages \\(found, for example, '26-30'"):
        join(studies("sub-100307"), LabelRequest((labels,), task="brain-age", cohort="hcp-ya"))


def test_abide1_tells_autism_from_controls_past_its_sentinels(studies: Studies, table: Table) -> None:
    labels = table(
        "Phenotypic_V1_0b_preprocessed.csv",
        [
            "SITE_ID,SUB_ID,FILE_ID,DX_GROUP,DSM_IV_TR,AGE_AT_SCAN,SEX,FIQ,ADOS_TOTAL",
            "PITT,50002,no_filename,1,1,16.77,1,103,12",
            "PITT,50003,Pitt_0050003,2,0,24.45,2,-9999,`",
            "PITT,50004,Pitt_0050004,-9999,-9999,19.09,1,113,13",
        ],
    )
    joined = join(
        studies("sub-0050002", "sub-0050003", "sub-0050004"),
        LabelRequest((labels,), task="autism", cohort="abide1"),
    )
    assert joined.classes == ("control", "autism")
    assert joined.frame["target"].tolist() == ["autism", "control"]
    assert joined.frame["age"].tolist() == [16.77, 24.45]
    assert joined.frame["sex"].tolist() == ["M", "F"]
    assert joined.frame["site"].tolist() == ["PITT", "PITT"]
    assert joined.frame["control"].tolist() == [0, 1]
    assert joined.unmatched_studies["reason"].tolist() == ["the label is missing"]


def test_abide2_is_cp1252_and_its_age_header_ends_in_a_space(studies: Studies, table: Table) -> None:
    labels = table(
        "ABIDEII_Composite_Phenotypic.csv",
        [
            "SITE_ID,SUB_ID,DX_GROUP,AGE_AT_SCAN ,SEX,NOTES",
            "ABIDEII-NYU_1,29177,1,6.5,1,André",
            "ABIDEII-NYU_1,29178,2,7.25,2,",
        ],
        encoding="cp1252",
    )
    joined = join(studies("sub-29177", "sub-29178"), LabelRequest((labels,), task="autism", cohort="abide2"))
    assert joined.frame["age"].tolist() == [6.5, 7.25]
    assert joined.frame["site"].unique().tolist() == ["ABIDEII-NYU_1"]


_OASIS1 = [
    "ID,M/F,Hand,Age,Educ,SES,MMSE,CDR,eTIV",
    "OAS1_0001_MR1,F,R,74,2,3,29,0,1344",
    "OAS1_0003_MR1,F,R,73,4,3,27,0.5,1454",
    "OAS1_0031_MR1,M,R,80,1,4,20,1,1500",
    "OAS1_0004_MR1,M,R,28,,,,,1588",
    "OAS1_0001_MR2,F,R,74,2,3,29,0,1344",
]


def test_oasis1_leaves_cdr_half_out_of_two_classes_and_makes_it_mci_of_three(
    studies: Studies, table: Table
) -> None:
    labels = table("oasis_cross-sectional.csv", _OASIS1)
    found = studies("OAS1_0001_MR1", "OAS1_0003_MR1", "OAS1_0031_MR1", "OAS1_0004_MR1", "OAS1_0001_MR2")
    two = join(found, LabelRequest((labels,), task="dementia", cohort="oasis1"))
    assert two.frame["target"].tolist() == ["cn", "ad", "cn", "cn"]
    assert two.unmatched_studies["detail"].tolist() == ["the value is '0.5', which is mci"]
    for column in ("group", "subject"):
        names = two.frame[column].tolist()
        assert names[0] == names[3] != names[1], "MR1 and MR2 are one person"
    three = join(
        found, LabelRequest((labels,), task="dementia", cohort="oasis1", classes=("cn", "mci", "ad"))
    )
    assert three.frame["target"].tolist() == ["cn", "mci", "ad", "cn", "cn"]


def test_a_blank_cdr_of_oasis1_means_nondemented_under_60_only_and_can_be_left_out(
    studies: Studies, table: Table
) -> None:
    lines = [*_OASIS1, "OAS1_0005_MR1,M,R,61,,,,,1588"]
    labels = table("oasis_cross-sectional.csv", lines)
    found = studies("OAS1_0001_MR1", "OAS1_0004_MR1", "OAS1_0005_MR1")
    request = LabelRequest((labels,), task="dementia", cohort="oasis1")
    joined = join(found, request)
    assert joined.frame["study"].tolist() == ["OAS1_0001_MR1", "OAS1_0004_MR1"]
    assert joined.unmatched_studies["reason"].tolist() == ["the label is missing"]
    assert any(
        "1 row of subjects under 60 without a CDR is taken as cn (Marcus" in w for w in joined.warnings
    )
    ages = join(found, replace(request, task="brain-age"))
    np.testing.assert_array_equal(ages.frame["control"], [1, 1, np.nan])
    without = join(found, replace(request, blank_labels="missing"))
    assert without.frame["study"].tolist() == ["OAS1_0001_MR1"]
    changed = table(
        "mine.toml", ['base = "oasis1"', "[[targets.dementia]]", 'column = "CDR"', 'classes = {0 = "cn"}']
    )
    assert len(join(found, replace(request, cohort=changed)).frame) == 1


def test_oasis2_takes_the_cdr_of_each_visit_and_keeps_persons_together(
    studies: Studies, table: Table
) -> None:
    labels = table(
        "oasis_longitudinal.csv",
        [
            "Subject ID,MRI ID,Group,Visit,MR Delay,M/F,Hand,Age,EDUC,SES,MMSE,CDR,eTIV,nWBV,ASF",
            "OAS2_0001,OAS2_0001_MR1,Nondemented,1,0,M,R,87,14,2,27,0,1987,0.696,0.883",
            "OAS2_0001,OAS2_0001_MR2,Nondemented,2,457,M,R,88,14,2,30,0,2004,0.681,0.876",
            "OAS2_0018,OAS2_0018_MR1,Converted,1,0,F,R,87,14,1,30,0,1406,0.715,1.248",
            "OAS2_0018,OAS2_0018_MR3,Converted,2,489,F,R,88,14,1,29,1,1398,0.713,1.255",
            "OAS2_0002,OAS2_0002_MR1,Demented,1,0,M,R,75,12,,23,0.5,1678,0.736,1.046",
        ],
    )
    found = studies(
        "OAS2_0001_MR1", "sub-OAS20001_ses-MR2", "OAS2_0018_MR1", "sub-OAS20018_ses-03", "OAS2_0002_MR1"
    )
    request = LabelRequest((labels,), task="dementia", cohort="oasis2")
    joined = join(found, request)
    assert joined.frame["target"].tolist() == ["cn", "cn", "cn", "ad"]
    assert joined.frame["age"].tolist() == [87, 88, 87, 88]
    assert joined.frame["icv"].tolist() == [1987, 2004, 1406, 1398]
    assert joined.frame["subject"].nunique() == joined.frame["group"].nunique() == 2
    assert joined.unmatched_studies["detail"].tolist() == ["the value is '0.5', which is mci"]
    by_group = join(found, replace(request, target_column="Group"))
    assert by_group.frame["target"].tolist() == ["cn", "cn", "ad"]
    assert set(by_group.unmatched_studies["detail"]) == {"the value is 'Converted'"}


def test_positive_values_turn_very_mild_dementia_into_dementia(studies: Studies, table: Table) -> None:
    labels = table("oasis_cross-sectional.csv", _OASIS1)
    request = LabelRequest(
        (labels,), task="dementia", cohort="oasis1", target_column="CDR", positive=("0.5", "1")
    )
    joined = join(studies("OAS1_0001_MR1", "OAS1_0003_MR1"), request)
    assert joined.frame["target"].tolist() == ["cn", "ad"]


def test_oasis3_takes_the_visit_nearest_the_scan_never_the_first(studies: Studies, table: Table) -> None:
    labels = table(
        "OASIS3_UDSb4_cdr.csv",
        [
            "OASISID,OASIS_session_label,days_to_visit,age at visit,MMSE,CDRTOT,dx1",
            "OAS30001,OAS30001_UDSb4_d0000,0000,65.15,28,0,Cognitively normal",
            "OAS30001,OAS30001_UDSb4_d2100,2100,70.9,22,1,AD Dementia",
            "OAS30002,OAS30002_UDSb4_d0000,0000,67.25,29,0,Cognitively normal",
        ],
    )
    demographics = table(
        "OASIS3_demographics.csv", ["OASISID,AgeatEntry,GENDER", "OAS30001,65.15,2", "OAS30002,67.25,1"]
    )
    found = studies("sub-OAS30001_ses-d0129", "OAS30001_MR_d2000", "sub-OAS30002_ses-d0653", "sub-OAS30002")
    joined = join(found, LabelRequest((labels, demographics), task="dementia", cohort="oasis3"))
    assert joined.frame["target"].tolist() == ["cn", "ad"]
    assert joined.frame["sex"].tolist() == ["F", "F"]
    np.testing.assert_allclose(joined.frame["age"], [65.15 + 129 / 365.25, 70.9 - 100 / 365.25])
    assert joined.frame["group"].nunique() == 1
    details = joined.unmatched_studies
    assert "653 days away" in details["detail"][0]
    assert "date is unknown" in details["reason"][1]
    by_text = LabelRequest((labels,), task="dementia", cohort="oasis3", target_column="dx1")
    assert join(found, by_text).frame["target"].tolist() == ["cn", "ad"]


_ADNIMERGE = [
    "RID,PTID,VISCODE,SITE,EXAMDATE,DX_bl,AGE,PTGENDER,CDRSB,MMSE,DX,Years_bl",
    "2,011_S_0002,bl,11,2005-09-08,CN,74.3,Male,0,28,CN,0",
    "2,011_S_0002,m06,11,2006-03-06,CN,74.3,Male,0,28,,0.4901",
    "2,011_S_0002,m36,11,2008-08-27,CN,74.3,Male,1,26,MCI,2.967",
    "3,011_S_0003,bl,11,2005-09-12,AD,81.3,Male,4.5,20,Dementia,0",
    "4,022_S_0004,bl,22,2005-11-08,LMCI,67.5,Female,1,27,MCI,0",
]


def test_adni_scans_find_their_visit_by_session_code_and_their_age_by_years_since(
    studies: Studies, table: Table
) -> None:
    labels = table("ADNIMERGE.csv", _ADNIMERGE)
    found = studies(
        "sub-ADNI011S0002_ses-M000",
        "sub-ADNI011S0002_ses-M036",
        "sub-ADNI011S0003_ses-M000",
        "sub-ADNI022S0004",
    )
    request = LabelRequest((labels,), task="dementia", cohort="adni", classes=("cn", "mci", "ad"))
    joined = join(found, request)
    assert joined.frame["target"].tolist() == ["cn", "mci", "ad"]
    np.testing.assert_allclose(joined.frame["age"], [74.3, 74.3 + 2.967, 81.3], atol=1e-6)
    assert joined.frame["site"].tolist() == ["11", "11", "11"]
    assert joined.frame["control"].tolist() == [1, 0, 0]
    assert "date is unknown" in joined.unmatched_studies["reason"][0]


def test_adni_scans_are_dated_by_the_archives_folders(studies: Studies, table: Table) -> None:
    found = studies(
        "sub-1<011_S_0002/MPRAGE/2005-09-30_08_11_00.0/I1",
        "sub-2<011_S_0002/MPRAGE/2006-04-18_08_20_30.0/I2",
        "sub-3<011_S_0002/MPRAGE/2008-09-02_08_20_30.0/I3",
    )
    request = LabelRequest(
        (table("ADNIMERGE.csv", _ADNIMERGE),), task="dementia", cohort="adni", classes=("cn", "mci", "ad")
    )
    joined = join(found, request)
    assert joined.frame["target"].tolist() == ["cn", "mci"], "m06 has no diagnosis and the others are too far"
    assert joined.frame["row"].tolist() == [0, 2]
    assert joined.frame["group"].nunique() == 1


def test_adni_diagnosis_summary_codes_are_read_by_rid(studies: Studies, table: Table) -> None:
    labels = table("DXSUM.csv", ["RID,VISCODE2,DIAGNOSIS", "2,bl,1", "3,bl,3", "4,bl,2", "4,m06,-4"])
    joined = join(
        studies("sub-ADNI011S0002_ses-M000", "sub-ADNI011S0003_ses-M000", "sub-ADNI022S0004_ses-M000"),
        LabelRequest((labels,), task="dementia", cohort="adni"),
    )
    assert joined.frame["target"].tolist() == ["cn", "ad"]
    assert joined.unmatched_studies["detail"].tolist() == ["the value is '2', which is mci"]


def test_aibl_joins_its_tables_and_counts_age_from_the_year_of_birth(studies: Studies, table: Table) -> None:
    folder = table(
        "aibl/aibl_pdxconv_01-Jun-2018.csv", ["RID,SITEID,VISCODE,DXCURREN", "2,1,bl,1", "2,1,m18,3"]
    ).parent
    table("aibl/aibl_ptdemog_01-Jun-2018.csv", ["RID,SITEID,VISCODE,PTGENDER,PTDOB", "2,1,bl,1,/1931"])
    table("aibl/aibl_mmse_01-Jun-2018.csv", ["RID,VISCODE,EXAMDATE", "2,bl,11/02/2006", "2,m18,05/13/2008"])
    joined = join(
        studies("sub-AIBL2_ses-M000", "sub-AIBL2_ses-M018"),
        LabelRequest((folder,), task="dementia", cohort="aibl"),
    )
    assert joined.frame["target"].tolist() == ["cn", "ad"]
    assert joined.frame["sex"].tolist() == ["M", "M"]
    np.testing.assert_allclose(joined.frame["age"], [75.3, 76.9], atol=0.1)


def test_ucsf_ids_of_three_and_four_digits_meet_and_follow_ups_stay_with_their_patient(
    studies: Studies, table: Table
) -> None:
    labels = table(
        "UCSF-PDGM-metadata_v5.csv",
        [
            "ID,Sex,Age at MRI,WHO CNS Grade,IDH,1p/19q,MGMT status,1-dead 0-alive,OS,EOR,BraTS21 ID",
            "UCSF-PDGM-004,M,66,4,wildtype,unknown,negative,1,1303,STR,BraTS2021_00097",
            "UCSF-PDGM-181,F,41,3,IDH1 p.R132H,intact,positive,0,500,GTR,",
            "UCSF-PDGM-181_FU007d,F,41,3,mutated (NOS),intact,positive,0,500,GTR,",
            "UCSF-PDGM-290,F,50,2,,intact,positive,0,500,GTR,",
        ],
    )
    found = studies(
        "UCSF-PDGM-0004_nifti", "UCSF-PDGM-0181_nifti", "UCSF-PDGM-0181_FU007d_nifti", "UCSF-PDGM-0290_nifti"
    )
    idh = join(found, LabelRequest((labels,), task="glioma-idh", cohort="ucsf-pdgm"))
    assert idh.frame["target"].tolist() == ["wildtype", "mutant", "mutant"]
    assert idh.frame["group"].nunique() == 2
    assert idh.frame["control"].tolist() == [0, 0, 0]
    grade = join(found, LabelRequest((labels,), task="glioma-grade", cohort="ucsf-pdgm"))
    assert grade.frame["target"].tolist() == ["4", "2-3", "2-3", "2-3"]
    grades = LabelRequest((labels,), task="glioma-grade", cohort="ucsf-pdgm", classes=("2", "3", "4"))
    assert join(found, grades).frame["target"].tolist() == ["4", "3", "3", "2"]
    assert join(found, grades).frame["grade"].tolist() == [4, 3, 3, 2]


def test_upenn_keeps_scan_and_follow_up_apart_in_one_group_and_is_all_grade_four(
    studies: Studies, table: Table
) -> None:
    labels = table(
        "UPENN-GBM_clinical_info_v2.1.csv",
        [
            "ID,Gender,Age_at_scan_years,Survival_from_surgery_days_UPDATED,Survival_Status,IDH1,MGMT,KPS",
            "UPENN-GBM-00001_11,M,61.81,89,Deceased,Wildtype,Unmethylated,90",
            "UPENN-GBM-00001_21,M,62.3,89,Deceased,Wildtype,Unmethylated,Not Available",
            "UPENN-GBM-00002_11,F,47.86,805,Deceased,Mutated,Not Available,90",
            "UPENN-GBM-00003_11,F,51.2,805,Deceased,NOS/NEC,Not Available,90",
        ],
    )
    found = studies("UPENN-GBM-00001_11", "UPENN-GBM-00001_21", "UPENN-GBM-00002_11", "UPENN-GBM-00003_11")
    idh = join(found, LabelRequest((labels,), task="glioma-idh", cohort="upenn-gbm"))
    assert idh.frame["target"].tolist() == ["wildtype", "wildtype", "mutant"]
    assert idh.frame["age"].tolist() == [61.81, 62.3, 47.86]
    assert idh.frame["group"].nunique() == 2
    grade = join(found, LabelRequest((labels,), task="glioma-grade", cohort="upenn-gbm"))
    assert set(grade.frame["target"]) == {"4"}
    assert any("every matched study of cohort upenn-gbm has the label 4" in text for text in grade.warnings)


def test_brats2020_grades_come_from_hgg_and_lgg(studies: Studies, table: Table) -> None:
    names = table(
        "name_mapping.csv",
        [
            "Grade,BraTS_2017_subject_ID,BraTS_2018_subject_ID,TCGA_TCIA_subject_ID,BraTS_2019_subject_ID,"
            "BraTS_2020_subject_ID",
            "HGG,Brats17_CBICA_AAB_1,Brats18_CBICA_AAB_1,NA,BraTS19_CBICA_AAB_1,BraTS20_Training_001",
            "LGG,Brats17_TCIA_101_1,Brats18_TCIA_101_1,TCGA-CS-4942,BraTS19_TCIA_101_1,BraTS20_Training_260",
        ],
    )
    survival = table("survival_info.csv", ["Brats20ID,Age,Survival_days", "BraTS20_Training_001,60.463,289"])
    joined = join(
        studies("BraTS20_Training_001", "sub-BraTS20Training260<TCIA/BraTS20_Training_260"),
        LabelRequest((names, survival), task="glioma-grade", cohort="brats2020"),
    )
    assert joined.frame["target"].tolist() == ["4", "2-3"]
    np.testing.assert_allclose(joined.frame["age"], [60.463, np.nan])
    older = join(
        studies("Brats18_TCIA_101_1"), LabelRequest((names,), task="glioma-grade", cohort="brats2020")
    )
    assert older.frame["target"].tolist() == ["2-3"]


def test_brats2021_has_sites_and_no_grade(studies: Studies, tmp_path: Path) -> None:
    labels = _excel(
        tmp_path / "BraTS2021_MappingToTCIA.xlsx",
        {
            "Data Collection (as on TCIA+additional)": ["UPENN-GBM", "UCSF-PDGM"],
            "Site No (represents the originating institution)": [1, 2],
            "TCIA PatientID": ["UPENN-GBM-00001", "UCSF-PDGM-0004"],
            "BraTS2021 ID": ["BraTS2021_00000", "BraTS2021_00097"],
            "MGMT value": [1, None],
        },
    )
    found = studies("BraTS2021_00000", "BraTS2021_00097")
    joined = join(found, LabelRequest((labels,), task="glioma-presence", cohort="brats2021"))
    assert joined.frame["target"].tolist() == ["glioma", "glioma"]
    assert joined.frame["site"].tolist() == ["1", "2"]
    mgmt = join(found, LabelRequest((labels,), cohort="brats2021", target_column="MGMT value"))
    assert mgmt.frame["row"].tolist() == [0]
    with pytest.raises(UsageError, match="cohort brats2021 has labels for"):
        join(found, LabelRequest((labels,), task="glioma-grade", cohort="brats2021"))


def test_egd_takes_minus_one_as_unknown_and_age_from_its_second_table(
    studies: Studies, tmp_path: Path
) -> None:
    _excel(
        tmp_path / "Genetic_and_Histological_labels.xlsx",
        {
            "Subject": ["EGD-0001", "EGD-0002", "EGD-0003"],
            "IDH": [1, 0, -1],
            "1p19q": [-1, 0, 1],
            "Grade": [2, 4, 3],
        },
    )
    _excel(
        tmp_path / "Clinical_data.xlsx",
        {"Subject": ["EGD-0001", "EGD-0002", "EGD-0003"], "Age": [44, 61, 39], "Sex": ["F", "M", "F"]},
    )
    joined = join(
        studies("EGD-0001", "EGD-0002", "EGD-0003"),
        LabelRequest((tmp_path,), task="glioma-idh", cohort="egd"),
    )
    assert joined.frame["target"].tolist() == ["mutant", "wildtype"]
    assert joined.frame["age"].tolist() == [44, 61]
    assert joined.frame["sex"].tolist() == ["F", "M"]


def test_tcga_cases_carry_their_site_in_the_id(studies: Studies, table: Table) -> None:
    labels = table(
        "TCGA_glioma.csv",
        [
            "Case,Grade,IDH status,1p/19q codeletion,IDH/codel subtype",
            "TCGA-02-0001,G4,WT,non-codel,IDHwt",
            "TCGA-CS-4942,G2,Mutant,codel,IDHmut-codel",
            "TCGA-CS-4943,G3,NA,NA,NA",
        ],
    )
    found = studies("TCGA-02-0001", "TCGA-CS-4942", "TCGA-CS-4943")
    idh = join(found, LabelRequest((labels,), task="glioma-idh", cohort="tcga-glioma"))
    assert idh.frame["target"].tolist() == ["wildtype", "mutant"]
    assert idh.frame["site"].tolist() == ["02", "CS"]
    grade = join(found, LabelRequest((labels,), task="glioma-grade", cohort="tcga-glioma"))
    assert grade.frame["target"].tolist() == ["4", "2-3", "2-3"]


def test_soop_reads_top_coded_ages_and_leaves_out_its_empty_rows(studies: Studies, table: Table) -> None:
    labels = table(
        "participants.tsv",
        [
            "participant_id\tsex\tage\trace\tacuteischaemicstroke\tpriorstroke\tbmi\tnihss\tgs_rankin_6isdeath\tetiology",
            "sub-1\tF\t89+\tW\t1\t0\t26,9\t4\t2\t1:LargeArtery",
            "sub-2\tM\t54\tB\t1\t1\t31.0\t12\t6\t2:CardioEmbolism",
            "sub-3\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a\tn/a",
        ],
    )
    found = studies("sub-1", "sub-2", "sub-3")
    joined = join(found, LabelRequest((labels,), task="stroke", cohort="soop"))
    assert joined.frame["target"].tolist() == ["stroke", "stroke"]
    assert joined.frame["age"].tolist() == [89, 54]
    assert any("89+" in warning for warning in joined.warnings)
    assert any("has the label stroke" in warning for warning in joined.warnings)
    assert joined.unmatched_studies["reason"].tolist() == ["the label is missing"]
    bmi = join(found, LabelRequest((labels,), cohort="soop", target_column="bmi", kind="number"))
    assert bmi.frame["target"].tolist() == [26.9, 31.0]


def test_atlas_is_all_stroke_with_sites_in_its_ids(studies: Studies, tmp_path: Path) -> None:
    labels = _excel(
        tmp_path / "20220425_ATLAS_2.0_MetaData.xlsx",
        {"Subject ID": ["sub-r001s001", "sub-r052s002"], "# Lesions LH Subcortical": [1, 0]},
    )
    found = studies("sub-r001s001_ses-1", "sub-r052s002_ses-1")
    joined = join(found, LabelRequest((labels,), task="stroke", cohort="atlas2"))
    assert joined.frame["target"].tolist() == ["stroke", "stroke"]
    assert joined.frame["site"].tolist() == ["r001", "r052"]


def test_isles_needs_no_table_since_every_case_is_a_stroke(studies: Studies) -> None:
    joined = join(studies("sub-strokecase0001_ses-0001"), LabelRequest(task="stroke", cohort="isles2022"))
    assert joined.frame["target"].tolist() == ["stroke"]
    assert joined.frame["control"].tolist() == [0]
    assert joined.classes == ("control", "stroke")
    with pytest.raises(UsageError, match="cohort isles2022 has labels for stroke"):
        join(studies("sub-1"), LabelRequest(task="autism", cohort="isles2022"))
