"""Sites and groups of each encoder, and the metric of the OpenBHB challenge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV

from prima_features.bench import TaskRequest, bench
from prima_features.bench.measure import compare
from prima_features.bench.sites import sites
from prima_features.probes import tasks
from prima_features.probes.evaluation import draw
from prima_features.probes.labels import LabelRequest
from prima_features.probes.samples import Samples, samples
from tests.bench.conftest import QUICK, Cohort

MakeCohort = Callable[..., Cohort]
ALL = replace(QUICK, site_check=True, probes=("linear",), n_bootstrap=100)


def test_an_encoder_that_shows_the_site_is_found_and_does_worse_at_new_sites(make_cohort: MakeCohort) -> None:
    cohort = make_cohort(n=120)
    files = {"plain": cohort.encoder("plain", 0.3), "scanner": cohort.encoder("scanner", 0.3, site_shift=3.0)}
    found = bench(files, None, [TaskRequest("brain-age")], LabelRequest((cohort.labels,)), ALL)
    one = found.tasks["brain-age"].sites
    assert one.decodability["scanner"].balanced_accuracy.value > 0.95
    assert one.decodability["plain"].balanced_accuracy.value < 0.7
    assert one.left_out is not None and set(one.left_out.encoders) == {"plain", "scanner"}
    assert one.openbhb["scanner"].score > one.openbhb["plain"].score
    assert not one.openbhb["plain"].official_split
    plain = one.openbhb["plain"]
    accuracy = one.decodability["plain"].balanced_accuracy.value
    assert plain.score == pytest.approx(one.left_out.encoders["plain"]["mae"].value * accuracy**0.3)
    document = found.document["tasks"]["brain-age"]
    assert document["openbhb"]["plain"]["score"]["value"] == plain.score
    assert {"openbhb", "site", "worst group", "leave site out"} <= set(found.table()["part"])


def test_sites_that_cannot_be_left_out_are_reported_with_the_reason(make_cohort: MakeCohort) -> None:
    cohort = make_cohort()
    table = pd.read_csv(cohort.labels, sep="\t").drop(columns="site")
    table.to_csv(cohort.labels, sep="\t", index=False)
    found = bench(
        {"A": cohort.encoder("a", 0.5)}, None, [TaskRequest("brain-age")], LabelRequest((cohort.labels,)), ALL
    ).tasks["brain-age"]
    assert found.sites.left_out is None and found.sites.openbhb == {}
    assert "at least two sites" in found.to_dict()["leave_site_out_impossible"]


def planted(n: int = 240) -> Samples:
    """Ages with the challenge's own split; external sites are in no other set."""
    rng = np.random.default_rng(1)
    age = rng.uniform(10, 80, n)
    split = np.repeat(["train", "internal_test", "external_test"], [n // 2, n // 4, n // 4])
    site = np.where(split == "external_test", "9", (np.arange(n) % 3).astype(str))
    X = rng.normal(size=(n, 5))
    X[:, 0] += age / 10
    X[:, 1] += 2 * site.astype(float)
    frame = pd.DataFrame({"study": np.arange(n).astype(str), "target": age, "site": site, "split": split})
    return samples(X, frame, tasks.get("brain-age"))


def test_the_challenge_is_scored_on_its_own_sets_if_the_table_has_them() -> None:
    given = planted()
    main = compare({"A": given}, ALL, "linear", draw(given, ALL.scheme))
    found = sites({"A": given}, main, ALL).openbhb["A"]
    assert found.official_split
    train, external = (given.frame["split"].to_numpy() == name for name in ("train", "external_test"))
    mean, scale = given.X[train].mean(axis=0), given.X[train].std(axis=0)
    scaled = (given.X - mean) / scale
    ridge = RidgeCV(alphas=(0.01, 0.1, 1, 10, 100)).fit(scaled[train], given.y[train])
    expected = np.abs(ridge.predict(scaled[external]) - given.y[external]).mean()
    assert found.external_mae.value == pytest.approx(expected, rel=0.02)
    assert found.internal_mae.value < found.external_mae.value
    assert found.site_balanced_accuracy.value > 0.6
    assert found.score == pytest.approx(found.external_mae.value * found.site_balanced_accuracy.value**0.3)


def test_the_worst_group_is_the_one_with_planted_errors() -> None:
    given = planted()
    rng = np.random.default_rng(2)
    frame = given.frame.assign(sex=np.where(np.arange(len(given)) % 2, "F", "M"))
    X = given.X.copy()
    X[frame["sex"] == "F", 0] += rng.normal(scale=6, size=int((frame["sex"] == "F").sum()))
    given = Samples(given.task, X, given.y, frame.assign(site="", split=""))
    main = compare({"A": given}, ALL, "linear", draw(given, ALL.scheme))
    found = sites({"A": given}, main, replace(ALL, site_check=False)).worst["A"]
    assert (found.variable, found.level) in {("sex", "F")} or found.variable == "age_band"
    assert found.estimate.value > main.encoders["A"]["mae"].value
