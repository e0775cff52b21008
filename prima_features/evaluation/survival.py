"""Metrics of times to an event with right censoring, for many sets of weights at once (see `weighted`).

Times are signed: y > 0 is an event at y, y < 0 a subject censored at -y, the convention of xgboost. With weights of 1
the functions equal those of scikit-survival if the same rows give the censoring distribution.

Functions take (N,) y and (B, N) weights and return (B, ...) values, NaN if a value is not defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from prima_features.evaluation.weighted import auroc, divide

_CHUNK_BYTES = 1 << 25
_NEWTON_STEPS = 30
_SETTLED = 1e-6
_LARGEST_SLOPE = 1e3


@dataclass(frozen=True)
class Times:
    """N rows with their events."""

    y: np.ndarray
    """(N,) signed times, none 0."""

    @cached_property
    def time(self) -> np.ndarray:
        """(N,) time of the event or of censoring."""
        return np.abs(self.y)

    @cached_property
    def event(self) -> np.ndarray:
        """(N,) bool."""
        return self.y > 0

    @cached_property
    def _unique(self) -> tuple[np.ndarray, np.ndarray]:
        unique, place = np.unique(self.time, return_inverse=True)
        return unique, place

    @property
    def unique(self) -> np.ndarray:
        """(U,) different times, ascending."""
        return self._unique[0]

    @property
    def place(self) -> np.ndarray:
        """(N,) position of each row's time among the different ones."""
        return self._unique[1]

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.place, kind="stable")
        return order, np.searchsorted(self.place[order], np.arange(len(self.unique)))

    def at_times(self, weights: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """(B, U) weight at each different time, of all rows or of those of an (N,) mask."""
        order, starts = self._order
        ordered = weights[:, order] if rows is None else weights[:, order] * rows[order]
        return np.add.reduceat(ordered.astype(np.float64), starts, axis=1)

    def at_risk(self, weights: np.ndarray) -> np.ndarray:
        """(B, U) weight of the rows whose time is not before each different time."""
        return np.cumsum(self.at_times(weights)[:, ::-1], axis=1)[:, ::-1]

    def survival(self, weights: np.ndarray) -> np.ndarray:
        """(B, U) Kaplan-Meier estimate of surviving each different time."""
        return np.cumprod(1 - _share(self.at_times(weights, self.event), self.at_risk(weights)), axis=1)

    def censoring(self, weights: np.ndarray) -> np.ndarray:
        """(B, U) Kaplan-Meier estimate of not being censored up to each different time, events before censoring."""
        left = self.at_risk(weights) - self.at_times(weights, self.event)
        return np.cumprod(1 - _share(self.at_times(weights, ~self.event), left), axis=1)

    def step(self, curve: np.ndarray, times: np.ndarray) -> np.ndarray:
        """(B, T) values of a (B, U) step function that is 1 at time 0."""
        before = np.column_stack([np.ones(len(curve)), curve])
        return before[:, np.searchsorted(self.unique, times, side="right")]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    # Rounding of cumulative sums must not make a share above 1.
    return np.clip(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0), 0, 1)


