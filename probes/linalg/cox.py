"""Cox regression for many ridge penalties from one factor of the rows' products.

Minimises the negative log partial likelihood, ties after Efron (1977), plus alpha |w|^2 / 2, as scikit-survival's
CoxPHSurvivalAnalysis does with `ties="efron"`. Z are the rows on a basis of their own span (`design`), so the result is
that of all features. Scores are relative to the mean of the training rows.

Penalties are solved from the strongest on, each from the solution before it, by Newton steps with halving. Directions
are found by conjugate gradients (Dembo and Steihaug 1983, 10.1007/BF02592055), preconditioned with the Hessian without
what it has between rows. Products with the Hessian of the likelihood take cumulative sums over the ordered times only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prima_features.probes.linalg.design import Design, design
from prima_features.probes.linalg.rows import Rows

_TOLERANCE = 1e-12
"""Squared Newton decrement per event at which the last step is taken; about the square of its relative length."""
_FORCING = 1e-4
"""Part of the first residual, in the norm of the preconditioner, at which conjugate gradients stop."""
_MOST_CONJUGATE = 500
_MOST_HALVINGS = 30


@dataclass(frozen=True)
class CoxPath:
    """Solutions for P penalties."""

    weights: np.ndarray
    """(P, D), for the features as given."""
    offsets: np.ndarray
    """(P,) added to the products, so that the mean of the training rows has score 0."""
    converged: np.ndarray
    """(P,) bool."""


class PartialLikelihood:
    """The negative log partial likelihood of n rows, as a function of their scores."""

    def __init__(self, y: np.ndarray):
        """Order the rows by time.

        Args:
            y: (n,) signed times: positive an event, negative a censored row; at least one event.
        """
        time, event = np.abs(y), y > 0
        self.order = np.argsort(time, kind="stable")
        time, self.event = time[self.order], event[self.order]
        self.back = np.empty(len(y), dtype=np.int64)
        self.back[self.order] = np.arange(len(y))
        starts = np.searchsorted(time, time)
        """First row of the same time: the risk set starts there."""
        rows = np.flatnonzero(self.event)
        self.first = starts[rows]
        """(m,) start of each event's risk set."""
        _, self.tie, size = np.unique(self.first, return_inverse=True, return_counts=True)
        """(m,) number of the event's time among the times of events."""
        earlier = np.arange(len(rows)) - np.concatenate([[0], np.cumsum(size)[:-1]])[self.tie]
        self.part = earlier / size[self.tie]
        """(m,) part of the tied events that Efron leaves out of the risk set."""
        self.rows = rows
        self.n_events = len(rows)
        self._until = np.searchsorted(time[rows], time, side="right")
        """(n,) number of events up to each row's time."""

    def _sums(self, values: np.ndarray) -> np.ndarray:
        """(m,) sums over each event's risk set, of (n,) values in the order of time."""
        after = np.cumsum(values[::-1])[::-1]
        tied = np.bincount(self.tie, weights=values[self.rows])
        return after[self.first] - self.part * tied[self.tie]

    def _spread(self, per_event: np.ndarray) -> np.ndarray:
        """(n,) sums of (m,) values over the events in whose risk set each row is."""
        total = np.append(0.0, np.cumsum(per_event))[self._until]
        total[self.rows] -= np.bincount(self.tie, weights=self.part * per_event)[self.tie]
        return total

    def value(self, scores: np.ndarray) -> float:
        """The negative log likelihood at (n,) scores."""
        ordered = scores[self.order]
        top = float(ordered.max())
        sums = self._sums(np.exp(ordered - top))
        return float(np.log(sums).sum() + self.n_events * top - ordered[self.rows].sum())

    def at(self, scores: np.ndarray) -> _Curvature:
        """Derivatives at (n,) scores."""
        ordered = scores[self.order]
        share = np.exp(ordered - ordered.max())
        inverse = 1 / self._sums(share)
        diagonal = share * self._spread(inverse)
        return _Curvature(self, share, inverse, diagonal)


