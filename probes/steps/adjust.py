"""Adjusting features: removing confounds, and harmonising sites.

Both are fitted on training rows; the result of a row depends on that row alone.

`ComBat` is the parametric empirical-Bayes method of Johnson et al. (2007, 10.1093/biostatistics/kxj037), with
covariates as in Fortin et al. (2018, 10.1016/j.neuroimage.2017.11.024). Features are standardised by a linear model of
site and covariates. Each site then has a shift and a scale per feature, which are shrunk towards the site's own mean
over features: shifts have a normal prior, variances an inverse gamma prior, both fitted by moments over the features
within the site.
"""

from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator

from prima_features.errors import UsageError

UnseenSites = Literal["keep", "error"]
MIN_ROWS = 3
"""A site with fewer training rows has no usable variance, and counts as unseen."""
_CONSTANT = 1e-12
"""Residual variance of a feature, relative to its mean square, below which it counts as constant."""
_CONVERGED, _MOST_STEPS = 1e-4, 1000
_LEAST_SPREAD = 1e-9
"""Relative variance over features that a prior is given at least."""

_log = logging.getLogger(__name__)


class Residualizer(BaseEstimator):
    """Subtracts the part of each feature that is linear in the covariates.

    Removing confounds so can also remove signal, if covariate and target go together, and can let a
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
        """(N, C) covariates less their training means, 0 if missing."""
        if covariates is None or not covariates.shape[1]:
            raise UsageError(
                "confounds can be removed only if they are known: give their columns, such as --age-column or "
                "--sex-column"
            )
        if fitting:
            if not np.isfinite(covariates).any(axis=0).all():
                raise UsageError(
                    "a confound is unknown for all training subjects: leave it out of --confounds"
                )
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
    """(C,) means of the known values of (N, C) covariates; 0 if none is known."""
    known = np.isfinite(covariates)
    return np.where(known, covariates, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


class ComBat(BaseEstimator):
    """Shifts and scales each site's features to the common ones.

    Once fitted ComBat is, for a site s and covariates c, X -> slope_s * X + (1 - slope_s) * (c @ effect) + offset_s.
    Rows transformed together do not change each other. Numbers are those of the package neuroCombat, except that
    features which are constant given site and covariates stay as they are and take no part in the priors.

    Args:
        unseen: rows of sites that were not in training, or without a site, are left as they are (`keep`; the
            estimator then meets unharmonised values) or refused (`error`).
    """

    name = "combat"

    def __init__(self, unseen: UnseenSites = "keep"):
        self.unseen = unseen

    def fit(self, X: np.ndarray, sites: np.ndarray | None, covariates: np.ndarray | None) -> ComBat:
        """Fit a shift and a scale per site.

        Args:
            X: (N, D) features.
            sites: (N,) text, empty if unknown.
            covariates: (N, C) numbers whose effect on the features is kept; missing ones count as the mean.
                Never the target, or what is only known with it: the probe could read it from the result. A
                covariate that is constant within every site cannot be separated from the site and is not kept.

        Raises:
            UsageError: fewer than two sites have at least `MIN_ROWS` rows.
        """
        if sites is None:
            raise UsageError("ComBat needs the sites: name their column with --site-column")
        names, counts = np.unique(sites[sites != ""], return_counts=True)
        self.sites_ = names[counts >= MIN_ROWS]
        if len(self.sites_) < 2:
            raise UsageError(
                f"ComBat needs at least two sites with at least {MIN_ROWS} scans each in every training fold"
            )
        if covariates is None:
            covariates = np.empty((len(X), 0))
        self.mean_ = means(covariates)
        known = np.isin(sites, self.sites_)
        site = np.searchsorted(self.sites_, sites[known])
        self._fit(X[known].astype(np.float64), site, self._fill(covariates[known]))
        return self

    def transform(self, X: np.ndarray, sites: np.ndarray | None, covariates: np.ndarray | None) -> np.ndarray:
        """(N, D) harmonised features, as float64.

        Raises:
            UsageError: a site was not in training, and `unseen` is `error`.
        """
        sites = np.full(len(X), "") if sites is None else sites
        self._check_unseen(sites)
        result = X.astype(np.float64)
        filled = self._fill(np.full((len(X), len(self.mean_)), np.nan) if covariates is None else covariates)
        for i, site in enumerate(self.sites_):
            rows = sites == site
            common = filled[rows] @ self.effect_
            result[rows] = self.slope_[i] * result[rows] + (1 - self.slope_[i]) * common + self.offset_[i]
        return result

    def _check_unseen(self, sites: np.ndarray) -> None:
        unseen = sorted(set(sites.tolist()) - set(self.sites_.tolist()))
        if unseen and self.unseen == "error":
            raise UsageError(
                f"ComBat was not fitted on site {unseen[0] or 'unknown'!r}: leave it out, or give --unseen-sites keep"
            )
        if unseen:
            _log.debug("%d sites were not in ComBat's training and are left as they are", len(unseen))

    def _fill(self, covariates: np.ndarray) -> np.ndarray:
        return np.nan_to_num(covariates - self.mean_)

    def _fit(self, X: np.ndarray, site: np.ndarray, covariates: np.ndarray) -> None:
        """Set `effect_` (C, D), `slope_` and `offset_` (S, D) from X (n, D), site codes (n,) and covariates (n, C)."""
        indicator = (site[:, None] == np.arange(len(self.sites_))).astype(np.float64)
        counts = indicator.sum(axis=0)
        effect = np.zeros((covariates.shape[1], X.shape[1]))
        kept = separable(covariates, site)
        design = np.hstack([indicator, covariates[:, kept]])
        weights = np.linalg.lstsq(design, X, rcond=None)[0]
        effect[kept] = weights[len(counts) :]
        common = counts / len(X) @ weights[: len(counts)]
        variance = ((X - design @ weights) ** 2).mean(axis=0)
        varies = variance > _CONSTANT * (X**2).mean(axis=0)
        deviation = np.sqrt(np.where(varies, variance, 1))
        standard = (X - common - covariates @ effect) / deviation
        shift, scale = np.zeros((len(counts), X.shape[1])), np.ones((len(counts), X.shape[1]))
        if varies.any():
            for i in range(len(counts)):
                shift[i, varies], scale[i, varies] = _shrunk(standard[site == i][:, varies])
        self.effect_, self.slope_ = effect, 1 / np.sqrt(scale)
        self.offset_ = (1 - self.slope_) * common - shift * deviation * self.slope_

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What was fitted: a document and arrays."""
        arrays = {"mean": self.mean_, "offset": self.offset_, "slope": self.slope_, "effect": self.effect_}
        return {"sites": self.sites_.tolist(), "unseen": self.unseen}, arrays

    def restore(self, document: dict[str, Any], arrays: dict[str, np.ndarray]) -> ComBat:
        """Take back what `state` gave."""
        self.unseen = document["unseen"]
        self.sites_ = np.array(document["sites"], dtype=str)
        self.mean_, self.offset_ = arrays["mean"], arrays["offset"]
        self.slope_, self.effect_ = arrays["slope"], arrays["effect"]
        return self


