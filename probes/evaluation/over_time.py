"""The brain-age gap over the visits of subjects: test-retest reliability, and a mixed model of the gap over time.

Only gaps of subjects that the probe was not trained on are used: out-of-fold ones in cross-validation, or those of
another cohort.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.evaluation.agreement import icc_estimate
from prima_features.evaluation.intervals import LEVEL, Estimate
from prima_features.probes.change import DAYS_PER_YEAR
from prima_features.probes.samples import Samples
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation.scored import OutOfFold

RETEST_DAYS = 90.0
"""Most days between two visits that count as a repeat."""
MIN_PAIRS = 5
MIN_SUBJECTS = 10
"""With two or more visits, for the mixed model; with three or more, for a random slope."""
_INSTALL = "pip install 'prima-features[longitudinal]'"


@dataclass(frozen=True)
class Retest:
    """Two visits per subject within a short time, the closest ones."""

    n_subjects: int
    max_days: float
    """Most days that were allowed."""
    median_days: float
    icc: Estimate
    """ICC(2,1) of the gap."""
    standard_error: Estimate
    """Of measurement, years: the deviation of a gap from a subject's mean gap."""
    smallest_change: float
    """Years: 1.96 sqrt(2) standard errors, the change between two visits that measurement error alone exceeds in 5%."""
    mean_difference: Estimate
    """Second minus first gap, years."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: one.to_dict() if isinstance(one, Estimate) else one for name, one in vars(self).items()}


@dataclass(frozen=True)
class Effect:
    """A fixed effect."""

    estimate: Estimate
    p_value: float
    """Two-sided Wald test with Student's distribution (see `freedom`)."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        p_value = self.p_value if np.isfinite(self.p_value) else None
        return self.estimate.to_dict() | {"p": p_value}


@dataclass(frozen=True)
class MixedModel:
    """Linear mixed model of the gap, fitted by restricted maximum likelihood."""

    effects: dict[str, Effect]
    """`intercept`, `years` (since the subject's first visit) and as far as known and varying `age` (at the first visit,
    minus the mean), `male`, `patient`, `years_patient` (by which patients' change per year differs)."""
    random: tuple[str, ...]
    """`intercept`, or `intercept` and `years`, of each subject."""
    sd_subject: float
    """Of the random intercepts, years."""
    sd_slope: float
    """Of the random slopes, years per year; NaN without them."""
    sd_residual: float
    """Years."""
    n_studies: int
    n_subjects: int
    n_repeated: int
    """Subjects with visits at two or more times."""
    span: tuple[float, float, float]
    """Years from their first to their last visit: least, median, most."""
    mean_age: float
    """That is subtracted from the age at the first visit."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = vars(self) | {
            "effects": {name: one.to_dict() for name, one in self.effects.items()},
            "random": list(self.random),
            "span": list(self.span),
        }
        return {
            name: None if isinstance(one, float) and not np.isfinite(one) else one
            for name, one in plain.items()
        }


@dataclass(frozen=True)
class GapOverTime:
    """The gap over the visits of subjects."""

    corrected: bool
    """Whether the gap is after bias correction."""
    retest: Retest | None
    model: MixedModel | None
    notes: tuple[str, ...] = ()
    """A sentence on each part that is missing, and on studies that are left out."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "corrected": self.corrected,
            "retest": self.retest.to_dict() if self.retest else None,
            "model": self.model.to_dict() if self.model else None,
            "notes": list(self.notes),
        }


def gap_over_time(
    samples: Samples, predicted: OutOfFold, *, corrected: bool, retest_days: float = RETEST_DAYS
) -> GapOverTime | None:
    """Reliability and change of the gap; None if no subject has two studies.

    Args:
        samples: N studies of a brain-age task, of controls and patients.
        predicted: of the same studies, not by a probe that was trained on their subjects.
        corrected: use the gap after bias correction.
        retest_days: most days between visits that count as a repeat.
    """
    table, notes = visit_table(samples, predicted, corrected=corrected)
    if table["subject"].nunique() == len(table):
        return None if not notes else GapOverTime(corrected, None, None, notes)
    found, why = retest(table, retest_days)
    model, more = mixed_model(table)
    return GapOverTime(corrected, found, model, (*notes, *why, *more))


