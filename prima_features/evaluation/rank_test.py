"""Van Elteren's test: whether scores rank positive above negative rows, within strata."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def van_elteren(positive: np.ndarray, score: np.ndarray, strata: np.ndarray) -> float:
    """Standard normal statistic of the stratified Wilcoxon rank-sum test; NaN if no stratum has both kinds of rows.

    Each stratum's rank sum has the weight 1 / (n + 1) (van Elteren 1960). With one stratum the test is that of
    Wilcoxon, Mann and Whitney with midranks for ties, without continuity correction.

    Args:
        positive: (N,) truth.
        score: (N,) finite.
        strata: (N,) integers; rows of different strata are not compared.
    """
    excess = variance = 0.0
    for stratum in np.unique(strata):
        rows = strata == stratum
        n, n_positive = int(rows.sum()), int(positive[rows].sum())
        if not 0 < n_positive < n:
            continue
        ranks = rankdata(score[rows])
        expected = n_positive * (n + 1) / 2
        spread = n_positive * (n - n_positive) / (n * (n - 1)) * float(((ranks - (n + 1) / 2) ** 2).sum())
        excess += (float(ranks[positive[rows]].sum()) - expected) / (n + 1)
        variance += spread / (n + 1) ** 2
    return float(excess / np.sqrt(variance)) if variance > 0 else float("nan")
