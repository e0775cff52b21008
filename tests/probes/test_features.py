"""Features from an embeddings file."""

import logging

import h5py
import numpy as np
import pandas as pd
import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.errors import UsageError
from prima_features.probes import Features, features

NAMES = (("T1w", "T2w"), ("T1w post", "FLAIR", "t1w"), ("FLAIR",))
"""Series of three studies."""


def study(i):
    series = tuple(
        EmbeddedSeries(name, "axial", "", 3, (4, 4, 4), (1.0, 1.0, 1.0), vector(i, j), None)
        for j, name in enumerate(NAMES[i])
    )
    return EmbeddedStudy(
        id=f"sub-{i}",
        subject=str(i),
        session="",
        description="MRI BRAIN",
        source="",
        embedding=np.full(6, i, np.float32),
        clip=np.ones(2, np.float32),
        series=series,
    )


def vector(i, j):
    return np.random.default_rng(10 * i + j).normal(size=4).astype(np.float32)


@pytest.fixture
def embeddings(tmp_path):
    path = tmp_path / "out.h5"
    write_embeddings(path, map(study, range(3)), Provenance("tiny", "r1", "ab" * 32, {}))
    return Embeddings(path)


def test_study_vectors_come_with_their_source(embeddings):
    found = features(embeddings)
    np.testing.assert_array_equal(found.X, embeddings.study_embedding)
    assert found.X.dtype == np.float32
    assert found.rows.tolist() == [0, 1, 2]
    assert (found.source.model, found.source.model_revision) == ("tiny", "r1")
    assert found.source.model_sha256 == "ab" * 32
    assert found.source.level == "study"


def test_series_are_pooled_by_their_mean_study_by_study(embeddings):
    found = features(embeddings, "series")
    expected = [np.mean([vector(i, j) for j in range(len(names))], axis=0) for i, names in enumerate(NAMES)]
    np.testing.assert_allclose(found.X, expected, atol=1e-7)
    assert found.rows.tolist() == [0, 1, 2]


def test_a_pattern_pools_the_series_it_is_found_in_and_leaves_other_studies_out(embeddings):
    found = features(embeddings, "series", "^t1w")
    assert found.rows.tolist() == [0, 1]
    np.testing.assert_allclose(found.X[0], vector(0, 0), atol=1e-7)
    np.testing.assert_allclose(found.X[1], (vector(1, 0) + vector(1, 2)) / 2, atol=1e-7)
    assert found.source.series == "^t1w"
    assert features(embeddings, "series", "^t1w$").rows.tolist() == [0, 1]
    assert features(embeddings, "series", "flair").rows.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("level", "pattern", "said"),
    [
        ("series", "DWI", "no series has a name that matches 'DWI': there are FLAIR, T1w"),
        ("series", "(", "not a regular expression"),
        ("study", "T1", "needs --level series"),
    ],
)
def test_patterns_that_cannot_be_used_are_refused(embeddings, level, pattern, said):
    with pytest.raises(UsageError) as caught:
        features(embeddings, level, pattern)
    assert said in str(caught.value)


@pytest.mark.parametrize("level", ["study", "series"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(embeddings, level, bad):
    with h5py.File(embeddings.path, "r+") as file:
        file[f"{level}/embedding"][1, 2] = bad
    with pytest.raises(UsageError, match="contains NaN or infinity"):
        features(Embeddings(embeddings.path), level)


def test_labels_find_their_features_by_the_study_row(embeddings, caplog):
    frame = pd.DataFrame({"row": [2, 0], "target": ["x", "y"]})
    found, kept = features(embeddings).aligned(frame)
    assert found.X[:, 0].tolist() == [2, 0]
    assert found.rows.tolist() == [2, 0]
    assert kept["target"].tolist() == ["x", "y"]
    with caplog.at_level(logging.WARNING):
        found, kept = features(embeddings, "series", "T1w").aligned(frame)
    assert kept["target"].tolist() == ["y"]
    assert "1 of 2 labelled studies" in caplog.text
    np.testing.assert_allclose(found.X[0], vector(0, 0), atol=1e-7)


def test_labels_of_studies_without_such_a_series_are_refused(embeddings):
    with pytest.raises(UsageError, match="none of the 1 labelled studies has series whose name matches"):
        features(embeddings, "series", "T2w").aligned(pd.DataFrame({"row": [2]}))


def test_a_plain_matrix_is_features_row_by_row():
    found = Features.of(np.eye(3))
    assert found.rows.tolist() == [0, 1, 2]
    assert found.source.model_sha256 == ""
