"""What speaks against a fitted probe's numbers on new studies: refused, or said in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.feature_matrix import FeatureSource
from prima_features.probes.samples import Samples
from prima_features.probes.training import TrainingSet, subject_digest

if TYPE_CHECKING:
    from prima_features.probes.steps.familiar import TrainingRange

UNLIKE_SHARE = 0.05
"""A warning is given where more of the studies are unlike the training set; 1 in 100 is by chance."""

Flags = dict[str, np.ndarray]


def check_source(training: TrainingSet, source: FeatureSource, n_features: int) -> None:
    """Refuse features that are not of the kind that a probe was fitted on.

    Raises:
        UsageError: another model, level or series pattern, or another number of features.
    """
    was = training.source
    if was.model_sha256 != source.model_sha256:
        raise UsageError(
            f"this probe was fitted on embeddings of {_model(was)}, and these are of {_model(source)}: "
            "embed with the probe's model"
        )
    if (was.level, was.series) != (source.level, source.series):
        raise UsageError(f"this probe reads {_level(was)}, and these features are of {_level(source)}")
    if training.n_features != n_features:
        raise UsageError(f"this probe reads {training.n_features} numbers a study, not {n_features}")


def unlike_training(near: TrainingRange, training: TrainingSet, given: Samples) -> tuple[Flags, list[str]]:
    """How unlike the training set studies are.

    Returns:
        columns `distance` (see `TrainingRange`), `unlike_training` and, where ages are known in training,
        `outside_age_range` (1 or 0), of (N,) each; and a sentence for each thing to know.
    """
    distance = near.distance(given.X)
    unlike = distance > 1
    flags: Flags = {"distance": distance, "unlike_training": unlike.astype(int)}
    found = []
    if unlike.mean() > UNLIKE_SHARE:
        found.append(
            f"{int(unlike.sum())} of {len(unlike)} studies are less like the training set than 99 in 100 of its own: "
            "another scanner, sequence or population? Their numbers may mean little"
        )
    if training.age_range is not None:
        low, high = training.age_range
        outside = (given.age < low) | (given.age > high)
        flags["outside_age_range"] = outside.astype(int)
        if outside.any():
            found.append(
                f"{int(outside.sum())} of {len(outside)} studies are of subjects outside the ages of the training "
                f"set, {low:.0f} to {high:.0f} years"
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
            f"{shared} subjects have ids that are in the training set too: are they the same people?"
        )
    return found


def _model(source: FeatureSource) -> str:
    return f"{source.model or 'an unnamed model'} ({source.model_sha256[:12] or 'without a hash'})"


def _level(source: FeatureSource) -> str:
    return f"series {source.series!r}" if source.series else f"level {source.level}"
