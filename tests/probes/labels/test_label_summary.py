from collections.abc import Callable
from pathlib import Path

from prima_features.embedding.file.read import Embeddings
from prima_features.probes.labels import LabelRequest, join, summarize

Studies = Callable[..., Embeddings]
Table = Callable[..., Path]


def test_a_summary_counts_matches_reasons_and_classes_by_site(studies: Studies, table: Table) -> None:
    labels = table(
        "a.csv", ["id,dx,site", "1,AD,A", "2,CN,A", "3,CN,B", "4,MCI,B", "5,,B", "6,CN,", "9,AD,B"]
    )
    found = studies(
        "sub-1_ses-1", "sub-1_ses-2", "sub-2", "sub-3", "sub-4", "sub-5", "sub-6", "sub-7", "sub-8"
    )
    summary = summarize(join(found, LabelRequest((labels,), task="dementia", target_column="dx")))
    assert (summary.n_studies, summary.n_matched, summary.n_groups) == (9, 5, 4)
    assert summary.classes == {"cn": 3, "ad": 2}
    assert summary.target_range is None
    assert summary.study_reasons == {
        "no label has the study's id": 2,
        "the label is in none of the classes": 1,
        "the label is missing": 1,
    }
    assert next(iter(summary.study_reasons)) == "no label has the study's id"
    assert summary.label_reasons["no study has the label's id"] == 1
    assert summary.by_site.loc["A"].to_dict() == {"cn": 1, "ad": 2}
    assert summary.by_site.loc["B"].to_dict() == {"cn": 1, "ad": 0}
    assert summary.by_site.loc["unknown"].to_dict() == {"cn": 1, "ad": 0}


def test_a_summary_of_numbers_gives_their_range_by_site(studies: Studies, table: Table) -> None:
    labels = table("a.csv", ["id,age,site", "1,20,A", "2,40,A", "3,60,B"])
    summary = summarize(join(studies("sub-1", "sub-2", "sub-3"), LabelRequest((labels,), task="brain-age")))
    assert summary.classes == {}
    assert summary.target_range == (20, 40, 60)
    assert summary.by_site.loc["A"].to_dict() == {"n": 2, "min": 20, "mean": 30, "max": 40}
