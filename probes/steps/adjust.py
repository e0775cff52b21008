"""Taking confounds out of features. Fitted on training rows; a row's result depends on that row alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from prima_features.errors import UsageError


class Residualizer(BaseEstimator):
    """Subtracts the part of each feature that is linear in the covariates.

    Removing confounds so can also remove signal, where covariate and target go together, and can let a
    non-linear estimator read the target from what is left (Dinga 2020, 10.1101/2020.08.17.255034): compare with
    the baseline of the covariates alone.
    """

    name = "residualize"

    def fit(self, X: np.ndarray, sites: np.ndarray | None, covariates: np.ndarray | None) -> Residualizer:
        """Fit by least squares.

        Args:
            X: (N, D) features.
            sites: not used.
            covariates: (N, C); missing values count as the mean.

        Raises:
            UsageError: there are no covariates, or one is known of nobody.
        """
        filled = self._fill(covariates, fitting=True)
        X = X.astype(np.float64)
        self.effect_ = np.linalg.lstsq(filled, X - X.mean(axis=0), rcond=None)[0]
        return self

    def transform(self, X: np.ndarray, sites: np.ndarray | None, covariates: np.ndarray | None) -> np.ndarray:
        """(N, D) features without what the covariates explain, as float64."""
        return X - self._fill(covariates) @ self.effect_

    def _fill(self, covariates: np.ndarray | None, fitting: bool = False) -> np.ndarray:
        """(N, C) covariates less their training means, 0 where missing."""
        if covariates is None or not covariates.shape[1]:
            raise UsageError("confounds can be taken out only where age or sex is known: give such a column")
        if fitting:
            if not np.isfinite(covariates).any(axis=0).all():
                raise UsageError("a confound to take out is known of no training subject: leave it out")
            self.mean_ = means(covariates)
        return np.nan_to_num(covariates - self.mean_)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What was fitted: a document and arrays."""
        return {}, {"mean": self.mean_, "effect": self.effect_}

    def restore(self, document: dict[str, Any], arrays: dict[str, np.ndarray]) -> Residualizer:
        """Take back what `state` gave."""
        self.mean_, self.effect_ = arrays["mean"], arrays["effect"]
        return self


def means(covariates: np.ndarray) -> np.ndarray:
    """(C,) means of the known values of (N, C) covariates; 0 where none is known."""
    known = np.isfinite(covariates)
    return np.where(known, covariates, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
