"""A time to an event with right censoring, such as survival."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation import bounds, sample_size, survival
from prima_features.evaluation.intervals import Bootstrap, Estimate
from prima_features.probes.kinds.base import MIN_GROUPS, Kind, Outcome, Words
from prima_features.probes.kinds.numbers import epsilon_squared
from prima_features.probes.steps.hazard import RISK_GROUPS, SurvivalCurve
from prima_features.probes.steps.outputs import Steps
from prima_features.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation.scored import Scored
    from prima_features.probes.recipe import Recipe
    from prima_features.probes.samples import Samples

MIN_EVENTS = 10
FEW_EVENTS = 50
_POINTS = 50
"""Of the survival curves, up to the last horizon."""


class Survival(Kind):
    """y is float64: positive the time of an event, negative the time of censoring; 0 is refused.

    `Outcome.value` is the log risk, `probability` that of surviving each of `times`, `label` the risk group.
    """

    name = "survival"
    estimators = ("cox", "xgboost")
    baseline_options: ClassVar[Mapping[str, Any]] = {"alphas": (100.0, 1.0, 0.01)}
    quick_options: ClassVar[Mapping[str, Any]] = {"alphas": (1.0,)}
    higher_is_better = True
    chance = 0.5
    primary = "c_index"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Concordance, and at the task's horizons AUC, Brier score and calibration."""
        horizons = [f"{time:g}" for time in self.task.horizons]
        return (
            "c_index",
            "uno_c",
            *(f"auc_{time}" for time in horizons),
            *(["ibs"] if horizons else []),
            *(f"observed_expected_{time}" for time in horizons),
            "calibration_slope",
        )

    @property
    def words(self) -> Words:
        """Parts of sentences."""
        return Words(
            primary="Harrell's C",
            strata="event",
            loss="negative log partial likelihood of out-of-fold log risks",
            dummy="Average survival curve",
            typical="the Kaplan-Meier curve of the training set for everyone",
            association="epsilon squared of the martingale residuals",
            association_long="epsilon squared, the share of the variance of the martingale residuals between sites",
            pipeline="tabular-regression",
        )

    @property
    def times(self) -> np.ndarray:
        """(T,) times of the survival curves, the horizons among them; none without horizons."""
        if not self.task.horizons:
            return np.empty(0)
        last = max(self.task.horizons)
        return np.unique(np.append(last * np.arange(1, _POINTS + 1) / _POINTS, self.task.horizons))

    @property
    def at_horizons(self) -> np.ndarray:
        """(H,) positions of the horizons among `times`."""
        return np.searchsorted(self.times, np.array(self.task.horizons))

    def unknown(self, n: int) -> np.ndarray:
        """NaN."""
        return np.full(n, np.nan)

    def encode(self, target: pd.Series) -> np.ndarray:
        """Signed times."""
        import pandas as pd

        y = pd.to_numeric(target, errors="coerce").to_numpy(dtype=float)
        bad = ~np.isfinite(y) | (y == 0)
        if bad.any():
            raise UsageError(
                f"the task {self.task.name} needs a time for every study, positive for an event and negative if "
                f"censored, but {int(bad.sum())} have none or 0"
            )
        return y

    def decode(self, y: np.ndarray) -> np.ndarray:
        """The signed times."""
        return y

    def target_columns(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """Signed times, and the same as `time` and `event` (1 or 0)."""
        return {"target": y, "time": np.abs(y), "event": (y > 0).astype(int)}

    def strata(self, y: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
        """Whether there was an event."""
        return (y > 0).astype(np.int64)

    def thinning_strata(self, y: np.ndarray) -> np.ndarray:
        """Whether there was an event."""
        return (y > 0).astype(np.int64)

    def absent(self, y: np.ndarray) -> str:
        """Events, if there are none."""
        return "" if (y > 0).any() else "a subject with an event"

    def check_sizes(self, y: np.ndarray, groups: np.ndarray) -> list[str]:
        """A warning below `FEW_EVENTS` subjects with an event; refused below `MIN_EVENTS`."""
        n = len(np.unique(groups[y > 0]))
        if n < MIN_EVENTS:
            raise UsageError(
                f"{count(n, 'subject')} had an event, but a probe needs at least {MIN_EVENTS}: check --event-column "
                "and --event-values"
            )
        found = [f"only {count(n, 'subject')} had an event: expect wide intervals"] if n < FEW_EVENTS else []
        if late := self.limits(y):
            raise UsageError(f"{late[0]}; give earlier times with --horizons")
        return found

    def limits(self, y: np.ndarray) -> list[str]:
        """No events, or horizons that are not before the end of the longest follow-up."""
        if not (y > 0).any():
            return ["no subject of this cohort had the event: metrics of ranking are undefined"]
        end = float(np.abs(y).max())
        late = [f"{time:g}" for time in self.task.horizons if time >= end]
        if not late:
            return []
        return [
            f"the longest follow-up ends at {end:g} {self.task.unit}: what needs a later horizon "
            f"({', '.join(late)}) is undefined"
        ]

    def criteria(self, y: np.ndarray, r2: float) -> sample_size.Criteria:
        """Those of Cox regression, at the last horizon or else the mean follow-up."""
        follow_up = float(np.abs(y).mean())
        horizon = max(self.task.horizons, default=follow_up)
        return sample_size.for_survival(r2, float((y > 0).mean()), horizon / follow_up)

    def too_few(self, y: np.ndarray, groups: np.ndarray) -> str:
        """Fewer than `MIN_GROUPS` subjects with an event."""
        n = len(np.unique(groups[y > 0]))
        return "" if n >= MIN_GROUPS else f"{n} subjects with an event, fewer than {MIN_GROUPS}"

    @property
    def width(self) -> int:
        """A column per time of the survival curves."""
        return len(self.times)

    def steps(self, recipe: Recipe, held_out: np.ndarray, y: np.ndarray) -> Steps:
        """The baseline hazard and the limits of the risk groups."""
        return Steps(curve=SurvivalCurve.fit(y, held_out, self.times))

    def fits(self, fitted: Steps) -> bool:
        """The same times, and limits between the risk groups."""
        curve = fitted.curve
        return curve.times == tuple(self.times.tolist()) and len(curve.limits) == len(RISK_GROUPS) - 1

    def outcome(self, fitted: Steps, raw: np.ndarray, age: np.ndarray) -> Outcome:
        """Log risks, survival curves and risk groups."""
        curve = fitted.curve
        return Outcome(raw, curve.survival(raw), curve.groups(raw), np.full(len(raw), np.nan))

    def of_covariates(self, linear: np.ndarray) -> np.ndarray:
        """The log risk."""
        return linear[:, 0]

    def typical(self, y: np.ndarray) -> np.ndarray:
        """(T,) Kaplan-Meier estimate at `times`."""
        given = survival.Times(y)
        return given.step(given.survival(np.ones((1, len(y)))), self.times)[0]

    def constant(self, n: int, typical: np.ndarray) -> Outcome:
        """The same curve for everyone, with log risk 0."""
        made = self.empty(n)
        made.value[:], made.probability[:] = 0.0, typical
        made.label[:] = len(RISK_GROUPS) // 2
        return made

    def columns(self, outcome: Outcome, age: np.ndarray) -> dict[str, np.ndarray]:
        """The log risk, the probability of surviving each horizon, and the risk group."""
        made = {"prediction": outcome.value}
        for time, place in zip(self.task.horizons, self.at_horizons, strict=True):
            made[f"survival_{time:g}"] = outcome.probability[:, place]
        return made | {"risk_group": np.array(RISK_GROUPS, dtype=object)[outcome.label]}

    def scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Concordance, AUC, Brier score and calibration."""
        horizons, times, risk = np.array(self.task.horizons), self.times, outcome.value
        tau = float(horizons.max()) if len(horizons) else np.inf
        found = {
            "c_index": survival.c_index(y, risk, weights),
            "uno_c": survival.uno_c(y, risk, weights, tau),
            "calibration_slope": survival.calibration_slope(y, risk, weights),
        }
        if len(horizons):
            then = outcome.probability[:, self.at_horizons]
            score = survival.brier(y, outcome.probability, times, weights)
            found["ibs"] = survival.integrated(score, times)
            area = survival.auc(y, risk, weights, horizons)
            ratio = survival.observed_to_expected(y, then, horizons, weights)
            for i, time in enumerate(horizons):
                found[f"auc_{time:g}"], found[f"observed_expected_{time:g}"] = area[:, i], ratio[:, i]
        return {name: found[name] for name in self.metrics}

    def primary_score(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> np.ndarray:
        """(B,) Harrell's C."""
        return survival.c_index(y, outcome.value, weights)

    def bounded(
        self, found: dict[str, Estimate], y: np.ndarray, repeats: Sequence[Outcome], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """AUCs by the smaller of the subjects before and after the horizon."""
        made = dict(found)
        _, first = np.unique(bootstrap.groups, return_index=True)
        one = y[first]
        for time in self.task.horizons:
            cases, controls = int(((one > 0) & (one <= time)).sum()), int((np.abs(one) > time).sum())
            name = f"auc_{time:g}"
            made[name] = bounds.widened(found[name], len(one), min(cases, controls), bootstrap)
        return made

    def details(self, result: Scored, samples: Samples, recipe: Recipe) -> dict[str, Any]:
        """The risk groups."""
        from prima_features.probes.evaluation.risk_groups import risk_groups

        return {"risk_groups": risk_groups(result)}

    def by_site(self, y: np.ndarray, sites: np.ndarray) -> tuple[dict[str, dict[str, float]], float]:
        """Events and follow-up; the association is epsilon squared of the martingale residuals without covariates."""
        table = {}
        for name in np.unique(sites):
            own = y[sites == name]
            table[str(name)] = {
                "n": len(own),
                "events": int((own > 0).sum()),
                "median_time": float(np.median(np.abs(own))),
                "max_time": float(np.abs(own).max()),
            }
        given = survival.Times(y)
        one = np.ones((1, len(y)))
        hazard = np.cumsum(given.at_times(one, given.event)[0] / given.at_risk(one)[0])
        residual = given.event - hazard[given.place]
        return table, epsilon_squared(residual[sites != ""], sites[sites != ""])