def separable(covariates: np.ndarray, site: np.ndarray) -> np.ndarray:
    """(C,) whether the effect of each covariate can be separated from those of the sites and earlier covariates.

    Args:
        covariates: (n, C) numbers, none missing.
        site: (n,) site of each row; any type.
    """
    _, code = np.unique(site, return_inverse=True)
    counts = np.bincount(code)
    kept: list[np.ndarray] = []
    found = np.zeros(covariates.shape[1], dtype=bool)
    for i, column in enumerate(covariates.T.astype(np.float64)):
        within = column - (np.bincount(code, weights=column) / counts)[code]
        for other in kept:
            within = within - (within @ other) * other
        length = np.linalg.norm(within)
        found[i] = length > 1e-8 * np.linalg.norm(column)
        if found[i]:
            kept.append(within / length)
    return found


def _shrunk(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A site's shift and variance of each feature, shrunk towards its means over features; values (n, D) standardised.

    With a single feature there is nothing to shrink them towards.
    """
    n, n_features = values.shape
    mean, variance = values.mean(axis=0), values.var(axis=0, ddof=1)
    variance = np.where(variance == 0, 1, variance)
    if n_features == 1:
        return mean, variance
    centre, spread = mean.mean(), max(mean.var(ddof=1), _LEAST_SPREAD)
    m = variance.mean()
    s2 = max(variance.var(ddof=1), _LEAST_SPREAD * m**2)
    a, b = (2 * s2 + m**2) / s2, (m * s2 + m**3) / s2
    shift, scale = mean, variance
    for _ in range(_MOST_STEPS):
        new_shift = (n * spread * mean + scale * centre) / (n * spread + scale)
        new_scale = (0.5 * ((values - new_shift) ** 2).sum(axis=0) + b) / (n / 2 + a - 1)
        # Relative to signed shifts, as neuroCombat ends: the last digits are to be the same.
        with np.errstate(divide="ignore", invalid="ignore"):
            changes = (np.abs(new_shift - shift) / shift).max(), (np.abs(new_scale - scale) / scale).max()
        shift, scale = new_shift, new_scale
        if not max(changes) > _CONVERGED:
            break
    return shift, scale
