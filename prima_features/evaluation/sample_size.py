"""Smallest numbers of subjects for a prediction model, by the criteria of Riley et al.

Each criterion gives the subjects that a model of p parameters without penalty needs:

shrinkage: overfitting shrinks predictor effects by no more than 10%.
optimism: the apparent R2 (of classes and survival Nagelkerke's) is at most 0.05 above the true one.
risk: the overall risk is known to 0.05 (of numbers: the residual standard deviation to 10%).

Sources: Riley 2019, 10.1002/sim.7993 (numbers) and 10.1002/sim.7992 (classes and survival); Riley 2020,
10.1136/bmj.m441; Pate 2023, 10.1177/09622802231151220 (three and more classes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, exp, log, sqrt
from typing import Any

import numpy as np

SHRINKAGE = 0.9
OPTIMISM = 0.05
MARGIN = 0.05
_Z = 1.96
_RESIDUAL = 234
"""Degrees of freedom that give a residual standard deviation to within 10% (95% interval)."""
_MOST = 10**9
"""Search no further."""


@dataclass(frozen=True)
class SampleSize:
    """Subjects that are needed, and parameters that the subjects at hand support."""

    r2: float
    """Anticipated R2; of classes and survival, as a share of the largest possible (Nagelkerke's)."""
    n: int
    """Subjects at hand."""
    n_parameters: int
    """Of a model of all features without penalty."""
    criteria: dict[str, int]
    """Subjects needed by each criterion, for that model."""
    supported: int
    """Most parameters for which the subjects at hand meet all criteria; -1 if they do for none."""

    @property
    def needed(self) -> int:
        """Subjects that meet all criteria."""
        return max(self.criteria.values())

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self) | {"needed": self.needed}


Criteria = Callable[[int], dict[str, int]]
"""From a number of parameters to subjects needed by each criterion."""


def sample_size(criteria: Criteria, r2: float, n: int, n_parameters: int) -> SampleSize:
    """Apply criteria to a model, and find the largest model that n subjects allow."""
    low, high = -1, n
    while low < high:  # all criteria grow with the number of parameters
        middle = (low + high + 1) // 2
        if max(criteria(middle).values()) <= n:
            low = middle
        else:
            high = middle - 1
    return SampleSize(r2, n, n_parameters, criteria(n_parameters), low)


def for_numbers(r2: float) -> Criteria:
    """Criteria of linear regression.

    Args:
        r2: anticipated adjusted R2, above 0 and below 1.
    """

    def criteria(p: int) -> dict[str, int]:
        return {
            "shrinkage": _linear_shrinkage(r2, p),
            "optimism": ceil(_rounded(1 + p * (1 - r2) / OPTIMISM)),
            "residual": _RESIDUAL + p,
        }

    return criteria


def _linear_shrinkage(r2: float, p: int) -> int:
    """Least n with Copas's shrinkage factor 1 + (p - 2) / (n ln(1 - apparent R2)) of `SHRINKAGE` or more."""
    if p <= 2:
        return p + 2

    def enough(n: int) -> bool:
        apparent = (r2 * (n - p - 1) + p) / (n - 1)
        return 1 + (p - 2) / (n * log(1 - apparent)) >= SHRINKAGE

    low, high = p + 2, p + 2
    while not enough(high) and high < _MOST:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def for_two_classes(r2: float, share: float) -> Criteria:
    """Criteria of logistic regression.

    Args:
        r2: anticipated Nagelkerke's R2, above 0 and below 1.
        share: of the positive class, above 0 and below 1.
    """
    most = largest_cox_snell([share, 1 - share])

    def criteria(p: int) -> dict[str, int]:
        return {
            "shrinkage": _shrinkage(r2 * most, p),
            "optimism": _optimism(r2 * most, most, p),
            "risk": _share(share),
        }

    return criteria


def for_classes(r2: float, shares: Sequence[float]) -> Criteria:
    """Criteria of multinomial logistic regression with K classes.

    Shrinkage is that of each pair of classes, and the anticipated R2 the same for all pairs.

    Args:
        r2: anticipated Nagelkerke's R2, above 0 and below 1.
        shares: (K,) of the classes, all above 0.
    """
    if len(shares) == 2:
        return for_two_classes(r2, shares[1])
    pairs = [(a, b) for i, a in enumerate(shares) for b in shares[i + 1 :]]
    most = largest_cox_snell(shares)

    def criteria(p: int) -> dict[str, int]:
        each = [_shrinkage(r2 * largest_cox_snell([a / (a + b), b / (a + b)]), p) / (a + b) for a, b in pairs]
        return {
            "shrinkage": ceil(_rounded(max(each))),
            "optimism": _optimism(r2 * most, most, p * (len(shares) - 1)),
            "risk": max(map(_share, shares)),
        }

    return criteria


def for_survival(r2: float, events: float, horizon: float) -> Criteria:
    """Criteria of Cox regression, with a constant hazard for the overall risk.

    Args:
        r2: anticipated Nagelkerke's R2, above 0 and below 1.
        events: per subject, above 0: the rate times the mean follow-up.
        horizon: of the risk, in units of the mean follow-up.
    """
    most = 1 - exp(2 * events * (log(events) - 1))

    def criteria(p: int) -> dict[str, int]:
        return {
            "shrinkage": _shrinkage(r2 * most, p),
            "optimism": _optimism(r2 * most, most, p),
            "risk": _risk_at(events, horizon),
        }

    return criteria


def largest_cox_snell(shares: Sequence[float]) -> float:
    """Largest Cox-Snell R2 of K classes with these shares."""
    return 1 - exp(2 * sum(one * log(one) for one in shares))


def _shrinkage(cox_snell: float, p: int, shrinkage: float = SHRINKAGE) -> int:
    return ceil(_rounded(p / ((shrinkage - 1) * log(1 - cox_snell / shrinkage))))


def _optimism(cox_snell: float, most: float, p: int) -> int:
    return _shrinkage(cox_snell, p, cox_snell / (cox_snell + OPTIMISM * most))


def _share(share: float) -> int:
    return ceil(_rounded((_Z / MARGIN) ** 2 * share * (1 - share)))


def _risk_at(events: float, horizon: float) -> int:
    """Least n for which the 95% interval of the risk at the horizon is within `MARGIN` on both sides."""
    risk = -np.expm1(-events * horizon)

    def enough(n: int) -> bool:
        half = _Z * sqrt(events / n)
        low, high = (-np.expm1(-max(0.0, events + sign * half) * horizon) for sign in (-1, 1))
        return bool(max(risk - low, high - risk) <= MARGIN)

    high = 1
    while not enough(high) and high < _MOST:
        high *= 2
    low = 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _rounded(value: float) -> float:
    """Without the last digits, so that rounding up does not add a subject for a rounding error."""
    return min(float(f"{value:.12g}"), float(_MOST))