def c_index(y: np.ndarray, risk: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Harrell's C (1996, 10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4).

    Of the pairs in which an event is known to come first, the share whose earlier event has the higher (N,) risk; ties
    in risk count half.
    """
    return _concordance(Times(y), risk, weights, weights)


def uno_c(y: np.ndarray, risk: np.ndarray, weights: np.ndarray, tau: float) -> np.ndarray:
    """Uno's C (2011, 10.1002/sim.4154): pairs weighted by the inverse probability of censoring, events before `tau`."""
    given = Times(y)
    inverse = _inverse(given.censoring(weights))[:, given.place]
    return _concordance(given, risk, weights, weights * inverse**2 * (given.time < tau))


def _inverse(curve: np.ndarray) -> np.ndarray:
    return np.divide(1.0, curve, out=np.zeros_like(curve), where=curve > 0)


def _concordance(given: Times, risk: np.ndarray, weights: np.ndarray, of_events: np.ndarray) -> np.ndarray:
    """(B,) concordance with (B, N) weights of rows as the later ones, and as the earlier ones of a pair."""
    at, events = given.at_times(weights), given.at_times(weights, given.event)
    after = np.cumsum(at[:, ::-1], axis=1)[:, ::-1] - events  # later, or censored at the same time
    rows = np.flatnonzero(given.event)
    pairs = (of_events[:, rows] * after[:, given.place[rows]]).sum(axis=1)
    ordered = np.zeros(len(weights))
    step = max(1, _CHUNK_BYTES // (8 * max(1, len(risk))))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        later = (given.time > given.time[some, None]) | (
            (given.time == given.time[some, None]) & ~given.event
        )
        won = later * ((risk < risk[some, None]) + 0.5 * (risk == risk[some, None]))
        ordered += np.einsum("bi,bi->b", weights @ won.T, of_events[:, some])
    return divide(ordered, pairs)


def auc(y: np.ndarray, risk: np.ndarray, weights: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(B, T) cumulative/dynamic AUC at (T,) times: events by then against those without, weighted for censoring.

    Hung and Chiang 2010 (10.1002/cjs.10046).
    """
    given = Times(y)
    inverse = _inverse(given.censoring(weights))[:, given.place]
    found = np.empty((len(weights), len(times)))
    for i, time in enumerate(times):
        cases, controls = given.event & (given.time <= time), given.time > time
        rows = cases | controls
        both = np.where(cases, weights * inverse, weights)[:, rows]
        found[:, i] = auroc(cases[rows], risk[rows], both)
    return _within(found, given, times)


def brier(y: np.ndarray, survival: np.ndarray, times: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B, T) Brier score weighted for censoring (Graf 1999), of (N, T) probabilities of surviving (T,) times."""
    given = Times(y)
    censoring = given.censoring(weights)
    inverse = _inverse(censoring)[:, given.place]
    then = _inverse(given.step(censoring, times))
    found = np.empty((len(weights), len(times)))
    for i, time in enumerate(times):
        cases, controls = given.event & (given.time <= time), given.time > time
        lost = (weights * inverse)[:, cases] @ survival[cases, i] ** 2
        kept = weights[:, controls] @ (1 - survival[controls, i]) ** 2
        found[:, i] = lost + kept * then[:, i]
    return _within(found / weights.sum(axis=1, keepdims=True), given, times)


def _within(found: np.ndarray, given: Times, times: np.ndarray) -> np.ndarray:
    """(B, T) values, NaN for times from the end of the longest follow-up on."""
    return np.where(times < given.time.max(), found, np.nan)


def integrated(score: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(B,) mean of a (B, T) score from time 0, where it is 0, to the last of the ascending times, by trapezoids."""
    whole = np.column_stack([np.zeros(len(score)), score])
    return np.asarray(np.trapezoid(whole, np.append(0.0, times), axis=1) / times[-1])


def observed_to_expected(
    y: np.ndarray, survival: np.ndarray, times: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """(B, T) Kaplan-Meier probability of an event by (T,) times, over the mean predicted one; 1 is ideal."""
    given = Times(y)
    observed = 1 - given.step(given.survival(weights), times)
    ratio = divide(observed * weights.sum(axis=1, keepdims=True), weights @ (1 - survival))
    return _within(ratio, given, times)


def calibration_slope(y: np.ndarray, risk: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Coefficient of a Cox regression on (N,) log risks, ties after Breslow: 1 is ideal, below 1 overconfident.

    NaN if the risks are all the same or order the events perfectly.
    """
    given = Times(y)
    spread = float(risk.std())
    if not spread > 0:
        return np.full(len(weights), np.nan)
    z = (risk - risk.mean()) / spread
    events = given.at_times(weights, given.event)
    observed = (weights * given.event) @ z
    beta, step = np.zeros(len(weights)), np.full(len(weights), np.inf)
    for _ in range(_NEWTON_STEPS):
        share = weights * np.exp(np.clip(beta[:, None] * z, -30, 30))
        sums = [given.at_risk(share * power) for power in (np.ones_like(z), z, z**2)]
        mean, square = (_ratio(one, sums[0]) for one in sums[1:])
        curvature = (events * (square - mean**2)).sum(axis=1)
        step = divide(observed - (events * mean).sum(axis=1), curvature)
        beta = beta + np.clip(step, -2, 2)
        if not np.nanmax(np.abs(step), initial=0) > _SETTLED / 100:
            break
    slope = beta / spread
    return np.where((np.abs(step) < _SETTLED) & (np.abs(slope) < _LARGEST_SLOPE), slope, np.nan)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


@dataclass(frozen=True)
class LogRank:
    """A log-rank test of several groups."""

    chi2: float
    p_value: float
    """NaN if fewer than two groups have rows."""
    observed: tuple[int, ...]
    """Events by group."""
    expected: tuple[float, ...]
    """By group, if all had the same hazard."""


def log_rank(y: np.ndarray, group: np.ndarray, n_groups: int, *, trend_variance: float = 0.0) -> LogRank:
    """Test whether groups have the same hazard.

    Args:
        y: (N,) of independent subjects.
        group: (N,) numbers from 0.
        n_groups: number of groups.
        trend_variance: part by which the variance of the trend over the groups is higher than for groups that do not
            depend on the times (see `risk_groups`).
    """
    from scipy.stats import chi2

    given = Times(y)
    members = (group == np.arange(n_groups)[:, None]).astype(float)
    one = np.ones((1, len(y)))
    risk, events = given.at_risk(members), given.at_times(one, given.event)[0]
    total = risk.sum(axis=0)
    share = _ratio(risk, np.broadcast_to(total, risk.shape))
    expected = (share * events).sum(axis=1)
    observed = given.at_times(members, given.event).sum(axis=1)
    factor = events * _ratio(total - events, np.maximum(total - 1, 0))
    variance = np.diag((share * factor).sum(axis=1)) - (share * factor) @ share.T
    trend = variance @ (np.arange(n_groups) - (n_groups - 1) / 2)
    along = float(trend @ (np.arange(n_groups) - (n_groups - 1) / 2))
    if trend_variance and along > 0:
        variance = variance + trend_variance * np.outer(trend, trend) / along
    used = np.flatnonzero(members.sum(axis=1) > 0)[1:]
    counts = tuple(observed.astype(int).tolist()), tuple(expected.tolist())
    if not len(used):
        return LogRank(float("nan"), float("nan"), *counts)
    gap = (observed - expected)[used]
    statistic = float(gap @ np.linalg.pinv(variance[np.ix_(used, used)]) @ gap)
    return LogRank(statistic, float(chi2.sf(statistic, len(used))), *counts)
