"""Vectors of series and tokens, study by study."""

import numpy as np
import pytest

from prima_features.embedding.file.read import Embeddings
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.encoders.base import Tokens
from prima_features.errors import UsageError
from prima_features.probes import features
from prima_features.probes.bags import Bags
from prima_features.probes.estimators import RowMetadata
from prima_features.probes.estimators.base import _adjusted
from prima_features.probes.linalg.rows import Rows
from prima_features.probes.steps.adjust import ComBat, Residualizer

NAMES = (("T1w", "T2w"), ("FLAIR",), ("T1w", "FLAIR", "T1w"))


def tokens(i: int, j: int) -> Tokens:
    rng = np.random.default_rng(100 + 10 * i + j)
    n = 2 + i + j
    return Tokens(rng.normal(size=(n, 5)).astype(np.float16), rng.integers(0, 9, (n, 3)).astype(np.int16))


def vector(i: int, j: int) -> np.ndarray:
    return np.random.default_rng(10 * i + j).normal(size=4).astype(np.float32)


def study(i: int) -> EmbeddedStudy:
    series = tuple(
        EmbeddedSeries(name, "axial", "", 3, (4, 4, 4), (1.0, 1.0, 1.0), vector(i, j), tokens(i, j))
        for j, name in enumerate(NAMES[i])
    )
    empty = np.full(6, i, np.float32)
    return EmbeddedStudy(f"sub-{i}", str(i), "", "MRI BRAIN", "", empty, np.ones(2, np.float32), series)


@pytest.fixture
def embeddings(tmp_path):
    path = tmp_path / "out.h5"
    write_embeddings(path, map(study, range(3)), Provenance("tiny", "r1", "ab" * 32, {}))
    return Embeddings(path)


def test_a_bag_has_the_vectors_of_the_series_of_its_study(embeddings):
    bags = features(embeddings, "series", bags=True).bags
    assert bags.sizes.tolist() == [2, 1, 3]
    for i, names in enumerate(NAMES):
        own = bags.take(np.array([i]))
        assert np.array_equal(bags.values[own.index], [vector(i, j) for j in range(len(names))])
        assert tuple(bags.columns["name"][own.index]) == names
        assert bags.columns["series"][own.index].tolist() == list(range(len(names)))


def test_a_bag_of_tokens_has_those_of_the_chosen_series_with_their_places(embeddings):
    found = features(embeddings, "token", "T1w", bags=True)
    assert found.rows.tolist() == [0, 2]
    bags = found.bags
    assert bags.sizes.tolist() == [2, 4 + 6]
    last = bags.take(np.array([1]))
    expected = [tokens(2, 0), tokens(2, 2)]
    assert np.array_equal(bags.values[last.index], np.concatenate([one.embedding for one in expected]))
    places = np.column_stack([bags.columns[name][last.index] for name in "zyx"])
    assert np.array_equal(places, np.concatenate([one.coord for one in expected]))
    assert bags.columns["series"][last.index].tolist() == [0] * 4 + [2] * 6


@pytest.mark.parametrize("pattern", ["", "T1w"])
@pytest.mark.parametrize("level", ["series", "token"])
def test_features_are_the_means_of_the_bags(embeddings, level, pattern):
    found, alone = features(embeddings, level, pattern, bags=True), features(embeddings, level, pattern)
    assert alone.bags is None
    assert np.array_equal(found.rows, alone.rows)
    np.testing.assert_allclose(found.X, alone.X, atol=1e-6)
    np.testing.assert_allclose(found.bags.means(), alone.X, atol=1e-6)


def test_bags_follow_the_labels(embeddings):
    import pandas as pd

    found, _ = features(embeddings, "series", bags=True).aligned(pd.DataFrame({"row": [2, 0]}))
    assert found.bags.sizes.tolist() == [3, 2]
    np.testing.assert_allclose(found.bags.means(), found.X, atol=1e-6)


def test_rows_that_are_not_in_order_of_studies_are_sorted():
    values = np.arange(10.0).reshape(5, 2)
    bags, rows = Bags.of(values, np.array([7, 3, 7, 3, 5]), {"series": np.arange(5)})
    assert rows.tolist() == [3, 5, 7]
    assert bags.columns["series"].tolist() == [1, 3, 4, 0, 2]
    assert bags.owner.tolist() == [0, 0, 1, 2, 2]
    assert np.array_equal(bags.values[bags.index], values[[1, 3, 4, 0, 2]])


def test_bags_without_vectors_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        Bags(np.ones((2, 3)), np.array([0, 1]), np.array([1, 1]))


def test_study_vectors_have_no_bags(embeddings):
    with pytest.raises(UsageError, match="give --level series or --level token"):
        features(embeddings, "study", bags=True)


def test_a_file_without_tokens_is_refused(tmp_path):
    def bare(i):
        series = EmbeddedSeries("T1w", "axial", "", 3, (4, 4, 4), (1.0, 1.0, 1.0), vector(i, 0), None)
        empty = np.full(6, i, np.float32)
        return EmbeddedStudy(f"sub-{i}", str(i), "", "", "", empty, np.ones(2, np.float32), (series,))

    path = tmp_path / "bare.h5"
    write_embeddings(path, map(bare, range(2)), Provenance("tiny", "r1", "ab" * 32, {}))
    with pytest.raises(UsageError, match="contains no tokens: run prima embed with --level token"):
        features(Embeddings(path), "token")


@pytest.mark.parametrize("adjust", [ComBat(), Residualizer()])
def test_adjusted_vectors_have_the_adjusted_means(adjust):
    rng = np.random.default_rng(0)
    bags, _ = Bags.of(rng.normal(size=(60, 4)).astype(np.float32), np.repeat(np.arange(20), 3))
    X, covariates = bags.means(), rng.normal(size=(20, 1))
    metadata = RowMetadata(np.arange(20), np.array(["A", "B"])[np.arange(20) % 2], covariates)
    adjust.fit(X, metadata.sites, covariates)
    rows = np.array([5, 2, 11])
    found = _adjusted(adjust, Rows(X, rows, bags), metadata.take(rows))
    np.testing.assert_allclose(found.bags.means(), found.X, atol=1e-5)
