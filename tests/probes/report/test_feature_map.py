import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from prima_features.probes import tasks
from prima_features.probes.report import feature_map
from prima_features.probes.report.feature_map import MAX_ROWS
from prima_features.probes.tasks import Task


def made(n: int, width: int) -> tuple[np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(n, 3)) @ rng.normal(size=(3, width)) + rng.normal(size=(n, width))).astype("f4")
    frame = pd.DataFrame(
        {"target": np.resize(["control", "autism"], n), "site": np.resize(["A", None, "B"], n)}
    )
    return X, frame


def test_the_map_is_the_pca_of_standardised_features() -> None:
    X, frame = made(200, 12)
    found = feature_map(X, frame, tasks.get("autism"))
    pca = PCA(2).fit(StandardScaler().fit_transform(X))
    expected = pca.transform(StandardScaler().fit_transform(X))
    assert np.abs(found.points) == pytest.approx(np.abs(expected), abs=1e-3)
    assert found.share == pytest.approx(tuple(pca.explained_variance_ratio_), abs=1e-4)


def test_labels_and_sites_belong_to_their_points() -> None:
    X, frame = made(9, 4)
    found = feature_map(X, frame, tasks.get("autism"))
    assert found.label.tolist() == frame["target"].tolist()
    assert found.site.tolist() == ["A", "", "B"] * 3


def test_many_studies_are_thinned_the_same_way_each_time() -> None:
    X, frame = made(MAX_ROWS + 500, 4)
    frame["target"] = np.arange(len(frame), dtype=float)
    task = Task("row", "its own number")
    first, again, other = (feature_map(X, frame, task, seed) for seed in (0, 0, 1))
    assert len(first.points) == MAX_ROWS == len(set(first.label))
    assert np.array_equal(first.label, again.label)
    assert not np.array_equal(first.label, other.label)


@pytest.mark.parametrize("width", [1, 2])
def test_narrow_features_have_a_map_too(width: int) -> None:
    X, frame = made(30, width)
    found = feature_map(X, frame, tasks.get("autism"))
    assert found.points.shape == (30, 2)
    assert sum(found.share) == pytest.approx(1, abs=1e-4)


def test_equal_features_lie_on_one_point() -> None:
    _, frame = made(6, 3)
    found = feature_map(np.ones((6, 3), dtype=np.float32), frame.drop(columns="site"), tasks.get("autism"))
    assert not found.points.any()
    assert found.share == (0, 0)
    assert set(found.site) == {""}
