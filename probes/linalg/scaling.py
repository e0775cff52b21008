"""Mean and scale of each feature over training rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.probes.linalg.rows import Rows

_ROUNDING = {4: 1e-7, 8: 1e-12}
"""Deviation of a feature that is constant but for rounding, as a part of its mean; by bytes a number."""


@dataclass(frozen=True)
class Scaling:
    """x -> (x - mean) / scale."""

    mean: np.ndarray
    """(D,) float64."""
    scale: np.ndarray
    """(D,) standard deviation (of the population); 1 where a feature is constant or scaling is not wanted."""

    @classmethod
    def fit(cls, rows: Rows, standardize: bool = True) -> Scaling:
        """Mean, and with `standardize` standard deviation, of each feature."""
        mean, scale = np.empty(rows.width), np.ones(rows.width)
        for columns, values in rows.column_chunks():
            mean[columns] = values.mean(axis=0)
            if standardize:
                values -= mean[columns]  # the piece is a copy
                deviation = np.sqrt(np.einsum("ij,ij->j", values, values) / len(rows))
                # What rounding leaves of a constant is no variation to blow up.
                constant = deviation <= _ROUNDING[rows.X.itemsize] * np.abs(mean[columns])
                scale[columns] = np.where(constant | (deviation == 0), 1, deviation)
        return cls(mean, scale)

    def apply(self, values: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        """Scale values (n, c) of some columns, in place."""
        values -= self.mean[columns]
        values /= self.scale[columns]
        return values
