"""Logistic regression for many penalties from one factor of the rows' products.

Minimises sum_i s_i loss(y_i, Z_i w + b) + |w|^2 / (2 C), as scikit-learn's LogisticRegression does, with the log loss
of a logistic curve for two classes and of a softmax with weights for each class for more. Z are the rows on a basis of
their own span (`design`), so the result is that of all features.

Penalties are solved from the strongest on. Each starts from the best combination of the solutions before it and takes
Newton steps. Their directions are found by conjugate gradients (Dembo and Steihaug 1983, 10.1007/BF02592055),
preconditioned with the Cholesky factor of an earlier Hessian, of each class by itself. A factor is computed again if
the old one needs more steps than a new one would save.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_softmax, softmax

from prima_features.probes.linalg.design import Design, Solve, design
from prima_features.probes.linalg.rows import Rows

_TOLERANCE = 1e-8
"""Squared Newton decrement, per unit of mean sample weight, at which the last step is taken. Before this step the
probability of a training row is off by about half of its square root, 5e-5, or less."""
_MOST_CHANGE = 3e-3
"""Of a training row's probability, or of one of an unseen row of usual length, in the last step. The decrement alone
does not bound it for rows with little weight, nor for unseen rows under a weak penalty."""
_NEGLIGIBLE = 3e-4
"""Part of `_MOST_CHANGE` that is as good as none."""
_MOST_STALE = 100
"""Spread of the ratios between the Hessian of a factor and the present one with which a fit may be taken to have
converged: conjugate gradients measure their own error by that factor."""
_ROUNDING = 1e-14
"""Change of a probability that is none."""
_STALE_PART = 1e-4
"""Of the first squared residual that has to be gone in any case with a factor that is not of the present Hessian, which
can make a residual look negligible that is not."""
_STALLED = 5
"""Steps after which a fit that rounding errors keep from getting better is given up."""
_LEAST_FORCING, _MOST_FORCING = 1e-3, 0.2
_EXTRA_STEPS = 3
"""Steps of conjugate gradients beyond those with a fresh factor, after which the factor is computed again."""
_MOST_STEPS = 300
"""Of conjugate gradients, with a factor of the present Hessian."""
_SLOPE_LEFT = 0.5
_MOST_TRIALS = 40
_COMBINED = 3
"""Solutions that the next one starts from a combination of."""
_COMBINING_STEPS = 10
_ADVICE = "give larger max_steps, or leave out these values of C"


@dataclass(frozen=True)
class LogisticPath:
    """Solutions for P penalties; k is 1 for two classes, else their number."""

    weights: np.ndarray
    """(P, D, k), for the features as given."""
    intercepts: np.ndarray
    """(P, k)."""
    converged: np.ndarray
    """(P,) bool."""


def logistic_path(
    rows: Rows,
    y: np.ndarray,
    penalties: Sequence[float],
    *,
    weights: np.ndarray | None = None,
    standardize: bool = True,
    components: int | None = None,
    max_steps: int = 500,
) -> LogisticPath:
    """Fit for each inverse penalty.

    Args:
        rows: n training rows of D features, scaled by their own mean and standard deviation.
        y: (n,) class numbers from 0, each of which occurs; at least two.
        penalties: positive C, ascending.
        weights: (n,) positive sample weights; default is 1.
        standardize: whether features are scaled to unit variance, or only centred.
        components: most principal components to fit on; None for the features themselves.
        max_steps: most Newton steps for each penalty.
    """
    basis = design(rows, standardize, components)
    given = np.ones(len(y)) if weights is None else weights
    return _solved(basis, rows.width, y, penalties, given, max_steps)


def label_paths(
    rows: Rows,
    weights: np.ndarray,
    y: np.ndarray,
    penalties: Sequence[Sequence[float]],
    *,
    standardize: bool = True,
    components: int | None = None,
    max_steps: int = 500,
) -> list[LogisticPath]:
    """Fit several labels, each by itself, on one decomposition of the rows.

    All rows set the scale of the features, also those whose label is unknown.

    Args:
        rows: n training rows of D features.
        weights: (n, L) sample weight of each row for each label: 0 if the label is unknown there.
        y: (n, L) 1 or 0; what it is where the weight is 0 does not matter.
        penalties: of each label, positive C, ascending.
        standardize: whether features are scaled to unit variance, or only centred.
        components: most principal components to fit on; None for the features themselves.
        max_steps: most Newton steps for each penalty.

    Raises:
        ValueError: a label has a single value.
    """
    basis = design(rows, standardize, components)
    found = []
    for own, codes, tried in zip(weights.T, y.T, penalties, strict=True):
        known = own > 0
        if len(np.unique(codes[known])) < 2:
            raise ValueError("a label has a single value in training")
        codes = np.where(known, codes, 0).astype(np.int64)
        found.append(_solved(basis, rows.width, codes, tried, own, max_steps))
    return found


def _solved(
    basis: Design,
    n_features: int,
    y: np.ndarray,
    penalties: Sequence[float],
    weights: np.ndarray,
    max_steps: int,
) -> LogisticPath:
    """The path of one target; weights may be 0."""
    problem = _Problem.of(basis, y, weights)
    solver = _Solver(problem, max_steps)
    solved = [solver.solve(1 / C) for C in penalties]
    k = problem.intercept.shape[0]
    stacked = np.hstack([one for one, _, _ in solved])
    on_features, offset = basis.unfold(stacked)
    intercepts = np.stack([one for _, one, _ in solved]) + offset.reshape(len(solved), k)
    shaped = on_features.reshape(n_features, len(solved), k).transpose(1, 0, 2)
    return LogisticPath(shaped, intercepts, np.array([one for _, _, one in solved]))


def probabilities(scores: np.ndarray) -> np.ndarray:
    """(n, K) probabilities from (n, 1) scores of the second of two classes, or (n, K) of each class."""
    if scores.shape[1] > 1:
        return np.asarray(softmax(scores, axis=1))
    return np.column_stack([expit(-scores[:, 0]), expit(scores[:, 0])])


@dataclass(frozen=True)
class _Problem:
    """What is minimised, as a function of (n, k) scores."""

    design: Design
    target: np.ndarray
    """(n, k) 1 for the second of two classes and -1 for the first; or 1 in the column of the class, else 0."""
    weights: np.ndarray
    """(n, 1)."""
    intercept: np.ndarray
    """(k,) of the best constant scores."""

    @classmethod
    def of(cls, basis: Design, y: np.ndarray, weights: np.ndarray) -> _Problem:
        share = np.log(np.bincount(y, weights=weights) / weights.sum())
        if len(share) == 2:
            target, intercept = np.where(y == 1, 1.0, -1.0)[:, None], share[1:] - share[:1]
        else:
            target, intercept = (y[:, None] == np.arange(len(share))).astype(float), share - share.mean()
        return cls(basis, target, weights[:, None], intercept)

    @property
    def binary(self) -> bool:
        return self.target.shape[1] == 1

    def residual(self, scores: np.ndarray) -> np.ndarray:
        """(n, k) derivative of the loss."""
        if self.binary:
            return -self.weights * self.target * expit(-self.target * scores)
        return np.asarray(self.weights * (softmax(scores, axis=1) - self.target))

    def curvature(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, k) second derivative by each score itself, and (n, k) probabilities."""
        if self.binary:
            share = expit(scores)
            return self.weights * share * expit(-scores), share
        share = np.exp(log_softmax(scores, axis=1))
        return self.weights * share * (1 - share), share

    def curved(self, curvature: np.ndarray, share: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """(n, k) second derivative of the loss along (n, k) scores."""
        if self.binary:
            return curvature * scores
        mean = np.einsum("ij,ij->i", share, scores)[:, None]
        return np.asarray(self.weights * share * (scores - mean))


@dataclass
class _Point:
    """Where the solver is, or a direction from there."""

    w: np.ndarray
    """(r, k)."""
    b: np.ndarray
    """(k,)."""
    scores: np.ndarray
    """(n, k) Z w + b."""

    def copy(self) -> _Point:
        return _Point(self.w.copy(), self.b.copy(), self.scores.copy())

    def add(self, factor: float, other: _Point) -> None:
        self.w += factor * other.w
        self.b += factor * other.b
        self.scores += factor * other.scores


class _Solver:
    """Newton's method along the path of penalties."""

    def __init__(self, problem: _Problem, max_steps: int):
        self.problem, self.max_steps = problem, max_steps
        k = len(problem.intercept)
        n, r = problem.design.shape
        self.at = _Point(np.zeros((r, k)), problem.intercept.copy(), np.tile(problem.intercept, (n, 1)))
        self.solved = [self.at.copy()]
        """The best constant scores, and the latest solutions."""
        self.factor: _Preconditioner | None = None
        self.usual = 0
        """Steps of conjugate gradients with the latest factor when it was fresh."""
        self.divisor = np.where(problem.weights > 0, problem.weights, 1.0)
        """(n, 1) weights of the rows, 1 for those that do not count."""
        self.least = float(problem.weights[problem.weights > 0].min())
        self.scale = float(problem.weights.mean())
        self.tolerance = _TOLERANCE * self.scale
        self.length = float(np.sqrt(problem.design.squares.mean()))
        """Of a usual row."""

    def solve(self, penalty: float) -> tuple[np.ndarray, np.ndarray, bool]:
        """(r, k) weights and (k,) intercepts for |w|^2 penalty / 2, and whether they converged."""
        converged, stalled = False, 0
        least = np.full(2, np.inf)
        if self.at.w.any():
            self._combine(penalty)
        for _ in range(self.max_steps):
            direction, slope, solved = self._direction(penalty)
            change = self._change(direction)
            small = solved and change <= _MOST_CHANGE
            if small and -slope <= self.tolerance and self._is_stale(penalty):
                self.factor = None
                continue
            if not slope < 0 or (small and change <= _ROUNDING):
                # No way down: at the minimum if the direction is right, else lost in rounding errors. Nor are these
                # followed, so that features without information give the same for all penalties.
                converged = small
                break
            self._advance(direction, slope, penalty)
            if -slope <= self.tolerance:
                now = np.array([change, -slope])
                stalled = 0 if (now < least / 2).any() else stalled + 1
                least = np.minimum(least, now)
                if small or stalled == _STALLED:
                    converged = small
                    break
        if not self.problem.binary:  # the same for all classes changes nothing
            self.at.b -= self.at.b.mean()
            self.at.scores = self.at.scores - self.at.scores.mean(axis=1, keepdims=True)
        self.solved = [self.solved[0], *self.solved[1:][1 - _COMBINED :], self.at.copy()]
        return self.at.w.copy(), self.at.b.copy(), converged

    def _combine(self, penalty: float) -> None:
        """Start from the linear combination of earlier solutions with the least objective, or nearly so."""
        w = np.stack([one.w.ravel() for one in self.solved])
        scores = np.stack([one.scores for one in self.solved])
        flat = scores.reshape(len(scores), -1)
        squares, parts = penalty * w @ w.T, np.zeros(len(w))
        parts[-1] = 1
        for _ in range(_COMBINING_STEPS):
            at = np.tensordot(parts, scores, 1)
            gradient = flat @ self.problem.residual(at).ravel() + squares @ parts
            curvature, share = self.problem.curvature(at)
            bent = np.stack([self.problem.curved(curvature, share, one).ravel() for one in scores])
            step = -np.linalg.lstsq(flat @ bent.T + squares, gradient, rcond=1e-10)[0]
            size = float(np.abs(step @ flat).max())
            parts = parts + step * min(1.0, 2 / size if size else 1.0)
            if size < 0.1:
                break
        self.at = _Point(*(np.zeros_like(values) for values in vars(self.at).values()))
        for part, one in zip(parts, self.solved, strict=True):
            self.at.add(float(part), one)

    def _is_stale(self, penalty: float) -> bool:
        """Whether the factor is of a Hessian too unlike the present one."""
        assert self.factor is not None
        then, now = (one / max(self.length, 1e-150) ** 2 for one in (self.factor.penalty, penalty))
        curvature, _ = self.problem.curvature(self.at.scores)
        # Of the loss with what the penalty adds to a usual row, and of the penalty alone. If all are large, conjugate
        # gradients find a small part negligible that is not.
        ratio = np.append((self.factor.curvature + then) / (curvature + now), self.factor.penalty / penalty)
        return bool(ratio.max() > _MOST_STALE * min(ratio.min(), _MOST_STALE))

    def _change(self, direction: _Point) -> float:
        """The most that a step changes a probability, of a training row or of an unseen one of usual length."""
        curvature, _ = self.problem.curvature(self.at.scores)
        seen = np.abs(curvature / self.divisor * direction.scores).max()
        return float(max(seen, self.length * np.linalg.norm(direction.w, axis=0).max() / 4))

    def _direction(self, penalty: float) -> tuple[_Point, float, bool]:
        """Newton's direction from here, the objective's slope along it, and whether it was found to tolerance."""
        residual = self.problem.residual(self.at.scores)
        gradient = self.problem.design.transposed(residual) + penalty * self.at.w, residual.sum(axis=0)
        curvature, share = self.problem.curvature(self.at.scores)

        def hessian(one: _Point) -> tuple[np.ndarray, np.ndarray]:
            curved = self.problem.curved(curvature, share, one.scores)
            return self.problem.design.transposed(curved) + penalty * one.w, curved.sum(axis=0)

        # Half of an energy below this moves no probability by more than the change that is as good as none.
        bounds = self.least, 4 * penalty / max(self.length, 1e-150) ** 2
        negligible = 4 * (_NEGLIGIBLE * _MOST_CHANGE) ** 2 * min(bounds)
        if self.factor is not None:
            found, steps, solved = self._conjugate(
                gradient, hessian, self.usual + _EXTRA_STEPS, negligible, _STALE_PART
            )
        if self.factor is None or not solved:
            self.factor = _Preconditioner.fit(self.problem.design, curvature, penalty)
            found, steps, solved = self._conjugate(gradient, hessian, _MOST_STEPS, negligible, 1.0)
            self.usual = steps
        return found, float(np.vdot(gradient[0], found.w) + gradient[1] @ found.b), solved

    def _conjugate(
        self,
        gradient: tuple[np.ndarray, np.ndarray],
        hessian: Callable[[_Point], tuple[np.ndarray, np.ndarray]],
        most: int,
        negligible: float,
        part: float,
    ) -> tuple[_Point, int, bool]:
        """Solve hessian(x) = -gradient; x, the steps taken, and whether the residual fell far enough.

        That is to a part of the first residual which is as small as the decrement (Dembo and Steihaug 1983), so
        that Newton's steps converge faster than linearly, or to what is negligible but to `part` of the first one.
        """
        assert self.factor is not None
        left = -gradient[0], -gradient[1]
        made = _Point(np.zeros_like(left[0]), np.zeros_like(left[1]), np.zeros_like(self.at.scores))
        step = self._point(*self.factor.solve(*left))
        size = first = float(np.vdot(left[0], step.w) + left[1] @ step.b)
        forcing = np.clip(np.sqrt(max(first, 0) / self.scale), _LEAST_FORCING, _MOST_FORCING)
        for i in range(most):
            if abs(size) <= max(forcing**2 * first, min(negligible, part * first)):
                return made, i, True
            if not size > 0:
                return made, i, False
            bent = hessian(step)
            curvature = float(np.vdot(step.w, bent[0]) + step.b @ bent[1])
            if not curvature > 0:
                return made, i, False
            length = size / curvature
            made.add(length, step)
            left = left[0] - length * bent[0], left[1] - length * bent[1]
            following = self._point(*self.factor.solve(*left))
            size, before = float(np.vdot(left[0], following.w) + left[1] @ following.b), size
            following.add(size / before, step)
            step = following
        return made, most, False

    def _point(self, w: np.ndarray, b: np.ndarray) -> _Point:
        return _Point(w, b, self.problem.design.dot(w) + b)

    def _advance(self, direction: _Point, slope: float, penalty: float) -> None:
        """Go along the direction to where the slope is at most half of what it is here."""
        along, length = float(np.vdot(direction.w, self.at.w)), float(np.vdot(direction.w, direction.w))

        def slope_at(t: float) -> float:
            residual = self.problem.residual(self.at.scores + t * direction.scores)
            return float(np.vdot(residual, direction.scores)) + penalty * (along + t * length)

        low, low_slope, high, high_slope, t = 0.0, slope, np.inf, np.inf, 1.0
        for _ in range(_MOST_TRIALS):
            here = slope_at(t)
            if abs(here) <= -_SLOPE_LEFT * slope:
                break
            if here < 0:
                low, low_slope = t, here
            else:
                high, high_slope = t, here
            if np.isinf(high):
                t *= 2
            else:  # where the slope is 0 if it were a line, away from the ends
                part = low_slope / (low_slope - high_slope)
                t = low + float(np.clip(part, 0.1, 0.9)) * (high - low)
        self.at.add(t, direction)


@dataclass(frozen=True)
class _Preconditioner:
    """Inverse of the Hessian without what it has between classes; the intercept is eliminated."""

    curvature: np.ndarray
    """(n, k) of the loss, and the penalty, at which it was computed."""
    penalty: float
    solvers: tuple[Solve, ...]
    border: np.ndarray
    """(r, k) each class's solution for its Hessian's column of the intercept."""
    pivot: np.ndarray
    """(k,) the intercept's own second derivative, less what the weights take over."""

    @classmethod
    def fit(cls, basis: Design, curvature: np.ndarray, penalty: float) -> _Preconditioner:
        total = curvature.sum(axis=0)
        column = basis.transposed(curvature)
        solvers = tuple(basis.factor(one, penalty) for one in curvature.T)
        border = np.column_stack([solve(one) for solve, one in zip(solvers, column.T, strict=True)])
        pivot = total - np.einsum("ij,ij->j", column, border)
        least = np.maximum(1e-12 * total, np.finfo(float).tiny)
        return cls(curvature, penalty, solvers, border, np.maximum(pivot, least))

    def solve(self, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(r, k) and (k,) solutions; of several classes their sum is 0, as that of `w` and of `b` is."""
        inner = np.column_stack([solve(one) for solve, one in zip(self.solvers, w.T, strict=True)])
        intercept = (b - np.einsum("ij,ij->j", self.border, w)) / self.pivot
        inner -= self.border * intercept
        if len(b) > 1:
            # What all classes share changes no probability: without this, only the penalty would curb it.
            inner, intercept = inner - inner.mean(axis=1, keepdims=True), intercept - intercept.mean()
        return inner, intercept


def unconverged_sentence(penalties: Sequence[float], which: str = "", advice: str = _ADVICE) -> str:
    """A warning that logistic regressions with these inverse penalties are not solved to tolerance.

    Args:
        penalties: C of each.
        which: which fits they are, such as `of the learning curve`; default is those of the evaluation.
        advice: what to do, or what it means.
    """
    named = ", ".join(f"{C:g}" for C in penalties)
    return (
        f"logistic regression {which + ' ' if which else ''}did not converge with C of {named} in some fits, and its "
        f"probabilities there are not exact: {advice}"
    )


def unconverged_warning(
    penalties: Sequence[float], which: str = "", advice: str = _ADVICE
) -> tuple[str, ...]:
    """`unconverged_sentence`, or nothing if all converged."""
    return (unconverged_sentence(penalties, which, advice),) if penalties else ()
