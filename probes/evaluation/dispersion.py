"""Whether counts vary more than the predictions and Poisson's distribution say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from prima_features.evaluation.counts import estimate_dispersion, pearson_dispersion
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.scored import Scored


@dataclass(frozen=True)
class Dispersion:
    """Of N counts around their predicted means."""

    pearson: Estimate
    """Mean squared Pearson residual: 1 for Poisson counts, more if they are overdispersed."""
    negative_binomial: float
    """Dispersion k of the variance mu + k mu^2, by maximum likelihood; 0 if counts are not overdispersed."""
    p_value: float
    """Of the likelihood ratio against Poisson, with one study per subject."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "pearson": self.pearson.to_dict(),
            "negative_binomial": self.negative_binomial,
            "p_value": self.p_value,
        }


def dispersion(result: Scored) -> Dispersion:
    """Assess the dispersion of N predicted rows; the negative binomial is fitted to the first repeat."""

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        each = [pearson_dispersion(result.y, one.value, weights) for one in result.repeats]
        return {"dispersion": np.mean(each, axis=0)}

    _, first = np.unique(result.bootstrap.groups, return_index=True)
    found = estimate_dispersion(result.y[first], result.repeats[0].value[first])
    return Dispersion(result.bootstrap.estimates(statistic)["dispersion"], *found)
