"""Clinical scores with a known dependence on the brain, so that probes of ordered classes and counts have a signal.

Strokes have NIHSS points and a modified Rankin grade, which rise with the volume of the lesion (the grade also with
age); controls and dementia have a Clinical Dementia Rating, which rises as hippocampi shrink and ventricles widen. The
effects are choices, not those of a real cohort.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log

import numpy as np

from prima_features.synthetic.randomness import generator
from prima_features.synthetic.subject import Subject

NIHSS_INTERCEPT, NIHSS_PER_LOG_LESION, NIHSS_DISPERSION = 0.6, 0.6, 0.2
"""Log mean without a lesion, its slope on log(1 + ml), and the negative binomial's dispersion."""
MRS_PER_LOG_LESION, MRS_PER_YEAR = 1.2, 0.03
CDR_PER_HIPPOCAMPUS_ML, CDR_PER_LOG_VENTRICLE, CDR_PER_YEAR = -3.0, 2.4, 0.04
"""Log odds of a higher class: of a ml of hippocampi, of log(ml / 25) of the ventricles, of a year of age."""
_MRS_CUTS = (0.8, 1.8, 2.6, 3.4, 4.4, 5.4)
_CDR = ("0", "0.5", "1", "2", "3")
_CDR_CUTS = (2.4, 4.8, 7.2, 10.0)
_MOST_NIHSS = 42


def severity(subject: Subject, truth: Mapping[str, float]) -> dict[str, object]:
    """Scores of the subject's condition, and what they were drawn from; empty for conditions without one.

    Args:
        subject: at one visit. The random part of a score is the same at all visits of a subject.
        truth: what `prima_features.synthetic.measure` found.
    """
    rng = generator(subject.seed, subject.index, "severity")
    noise = float(rng.logistic())
    if subject.condition == "stroke":
        lesion = log(1 + truth["lesion_ml"])
        mean = exp(NIHSS_INTERCEPT + NIHSS_PER_LOG_LESION * lesion)
        odds = MRS_PER_LOG_LESION * lesion + MRS_PER_YEAR * (subject.age - 65)
        points = rng.poisson(mean * rng.gamma(1 / NIHSS_DISPERSION, NIHSS_DISPERSION))
        return {
            "nihss": min(int(points), _MOST_NIHSS),
            "nihss_mean": round(mean, 3),
            "mrs": int(np.searchsorted(_MRS_CUTS, odds + noise)),
            "mrs_log_odds": round(odds, 3),
        }
    if subject.condition in ("control", "dementia"):
        odds = (
            CDR_PER_HIPPOCAMPUS_ML * (truth["hippocampus_ml"] - 4)
            + CDR_PER_LOG_VENTRICLE * log(max(truth["ventricle_ml"], 1.0) / 25)
            + CDR_PER_YEAR * (subject.age - 70)
        )
        return {"cdr": _CDR[int(np.searchsorted(_CDR_CUTS, odds + noise))], "cdr_log_odds": round(odds, 3)}
    return {}
