"""The training set of a probe, as far as its users need to know it, and warnings if new studies do not match it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.covariates import CovariateBaseline
from prima_features.probes.feature_matrix import FeatureSource
from prima_features.probes.samples import Samples
from prima_features.wording import count, verb

if TYPE_CHECKING:
    from prima_features.probes.steps.novelty import TrainingRange


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
    """Years; None if ages are not known."""
    sexes: dict[str, int] = field(default_factory=dict)
    sites: dict[str, int] = field(default_factory=dict)
    """Studies by site."""
    subject_digests: tuple[str, ...] = ()
    """Short hashes of the subjects' ids, to find those that come back in another cohort."""

    covariates: CovariateBaseline | None = None
    """What age and sex alone predict; None if they are not known."""

    @classmethod
    def of(
        cls,
        samples: Samples,
        source: FeatureSource,
        cohort: str = "",
        covariates: CovariateBaseline | None = None,
    ) -> TrainingSet:
        """Summarise the samples that train."""
        used = samples.take(np.flatnonzero(samples.eligible))
        age = used.age[np.isfinite(used.age)]
        return cls(
            source=source,
            n_features=used.X.shape[1],
            n_studies=len(used),
            n_subjects=used.frame["subject"].nunique(),
            cohort=cohort,
            typical=tuple(used.kind.typical(used.y).tolist()),
            age_range=(float(age.min()), float(age.max())) if len(age) else None,
            sexes=_counts(used.frame["sex"]),
            sites=_counts(used.sites.tolist()),
            subject_digests=tuple(sorted({subject_digest(name) for name in used.named_subjects})),
            covariates=covariates,
        )


def subject_digest(subject: str) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of an id without `sub-`."""
    return hashlib.sha256(subject.removeprefix("sub-").encode()).hexdigest()[:12]


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(value for value in values if value).items()))


UNLIKE_SHARE = 0.1
"""A warning is given if more of the studies are unlike the training set; about 1 in 50 is by chance."""
_COHORT = {
    ("norm", "low"): "their vectors are shorter",
    ("norm", "high"): "their vectors are longer",
    ("norm", "narrow"): "their vectors hardly differ in length",
    ("norm", "wide"): "their vectors differ more in length",
    ("components", "low"): "their vectors are closer to the training mean",
    ("components", "high"): "their vectors are farther from the training mean",
    ("components", "narrow"): "their distances from the training mean hardly differ",
    ("components", "wide"): "their distances from the training mean differ more",
    ("residual", "high"): "their vectors point in directions that are rare in training",
    ("prediction", "narrow"): "their predictions hardly differ from each other",
}

Flags = dict[str, np.ndarray]


def check_source(training: TrainingSet, source: FeatureSource, n_features: int) -> None:
    """Refuse features that are not of the kind that a probe was fitted on.

    Raises:
        UsageError: another model, level or series pattern, or another number of features.
    """
    was = training.source
    if was.model_sha256 != source.model_sha256:
        raise UsageError(
            f"this probe was fitted on embeddings of {_model(was)}, but these are of {_model(source)}: embed the "
            "scans with the probe's model"
        )
    if was.change != source.change:
        raise UsageError(f"this probe reads {_change(was)}, but these are {_change(source)}")
    if (was.level, was.series) != (source.level, source.series):
        raise UsageError(f"this probe reads features of {_level(was)}, but these are of {_level(source)}")
    if training.n_features != n_features:
        raise UsageError(
            f"this probe reads {training.n_features} features per study, but these have {n_features}"
        )


def unlike_training(
    near: TrainingRange, training: TrainingSet, given: Samples, raw: np.ndarray | None = None
) -> tuple[Flags, list[str]]:
    """How unlike the training set studies are, one by one and as a whole.

    Args:
        near: the range of the training set.
        training: whom the probe was fitted on.
        given: N studies.
        raw: (N,) numbers or (N, K) probabilities that the probe predicts, before calibration, if they count too.

    Returns:
        columns `distance` (see `TrainingRange`), `unlike_training` (1 or 0), `unlike_how` (such as `residual high`)
        and, if ages are known in training, `outside_age_range` (1 or 0), of (N,) each; and a sentence for each thing
        to know.
    """
    from prima_features.probes.steps.novelty import scores_of

    scores = None if raw is None else scores_of(raw)
    departures = near.departures(given.X, scores)
    distance = np.abs(departures).max(axis=1)
    unlike, reasons = distance > 1, near.reasons(departures)
    flags: Flags = {
        "distance": distance,
        "unlike_training": unlike.astype(int),
        "unlike_how": np.array(reasons, dtype=object),
    }
    found = []
    if unlike.mean() > UNLIKE_SHARE:
        counts = Counter(reason for one in reasons if one for reason in one.split(", "))
        how = ", ".join(f"{reason} in {n}" for reason, n in counts.most_common())
        found.append(
            f"{_part(unlike)} unlike the training set ({how}): another scanner, "
            "sequence or population, or other preprocessing? Their predictions may mean little"
        )
    if differing := near.cohort(given.X, given.groups, scores):
        found.append(
            "as a whole these studies differ from the training set: "
            + ", ".join(_COHORT[one.name, one.how] for one in differing)
        )
    if training.age_range is not None:
        low, high = training.age_range
        outside = (given.age < low) | (given.age > high)
        flags["outside_age_range"] = outside.astype(int)
        if outside.any():
            found.append(
                f"{_part(outside)} of subjects outside the ages of the training "
                f"set, {low:.1f} to {high:.1f} years"
            )
    return flags, found


def shared_subjects(training: TrainingSet, given: Samples, cohort: str) -> list[str]:
    """Sentences about subjects that may be in the training set as well."""
    from prima_features.probes.labels.cohorts import overlap

    found = []
    if training.cohort and cohort and (reason := overlap(training.cohort, cohort)):
        found.append(reason)
    known = set(training.subject_digests)
    if shared := sum(subject_digest(name) in known for name in given.named_subjects):
        found.append(
            f"{count(shared, 'subject')} {verb(shared, 'has an id', 'have ids')} that are also in the training set: "
            "check if they are the same people"
        )
    return found


def _part(which: np.ndarray) -> str:
    """`1 of 40 studies is`."""
    n = int(which.sum())
    return f"{n} of {count(len(which), 'study')} {verb(n, 'is', 'are')}"


def _model(source: FeatureSource) -> str:
    return f"{source.model or 'an unnamed model'} ({source.model_sha256[:12] or 'without a hash'})"


def _change(source: FeatureSource) -> str:
    return source.change.words if source.change else "single studies"


def _level(source: FeatureSource) -> str:
    of_series = f", series {source.series!r}" if source.series else ""
    return f"level {source.level}{of_series}"
