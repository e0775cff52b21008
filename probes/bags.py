"""Bags: the vectors of each study's series or tokens, for estimators that pool them themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Bags:
    """A ragged set of vectors for each of N studies."""

    values: np.ndarray
    """(M, D) float16, float32 or float64 vectors of series or tokens. Selections share it."""
    start: np.ndarray
    """(N,) int64 first row of each study in `values`."""
    stop: np.ndarray
    """(N,) int64 row after its last one."""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    """(M,) descriptions of the rows of `values` by name: `series` (number within the study, from 0) and `name`, and of
    tokens also `z`, `y` and `x` (first voxel)."""

    def __post_init__(self) -> None:
        if not ((self.start >= 0) & (self.start < self.stop) & (self.stop <= len(self.values))).all():
            raise ValueError("every bag needs at least one row of the values")

    @classmethod
    def of(
        cls,
        values: np.ndarray,
        study: np.ndarray,
        columns: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[Bags, np.ndarray]:
        """Group rows by study.

        Args:
            values: (M, D) vectors.
            study: (M,) study of each.
            columns: (M,) descriptions.

        Returns:
            The bags, and (N,) study of each in ascending order.
        """
        columns = dict(columns or {})
        if (np.diff(study) < 0).any():
            order = np.argsort(study, kind="stable")
            values, study = values[order], study[order]
            columns = {name: column[order] for name, column in columns.items()}
        rows, start, counts = np.unique(study, return_index=True, return_counts=True)
        return cls(values, start, start + counts, columns), rows

    @classmethod
    def single(cls, X: np.ndarray) -> Bags:
        """A bag of one vector for each row of a matrix."""
        start = np.arange(len(X))
        return cls(X, start, start + 1)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def sizes(self) -> np.ndarray:
        """(N,) rows of each study."""
        return self.stop - self.start

    @property
    def index(self) -> np.ndarray:
        """(m,) rows of `values`, study by study."""
        first = np.cumsum(self.sizes) - self.sizes
        return np.repeat(self.start - first, self.sizes) + np.arange(self.sizes.sum())

    @property
    def owner(self) -> np.ndarray:
        """(m,) study, from 0, of each row of `index`."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def positions(self, rows: np.ndarray) -> np.ndarray:
        """(m,) positions in `index` of the vectors of some studies, study by study."""
        ends = np.cumsum(self.sizes)
        return replace(self, start=ends - self.sizes, stop=ends).take(rows).index

    def take(self, rows: np.ndarray) -> Bags:
        """Of some studies, by mask or position."""
        return replace(self, start=self.start[rows], stop=self.stop[rows])

    def means(self) -> np.ndarray:
        """(N, D) float32 unweighted mean of each study's vectors."""
        made = np.empty((len(self), self.values.shape[1]), dtype=np.float32)
        for i, (start, stop) in enumerate(zip(self.start, self.stop, strict=True)):
            made[i] = self.values[start:stop].mean(axis=0, dtype=np.float64)
        return made
