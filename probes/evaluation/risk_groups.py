"""Thirds of predicted risk: observed survival, numbers at risk, and the log-rank test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from prima_features.evaluation.intervals import Estimate
from prima_features.evaluation.survival import LogRank, Times, log_rank
from prima_features.probes.evaluation.scored import Scored
from prima_features.probes.steps.hazard import RISK_GROUPS

TREND_VARIANCE = 0.793
"""Of cross-validation: squared correlation of the thirds of a normal score with the score."""


@dataclass(frozen=True)
class RiskGroup:
    """Subjects of one third of the training set's log risks."""

    n: int
    """Subjects."""
    n_events: int
    at_risk: tuple[int, ...]
    """Subjects under observation just before 0 and each horizon."""
    survival: tuple[Estimate, ...]
    """Kaplan-Meier estimate at each horizon."""
    curve: tuple[tuple[float, ...], tuple[float, ...]]
    """Times at which the Kaplan-Meier estimate changes, and the last follow-up; and its values there."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "n": self.n,
            "events": self.n_events,
            "at_risk": list(self.at_risk),
            "survival": [one.to_dict() for one in self.survival],
        }


@dataclass(frozen=True)
class RiskGroups:
    """All thirds."""

    horizons: tuple[float, ...]
    groups: dict[str, RiskGroup]
    """By names of `RISK_GROUPS`; a group without subjects is left out."""
    test: LogRank
    """Of the hazards of the groups, with one study per subject."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        chi2, p_value = (one if np.isfinite(one) else None for one in (self.test.chi2, self.test.p_value))
        return {
            "horizons": list(self.horizons),
            "groups": {name: one.to_dict() for name, one in self.groups.items()},
            "log_rank": {"chi2": chi2, "p_value": p_value},
        }


def risk_groups(result: Scored) -> RiskGroups:
    """Compare the risk groups of N predicted rows.

    Groups are those of the first repeat; their limits were chosen in training. Of a subject or family with several
    studies the first one counts, so that the rows are independent.

    In cross-validation the plain log-rank test has too small p values (Simon 2011, 10.1093/bib/bbr001): two subjects of
    different folds each train the probe that tests the other, so what they have in common counts twice. If a score is
    linear in the residuals of training this doubles the variance of the score's trend; of its thirds, it raises that
    of their trend by `TREND_VARIANCE`, which the test allows for. `benchmarks/survival.py` measures its type I error.
    """
    _, first = np.unique(result.bootstrap.groups, return_index=True)
    rows = np.sort(first)
    y, label = result.y[rows], result.repeats[0].label[rows]
    horizons = np.array(result.task.horizons)
    found = {
        name: _group(y[label == code], horizons)
        for code, name in enumerate(RISK_GROUPS)
        if (label == code).any()
    }
    shared = TREND_VARIANCE if result.bootstrap.variance > 1 else 0.0
    test = log_rank(y, label, len(RISK_GROUPS), trend_variance=shared)
    return RiskGroups(result.task.horizons, found, test)


def _group(y: np.ndarray, horizons: np.ndarray) -> RiskGroup:
    given, one = Times(y), np.ones((1, len(y)))
    curve = given.survival(one)
    shown = given.at_times(one, given.event)[0] > 0
    shown[-1] = True
    return RiskGroup(
        n=len(y),
        n_events=int(given.event.sum()),
        at_risk=(len(y), *(int((given.time >= time).sum()) for time in horizons)),
        survival=tuple(_estimate(given, curve, time) for time in horizons),
        curve=(tuple(given.unique[shown].tolist()), tuple(curve[0][shown].tolist())),
    )


def _estimate(given: Times, curve: np.ndarray, time: float) -> Estimate:
    """Kaplan-Meier estimate with Greenwood's variance on the scale of log(-log) (Kalbfleisch and Prentice 1980).

    NaN after the last follow-up.
    """
    if time > given.time.max():
        return Estimate(float("nan"))
    value = float(given.step(curve, np.array([time]))[0, 0])
    if not 0 < value < 1:
        return Estimate(value)
    one = np.ones((1, len(given.y)))
    used = given.unique <= time
    events, risk = given.at_times(one, given.event)[0][used], given.at_risk(one)[0][used]
    variance = float((events / (risk * (risk - events))).sum())
    error = 1.959963984540054 * np.sqrt(variance) / abs(np.log(value))
    return Estimate(value, float(value ** np.exp(error)), float(value ** np.exp(-error)))
