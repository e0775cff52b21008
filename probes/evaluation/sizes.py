"""Whether a cohort is large enough for a prediction model, by Riley's criteria."""

from __future__ import annotations

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation.sample_size import SampleSize, sample_size
from prima_features.probes.samples import Samples
from prima_features.wording import count

DEFAULT_R2 = 0.15
"""Anticipated if nothing is known (Riley 2020, 10.1136/bmj.m441)."""


def sample_size_of(samples: Samples, r2: float) -> SampleSize | None:
    """Apply the criteria to the eligible subjects, with the first study of each.

    Args:
        samples: N studies of D features.
        r2: anticipated R2 (see `evaluation.sample_size`).

    Returns:
        None if there are no criteria for the kind of target.

    Raises:
        UsageError: `r2` is not between 0 and 1.
    """
    if not 0 < r2 < 1:
        raise UsageError(f"the anticipated R2 is {r2:g}: give a number between 0 and 1")
    eligible = np.flatnonzero(samples.eligible)
    _, first = np.unique(samples.groups[eligible], return_index=True)
    criteria = samples.kind.criteria(samples.y[eligible[first]], r2)
    if criteria is None:
        return None
    return sample_size(criteria, r2, len(first), samples.X.shape[1])


def support(found: SampleSize) -> str:
    """The largest model that the subjects support, and the subjects that one of all features needs, as a clause."""
    supported = (
        f"{count(found.n, 'subject')} {'supports' if found.n == 1 else 'support'} a model of "
        f"{count(found.supported, 'parameter')} without penalty"
        if found.supported > 0
        else f"{count(found.n, 'subject')} are too few for a model of any size without penalty"
    )
    return f"{supported}; all {count(found.n_parameters, 'feature')} would need {found.needed:,}"


def size_sentence(found: SampleSize) -> str:
    """What the criteria say, in two sentences."""
    largest = max(found.criteria, key=found.criteria.__getitem__)
    return (
        f"By Riley's criteria, with an anticipated R\u00b2 of {found.r2:g}, {support(found)} subjects (criterion of "
        f"{_NAMES[largest]}). "
        "The criteria do not cover penalties: judge a probe by its calibration slope, intervals and learning curve."
    )


_NAMES = {
    "shrinkage": "shrinkage",
    "optimism": "optimism",
    "residual": "the residual standard deviation",
    "risk": "the overall risk",
}
