"""Reliability on repeat scans: closed forms, planted effects, and what a table must name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prima_features.bench import bench
from prima_features.bench.reliability import reliability, variance_between
from prima_features.bench.repeats import Repeats, complete_block, from_table
from prima_features.errors import UsageError
from prima_features.evaluation.agreement import icc
from tests.bench.conftest import QUICK, write_vectors

SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
)
"""Six targets, four judges (Shrout and Fleiss 1979, table 2); ICC(2,1) is .29 there."""


def design(n: int, k: int) -> Repeats:
    """n subjects, each scanned once on each of k scanners."""
    subject, scanner = np.divmod(np.arange(n * k), k)
    nothing = np.full(n * k, "")
    return Repeats(np.arange(n * k), subject.astype(str), scanner.astype(str), nothing, scanner.astype(str))


def planted(
    n: int,
    k: int,
    width: int = 200,
    *,
    subject: float = 1.0,
    scanner: float = 0.0,
    noise: float = 0.5,
    seed: int = 0,
) -> np.ndarray:
    """(n k, width) vectors with these standard deviations of subject, scanner and noise."""
    rng = np.random.default_rng(seed)
    person, device = rng.normal(size=(n, 1, width)), rng.normal(size=(1, k, width))
    made = subject * person + scanner * device + noise * rng.normal(size=(n, k, width))
    return made.reshape(n * k, width)


def test_icc_is_that_of_the_published_example() -> None:
    assert icc(SHROUT_FLEISS[:, :, None].astype(float))[0] == pytest.approx(0.28976, abs=1e-5)


def test_icc_equals_the_mean_squares_written_out() -> None:
    values = np.random.default_rng(0).normal(size=(7, 3, 5)) + np.arange(7)[:, None, None]
    n, k, _ = values.shape
    mean = values.mean(axis=(0, 1))
    msr = k * ((values.mean(axis=1) - mean) ** 2).sum(axis=0) / (n - 1)
    msc = n * ((values.mean(axis=0) - mean) ** 2).sum(axis=0) / (k - 1)
    residual = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + mean
    mse = (residual**2).sum(axis=(0, 1)) / ((n - 1) * (k - 1))
    np.testing.assert_allclose(icc(values), (msr - mse) / (msr + (k - 1) * mse + k * (msc - mse) / n))


def test_planted_components_are_recovered() -> None:
    # Variances 4, 1 and 1: the subject has 4/6 of the variance and the scanner 1/6.
    X = planted(60, 8, subject=2.0, scanner=1.0, noise=1.0)
    one = reliability({"A": X}, design(60, 8), 100).encoders["A"].before.estimates
    assert one["icc"].value == pytest.approx(4 / 6, abs=0.03)
    assert one["scanner_variance"].value == pytest.approx(1 / 6, abs=0.03)
    assert one["icc_distance"].value == pytest.approx(4 / 6, abs=0.05)


def test_a_scanner_effect_is_found_and_combat_takes_it_out() -> None:
    plain, shifted = planted(30, 3, noise=1.0), planted(30, 3, scanner=2.0, noise=1.0)
    found = reliability({"plain": plain, "shifted": shifted}, design(30, 3), 50).encoders
    assert found["plain"].before.estimates["scanner_variance"].value < 0.02
    before, after = found["shifted"].before.estimates, found["shifted"].after
    assert before["scanner_variance"].value > 0.4
    assert after is not None and after.estimates["scanner_variance"].value < 0.02
    for name in ("icc", "icc_distance", "identification", "discriminability"):
        assert before[name].value < after.estimates[name].value
    assert after.estimates["icc"].value == pytest.approx(
        found["plain"].before.estimates["icc"].value, abs=0.05
    )


def test_perfect_and_random_vectors_are_at_the_ends() -> None:
    perfect, noise = planted(20, 2, noise=0.0), planted(20, 2, subject=0.0)
    made = reliability({"perfect": perfect, "noise": noise}, design(20, 2), 50)
    best = made.encoders["perfect"].before.estimates
    assert [best[name].value for name in ("icc", "icc_distance", "identification", "discriminability")] == (
        pytest.approx([1, 1, 1, 1])
    )
    worst = made.encoders["noise"].before.estimates
    assert worst["icc"].value == pytest.approx(0, abs=0.1)
    assert worst["discriminability"].value == pytest.approx(0.5, abs=0.05)
    assert made.chance == pytest.approx(1 / 39)
    assert worst["identification"].value < 0.2


def test_discriminability_and_identification_equal_loops() -> None:
    X, repeats = planted(8, 3, width=4, noise=1.0), design(8, 3)
    found = reliability({"A": X}, repeats, 0).encoders["A"].before.estimates
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    distance = np.linalg.norm(Z[:, None] - Z, axis=2)
    shares, hits = [], []
    for i, own in enumerate(repeats.subject):
        partners = [j for j in range(len(X)) if repeats.subject[j] == own and j != i]
        others = distance[i, repeats.subject != own]
        shares.append(np.mean([(others > distance[i, j]).mean() for j in partners]))
        hits.append(min(distance[i, partners]) < others.min())
    assert found["discriminability"].value == pytest.approx(np.mean(shares))
    assert found["identification"].value == pytest.approx(np.mean(hits))


def test_the_interval_of_the_icc_contains_the_truth_for_ten_travelling_heads() -> None:
    inside = []
    for seed in range(120):
        X = planted(10, 3, width=30, subject=2.0, noise=1.0, seed=seed)
        one = reliability({"A": X}, design(10, 3), 300, seed).encoders["A"].before.estimates["icc"]
        inside.append(one.ci_low <= 0.8 <= one.ci_high)
    assert np.mean(inside) >= 0.9


def test_the_block_leaves_out_what_makes_it_incomplete() -> None:
    subject = np.array(["a", "a", "a", "b", "b", "b", "c", "c", "d", "d"])
    scanner = np.array(["1", "2", "3", "1", "2", "3", "1", "2", "1", "1"])
    block = complete_block(subject, scanner)
    assert block.raters == ("1", "2") and block.rows.tolist() == [[0, 1], [3, 4], [6, 7]]
    more = complete_block(np.append(subject, ["c"]), np.append(scanner, ["3"]))
    assert more.raters == ("1", "2", "3") and more.rows.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 10]]


def test_variance_between_sites_is_unbiased_and_finds_shifts() -> None:
    rng = np.random.default_rng(0)
    site = np.repeat(["x", "y", "z"], 40)
    X = rng.normal(size=(120, 50))
    assert variance_between(X, site) < 0.01
    # Shifts of -1, 0 and 1 have the variance 2/3: 0.4 of the total.
    assert variance_between(X + (np.arange(120) // 40)[:, None], site) == pytest.approx(0.4, abs=0.03)
    assert np.isnan(variance_between(X, np.full(120, "x")))


@pytest.fixture
def heads(tmp_path: Path) -> dict[str, Path]:
    """Six travelling heads on three scanners, seen by two encoders, with their table."""
    ids = [(f"{i}", f"{j}") for i in range(6) for j in range(3)]
    table = pd.DataFrame(
        {
            "study": [f"sub-{i}_ses-{j}" for i, j in ids],
            "subject": [i for i, _ in ids],
            "scanner": [f"scanner {j}" for _, j in ids],
        }
    )
    table.to_csv(tmp_path / "repeats.tsv", sep="\t", index=False)
    return {
        "table": tmp_path / "repeats.tsv",
        "good": write_vectors(tmp_path / "good.h5", ids, planted(6, 3, width=20)),
        "bad": write_vectors(tmp_path / "bad.h5", ids, planted(6, 3, width=20, scanner=3.0)),
    }


def test_a_bench_can_be_of_reliability_alone(heads: dict[str, Path], tmp_path: Path) -> None:
    files = {name: heads[name] for name in ("good", "bad")}
    found = bench(files, tmp_path / "out", options=replace(QUICK, repeats_table=heads["table"]))
    document = found.document
    for name in files:
        one = document["reliability"][name]
        assert {"icc", "identification", "discriminability", "scanner_variance"} <= set(one)
        assert set(one["icc"]) == {"value", "ci_low", "ci_high"}
    values = [document["reliability"][name]["scanner_variance"]["value"] for name in files]
    assert values[0] < 0.1 < 0.5 < values[1]
    assert document["repeats"]["scanners"] == ["scanner 0", "scanner 1", "scanner 2"]
    assert {"reliability", "reliability after ComBat"} == set(found.table()["part"])


def test_sessions_are_repeats_only_if_asked_for(heads: dict[str, Path]) -> None:
    found = bench({"A": heads["good"]}, options=replace(QUICK, sessions_are_repeats=True))
    assert found.reliability is not None
    one = found.reliability.encoders["A"]
    assert one.after is None and "ComBat needs" in one.why_not
    assert found.document["repeats"]["block_raters"] == ["1", "2", "3"]
    assert one.before.estimates["icc"].value > 0.5


def test_errors_in_the_table_are_one_sentence(heads: dict[str, Path], tmp_path: Path) -> None:
    table = pd.read_csv(heads["table"], sep="\t", dtype=str)

    def refuse(changed: pd.DataFrame, sentence: str) -> None:
        changed.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
        options = replace(QUICK, repeats_table=tmp_path / "t.tsv")
        with pytest.raises(UsageError, match=sentence):
            bench({"A": heads["good"]}, options=options)

    refuse(table.drop(columns="scanner"), "has no column scanner: a table of repeat scans needs")
    refuse(pd.concat([table, table.head(1)]), "has several rows for the study sub-0_ses-0: give one")
    refuse(table.assign(scanner=""), "a row without subject or scanner")
    refuse(table.assign(subject=table["study"]), "fewer than two subjects with two scans")


def test_rows_of_unknown_studies_are_left_out_with_a_warning(heads: dict[str, Path]) -> None:
    more = heads["table"].read_text() + "sub-9_ses-0\t9\tscanner 0\n"
    heads["table"].write_text(more)
    studies = pd.DataFrame({"study": [f"sub-{i}_ses-{j}" for i in range(6) for j in range(3)]})
    found = from_table(heads["table"], studies)
    assert len(found.rows) == 18
    assert "1 row of repeats.tsv names a study that is not in all embeddings files" in found.warnings[0]
