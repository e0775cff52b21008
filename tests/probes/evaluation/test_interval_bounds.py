"""No interval is without width where a metric is at its end, and intervals contain the truth as often as they say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.stats import beta, binom, binomtest, norm

from prima_features.evaluation import bounds
from prima_features.evaluation.intervals import Bootstrap
from prima_features.probes import Recipe
from prima_features.probes.evaluation import Estimate, EvaluationPlan, Scheme, evaluate
from prima_features.probes.evaluation.scored import OutOfFold, by_variable, scored
from prima_features.probes.recipe import Outcome


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    """The script benchmarks/intervals.py."""
    path = Path(__file__).parents[3] / "benchmarks" / "intervals.py"
    spec = importlib.util.spec_from_file_location("intervals_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def of_classes(samples, probability, n_resamples=300):
    """Scored predictions of one repeat; (N, K) probabilities."""
    n = len(samples)
    outcome = Outcome(np.full(n, np.nan), probability, probability.argmax(axis=1), np.full(n, np.nan))
    return scored(samples, OutOfFold((outcome,), np.zeros((1, n), dtype=int), ()), n_resamples)


def perfect(samples, least=0.9):
    """Probabilities that separate the classes."""
    n_classes = len(samples.task.classes)
    other = (1 - least) / (n_classes - 1)
    return np.where(samples.y[:, None] == np.arange(n_classes), least, other)


@pytest.mark.parametrize("task", ["binary", "triple"])
@pytest.mark.parametrize("least", [0.9, 1.0])
def test_perfect_separation_has_an_interval(make_cohort, request, task, least):
    samples = make_cohort(request.getfixturevalue(task), 90).samples
    found = of_classes(samples, perfect(samples, least)).estimates()
    for name in ("auroc", "auprc", "balanced_accuracy"):
        assert found[name].value == found[name].ci_high == 1
        assert 0.6 < found[name].ci_low < 0.99, name
    if least == 1:
        assert found["brier"].value == found["brier"].ci_low == 0 < found["brier"].ci_high < 0.2
    assert found["prevalence"].ci_low == found["prevalence"].ci_high


def test_the_wrong_way_round_has_one_as_well(make_cohort, binary):
    samples = make_cohort(binary, 60).samples
    found = of_classes(samples, 1 - perfect(samples)).estimates()
    assert found["auroc"].value == found["auroc"].ci_low == 0 < found["auroc"].ci_high < 0.2


def test_more_subjects_narrow_it_and_repeated_scans_do_not(make_cohort, binary):
    low = {}
    for name, n, scans in (("few", 30, 1), ("many", 300, 1), ("scans", 30, 10)):
        samples = make_cohort(binary, n, scans=scans).samples
        low[name] = of_classes(samples, perfect(samples)).estimates()["auroc"].ci_low
    assert low["few"] < low["many"] - 0.03
    assert low["scans"] == pytest.approx(low["few"], abs=0.02)


def test_rates_of_groups_and_their_gap_at_perfect_separation(make_cohort, binary):
    samples = make_cohort(binary, 120, sites=("a", "b")).samples
    found = by_variable(of_classes(samples, perfect(samples)), samples.sites, "site")
    n_cases = int(((samples.y == 1) & (samples.sites == "a")).sum())
    sensitivity = found.levels["a"]["sensitivity"]
    assert sensitivity.ci_low == pytest.approx(0.025 ** (1 / n_cases)) and sensitivity.ci_high == 1
    for name in ("auroc", "sensitivity", "balanced_accuracy"):
        assert found.gaps[name].value == found.gaps[name].ci_low == 0 < found.gaps[name].ci_high


def test_the_difference_from_a_baseline_at_perfect_separation(make_cohort, binary):
    cohort = make_cohort(binary, 60)
    X = np.where(cohort.frame["target"] == "case", 5.0, -5.0)[:, None] + 0.01 * cohort.X
    found = evaluate(
        type(cohort)(binary, X, cohort.frame).samples,
        Recipe("logistic", {"C": (1.0,)}, inner_folds=2),
        EvaluationPlan(Scheme(inner_folds=2), n_bootstrap=200, site_check=False),
    )
    one = found.over_baselines["dummy"]["auroc"]
    assert found.metrics["auroc"].value == 1 and found.metrics["auroc"].ci_low < 0.95
    assert one.value == 0.5 and 0.3 < one.ci_low < 0.47
    dummy = found.baselines["dummy"]["auroc"]
    assert dummy.value == dummy.ci_low == dummy.ci_high == 0.5  # fixed by design


def test_numbers_predicted_without_an_error_have_no_interval(make_cohort, number):
    samples = make_cohort(number, 30).samples
    n = len(samples)
    outcome = Outcome(samples.y, np.empty((n, 0)), np.full(n, -1), np.full(n, np.nan))
    found = scored(samples, OutOfFold((outcome,), np.zeros((1, n), dtype=int), ()), 100).estimates()
    assert found["mae"].value == 0 and found["r2"].value == pytest.approx(1)
    assert all(np.isnan(one.ci_low) for one in found.values())


def test_exact_intervals_are_scipys():
    for k, n in ((0, 10), (7, 10), (10, 10), (59, 60)):
        exact = binomtest(k, n).proportion_ci(method="exact")
        one = bounds.proportion(k / n, n)
        assert (one.ci_low, one.ci_high) == pytest.approx((exact.low, exact.high))
    assert bounds.proportion(0.5, 7.5).ci_low == pytest.approx(beta.ppf(0.025, 3.75, 4.75))


@pytest.mark.parametrize("n", [1, 7, 24])
def test_the_mid_p_interval_solves_its_equations(n):
    for x in range(n + 1):
        one = bounds.mid_p(x / n, n)
        for end, tail in ((one.ci_low, 0.975), (one.ci_high, 0.025)):
            if 0 < end < 1:
                assert (binom.cdf(x, n, end) + binom.cdf(x - 1, n, end)) / 2 == pytest.approx(tail, abs=1e-6)
        exact = bounds.proportion(x / n, n)
        assert exact.ci_low <= one.ci_low <= x / n <= one.ci_high <= exact.ci_high
    assert bounds.mid_p(0.0, n).ci_low == 0 and bounds.mid_p(1.0, n).ci_high == 1


def test_the_mid_p_interval_of_24_subjects_covers_as_it_should():
    intervals = [bounds.mid_p(x / 24, 24) for x in range(25)]
    shares = np.linspace(0.05, 0.95, 91)
    coverage = [
        sum(binom.pmf(x, 24, p) for x, one in enumerate(intervals) if one.ci_low <= p <= one.ci_high)
        for p in shares
    ]
    assert min(coverage) > 0.92 and 0.945 < np.mean(coverage) < 0.965
    assert bounds.mid_p(0.5, 7.5).ci_low < bounds.mid_p(0.5, 30.0).ci_low


def test_newcombes_interval_solves_its_equation():
    m, n, area = 20, 35, 0.9
    one = bounds.auroc(area, m, n)
    for t in (one.ci_low, one.ci_high):
        size = (m + n) / 2 - 1
        variance = t * (1 - t) * (1 + size * (1 - t) / (2 - t) + size * t / (1 + t)) / (m * n)
        assert (area - t) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-5)
    assert bounds.auroc(1.0, 30, 30).ci_high == 1
    assert bounds.auroc(1.0, 30, 30).ci_low == pytest.approx(0.93, abs=0.01)


def test_the_largest_gap_of_alike_levels_is_seldom_above_zero():
    rng = np.random.default_rng(0)
    above = 0
    for _ in range(300):
        values = 0.8 + 0.05 * rng.normal(size=6)
        found = bounds.largest_gap([Estimate(v, v - 0.098, v + 0.098) for v in values], (0, 1))
        assert found.ci_low <= found.value <= found.ci_high
        above += found.ci_low > 0
    assert above / 300 < 0.07


def test_a_gap_that_is_there_is_found_and_one_without_intervals_has_none():
    far = bounds.largest_gap([Estimate(0.9, 0.85, 0.94), Estimate(0.6, 0.5, 0.7)], (0, 1))
    assert far.value == pytest.approx(0.3) and far.ci_low == pytest.approx(0.3 - np.hypot(0.05, 0.1))
    assert np.isnan(bounds.largest_gap([Estimate(0.9), Estimate(0.6, 0.5, 0.7)], (0, 1)).ci_low)


def test_a_correlation_has_fishers_interval():
    rng = np.random.default_rng(1)
    x = rng.normal(size=60)
    y = 0.7 * x + 0.7 * rng.normal(size=60)
    from prima_features.evaluation import weighted

    bootstrap = Bootstrap(np.arange(60), np.zeros(60, dtype=int), 1000)
    one = bootstrap.estimates(lambda w: {"pearson_r": weighted.pearson(x, y, w)})["pearson_r"]
    low = np.tanh(np.arctanh(one.value) - 1.96 / np.sqrt(57))
    assert one.ci_low <= low + 1e-4 and one.ci_low == pytest.approx(low, abs=0.05)
    assert one.value - one.ci_low > one.ci_high - one.value  # not symmetric


@pytest.mark.parametrize(
    ("made", "metric"), [("_numbers", "pearson_r"), ("_numbers", "rmse"), ("_classes", "auroc")]
)
def test_measured_coverage(simulation, monkeypatch, made, metric):
    """The script that measures what docs/probes.md states, on a few cohorts of 60."""
    monkeypatch.setattr(simulation, "RESAMPLES", 150)
    known = dict.fromkeys(simulation.CLASSES.metrics, np.nan) | {"auroc": norm.cdf(3 / np.sqrt(2))}
    monkeypatch.setitem(simulation._truths, 3.0, known)
    found = [getattr(simulation, made)(60, 0.5 if made == "_numbers" else 3.0, seed) for seed in range(80)]
    (line,) = [one for one in simulation._lines("fixed", "", found) if one["metric"] == metric]
    assert line["coverage"] > 0.87 and line["no_width"] == 0
