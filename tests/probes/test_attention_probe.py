"""Attention pooling from bags to the saved probe: a signal in one series is found, none in noise."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.errors import UsageError
from prima_features.probes import Features, FeatureSource, Probe, Recipe, runs, tasks
from prima_features.probes.bags import Bags
from prima_features.probes.evaluation import Evaluation, EvaluationPlan, Scheme
from prima_features.probes.evaluation.attention import MOST_TOKENS, shares
from prima_features.probes.labels import LabelRequest
from prima_features.probes.persistence import Extras
from prima_features.probes.report.content import PageContent
from prima_features.probes.report.methods import methods_text, references
from prima_features.probes.report.page import page

NAMES = np.array(["T1w", "T2w", "FLAIR", "DWI", "SWI"], dtype=object)
TASK = tasks.custom("group", ("control", "case"))
RECIPE = Recipe(
    "attention", {"alphas": [10.0], "steps": [0, 80], "components": 16, "width": 8}, inner_folds=3
)
PLAN = EvaluationPlan(Scheme(outer_folds=3, inner_folds=3), n_bootstrap=200)
SOURCE = FeatureSource("tiny", "1", "0" * 64, level="series")


def cohort(
    signal: float = 2.5, n: int = 150, seed: int = 0, tokens: int = 0
) -> tuple[Features, pd.DataFrame]:
    """Studies of five series in a random order, of which the FLAIR has a signal; or of so many tokens each."""
    rng = np.random.default_rng(seed)
    width, per_series = 12, tokens or 1
    kinds = 2 * np.random.default_rng(1).normal(size=(5, width))
    case = rng.integers(0, 2, n)
    kind = np.concatenate([np.repeat(rng.permutation(5), per_series) for _ in range(n)])
    study = np.repeat(np.arange(n), 5 * per_series)
    values = rng.normal(size=(len(study), width)) + kinds[kind]
    values[:, 0] += np.where(kind == 2, signal * (case[study] - 0.5), 0)
    columns = {"series": np.tile(np.repeat(np.arange(5), per_series), n), "name": NAMES[kind]}
    if tokens:
        columns |= {axis: np.tile(np.arange(per_series) * 16, 5 * n) for axis in "zyx"}
    bags, rows = Bags.of(values.astype(np.float32), study, columns)
    frame = pd.DataFrame(
        {
            "study": [f"sub-{i:03d}" for i in range(n)],
            "target": np.array(TASK.classes, dtype=object)[case],
            "age": rng.normal(55, 10, n),
            "sex": np.where(rng.random(n) < 0.5, "M", "F"),
            "site": np.where(rng.random(n) < 0.5, "A", "B"),
        }
    )
    source = replace(SOURCE, level="token") if tokens else SOURCE
    return Features(bags.means(), rows, source, bags), frame


@cache
def evaluated(signal: float = 2.5, tokens: int = 0) -> tuple[Evaluation, Probe]:
    features, frame = cohort(signal, n=60 if tokens else 150, tokens=tokens)
    probe = Probe(TASK, RECIPE)
    return probe.cross_validate(features, frame, PLAN), probe.fit(features, frame)


def shown(evaluation: Evaluation, probe: Probe) -> PageContent:
    return PageContent(evaluation, probe.fitted.training, n_bootstrap=200)


def test_a_signal_in_one_series_is_found_better_than_by_the_mean() -> None:
    evaluation, _ = evaluated()
    attention = evaluation.attention
    assert attention.over_mean.ci_low > 0
    assert attention.mean["auroc"].value < evaluation.metrics["auroc"].value
    ratios = {name: one.mean / one.equal for name, one in attention.sequences.items()}
    assert max(ratios, key=ratios.get) == "flair"
    assert ratios["flair"] > 1.5
    assert attention.used < 0.9


def test_without_a_signal_nothing_is_found() -> None:
    evaluation, _ = evaluated(0.0)
    auroc, difference = evaluation.metrics["auroc"], evaluation.attention.over_mean
    assert auroc.ci_low < 0.5 < auroc.ci_high
    assert difference.ci_low <= 0 <= difference.ci_high


def test_weights_of_each_study_are_out_of_fold_and_sum_to_one() -> None:
    evaluation, _ = evaluated()
    table = evaluation.attention.table
    assert list(table) == [
        "study",
        "subject",
        "fold",
        "series",
        "name",
        "sequence",
        "weight",
        "relative_weight",
    ]
    assert len(table) == 150 * 5
    np.testing.assert_allclose(table.groupby("study")["weight"].sum(), 1)
    folds = evaluation.predictions.set_index("study")["fold"]
    assert (table["fold"].to_numpy() == folds[table["study"]].to_numpy()).all()
    features, _ = cohort()
    assert (table["name"] == features.bags.columns["name"]).all()


def test_the_order_of_studies_in_the_file_changes_no_prediction() -> None:
    features, frame = cohort(n=60)
    order = np.random.default_rng(3).permutation(60)
    plan = replace(PLAN, n_bootstrap=0, site_check=False)
    moved = Features(features.X[order], features.rows, features.source, features.bags.take(order))
    one = Probe(TASK, RECIPE).cross_validate(features, frame, plan)
    two = Probe(TASK, RECIPE).cross_validate(moved, frame.iloc[order].reset_index(drop=True), plan)
    first, second = (each.predictions.set_index("study")["prediction"] for each in (one, two))
    np.testing.assert_allclose(first[second.index], second, atol=1e-9)


def test_the_permutation_test_and_the_learning_curve_pool_too() -> None:
    from prima_features.probes.evaluation import learning_curve
    from prima_features.probes.samples import samples

    features, frame = cohort(n=60)
    plan = replace(PLAN, n_bootstrap=0, n_permutations=1, site_check=False)
    evaluation = Probe(TASK, RECIPE).cross_validate(features, frame, plan)
    assert evaluation.permutation.n_permutations == 1
    given = samples(features.X, frame, TASK, features.bags)
    curve = learning_curve(given, RECIPE, evaluation.splits, (0.7, 1.0), 0)
    assert len(curve.points) == 2


@pytest.mark.parametrize("tokens", [0, 24])
def test_a_saved_probe_predicts_and_weighs_the_same(tmp_path: Path, tokens: int) -> None:
    features, frame = cohort(n=40, tokens=tokens)
    evaluation, probe = evaluated(tokens=tokens)
    folder = probe.save(tmp_path / "probe", Extras(evaluation))
    again = Probe.load(folder)
    expected, found = probe.predict(features, frame), again.predict(features, frame)
    pd.testing.assert_frame_equal(found.table, expected.table, check_exact=True)
    pd.testing.assert_frame_equal(found.attention, expected.attention, check_exact=True)
    saved = pd.read_csv(folder / "attention.tsv", sep="\t")
    assert list(saved) == list(evaluation.attention.table)
    assert len(saved) == len(evaluation.attention.table)


def test_the_largest_weights_of_many_tokens_are_kept() -> None:
    evaluation, _ = evaluated(tokens=24)
    table = evaluation.attention.table
    assert set("zyx") <= set(table)
    assert (table.groupby("study").size() == MOST_TOKENS).all()
    assert (table.groupby("study")["weight"].sum() <= 1 + 1e-9).all()
    name, place = next(iter(evaluation.attention.places))
    assert name == "flair"
    assert place.count(" / ") == 2


@pytest.mark.parametrize("tokens", [0, 24])
def test_the_page_shows_weights_and_the_comparison(tokens: int) -> None:
    evaluation, probe = evaluated(tokens=tokens)
    text = page(shown(evaluation, probe))
    assert "Attention weights</h2>" in text
    assert ("attention is better" in text) == (not tokens)
    assert "FLAIR" in text
    assert ("Places with the largest weights" in text) == bool(tokens)


@pytest.mark.parametrize("tokens", [0, 24])
def test_the_methods_text_describes_pooling_and_cites_it(tokens: int) -> None:
    evaluation, probe = evaluated(tokens=tokens)
    text = methods_text(shown(evaluation, probe))
    part = "tokens" if tokens else "series"
    assert (
        f"gated attention pooling (Ilse et al. 2018) over each study's {part}: weights from 8 gates" in text
    )
    assert "a number of steps of 0 or 80 and an L2 penalty of 10" in text
    assert "which the probe pooled for each study" in text
    assert f"With the mean of the {part} instead of attention" in text
    for key in ("attention", "adam"):
        assert references()[key].full in text


def test_another_cohort_is_evaluated_with_its_weights() -> None:
    _, probe = evaluated()
    evaluation = probe.evaluate(*cohort(n=60, seed=9), n_bootstrap=50)
    assert evaluation.attention.over_mean is None
    assert len(evaluation.attention.table) == 300
    assert "Attention weights</h2>" in page(shown(evaluation, probe))


def test_study_vectors_are_refused() -> None:
    features, frame = cohort(n=40)
    with pytest.raises(UsageError, match="give --level series or --level token"):
        Probe(TASK, RECIPE).fit(Features.of(features.X), frame)
    _, probe = evaluated()
    with pytest.raises(UsageError, match="bags=True"):
        probe.predict(replace(features, bags=None), frame)


@pytest.mark.parametrize("task", ["survival", "mrs", "nihss"])
def test_other_kinds_of_targets_are_refused_in_a_sentence(task: str) -> None:
    with pytest.raises(UsageError, match="the estimator attention cannot predict"):
        Probe(task, Recipe("attention"))


@pytest.mark.parametrize("step", [{"harmonize": "combat"}, {"confounds": ("age",)}])
def test_harmonisation_and_confounds_are_applied_to_each_vector(step: dict[str, object]) -> None:
    features, frame = cohort()
    evaluation = Probe(TASK, replace(RECIPE, **step)).cross_validate(features, frame, PLAN)
    assert evaluation.metrics["auroc"].ci_low > 0.5


def test_shares_follow_the_numbers_of_vectors() -> None:
    found = shares(np.array([0, 0, 0, 1]), np.array(["a", "a", "b", "b"]), np.array([0.2, 0.2, 0.6, 1.0]))
    assert (found["a"].n_studies, found["a"].mean, found["a"].equal) == (1, 0.4, 2 / 3)
    assert found["b"].mean == 0.8


def test_names_are_shown_as_kinds_of_sequences_and_not_themselves() -> None:
    features, frame = cohort(n=60)
    names = features.bags.columns["name"].copy()
    names[0] = "FLAIR of someone"
    bags = replace(features.bags, columns=dict(features.bags.columns) | {"name": names})
    plan = replace(PLAN, n_bootstrap=0, site_check=False)
    evaluation = Probe(TASK, RECIPE).cross_validate(replace(features, bags=bags), frame, plan)
    assert set(evaluation.attention.sequences) == {"t1", "t2", "flair", "dwi", "swi"}
    assert "FLAIR of someone" in set(evaluation.attention.table["name"])
    assert "of someone" not in page(PageContent(evaluation))


def test_vectors_without_names_are_weighed_too() -> None:
    features, frame = cohort(n=40)
    probe = Probe(TASK, RECIPE).fit(*cohort())
    found = probe.predict(replace(features, bags=replace(features.bags, columns={})), frame)
    assert (found.attention["series"].to_numpy().reshape(40, 5) == np.arange(5)).all()
    assert set(found.attention["sequence"]) == {"other"}


def test_files_are_fitted_and_predicted_with_their_weights(tmp_path: Path) -> None:
    features, frame = cohort(n=40)
    file, labels, output = tmp_path / "out.h5", tmp_path / "labels.tsv", tmp_path / "new.tsv"
    write_embeddings(file, (embedded(features, i) for i in range(40)), Provenance("tiny", "1", "ab" * 32, {}))
    frame.rename(columns={"study": "participant_id"}).to_csv(labels, sep="\t", index=False)
    request = LabelRequest((labels,), task="custom", target_column="target", positive=("case",))
    recipe = Recipe("attention", {"alphas": [10.0], "steps": [5], "components": 4, "width": 2}, inner_folds=2)
    plan = EvaluationPlan(Scheme(outer_folds=2, inner_folds=2), n_bootstrap=0, site_check=False)
    options = runs.FitOptions(recipe, plan, learning_curve=False)
    made = runs.fit(runs.Sources(file, request, "series"), tmp_path / "probe", options)
    assert len(pd.read_csv(made.folder / "attention.tsv", sep="\t")) == 200
    for _ in range(2):  # its own tables are replaced
        predicted = runs.predict(made.folder, file, output=output)
    saved = pd.read_csv(tmp_path / "new.attention.tsv", sep="\t")
    np.testing.assert_allclose(saved["weight"], predicted.attention["weight"])
    (tmp_path / "new.attention.tsv").write_text("notes\n")
    with pytest.raises(UsageError, match=r"new\.attention\.tsv"):
        runs.predict(made.folder, file, output=output)
    with pytest.raises(UsageError, match="give --level series or --level token"):
        runs.rehearse(runs.Sources(file, request), options=options)


def embedded(features: Features, i: int) -> EmbeddedStudy:
    own = features.bags.take(np.array([i]))
    series = tuple(
        EmbeddedSeries(
            features.bags.columns["name"][row], "axial", "", 3, (4, 4, 4), (1.0, 1.0, 1.0), vector, None
        )
        for row, vector in zip(own.index, features.bags.values[own.index], strict=True)
    )
    name = f"sub-{i:03d}"
    return EmbeddedStudy(name, f"{i:03d}", "", "MRI BRAIN", "", features.X[i], np.ones(2, np.float32), series)
