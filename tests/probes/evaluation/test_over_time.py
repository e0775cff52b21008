"""The brain-age gap over visits: reliability of close visits, and a mixed model that is statsmodels' own."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from prima_features.evaluation.agreement import icc
from prima_features.probes import tasks
from prima_features.probes.evaluation.over_time import gap_over_time, mixed_model, retest, visit_table
from prima_features.probes.evaluation.scored import OutOfFold
from prima_features.probes.kinds import Outcome
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


def direct(table: pd.DataFrame, formula: str, random: str) -> object:
    import statsmodels.formula.api as smf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return smf.mixedlm(formula, table, groups="subject", re_formula=random).fit(reml=True)


@pytest.mark.parametrize(("visits", "random"), [(2, "1"), (3, "years")])
def test_the_mixed_model_is_that_of_statsmodels(visits: int, random: str) -> None:
    table, notes = visit_table(*cohort(visits=visits), corrected=False)
    found, more = mixed_model(table)
    assert found is not None and not notes and not more
    centred = table.assign(age=table["age"] - table.groupby("subject")["age"].first().mean())
    expected = direct(centred, "gap ~ years + age + male + patient + years:patient", random)
    names = ("Intercept", "years", "age", "male", "patient", "years:patient")
    patients = centred.groupby("subject")["patient"].first()
    student = stats.t(min(patients.sum(), (1 - patients).sum()) - 1)
    for own, name in zip(found.effects.values(), names, strict=True):
        assert own.estimate.value == pytest.approx(expected.params[name], rel=1e-6, abs=1e-8)  # type: ignore[attr-defined]
        error = expected.bse_fe[name]  # type: ignore[attr-defined]
        ends = expected.params[name] + error * student.ppf([0.025, 0.975])  # type: ignore[attr-defined]
        assert (own.estimate.ci_low, own.estimate.ci_high) == pytest.approx(tuple(ends), rel=1e-5)
        p_value = 2 * student.sf(abs(expected.params[name]) / error)  # type: ignore[attr-defined]
        assert own.p_value == pytest.approx(p_value, rel=1e-4, abs=1e-10)
    assert found.sd_residual == pytest.approx(np.sqrt(expected.scale), rel=1e-6)  # type: ignore[attr-defined]
    assert found.random == (("intercept",) if visits == 2 else ("intercept", "years"))
    assert np.isnan(found.sd_slope) == (visits == 2)


def test_planted_changes_per_year_are_found() -> None:
    found = gap_over_time(*cohort(n=120, slope=0.3), corrected=False)
    assert found is not None and found.model is not None
    years, more = (found.model.effects[name].estimate for name in ("years", "years_patient"))
    assert years.ci_low < 0.3 < years.ci_high and years.ci_low > 0
    assert more.ci_low < 0.3 < more.ci_high
    assert found.model.n_subjects == found.model.n_repeated == 120 and found.model.n_studies == 360
    assert any("within 90 days" in note for note in found.notes)


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
