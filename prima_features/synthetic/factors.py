"""How age, sex and disease change the shape of a brain: means, and the scatter between subjects.

Magnitudes follow the literature on adults, rounded: brain volume differs between the sexes by about one standard
deviation (Ritchie et al., Cerebral Cortex 2018); ventricles grow about 1.8 % a year (Walhovd et al., Neurobiology of
Aging 2011); hyperintensities grow exponentially; hippocampi are about a fifth smaller in Alzheimer's dementia.
Autism's effects are weak: the largest that the ENIGMA consortium found (van Rooij et al., American Journal of
Psychiatry 2018) are near d = 0.2; which measures change here, and by `AUTISM_D`, is a choice.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prima_features.synthetic.randomness import generator
from prima_features.synthetic.subject import Subject

BRAIN_ML = {"M": 1300.0, "F": 1180.0}
BRAIN_SD = 115.0
AUTISM_D = 0.25
"""Standard deviations by which brain volume, ventricles and the narrowness of sulci are larger."""
_VENTRICLE_SD, _SULCAL_SD = 0.20, 0.14


def with_factors(subject: Subject) -> Subject:
    """Draw a subject's shape from age, sex and condition."""
    rng = generator(subject.seed, subject.index, "shape")
    shift = AUTISM_D if subject.condition == "autism" else 0.0
    proportions = np.exp(rng.normal(0, 0.025, 3))
    width, length, height = (proportions / np.prod(proportions) ** (1 / 3)).tolist()
    older = max(subject.age - 20, 0)
    shape = replace(
        subject,
        brain_ml=BRAIN_ML[subject.sex] + BRAIN_SD * float(np.clip(rng.normal(shift), -2.5, 2.5)),
        proportions=(width, length, height),
        ventricle_ratio=0.62 * np.exp(0.018 * older + _VENTRICLE_SD * rng.normal(shift)),
        third_ratio=0.75 * np.exp(0.012 * older + 0.15 * rng.normal()),
        horn_mm=max(0.0, 0.3 + 0.014 * older + 0.25 * rng.normal()),
        hippocampus_ratio=np.exp(0.06 * rng.normal()) * (1 - 0.004 * max(subject.age - 50, 0)),
        sulcal_mm=max(0.0, 0.0165 * older + _SULCAL_SD * rng.normal(-shift)),
        hyperintensity_ml=min(0.18 * np.exp(0.068 * (subject.age - 30) + 0.6 * rng.normal()), 60.0),
    )
    if subject.condition == "dementia":
        return _demented(shape, rng)
    if subject.condition == "hydrocephalus":
        return _hydrocephalic(shape, rng)
    return shape


def _demented(subject: Subject, rng: np.random.Generator) -> Subject:
    """Beyond age: smaller hippocampi, wider horns and temporal sulci, larger ventricles."""
    loss = float(rng.uniform(0.11, 0.23))
    return replace(
        subject,
        hippocampus_ratio=subject.hippocampus_ratio * (1 - loss),
        horn_mm=subject.horn_mm + float(rng.uniform(0.5, 1.3)),
        ventricle_ratio=subject.ventricle_ratio * float(rng.uniform(1.15, 1.6)),
        sulcal_mm=subject.sulcal_mm + float(rng.uniform(0.05, 0.25)),
        temporal_mm=float(rng.uniform(0.2, 0.6)),
    )


def _hydrocephalic(subject: Subject, rng: np.random.Generator) -> Subject:
    """Ventricles far beyond age, with narrow sulci."""
    return replace(
        subject,
        ventricle_ratio=float(rng.uniform(4.0, 7.0)),
        third_ratio=float(rng.uniform(2.2, 3.5)),
        horn_mm=float(rng.uniform(3.0, 5.0)),
        sulcal_mm=subject.sulcal_mm * 0.4,
        hyperintensity_ml=subject.hyperintensity_ml + float(rng.uniform(3, 12)),
    )
