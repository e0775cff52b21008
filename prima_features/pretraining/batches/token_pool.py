"""The subvolumes of a cohort, drawn a plane at a time for the tokenizer stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from prima_features.encoders.prima.networks.prima import DOUBLING
from prima_features.errors import NothingUsableError
from prima_features.pretraining.data.cohort import CachedSeries, CachedStudy, Cohort
from prima_features.pretraining.data.records import SUBVOLUMES


class TokenPool:
    """All subvolumes of some studies, numbered within each plane.

    Args:
        cohort: its cache holds subvolumes.
        studies: those of it to draw from.

    Raises:
        NothingUsableError: they have no subvolume.
    """

    def __init__(self, cohort: Cohort, studies: Sequence[CachedStudy]) -> None:
        self._cohort = cohort
        planes: dict[int, list[tuple[CachedSeries, int]]] = {}
        for series in (series for study in studies for series in study.series):
            count, *sides = cohort.cache.shape(series.entry, SUBVOLUMES)
            if count:
                planes.setdefault(int(np.argmin(sides)), []).append((series, count))
        if not planes:
            raise NothingUsableError("No study to train on has a subvolume with foreground")
        self._axes = sorted(planes)
        self._series = {axis: [series for series, _ in planes[axis]] for axis in self._axes}
        self._ends = {axis: np.cumsum([count for _, count in planes[axis]]) for axis in self._axes}

    def __len__(self) -> int:
        return int(sum(ends[-1] for ends in self._ends.values()))

    def draw(self, count: int, chance: np.random.Generator) -> tuple[int, np.ndarray]:
        """A plane, by its share of the subvolumes, and numbers (count,) of some of its, in order."""
        sizes = np.array([self._ends[axis][-1] for axis in self._axes])
        axis = self._axes[chance.choice(len(sizes), p=sizes / sizes.sum())]
        return axis, np.sort(chance.integers(self._ends[axis][-1], size=count))

    def read(self, axis: int, numbers: np.ndarray) -> Tensor:
        """Doubled subvolumes (N, 8, 32, 32) float32, the slice axis being `axis` of the last three."""
        ends = self._ends[axis]
        owners = np.searchsorted(ends, numbers, side="right")
        parts = []
        for owner in np.unique(owners):
            first = ends[owner - 1] if owner else 0
            entry = self._series[axis][owner].entry
            parts.append(self._cohort.cache.rows(entry, SUBVOLUMES, numbers[owners == owner] - first))
        return torch.cat(parts).float().repeat_interleave(DOUBLING, dim=1 + axis)
