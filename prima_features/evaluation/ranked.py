"""Metrics of one score in many bootstrap resamples at once, fast enough for many names and groups.

`weighted` sorts and accumulates every row in every resample. Here rows are first summed into bins, in one sparse
product for all resamples: a bin per score that a positive row has, and one for all rows between two such scores. No
metric changes by that, and a cohort with few positives has few bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prima_features.evaluation.weighted import divide

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_ROUNDING = 1e-6
"""A sensitivity that is short of the wanted one by rounding counts as reached."""


@dataclass(frozen=True)
class Ranking:
    """n of N rows in the order of their scores."""

    positive: csr_array
    """(bins, N) ones where a positive row falls into a bin; the lowest score first."""
    negative: csr_array
    """(bins, N) likewise."""
    lowest: np.ndarray
    """(bins,) lowest score of each bin."""

    @classmethod
    def of(cls, rows: np.ndarray, positive: np.ndarray, score: np.ndarray, n_rows: int) -> Ranking:
        """Sort rows into bins.

        Args:
            rows: (n,) positions among the N rows.
            positive: (n,) truth.
            score: (n,) finite.
            n_rows: N.
        """
        from scipy.sparse import csr_array

        order = np.argsort(score, kind="stable")
        rows, positive, score = rows[order], positive[order].astype(bool), score[order]
        level = np.cumsum(np.append(0, score[1:] != score[:-1])) if len(score) else np.zeros(0, np.int64)
        with_positive = np.bincount(level, weights=positive) > 0
        starts = np.append(True, with_positive[1:] | with_positive[:-1])
        bins = (np.cumsum(starts) - 1)[level] if len(score) else level
        n_bins = int(bins[-1]) + 1 if len(bins) else 0

        def matrix(mask: np.ndarray) -> csr_array:
            ends = np.append(0, np.cumsum(np.bincount(bins[mask], minlength=n_bins)))
            columns = rows[mask]
            ones = np.ones(len(columns), dtype=np.float32)
            return csr_array((ones, columns, ends), shape=(n_bins, n_rows))

        first = np.flatnonzero(np.append(True, bins[1:] != bins[:-1])) if len(bins) else bins
        return cls(matrix(positive), matrix(~positive), score[first])

    def metrics(self, weights: np.ndarray, sensitivity: float) -> dict[str, np.ndarray]:
        """(B,) values of each metric for (N, B) weights, NaN if a value is not defined.

        `auroc` and `auprc` equal those of `weighted`; `specificity_at` is the specificity at the highest threshold at
        which the sensitivity is at least `sensitivity`.
        """
        hits, alarms = (
            np.asarray(one @ weights, dtype=np.float64)[::-1] for one in (self.positive, self.negative)
        )
        found, false = np.cumsum(hits, axis=0), np.cumsum(alarms, axis=0)
        if not len(found):
            nothing = np.full(weights.shape[1], np.nan)
            return {"auroc": nothing, "auprc": nothing, "specificity_at": nothing}
        n_positive, n_negative = found[-1], false[-1]
        called = found + false
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        reached = np.argmax(found >= (sensitivity - _ROUNDING) * n_positive, axis=0)
        false_at = np.take_along_axis(false, reached[None], axis=0)[0]
        return {
            "auroc": divide((hits * (n_negative - false + alarms / 2)).sum(axis=0), n_positive * n_negative),
            "auprc": divide((hits * precision).sum(axis=0), n_positive),
            "specificity_at": np.where(n_positive > 0, 1 - divide(false_at, n_negative), np.nan),
        }

    def threshold(self, sensitivity: float) -> float:
        """The highest score at which at least this share of the positive rows is at or above; NaN without positives."""
        hits = np.diff(self.positive.indptr)[::-1]
        if not hits.sum():
            return float("nan")
        reached = int(np.argmax(np.cumsum(hits) >= (sensitivity - _ROUNDING) * hits.sum()))
        return float(self.lowest[::-1][reached])