def visit_table(
    samples: Samples, predicted: OutOfFold, *, corrected: bool
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """`subject`, `gap`, `years` since the subject's first visit, `age` at it, `male`, `patient` of each tested study.

    Studies whose time is unknown are left out if the subject has several; a sentence says how many. If no time is
    known, ages take their place.
    """
    import pandas as pd

    rows = np.flatnonzero(predicted.tested)
    frame = samples.frame.iloc[rows]
    time = frame["visit_years"].to_numpy(dtype=float)
    value = np.mean(
        [one.corrected[rows] if corrected else one.value[rows] for one in predicted.repeats], axis=0
    )
    table = pd.DataFrame(
        {
            "subject": frame["subject"].to_numpy(),
            "gap": value - samples.age[rows],
            "time": time if np.isfinite(time).any() else samples.age[rows],
            "age": samples.age[rows],
            "male": frame["sex"].map({"M": 1.0, "F": 0.0}).to_numpy(dtype=float),
            "patient": 1 - frame["control"].to_numpy(dtype=float),
        }
    )
    table = table[np.isfinite(table["gap"])]
    several = table.groupby("subject")["gap"].transform("size") > 1
    lost = several & table["time"].isna()
    table = table[~lost].sort_values(["subject", "time"], kind="stable").reset_index(drop=True)
    by_subject = table.groupby("subject")
    table["years"] = (table["time"] - by_subject["time"].transform("min")).fillna(0.0)
    table["age"] = by_subject["age"].transform("first")
    n = int(lost.sum())
    note = (
        f"{count(n, 'study')} of subjects with several {verb(n, 'is', 'are')} left out of the gap over time because "
        "the time of the visit is unknown (--scan-dates, --date-column or --time-column)"
    )
    return table, (note,) if n else ()


def retest(table: pd.DataFrame, max_days: float) -> tuple[Retest | None, tuple[str, ...]]:
    """Reliability of the gap over the closest two visits of each subject; None, with the reason, without enough."""
    from scipy import stats

    pairs = [pair for _, own in table.groupby("subject") if (pair := _closest(own, max_days)) is not None]
    if len(pairs) < MIN_PAIRS:
        return None, (
            f"test-retest reliability of the gap is not reported: {count(len(pairs), 'subject')} "
            f"{verb(len(pairs), 'has', 'have')} two visits within {max_days:g} days (--retest-days), fewer than "
            f"{MIN_PAIRS}",
        )
    gaps, days = np.array([gaps for gaps, _ in pairs]), np.array([days for _, days in pairs])
    difference = gaps[:, 1] - gaps[:, 0]
    n = len(pairs)
    square = float((difference**2).mean() / 2)
    ends = np.sqrt(n * square / stats.chi2.ppf([0.975, 0.025], n))
    margin = float(stats.t.ppf(0.975, n - 1) * difference.std(ddof=1) / np.sqrt(n))
    mean = float(difference.mean())
    error = np.sqrt(square)
    return Retest(
        n,
        max_days,
        float(np.median(days)),
        icc_estimate(gaps),
        Estimate(float(error), float(ends[0]), float(ends[1])),
        float(1.96 * np.sqrt(2) * error),
        Estimate(mean, mean - margin, mean + margin),
    ), ()


def _closest(own: pd.DataFrame, max_days: float) -> tuple[np.ndarray, float] | None:
    """Gaps of the two consecutive visits with the least time between them, and the days; None if that is too much."""
    if len(own) < 2:
        return None
    days = np.diff(own["years"].to_numpy()) * DAYS_PER_YEAR
    first = int(days.argmin())
    gaps = own["gap"].to_numpy()[first : first + 2]
    return (gaps, float(days[first])) if days[first] <= max_days + 1e-6 else None


def design(table: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Columns of the fixed effects (see `MixedModel.effects`), and the mean age that is subtracted."""
    import pandas as pd

    columns = {"intercept": np.ones(len(table)), "years": table["years"].to_numpy()}
    mean_age = float(table.groupby("subject")["age"].first().mean())
    candidates = {"age": table["age"] - mean_age, "male": table["male"], "patient": table["patient"]}
    for name, column in candidates.items():
        values = column.to_numpy(dtype=float)
        if np.isfinite(values).all() and np.ptp(values) > 0:
            columns[name] = values
    if "patient" in columns:
        columns["years_patient"] = columns["years"] * columns["patient"]
    return pd.DataFrame(columns), mean_age


def mixed_model(table: pd.DataFrame) -> tuple[MixedModel | None, tuple[str, ...]]:
    """Gap by time and covariates with random effects of subjects; None, with the reason, if it cannot be fitted.

    The random slope is included if `MIN_SUBJECTS` subjects have visits at three or more times, and left out if the
    model with it does not converge.
    """
    times = table.groupby("subject")["years"].nunique()
    repeated, thrice = int((times > 1).sum()), int((times > 2).sum())
    if repeated < MIN_SUBJECTS:
        return None, (
            f"the mixed model of the gap is not fitted: {count(repeated, 'subject')} {verb(repeated, 'has', 'have')} "
            f"visits at different times, fewer than {MIN_SUBJECTS}",
        )
    try:
        import statsmodels  # noqa: F401
    except ImportError:
        return None, (f"the mixed model of the gap needs statsmodels: run {_INSTALL}",)
    fixed, mean_age = design(table)
    notes: list[str] = []
    for random in _random_effects(thrice):
        fitted = _fit(table, fixed, random)
        if fitted is not None:
            if len(random) == 1 and thrice >= MIN_SUBJECTS:
                notes.append("the mixed model of the gap with a random slope did not converge: it has none")
            return _record(fitted, table, fixed, random, repeated, mean_age), tuple(notes)
    return None, (
        "the mixed model of the gap did not converge: the gaps of a subject may not be more alike than those of "
        "different subjects",
    )


def _random_effects(thrice: int) -> Iterator[tuple[str, ...]]:
    if thrice >= MIN_SUBJECTS:
        yield "intercept", "years"
    yield ("intercept",)


def _fit(table: pd.DataFrame, fixed: pd.DataFrame, random: tuple[str, ...]) -> Any:
    """The fitted statsmodels result, None if it did not converge.

    Powell's method needs no gradient. That of statsmodels 0.15 is wrong where a step makes the diagonal of the random
    effects' Cholesky factor negative: BFGS, its default, then stops far from the maximum, at a place that depends on
    the processor.
    """
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ConvergenceWarning

    model = MixedLM(table["gap"], fixed, groups=table["subject"], exog_re=fixed[list(random)])
    with warnings.catch_warnings():
        # Convergence is looked at below.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            fitted = model.fit(reml=True, method="powell", ftol=1e-12)
        except np.linalg.LinAlgError:
            return None
    errors = np.asarray(fitted.bse_fe)
    return fitted if fitted.converged and np.isfinite(errors).all() else None


def freedom(table: pd.DataFrame, fixed: pd.DataFrame) -> int:
    """Degrees of freedom of the tests: subjects with repeated visits, less one, of the smaller group of subjects.

    A normal quantile is too small for 60 subjects: their changes per year are what varies, not their visits.
    """
    times = table.groupby("subject")["years"].nunique()
    repeated = times[times > 1].index
    smaller = len(repeated)
    if "patient" in fixed:
        smaller = int(table.groupby("subject")["patient"].first()[repeated].value_counts().min())
    return max(1, smaller - 1)


def _effect(value: float, error: float, degrees: int) -> Effect:
    from scipy.stats import t as student

    reach = float(student.ppf((1 + LEVEL) / 2, degrees)) * error
    p_value = float(2 * student.sf(abs(value) / error, degrees)) if error > 0 else float("nan")
    return Effect(Estimate(float(value), float(value - reach), float(value + reach)), p_value)


def _record(
    fitted: Any,
    table: pd.DataFrame,
    fixed: pd.DataFrame,
    random: tuple[str, ...],
    repeated: int,
    mean_age: float,
) -> MixedModel:
    effects = {
        name: _effect(value, error, freedom(table, fixed))
        for name, value, error in zip(fixed.columns, fitted.fe_params, fitted.bse_fe, strict=True)
    }
    last = table.groupby("subject")["years"].max()
    span = last[last > 0]
    spread = np.sqrt(np.maximum(np.diag(np.asarray(fitted.cov_re)), 0))
    return MixedModel(
        effects,
        random,
        float(spread[0]),
        float(spread[1]) if len(random) > 1 else float("nan"),
        float(np.sqrt(fitted.scale)),
        len(table),
        int(table["subject"].nunique()),
        repeated,
        (float(span.min()), float(span.median()), float(span.max())),
        mean_age,
    )
