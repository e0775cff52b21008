from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.probes.labels import LabelRequest, cohorts, join
from prima_features.probes.labels.cohorts import Cohort, IdColumn, Target

Studies = Callable[..., Embeddings]
Table = Callable[..., Path]


@pytest.mark.parametrize("name", cohorts.PRESETS)
def test_every_preset_is_complete_and_holds_only_known_cohorts(name: str) -> None:
    preset = cohorts.get(name)
    assert preset.name == name
    assert preset.title
    assert preset.tasks()
    assert preset.constant.get("health") or preset.targets.get("health"), "says who is a control"
    assert set(preset.contains) <= set(cohorts.PRESETS)
    with pytest.raises(FrozenInstanceError):
        preset.name = "other"  # type: ignore[misc]


def test_a_name_that_is_nearly_a_presets_is_refused_with_it() -> None:
    with pytest.raises(UsageError, match="did you mean oasis3"):
        cohorts.get("oasis-3")


def test_cohorts_that_hold_each_other_are_known_either_way() -> None:
    assert "openbhb contains scans of ixi" in cohorts.overlap("ixi", "openbhb")
    assert "openbhb contains scans of abide2" in cohorts.overlap("openbhb", "abide2")
    for inner in ("upenn-gbm", "ucsf-pdgm", "tcga-glioma"):
        assert f"brats2021 contains scans of {inner}" in cohorts.overlap("brats2021", inner)
    assert cohorts.overlap("adni", "adni")
    assert cohorts.overlap("adni", "oasis1") == ""
    assert cohorts.overlap("adni", "a-users-own") == ""


def test_a_toml_file_describes_a_cohort_of_ones_own(studies: Studies, table: Table) -> None:
    toml = table(
        "mine.toml",
        [
            'ids = [{column = "code", rules = ["match:c(\\\\d+)", "number:%d"]}]',
            'age = ["years"]',
            'sex = ["s"]',
            'sex_codes = {0 = "F", 1 = "M"}',
            'missing = ["99"]',
            "[[targets.dementia]]",
            'column = "state"',
            'classes = {1 = "cn", 2 = "mci", 3 = "ad"}',
        ],
    )
    labels = table("a.csv", ["code,years,s,state", "C007,70,0,1", "C008,99,1,3", "C009,80,1,99"])
    joined = join(
        studies("sub-c7", "sub-c8", "sub-c9"), LabelRequest((labels,), task="dementia", cohort=toml)
    )
    assert joined.cohort == "mine"
    assert joined.frame["target"].tolist() == ["cn", "ad"]
    assert joined.frame["sex"].tolist() == ["F", "M"]
    assert joined.frame["age"].isna().tolist() == [False, True]


def test_a_toml_file_can_change_part_of_a_preset(table: Table) -> None:
    changed = cohorts.get(table("mine.toml", ['base = "abide1"', 'site = ["CENTRE"]']))
    assert changed.site == ("CENTRE",)
    assert changed.targets == cohorts.get("abide1").targets
    assert changed.name == "mine"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["site = "], "is not TOML"),
        (['base = "adnii"'], "has the base 'adnii'"),
        (['sites = ["a"]'], "unknown field 'sites'"),
        (['site = "a"'], "expected a list of strings"),
        (["site = [1]"], "expected a list of strings"),
        (['ids = ["PTID"]'], "field of the wrong type"),
        (['ids = [{columns = "PTID"}]'], "field of the wrong type"),
        (['ids = [{column = "PTID", rules = ["digits"]}]'], "is not a rule for ids"),
        (['targets = {dementia = ["DX"]}'], "field of the wrong type"),
        (["targets = {brain = []}"], "unknown task 'brain'"),
        (['constant = {stroke = "yes"}'], "expected one of control, stroke"),
        (['site_pattern = "abc"'], "has no group"),
        (['age_at = "birth"'], "age_at is 'birth': expected visit or baseline"),
        (['duplicates = "first"'], "expected refuse or leave-out"),
        (['sex_codes = {1 = "male"}'], "sex_codes is 'male': expected F or M"),
        (['site_pattern = "("'], "not a regular expression"),
    ],
)
def test_a_toml_file_that_describes_no_cohort_is_refused(
    table: Table, lines: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        cohorts.get(table("bad.toml", lines))


def test_a_missing_toml_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml does not exist"):
        cohorts.get(tmp_path / "none.toml")


def test_a_cohort_can_be_made_in_python() -> None:
    cohort = Cohort(name="x", ids=(IdColumn("id"),), targets={"stroke": (Target("s", {"1": "stroke"}),)})
    assert cohort.tasks() == ("stroke",)
    with pytest.raises(UsageError, match="maps a value of task stroke to the class 'yes'"):
        Cohort(name="x", targets={"stroke": (Target("s", {"1": "yes"}),)})
