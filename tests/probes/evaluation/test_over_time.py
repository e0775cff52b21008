"""The brain-age gap over visits: reliability of close visits, and a mixed model that maximises its likelihood."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from prima_features.evaluation.agreement import icc
from prima_features.page.digits import interval, number, p_text
from prima_features.probes import tasks
from prima_features.probes.evaluation.over_time import design, gap_over_time, mixed_model, retest, visit_table
from prima_features.probes.evaluation.scored import OutOfFold
from prima_features.probes.kinds import Outcome
from prima_features.probes.report.over_time import model
from prima_features.probes.samples import Samples, samples


def cohort(
    n: int = 40, visits: int = 3, *, slope: float = 0.3, sd: float = 3.0, between: float = 1.0, seed: int = 0
) -> tuple[Samples, OutOfFold]:
    """Subjects with gaps that change by `slope` a year, and twice that in the patients of the second half."""
    rng = np.random.default_rng(seed)
    rows, gaps = [], []
    for i in range(n):
        age, own, patient = rng.uniform(50, 80), sd * rng.normal(), i % 2
        rate, time = slope * (1 + patient) + 0.2 * rng.normal(), 0.0
        for k in range(visits):
            rows.append(
                {
                    "study": f"s{i}_{k}",
                    "subject": f"s{i}",
                    "target": age + time,
                    "visit_years": 100 + time,
                    "sex": "MF"[(i // 2) % 2],
                    "control": 1.0 - patient,
                }
            )
            gaps.append(own + rate * time + 0.5 * rng.normal())
            time += between * rng.uniform(0.8, 1.2)
    frame = pd.DataFrame(rows)
    order = rng.permutation(len(frame))
    frame, gaps = frame.iloc[order].reset_index(drop=True), np.array(gaps)[order]
    made = samples(np.zeros((len(frame), 1)), frame, tasks.get("brain-age"))
    value = made.y + gaps
    outcome = Outcome(value, np.empty((len(value), 0)), np.full(len(value), -1), value - 1)
    return made, OutOfFold((outcome,), np.zeros((1, len(value)), dtype=int), ())


def restricted_likelihood(
    table: pd.DataFrame, fixed: pd.DataFrame, random: list[str]
) -> tuple[np.ndarray, ...]:
    """Fixed effects, their standard errors, residual and random standard deviations, by the direct formula.

    Laird and Ware (Biometrics 1982): the restricted likelihood with the fixed effects and the residual variance
    profiled out, maximised over the Cholesky factor of the random effects' covariance in units of that variance.
    """
    y, x, z = table["gap"].to_numpy(), fixed.to_numpy(), fixed[random].to_numpy()
    groups = [np.flatnonzero(table["subject"] == name) for name in table["subject"].unique()]
    (n, p), k = x.shape, len(random)

    def profile(factor: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, float, np.ndarray]:
        lower = np.zeros((k, k))
        lower[np.tril_indices(k)] = factor
        information, moment, square, log_det = np.zeros((p, p)), np.zeros(p), 0.0, 0.0
        for rows in groups:
            covariance = np.eye(len(rows)) + z[rows] @ lower @ lower.T @ z[rows].T
            inverse = np.linalg.inv(covariance)
            information += x[rows].T @ inverse @ x[rows]
            moment += x[rows].T @ inverse @ y[rows]
            square += y[rows] @ inverse @ y[rows]
            log_det += np.linalg.slogdet(covariance)[1]
        effects = np.linalg.solve(information, moment)
        variance = (square - effects @ moment) / (n - p)
        deviance = (n - p) * np.log(variance) + log_det + np.linalg.slogdet(information)[1]
        return deviance, effects, np.linalg.inv(information) * variance, variance, lower @ lower.T * variance

    starts = ([4.0], [1.0]) if k == 1 else ([4.0, 0.0, 0.3], [1.0, 0.0, 1.0])
    options = {"xatol": 1e-9, "fatol": 1e-11, "maxiter": 4000}
    searches = [
        optimize.minimize(lambda v: profile(v)[0], s, method="Nelder-Mead", options=options) for s in starts
    ]
    _, effects, covariance, variance, between = profile(min(searches, key=lambda one: one.fun).x)
    return effects, np.sqrt(np.diag(covariance)), np.sqrt(variance), np.sqrt(np.diag(between))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("visits", "random"), [(2, ["intercept"]), (3, ["intercept", "years"])])
def test_the_mixed_model_maximises_the_restricted_likelihood(
    visits: int, random: list[str], seed: int
) -> None:
    table, notes = visit_table(*cohort(visits=visits, seed=seed), corrected=False)
    found, more = mixed_model(table)
    assert found is not None and not notes and not more
    assert found.random == tuple(random)
    fixed, _ = design(table)
    assert list(found.effects) == list(fixed.columns)
    effects, errors, residual, between = restricted_likelihood(table, fixed, random)
    patients = table.groupby("subject")["patient"].first()
    student = stats.t(min(patients.sum(), (1 - patients).sum()) - 1)
    for own, value, error in zip(found.effects.values(), effects, errors, strict=True):
        assert own.estimate.value == pytest.approx(value, abs=1e-3 * error)
        # statsmodels' errors come from the curvature in all parameters, the direct ones take the variances as known.
        half = (own.estimate.ci_high - own.estimate.ci_low) / 2
        assert half == pytest.approx(error * student.ppf(0.975), rel=0.05)
        p_value = 2 * student.sf(abs(value) / half * student.ppf(0.975))
        assert own.p_value == pytest.approx(p_value, rel=0.01, abs=1e-9)
    assert found.sd_residual == pytest.approx(residual, rel=1e-3)
    assert found.sd_subject == pytest.approx(between[0], rel=1e-3)
    if visits == 2:
        assert np.isnan(found.sd_slope)
    else:
        assert found.sd_slope == pytest.approx(between[1], rel=1e-2, abs=1e-2)


def test_planted_changes_per_year_are_found() -> None:
    found = gap_over_time(*cohort(n=120, slope=0.3), corrected=False)
    assert found is not None and found.model is not None
    years, more = (found.model.effects[name].estimate for name in ("years", "years_patient"))
    assert years.ci_low < 0.3 < years.ci_high and years.ci_low > 0
    assert more.ci_low < 0.3 < more.ci_high
    assert found.model.n_subjects == found.model.n_repeated == 120 and found.model.n_studies == 360
    assert any("within 90 days" in note for note in found.notes)


def test_the_text_gives_what_the_model_was_fitted_on_and_its_p_values() -> None:
    given, predicted = cohort(n=60, visits=2, between=2.0)
    found = gap_over_time(given, predicted, corrected=False)
    assert found is not None and found.model is not None
    table = visit_table(given, predicted, corrected=False)[0]
    spans = table.groupby("subject")["years"].max()
    assert found.model.span == pytest.approx((spans.min(), spans.median(), spans.max()))
    text = model(found.model, corrected=False)
    for effect in (found.model.effects["years"], found.model.effects["years_patient"]):
        one, p = effect.estimate, p_text(effect.p_value)
        assert f"{number(one.value, 3)} years (95% interval {interval(one, 3)}) per year, p {p}" in text
    assert (
        f"{spans.min():.2f} to {spans.max():.2f} years from first to last, median {spans.median():.2f}"
        in text
    )


def test_reliability_is_that_of_the_closest_two_visits() -> None:
    given, predicted = cohort(visits=3, between=0.1)
    found = gap_over_time(given, predicted, corrected=False)
    assert found is not None and found.retest is not None
    table = visit_table(given, predicted, corrected=False)[0]
    pairs = []
    for _, own in table.groupby("subject"):
        k = int(np.diff(own["years"]).argmin())
        pairs.append(own["gap"].to_numpy()[k : k + 2])
    values = np.array(pairs)
    assert found.retest.icc.value == pytest.approx(icc(values[:, :, None])[0])
    square = (np.diff(values) ** 2).mean() / 2
    assert found.retest.standard_error.value == pytest.approx(np.sqrt(square))
    assert found.retest.smallest_change == pytest.approx(1.96 * np.sqrt(2 * square))
    assert found.retest.mean_difference.value == pytest.approx(np.diff(values).mean())
    assert found.retest.n_subjects == 40 and found.retest.median_days < 45


def test_the_corrected_gap_is_used_if_there_is_one() -> None:
    raw, corrected = (visit_table(*cohort(), corrected=one)[0]["gap"] for one in (False, True))
    np.testing.assert_allclose(corrected, raw - 1)


def test_too_few_visits_are_named_and_nothing_is_reported_for_one_visit_each() -> None:
    assert gap_over_time(*cohort(visits=1), corrected=False) is None
    few = gap_over_time(*cohort(n=4, visits=2), corrected=False)
    assert few is not None and few.model is None and few.retest is None
    assert "4 subjects have visits at different times, fewer than 10" in few.notes[1]
    assert "0 subjects have two visits within 90 days (--retest-days), fewer than 5" in few.notes[0]


def test_studies_without_a_time_are_counted() -> None:
    given, predicted = cohort()
    time = given.frame["visit_years"].to_numpy().copy()
    time[np.flatnonzero(given.frame["subject"] == "s0")] = np.nan
    changed = Samples(given.task, given.X, given.y, given.frame.assign(visit_years=time))
    table, notes = visit_table(changed, predicted, corrected=False)
    assert len(table) == len(given) - 3 and "3 studies of subjects with several are left out" in notes[0]


def test_gaps_that_are_all_noise_give_a_model_or_a_reason() -> None:
    for seed in range(5):
        found, why = mixed_model(visit_table(*cohort(n=15, sd=0.0, slope=0.0, seed=seed), corrected=False)[0])
        assert (found is None) == bool(why and "did not converge: the gaps" in why[-1])


def test_retest_needs_visits_in_time_order() -> None:
    table = pd.DataFrame({"subject": ["a"] * 2, "gap": [0.0, 1.0], "years": [0.0, 0.1]})
    assert retest(table, 90)[0] is None
