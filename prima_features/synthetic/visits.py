"""Later visits of a synthetic subject: the same brain, older, on the same scanner.

Each subject has an ageing rate, in years of ageing per year, whose median is 1 in controls and higher in dementia.
Ventricles, sulci, temporal horns, hippocampi and hyperintensities change as `factors` says for that many years. Lesions
and incidental findings stay as they are. The protocol is the same at all visits; the position of the head, the noise,
the receive field and the contrast between tissues are drawn for each visit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from prima_features.synthetic.acquisition import Acquisition
from prima_features.synthetic.factors import with_factors
from prima_features.synthetic.protocol import RANGES, Settings
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.subject import Subject

RATE_SD = 0.5
"""Standard deviation of the logarithm of the ageing rate."""
DEMENTIA_RATE = 3.0
"""By which the rate is higher in dementia."""
DAYS_PER_YEAR = 365.25
_RATIOS = ("ventricle_ratio", "third_ratio", "hippocampus_ratio")
_WIDTHS = ("horn_mm", "sulcal_mm", "hyperintensity_ml")


@dataclass(frozen=True)
class Visit:
    """One visit of a subject."""

    number: int
    """From 0."""
    days: int
    """Since the first visit."""
    subject: Subject
    """As it is then."""
    anatomical_age: float
    """Age of the brain in years: the age at the first visit, and the ageing rate times the years since."""

    @property
    def session(self) -> str:
        """Label of the session, such as `01`."""
        return f"{self.number + 1:02d}"


def ageing_rate(subject: Subject) -> float:
    """Years of ageing per year between a subject's visits."""
    rate = float(np.exp(RATE_SD * generator(subject.seed, subject.index, "ageing rate").normal()))
    return round(rate * (DEMENTIA_RATE if subject.condition == "dementia" else 1.0), 3)


def visit(first: Subject, number: int, between: tuple[float, float]) -> Visit:
    """Visit `number` of a subject.

    Args:
        first: the subject at the first visit.
        number: from 0.
        between: fewest and most days from one visit to the next.
    """
    rng = generator(first.seed, first.index, "visits")
    days = sum(max(1, round(float(rng.uniform(*between)))) for _ in range(number))
    years = days / DAYS_PER_YEAR
    aged = ageing_rate(first) * years
    subject = replace(_aged(first, aged), age=round(first.age + years, 2)) if number else first
    return Visit(number, days, subject, round(first.age + aged, 3))


def _aged(subject: Subject, years: float) -> Subject:
    """The subject with a brain that is some years older."""
    now, then = with_factors(subject), with_factors(replace(subject, age=subject.age + years))
    changed = {
        name: getattr(subject, name) * getattr(then, name) / getattr(now, name) for name in _RATIOS
    } | {
        name: max(0.0, getattr(subject, name) + getattr(then, name) - getattr(now, name)) for name in _WIDTHS
    }
    return replace(subject, **changed)


def scanned_again(
    scans: Sequence[Acquisition], subject: Subject, number: int, settings: Settings
) -> tuple[Acquisition, ...]:
    """The series of the first visit as they are acquired at another: the same protocol, another position and noise."""
    if not number:
        return tuple(scans)
    rng = generator(subject.seed, subject.index, f"rescan {number}")
    x, y, z = (round(float(angle), 2) for angle in rng.normal(0, RANGES[settings].tilt, 3))
    moved = int(rng.integers(2**30))
    return tuple(replace(scan, head_tilt=(x, y, z), seed=(scan.seed + moved) % 2**31) for scan in scans)
