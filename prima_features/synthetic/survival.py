"""A time to death with a known hazard, so that probes of survival have a signal to find.

The hazard rises with age, with the volume of lesions and with that of the ventricles, all of which a scan shows. Times
are Weibull, censored at the end of a follow-up of 1 to 6 years. The effects are choices, not those of a real cohort.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log

from prima_features.synthetic.randomness import generator
from prima_features.synthetic.subject import Subject

PER_YEAR_OF_AGE, PER_LOG_LESION, PER_LOG_VENTRICLE = 0.04, 0.5, 0.8
"""Log hazard ratios: of a year of age, of log(1 + ml) of lesions, and of log(ml / 25) of the ventricles."""
_SHAPE = 1.3
_DAYS = 1600.0
"""Scale of the times of a subject of 60 years without lesions and with 25 ml of ventricles."""
_FOLLOW_UP = (365.0, 2190.0)


def survival(subject: Subject, truth: Mapping[str, float]) -> dict[str, float]:
    """Days to death or to the end of the follow-up, whether the death was observed, and the log hazard ratio."""
    lesions = float(truth.get("lesion_ml") or 0.0)
    ventricles = max(float(truth.get("ventricle_ml") or 25.0), 1.0)
    hazard = (
        PER_YEAR_OF_AGE * (subject.age - 60)
        + PER_LOG_LESION * log(1 + lesions)
        + PER_LOG_VENTRICLE * log(ventricles / 25)
    )
    rng = generator(subject.seed, subject.index, "survival")
    death = _DAYS * (rng.exponential() * exp(-hazard)) ** (1 / _SHAPE)
    end = rng.uniform(*_FOLLOW_UP)
    return {
        "survival_days": max(1, round(min(death, end))),
        "death": int(death <= end),
        "log_hazard": round(hazard, 3),
    }