@dataclass(frozen=True)
class _Curvature:
    """Derivatives at some scores; arrays in the order of time."""

    of: PartialLikelihood
    share: np.ndarray
    inverse: np.ndarray
    diagonal: np.ndarray

    def gradient(self) -> np.ndarray:
        """(n,)."""
        return np.asarray((self.diagonal - self.of.event)[self.of.back])

    def weights(self) -> np.ndarray:
        """(n,) upper bound of the Hessian, as a diagonal."""
        return np.asarray(self.diagonal[self.of.back])

    def product(self, scores: np.ndarray) -> np.ndarray:
        """(n,) product of the Hessian with (n,) scores."""
        ordered = scores[self.of.order]
        mean = self.of._sums(self.share * ordered) * self.inverse
        bent = self.diagonal * ordered - self.share * self.of._spread(mean * self.inverse)
        return np.asarray(bent[self.of.back])


def cox_path(
    rows: Rows,
    y: np.ndarray,
    alphas: Sequence[float],
    *,
    standardize: bool = True,
    components: int | None = None,
    max_steps: int = 100,
) -> CoxPath:
    """Fit for each penalty.

    Args:
        rows: n training rows of D features, scaled by their own mean and standard deviation.
        y: (n,) signed times, at least one event.
        alphas: positive penalties, descending.
        standardize: whether features are scaled to unit variance, or only centred.
        components: most principal components to fit on; None for the features themselves.
        max_steps: most Newton steps for each penalty.
    """
    basis = design(rows, standardize, components)
    likelihood = PartialLikelihood(y)
    w = np.zeros(basis.shape[1])
    solved, converged = [], []
    for alpha in alphas:
        w, done = _solve(basis, likelihood, w, alpha, max_steps)
        solved.append(w)
        converged.append(done)
    on_features, offsets = basis.unfold(np.column_stack(solved))
    return CoxPath(on_features.T.copy(), offsets, np.array(converged))


def _solve(
    basis: Design, likelihood: PartialLikelihood, w: np.ndarray, alpha: float, max_steps: int
) -> tuple[np.ndarray, bool]:
    """(r,) weights, and whether they converged."""
    scores = basis.dot(w[:, None])[:, 0]
    value = likelihood.value(scores) + alpha * w @ w / 2
    for _ in range(max_steps):
        here = likelihood.at(scores)
        gradient = basis.transposed(here.gradient()[:, None])[:, 0] + alpha * w
        step, along = _direction(basis, here, gradient, alpha)
        slope = float(gradient @ step)
        if not slope < 0:
            return w, True
        size = 1.0
        for _ in range(_MOST_HALVINGS):
            moved = w + size * step
            moved_scores = scores + size * along
            new = likelihood.value(moved_scores) + alpha * moved @ moved / 2
            if new <= value + 1e-4 * size * slope or -slope <= _TOLERANCE * likelihood.n_events:
                break
            size /= 2
        w, scores, value = moved, moved_scores, new
        if -slope <= _TOLERANCE * likelihood.n_events:
            return w, True
    return w, False


def _direction(
    basis: Design, here: _Curvature, gradient: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Newton's direction (r,), and its (n,) scores."""
    solve = basis.factor(here.weights(), alpha)
    left = -gradient
    made, along = np.zeros_like(left), np.zeros(len(here.share))
    search = solve(left)
    size = first = float(left @ search)
    for _ in range(_MOST_CONJUGATE):
        if not size > _FORCING**2 * first:
            break
        scores = basis.dot(search[:, None])[:, 0]
        bent = basis.transposed(here.product(scores)[:, None])[:, 0] + alpha * search
        length = size / float(search @ bent)
        made, along, left = made + length * search, along + length * scores, left - length * bent
        following = solve(left)
        size, before = float(left @ following), size
        search = following + size / before * search
    return made, along
