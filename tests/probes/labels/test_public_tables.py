"""Label tables of public cohorts as they are published, kept outside the repository (`../shared/labels`)."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.probes.labels import Joined, LabelRequest, join

FOLDER = Path(__file__).parents[4] / "shared" / "labels"
Studies = Callable[..., Embeddings]


@pytest.fixture
def published(studies: Studies) -> Callable[..., Joined]:
    """Joins a table to studies named like its ids, by `rename`."""

    def of(name: str, id_column: str, rename: Callable[[str], str] = str, **request: object) -> Joined:
        path = FOLDER / name
        if not path.is_file():
            pytest.skip(f"{path} is not there: the published tables are kept outside the repository")
        ids = pd.read_csv(path, sep=None, engine="python", dtype=str)[id_column]
        return join(studies(*map(rename, ids)), LabelRequest((path,), **request))  # type: ignore[arg-type]

    return of


def _counts(joined: Joined) -> dict[str, int]:
    return joined.frame["target"].value_counts().to_dict()


def test_soop_has_strokes_and_rows_without_a_label(published: Callable[..., Joined]) -> None:
    joined = published("soop_participants.tsv", "participant_id", task="stroke", cohort="soop")
    assert _counts(joined) == {"stroke": 1106}
    assert joined.frame["sex"].value_counts().to_dict() == {"M": 568, "F": 538}
    assert joined.unmatched_studies["reason"].value_counts().to_dict() == {"the label is missing": 399}
    assert any("44 ages in age are written like 89+" in warning for warning in joined.warnings)
    assert any("has the label stroke" in warning for warning in joined.warnings)
    assert joined.frame["control"].eq(0).all()


def test_the_rankin_scale_of_soop_is_a_target_of_few_numbers(published: Callable[..., Joined]) -> None:
    column = {"target_column": "gs_rankin_6isdeath", "cohort": "soop"}
    joined = published("soop_participants.tsv", "participant_id", kind="number", **column)
    assert _counts(joined) == {0: 112, 1: 167, 2: 106, 3: 109, 4: 147, 5: 54, 6: 43}


def test_ds000030_has_four_diagnoses_and_controls_for_brain_age(published: Callable[..., Joined]) -> None:
    column = {"target_column": "diagnosis"}
    joined = published("ds000030_participants.tsv", "participant_id", **column)
    assert _counts(joined) == {"CONTROL": 130, "SCHZ": 50, "BIPOLAR": 49, "ADHD": 43}
    ages = published(
        "ds000030_participants.tsv", "participant_id", task="brain-age", control_column="diagnosis"
    )
    found = ages.frame["target"]
    assert (len(found), found.min(), found.max(), round(found.mean(), 1)) == (272, 21, 50, 33.2)
    assert ages.frame["control"].value_counts().to_dict() == {1: 130, 0: 142}
    assert any("SCHZ (50), BIPOLAR (49), ADHD (43)" in warning for warning in ages.warnings)


@pytest.mark.parametrize(
    ("request_", "counts"),
    [
        ({"task": "glioma-idh"}, {"wildtype": 398, "mutant": 103}),
        ({"task": "glioma-grade"}, {"4": 402, "2-3": 99}),
        ({"task": "glioma-grade", "classes": ("2", "3", "4")}, {"4": 402, "3": 43, "2": 56}),
        ({"target_column": "1-dead 0-alive"}, {"1": 251, "0": 250}),
    ],
)
def test_ucsf_joins_by_ids_of_three_and_four_digits(
    published: Callable[..., Joined], request_: dict[str, object], counts: dict[str, int]
) -> None:
    def image(name: str) -> str:
        return f"UCSF-PDGM-{int(name[10:]):04d}_nifti"

    joined = published("UCSF-PDGM-metadata_v2.csv", "ID", image, cohort="ucsf-pdgm", **request_)
    assert _counts(joined) == counts
    assert joined.frame["group"].nunique() == 501


def test_survival_of_ucsf_is_a_number_of_days(published: Callable[..., Joined]) -> None:
    joined = published("UCSF-PDGM-metadata_v2.csv", "ID", cohort="ucsf-pdgm", target_column="OS")
    assert (len(joined.frame), joined.classes) == (500, ())
    assert not any("count as missing" in warning for warning in joined.warnings)
