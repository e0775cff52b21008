import unicodedata

import pytest

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import PRESETS
from prima_features.probes.labels.values import bare_session, normalise, rule


@pytest.mark.parametrize(
    ("cohort", "table_id", "study_name"),
    [
        ("openbhb", "100053248969", "sub-100053248969"),
        ("openbhb", "53248969012", "053248969012"),
        ("ixi", "2", "IXI002-Guys-0828-T1"),
        ("ixi", "2.0", "sub-IXI002Guys0828"),
        ("ixi", "14", "IXI014-HH-1236-T2"),
        ("camcan", "sub-CC110033", "CC110033"),
        ("hcp-ya", "100307", "sub-100307"),
        ("hcp-ya", "100307", "100307_3T_T1w_MPR1"),
        ("abide1", "50002", "sub-0050002"),
        ("abide1", "50002", "Pitt_0050002"),
        ("abide2", "29006", "sub-29006"),
        ("oasis1", "OAS1_0001_MR1", "sub-OASIS10001"),
        ("oasis1", "OAS1_0061_MR2", "OAS1_0061_MR2_mpr-1_anon"),
        ("oasis3", "OAS30001", "OAS30001_MR_d0129"),
        ("oasis3", "OAS30001", "sub-OAS30001_ses-d0129"),
        ("adni", "002_S_0295", "sub-ADNI002S0295"),
        ("adni", "002_S_0295", "ADNI_002_S_0295_MR_MPR"),
        ("aibl", "100", "sub-AIBL100"),
        ("aibl", "100", "AIBL_100_MR"),
        ("ucsf-pdgm", "UCSF-PDGM-004", "UCSF-PDGM-0004_nifti"),
        ("ucsf-pdgm", "UCSF-PDGM-181_FU007d", "UCSF-PDGM-0181_FU007d_nifti"),
        ("upenn-gbm", "UPENN-GBM-00001_11", "UPENN-GBM-00001_11"),
        ("upenn-gbm", "UPENN-GBM-00001_21", "sub-UPENNGBM00001_ses-21"),
        ("brats2020", "BraTS20_Training_001", "BraTS20_Training_001"),
        ("brats2021", "BraTS2021_00000", "sub-BraTS202100000"),
        ("egd", "EGD-0001", "sub-EGD0001"),
        ("tcga-glioma", "TCGA-02-0001", "TCGA-02-0001"),
        ("soop", "sub-1", "sub-1"),
        ("atlas2", "sub-r001s001", "sub-r001s001_ses-1"),
    ],
)
def test_each_cohorts_ids_are_the_same_in_table_and_folder(
    cohort: str, table_id: str, study_name: str
) -> None:
    rules = PRESETS[cohort].ids[0].rules
    assert normalise(table_id, rules) == normalise(study_name, rules) != ""


@pytest.mark.parametrize(
    ("cohort", "first", "second"),
    [
        ("ucsf-pdgm", "UCSF-PDGM-181", "UCSF-PDGM-0181_FU007d"),
        ("upenn-gbm", "UPENN-GBM-00001_11", "UPENN-GBM-00001_21"),
        ("oasis1", "OAS1_0061_MR1", "OAS1_0061_MR2"),
        ("ixi", "2", "IXI022-Guys-0701"),
    ],
)
def test_different_scans_keep_different_ids(cohort: str, first: str, second: str) -> None:
    rules = PRESETS[cohort].ids[0].rules
    assert normalise(first, rules) != normalise(second, rules)


@pytest.mark.parametrize(
    ("cohort", "first", "second"),
    [
        ("ucsf-pdgm", "UCSF-PDGM-181", "UCSF-PDGM-0181_FU007d"),
        ("upenn-gbm", "UPENN-GBM-00001_11", "UPENN-GBM-00001_21"),
        ("oasis1", "OAS1_0061_MR1", "OAS1_0061_MR2"),
    ],
)
def test_a_persons_several_ids_lead_to_one_person(cohort: str, first: str, second: str) -> None:
    preset = PRESETS[cohort]
    people = {normalise(normalise(text, preset.ids[0].rules), preset.person) for text in (first, second)}
    assert len(people) == 1
    assert people != {""}


def test_adni_is_found_by_rid_alone() -> None:
    rules = PRESETS["adni"].ids[1].rules
    assert normalise("295", rules) == normalise("002_S_0295", rules) == normalise("ADNI002S0295", rules)


def test_bare_ids_lose_prefix_case_and_punctuation() -> None:
    assert normalise("sub-IXI_002", ("bare",)) == "ixi002"
    assert normalise("12.0", ("bare",)) == "12"
    assert normalise("sub-007", ("bare", "unpad")) == "7"
    assert normalise("a10b0c", ("bare", "unpad")) == "a10b0c"


def test_an_id_is_the_same_in_either_unicode_form_and_other_letters_are_another() -> None:
    for rules in (("bare",), ("bare", "unpad"), ("match:(.*)",)):
        composed, decomposed = (unicodedata.normalize(form, "sub-Müller01") for form in ("NFC", "NFD"))
        assert normalise(composed, rules) == normalise(decomposed, rules) != normalise("sub-Muller01", rules)
    assert normalise("कि", ("bare",)) != normalise("का", ("bare",)), "vowel signs are no punctuation"
    assert normalise("\u200bsub\u2010\uff11\uff12 ", ("bare",)) == "12"


def test_an_id_that_a_pattern_does_not_know_is_none() -> None:
    assert normalise("phantom", (r"match:(cc\d+)", "number:%d")) == ""


def test_sessions_are_compared_without_prefix_and_zeros() -> None:
    assert bare_session("ses-01") == bare_session("1")
    assert bare_session("ses-M006") == bare_session("m6")
    assert bare_session("ses-pre") != bare_session("ses-post")


@pytest.mark.parametrize("name", ["upper", "match:(", "match:abc", "number:%s", "number:%d%d", "number:"])
def test_a_rule_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        rule(name)
