"""Some rows of a matrix, taken when needed and in pieces, so that folds cost no copy of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CHUNK_BYTES = 1 << 25
"""Size of a piece, as float64."""


@dataclass(frozen=True)
class Rows:
    """Rows of a matrix."""

    X: np.ndarray
    """(N, D) float32 or float64."""
    index: np.ndarray
    """(n,) rows of `X`."""

    @classmethod
    def all(cls, X: np.ndarray) -> Rows:
        """All rows of a matrix."""
        return cls(X, np.arange(len(X)))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return self.X.shape[1]

    def take(self, which: np.ndarray) -> Rows:
        """Some of these rows, by mask or position."""
        return Rows(self.X, self.index[which])

    def array(self) -> np.ndarray:
        """(n, D) copy, in the matrix's own type."""
        return self.X[self.index]

    def column_chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Pieces of columns: which, and their values (n, c) as float64."""
        step = max(1, CHUNK_BYTES // (8 * max(1, len(self))))
        for start in range(0, self.width, step):
            columns = slice(start, min(start + step, self.width))
            yield columns, self.X[self.index, columns].astype(np.float64, copy=False)

    def row_chunks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Pieces of rows: which of these, and their values (r, D) as float64."""
        step = max(1, CHUNK_BYTES // (8 * max(1, self.width)))
        for start in range(0, len(self), step):
            rows = slice(start, min(start + step, len(self)))
            yield rows, self.X[self.index[rows]].astype(np.float64, copy=False)

    def dot(self, weights: np.ndarray) -> np.ndarray:
        """(n, k) product with (D, k) weights, in float64."""
        result = np.empty((len(self), weights.shape[1]))
        for rows, values in self.row_chunks():
            result[rows] = values @ weights
        return result
