"""ComBat harmonisation of sites, fitted inside training folds by combatlearn."""

from __future__ import annotations

import logging
import warnings
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator

from prima_features.errors import UsageError
from prima_features.probes.optional import require
from prima_features.probes.steps.adjust import means

UnseenSites = Literal["keep", "error"]
MIN_ROWS = 3
"""A site with fewer training rows has no variance worth the name, and counts as unseen."""

_log = logging.getLogger(__name__)


class ComBat(BaseEstimator):
    """Shifts and scales each site's features to the common ones (Johnson 2007; covariates as Fortin 2018).

    Once fitted ComBat is, for a site s and covariates c, X -> slope_s * X + (1 - slope_s) * (c @ effect) +
    offset_s. These three are read off combatlearn's transform, so that nothing of that package has to be
    stored, and so that rows transformed together cannot change each other.

    Args:
        unseen: rows of sites that were not in training, or without a site, are left as they are (`keep`; the
            estimator then meets unharmonised values) or refused (`error`).
    """

    name = "combat"

    def __init__(self, unseen: UnseenSites = "keep"):
        self.unseen = unseen

    def fit(self, X: np.ndarray, sites: np.ndarray | None, covariates: np.ndarray | None) -> ComBat:
        """Fit a shift and scale a site.

        Args:
            X: (N, D) features.
            sites: (N,) text, empty where unknown.
            covariates: (N, C) numbers whose effect on the features is kept; missing ones count as the mean.
                Never the target, or what is only known with it: the probe could read it from the result.

        Raises:
            UsageError: fewer than two sites have at least `MIN_ROWS` rows.
        """
        if sites is None:
            raise UsageError("ComBat needs to know the sites: name their column with --site-column")
        names, counts = np.unique(sites[sites != ""], return_counts=True)
        self.sites_ = names[counts >= MIN_ROWS]
        if len(self.sites_) < 2:
            raise UsageError(f"ComBat needs two sites with at least {MIN_ROWS} scans in each training fold")
        if covariates is None:
            covariates = np.empty((len(X), 0))
        self.mean_ = means(covariates)
        known = np.isin(sites, self.sites_)
        self._read_off(X[known].astype(np.float64), sites[known], self._fill(covariates[known]))
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
                f"ComBat was not fitted on site {unseen[0] or 'unknown'!r}: leave it out, or keep it as it is"
            )
        if unseen:
            _log.debug("%d sites were not in ComBat's training and are left as they are", len(unseen))

    def _fill(self, covariates: np.ndarray) -> np.ndarray:
        return np.nan_to_num(covariates - self.mean_)

    def _read_off(self, X: np.ndarray, sites: np.ndarray, covariates: np.ndarray) -> None:
        """Fit combatlearn's model and take its three parts from what it makes of zeros, ones and unit covariates."""
        core = require("combatlearn.core", "harmonisation with ComBat")
        model = core.ComBatModel(method="fortin")
        # Numbers, not categories: combatlearn encodes categories by those of the rows at hand, so that a test
        # set of one sex would be taken for the other.
        given = {"continuous_covariates": covariates} if covariates.shape[1] else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model.fit(X, batch=sites, **given)
        n_covariates, n_sites = covariates.shape[1], len(self.sites_)
        unit = np.vstack([np.zeros((2, n_covariates)), np.eye(n_covariates)])
        rows = np.zeros((len(unit), X.shape[1]))
        rows[1] = 1
        given = {"continuous_covariates": np.tile(unit, (n_sites, 1))} if n_covariates else {}
        out = model.transform(np.tile(rows, (n_sites, 1)), batch=np.repeat(self.sites_, len(unit)), **given)
        out = out.to_numpy().reshape(n_sites, len(unit), -1)
        self.offset_ = out[:, 0]
        self.slope_ = out[:, 1] - out[:, 0]
        self.effect_ = _common_effect(out[:, 2:] - out[:, :1], 1 - self.slope_)

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


def _common_effect(scaled: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """(C, D) effect of the covariates, from (S, C, D) effects that are each `factor` (S, D) times it.

    A site whose scale is the common one (factor near 0) says nothing: least squares weighs it by its factor.
    """
    weight = (factor**2).sum(axis=0)
    total = (factor[:, None] * scaled).sum(axis=0)
    return np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
