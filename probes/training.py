"""Whom a probe was fitted on, so far as its users need to know."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from prima_features.probes.feature_matrix import FeatureSource
from prima_features.probes.samples import Samples


@dataclass(frozen=True)
class TrainingSet:
    """A summary of the training studies; no study or subject is named in it."""

    source: FeatureSource
    n_features: int
    n_studies: int
    n_subjects: int
    cohort: str = ""
    typical: tuple[float, ...] = ()
    """Mean target, or the frequency of each class."""
    age_range: tuple[float, float] | None = None
    """Years; None where ages are not known."""
    sexes: dict[str, int] = field(default_factory=dict)
    sites: dict[str, int] = field(default_factory=dict)
    """Studies by site."""
    subject_digests: tuple[str, ...] = ()
    """Short hashes of the subjects' ids, to find those that come back in another cohort."""

    @classmethod
    def of(cls, samples: Samples, source: FeatureSource, cohort: str = "") -> TrainingSet:
        """Summarise the samples that train."""
        used = samples.take(np.flatnonzero(samples.eligible))
        age = used.age[np.isfinite(used.age)]
        return cls(
            source=source,
            n_features=used.X.shape[1],
            n_studies=len(used),
            n_subjects=used.frame["subject"].nunique(),
            cohort=cohort,
            typical=tuple(typical_of(used).tolist()),
            age_range=(float(age.min()), float(age.max())) if len(age) else None,
            sexes=_counts(used.frame["sex"]),
            sites=_counts(used.sites.tolist()),
            subject_digests=tuple(sorted({subject_digest(name) for name in used.named_subjects})),
        )


def subject_digest(subject: str) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of an id without `sub-`."""
    return hashlib.sha256(subject.removeprefix("sub-").encode()).hexdigest()[:12]


def typical_of(samples: Samples) -> np.ndarray:
    """(1,) mean target, or (K,) frequencies of the classes."""
    if samples.task.is_classification:
        return np.bincount(samples.y, minlength=len(samples.task.classes)) / len(samples)
    return np.array([samples.y.mean()])


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value).items()))
