"""How studies lie to each other: as a plain computation with all pairs in memory says."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.decomposition import PCA

from prima_features.embedding.report import arrangement
from prima_features.embedding.report.arrangement import Arrangement, arrange_vectors


def arranged(vectors: np.ndarray) -> Arrangement:
    def blocks() -> Iterator[np.ndarray]:
        yield from (vectors[first : first + 37] for first in range(0, len(vectors), 37))

    return arrange_vectors(blocks, len(vectors), vectors.shape[1])


def cloud(n: int, width: int) -> np.ndarray:
    random = np.random.default_rng(0)
    scale = 1 / np.arange(1, 7)
    return (
        20
        + random.normal(size=(n, 6)) * scale @ random.normal(size=(6, width))
        + 0.1 * random.normal(size=(n, width))
    ).astype(np.float32)


def cosines(vectors: np.ndarray) -> np.ndarray:
    less = vectors - vectors.mean(axis=0, dtype=np.float64)
    unit = less / np.linalg.norm(less, axis=1, keepdims=True)
    return unit @ unit.T - 2 * np.eye(len(vectors))


@pytest.mark.parametrize("width", [12, 3000])
def test_the_map_is_the_pca(width: int) -> None:
    vectors = cloud(150, width)
    found, pca = arranged(vectors), PCA(2, svd_solver="full").fit(vectors)
    expected = pca.transform(vectors)
    assert np.abs(found.points) == pytest.approx(np.abs(expected), abs=float(0.01 * np.abs(expected).max()))
    assert found.share == pytest.approx(tuple(pca.explained_variance_ratio_), abs=5e-3)


def test_the_nearest_study_is_that_of_the_largest_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrangement, "_BLOCK", 4 * 150 * 11)  # eleven rows at a time
    vectors = cloud(150, 40)
    found, expected = arranged(vectors), cosines(vectors)
    assert found.nearest.tolist() == expected.argmax(axis=1).tolist()
    assert found.similarity == pytest.approx(expected.max(axis=1), abs=1e-4)


@pytest.mark.parametrize("width", [40, 3000])
def test_near_duplicates_are_all_pairs_above_the_threshold(width: int) -> None:
    vectors = cloud(150, width)
    vectors[100] = vectors[3]
    vectors[140] = vectors[3] + 1e-3
    found, expected = arranged(vectors), cosines(vectors)
    wanted = {(i, j) for i, j in np.argwhere(np.triu(expected) >= arrangement.DUPLICATE).tolist()}
    assert {(3, 100), (3, 140), (100, 140)} <= {(i, j) for i, j, _ in found.pairs}
    if width == 40:  # where no projection is between
        assert {(i, j) for i, j, _ in found.pairs} == wanted
    assert found.n_pairs == len(found.pairs)
    values = [cosine for _, _, cosine in found.pairs]
    assert values == sorted(values, reverse=True)


def test_a_study_far_from_all_others_is_an_outlier_and_none_is_in_a_cloud() -> None:
    vectors = cloud(200, 64)
    assert arranged(vectors).outliers.size == 0
    vectors[[20, 50]] += np.random.default_rng(1).normal(size=(2, 64)) * [[3], [6]]
    assert arranged(vectors).outliers.tolist() == [50, 20]


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_few_studies_are_told_no_more_than_there_is(n: int) -> None:
    found = arranged(cloud(n, 8))
    assert found.points.shape == (n, 2)
    assert found.outliers.size == 0 and np.isnan(found.isolation).all()
    assert (found.nearest >= 0).all() == (n > 1 or n == 0)


@pytest.mark.parametrize("n", [2, 40])
def test_equal_vectors_are_near_duplicates(n: int) -> None:
    found = arranged(np.full((n, 8), 0.3, np.float32))
    assert found.n_pairs == n * (n - 1) // 2
    assert found.pairs[0][2] == pytest.approx(1)
    assert found.outliers.size == 0


def test_vectors_that_are_no_numbers_do_no_harm() -> None:
    from prima_features.embedding.report.arrangement import arrange

    class File:
        n_studies = 30
        vectors = cloud(30, 8)

        def width(self, name: str) -> int:
            return 8

        def blocks(self, name: str, n_rows: int) -> Iterator[np.ndarray]:
            yield self.vectors

    File.vectors[4, 2], File.vectors[9, 1] = np.nan, np.inf
    found = arrange(File())
    assert np.isfinite(found.points).all() and np.isfinite(found.similarity).all()


def test_all_similarities_are_never_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrangement, "_BLOCK", 4 << 20)
    vectors = cloud(4_000, 16)
    tracemalloc.start()
    arranged(vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000**2 * 4 / 2


def test_many_studies_are_measured_by_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = cloud(400, 3000)
    vectors[[20, 50]] += 2 * np.random.default_rng(1).normal(size=(2, 3000))
    vectors[301] = vectors[300]
    monkeypatch.setattr(arrangement, "_MANY", 100)
    monkeypatch.setattr(arrangement, "_DRAWN", 200)
    found = arranged(vectors)
    assert set(found.outliers.tolist()) == {20, 50}
    assert (300, 301) in {(i, j) for i, j, _ in found.pairs}
    expected = PCA(2, svd_solver="full").fit_transform(vectors)
    assert np.abs(found.points) == pytest.approx(np.abs(expected), abs=float(0.02 * np.abs(expected).max()))


def test_of_more_studies_than_are_compared_each_is_compared_with_those_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = cloud(200, 40)
    monkeypatch.setattr(arrangement, "MOST_COMPARED", 60)
    drawn = arrangement._drawn(200, 60)
    others = np.setdiff1d(np.arange(200), drawn)
    vectors[drawn[5]] = vectors[drawn[4]]  # found once, although seen from both
    vectors[others[0]] = vectors[drawn[30]]  # found, whichever row is first
    vectors[others[1]] = vectors[drawn[1]]
    vectors[others[8]] = vectors[others[9]]  # not found
    found, expected = arranged(vectors), cosines(vectors)
    assert found.nearest.tolist() == drawn[expected[:, drawn].argmax(axis=1)].tolist()
    assert found.similarity == pytest.approx(expected[:, drawn].max(axis=1), abs=1e-4)
    wanted = {
        (i, j)
        for i, j in np.argwhere(np.triu(expected) >= arrangement.DUPLICATE).tolist()
        if {i, j} & set(drawn.tolist())
    }
    assert len(wanted) >= 3 and (others[8], others[9]) not in wanted
    assert {(i, j) for i, j, _ in found.pairs} == wanted
    assert found.n_pairs == len(found.pairs) == len(wanted)
