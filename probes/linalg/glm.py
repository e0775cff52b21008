"""Regressions of one linear predictor for many ridge penalties: counts with a log link, and ordered classes.

Minimises sum_i loss(y_i, Z_i w, b) + alpha |w|^2 / 2, where b are a few parameters without penalty: the intercept of
counts, the thresholds of ordered classes. Z are the rows on a basis of their own span (`design`), so the result is that
of all features. All losses are convex in w and b together (of ordered classes: Pratt 1981,
10.1080/01621459.1981.10477613).

Penalties are solved from the strongest on, each from the solution before it, by Newton steps with halving. The Hessian
of w is factored once a step, and b is eliminated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit

from prima_features.probes.linalg.design import Design, design
from prima_features.probes.linalg.rows import Rows

_TOLERANCE = 1e-12
"""Squared Newton decrement per row at which the last step is taken; about the square of its relative length."""
_MOST_HALVINGS = 40


@dataclass(frozen=True)
class GlmPath:
    """Solutions for P penalties."""

    weights: np.ndarray
    """(P, D), for the features as given."""
    extra: np.ndarray
    """(P, q) intercept or thresholds, for the features as given."""
    converged: np.ndarray
    """(P,) bool."""


@dataclass(frozen=True)
class Derivatives:
    """Of a loss at n scores and q parameters without penalty."""

    gradient: np.ndarray
    """(n,) by the scores."""
    curvature: np.ndarray
    """(n,) second derivative by each score."""
    extra_gradient: np.ndarray
    """(q,)."""
    cross: np.ndarray
    """(n, q) second derivative by a score and a parameter."""
    extra_hessian: np.ndarray
    """(q, q)."""


class Loss(ABC):
    """The negative log likelihood of n rows, without terms that do not depend on the model."""

    sign: float
    """Of the parameters in the linear predictor."""

    @abstractmethod
    def start(self) -> np.ndarray:
        """(q,) best parameters if all scores are 0."""

    @abstractmethod
    def value(self, scores: np.ndarray, extra: np.ndarray) -> float:
        """At (n,) scores and (q,) parameters; infinite outside the domain."""

    @abstractmethod
    def at(self, scores: np.ndarray, extra: np.ndarray) -> Derivatives:
        """Derivatives."""


class Counts(Loss):
    """Counts with a log link: Poisson, or negative binomial of variance mu + dispersion mu^2."""

    sign = 1.0

    def __init__(self, y: np.ndarray, dispersion: float = 0.0):
        """Take the counts.

        Args:
            y: (n,) numbers from 0, not all 0.
            dispersion: 0 for Poisson.
        """
        self.y, self.dispersion = y, dispersion

    def start(self) -> np.ndarray:
        """The logarithm of the mean."""
        return np.array([np.log(self.y.mean())])

    def value(self, scores: np.ndarray, extra: np.ndarray) -> float:
        """Negative log likelihood."""
        eta = scores + extra[0]
        with np.errstate(over="ignore"):
            if not self.dispersion:
                return float(np.exp(eta).sum() - self.y @ eta)
            tail = np.logaddexp(0, eta + np.log(self.dispersion))
            return float((self.y + 1 / self.dispersion) @ tail - self.y @ eta)

    def at(self, scores: np.ndarray, extra: np.ndarray) -> Derivatives:
        """Derivatives; the intercept adds to every score."""
        eta = scores + extra[0]
        if self.dispersion:
            share, size = expit(eta + np.log(self.dispersion)), self.y + 1 / self.dispersion
            gradient, curvature = size * share - self.y, size * share * (1 - share)
        else:
            curvature = np.exp(eta)
            gradient = curvature - self.y
        total = np.array([gradient.sum()]), np.array([[curvature.sum()]])
        return Derivatives(gradient, curvature, total[0], curvature[:, None], total[1])


class Cumulative(Loss):
    """Ordered classes with proportional odds: P(y <= k) is the logistic function of threshold k minus the score.

    The log likelihood of class k between the thresholds a and b, both less the score, is log expit(b) + log expit(-a) +
    log(1 - exp(a - b)), of which the last part does not depend on the score.
    """

    sign = -1.0

    def __init__(self, y: np.ndarray):
        """Take the classes.

        Args:
            y: (n,) positions from 0, each of which occurs; at least two.
        """
        self.y, self.n = y, np.bincount(y)

    def start(self) -> np.ndarray:
        """Log odds of the cumulative frequencies."""
        below = np.cumsum(self.n)[:-1] / len(self.y)
        return np.asarray(np.log(below) - np.log1p(-below))

    def _ends(self, scores: np.ndarray, extra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ends = np.concatenate([[-np.inf], extra, [np.inf]])
        return ends[self.y] - scores, ends[self.y + 1] - scores

    def value(self, scores: np.ndarray, extra: np.ndarray) -> float:
        """Negative log likelihood; infinite unless thresholds ascend."""
        gaps = np.diff(extra)
        if not (gaps > 0).all():
            return np.inf
        low, high = self._ends(scores, extra)
        between = self.n[1:-1] @ np.log(-np.expm1(-gaps))
        return float(-log_expit(high).sum() - log_expit(-low).sum() - between)

    def at(self, scores: np.ndarray, extra: np.ndarray) -> Derivatives:
        """Derivatives."""
        low, high = self._ends(scores, extra)
        above, below = expit(-high), expit(low)
        bent_above, bent_below = above * expit(high), below * expit(-low)
        k = len(extra)
        cross = np.zeros((len(scores), k))
        with_high, with_low = np.flatnonzero(self.y < k), np.flatnonzero(self.y > 0)
        cross[with_high, self.y[with_high]] -= bent_above[with_high]
        cross[with_low, self.y[with_low] - 1] -= bent_below[with_low]

        def by_class(values: np.ndarray) -> np.ndarray:
            return np.bincount(self.y, weights=values, minlength=k + 1)

        gaps = np.diff(extra)
        # Below 500 so that the exponential stays finite: both terms are 0 long before.
        less = self.n[1:-1] / np.expm1(np.minimum(gaps, 500))
        bent = less / -np.expm1(-gaps)
        gradient = by_class(below)[1:] - by_class(above)[:-1]
        gradient[1:] -= less
        gradient[:-1] += less
        diagonal = by_class(bent_above)[:-1] + by_class(bent_below)[1:]
        diagonal[1:] += bent
        diagonal[:-1] += bent
        hessian = np.diag(diagonal) - np.diag(bent, 1) - np.diag(bent, -1)
        return Derivatives(above - below, bent_above + bent_below, gradient, cross, hessian)


def glm_path(
    rows: Rows,
    loss: Loss,
    alphas: Sequence[float],
    *,
    standardize: bool = True,
    components: int | None = None,
    max_steps: int = 100,
) -> GlmPath:
    """Fit for each penalty.

    Args:
        rows: n training rows of D features, scaled by their own mean and standard deviation.
        loss: of the n rows.
        alphas: positive penalties, descending.
        standardize: whether features are scaled to unit variance, or only centred.
        components: most principal components to fit on; None for the features themselves.
        max_steps: most Newton steps for each penalty.
    """
    basis = design(rows, standardize, components)
    w, extra = np.zeros(basis.shape[1]), loss.start()
    solved, extras, converged = [], [], []
    for alpha in alphas:
        w, extra, done = _solve(basis, loss, (w, extra), alpha, max_steps)
        solved.append(w)
        extras.append(extra)
        converged.append(done)
    on_features, offsets = basis.unfold(np.column_stack(solved))
    moved = np.array(extras) + loss.sign * offsets[:, None]
    return GlmPath(on_features.T.copy(), moved, np.array(converged))


def _solve(
    basis: Design, loss: Loss, start: tuple[np.ndarray, np.ndarray], alpha: float, max_steps: int
) -> tuple[np.ndarray, np.ndarray, bool]:
    """(r,) weights and (q,) parameters, and whether they converged."""
    w, extra = start
    scores = basis.dot(w[:, None])[:, 0]
    value = loss.value(scores, extra) + alpha * w @ w / 2
    least = _TOLERANCE * len(scores)
    for _ in range(max_steps):
        here = loss.at(scores, extra)
        gradient = basis.transposed(here.gradient[:, None])[:, 0] + alpha * w
        step, more = _direction(basis, here, gradient, alpha)
        slope = float(gradient @ step + here.extra_gradient @ more)
        if not slope < 0:
            return w, extra, True
        along, size = basis.dot(step[:, None])[:, 0], 1.0
        for _ in range(_MOST_HALVINGS):
            moved = w + size * step, extra + size * more
            new = loss.value(scores + size * along, moved[1]) + alpha * moved[0] @ moved[0] / 2
            if new <= value + 1e-4 * size * slope or (-slope <= least and np.isfinite(new)):
                break
            size /= 2
        else:
            return w, extra, False
        (w, extra), scores, value = moved, scores + size * along, new
        if -slope <= least:
            return w, extra, True
    return w, extra, False


def _direction(
    basis: Design, here: Derivatives, gradient: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Newton's direction (r,) and (q,): the parameters without penalty are eliminated."""
    solve = basis.factor(here.curvature, alpha)
    column = basis.transposed(here.cross)
    border = np.column_stack([solve(one) for one in column.T])
    pivot = here.extra_hessian - column.T @ border
    more = np.linalg.lstsq((pivot + pivot.T) / 2, border.T @ gradient - here.extra_gradient, rcond=None)[0]
    return -solve(gradient) - border @ more, more


def class_probabilities(log_odds: np.ndarray) -> np.ndarray:
    """(n, K) probabilities of the classes from (n, K - 1) descending log odds of a class above each threshold."""
    ends = np.full((len(log_odds), 1), np.inf)
    low, high = np.hstack([ends, log_odds]), np.hstack([log_odds, -ends])
    # Differences of the smaller of both tails, which lose no digits: of very likely classes above, of unlikely ones.
    flip = low + high > 0
    first, second = np.where(flip, -high, low), np.where(flip, -low, high)
    return np.asarray(np.maximum(expit(first) - expit(second), 0))
